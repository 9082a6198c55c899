/* result.c - checks of a result. */
#include "cloud/result.h"

#include "base/sha256.h"
#include "image/read.h"

#include <string.h>

size_t tt_cloud_result_bytes(const tt_cloud_body *body)
{
    /* RGBA without compression, and what noise grows by. */
    const size_t n_pixels = (size_t)body->out_width * body->out_height;
    return n_pixels * 4 + n_pixels / 16 + ((size_t)1 << 20);
}

static tt_status check_digest(const tt_http_answer *answer, bool *may_retry, tt_error *err)
{
    char hex[65];
    if (answer->digest[0] == '\0')
        return tt_fail(err, TT_ERROR_NETWORK,
                       "the service sent a picture without its SHA-256 (Repr-Digest); it cannot be checked and is not "
                       "taken");
    const tt_status status = tt_sha256_hex(answer->body.bytes, answer->body.n_bytes, hex, err);
    if (status != TT_OK || strcmp(hex, answer->digest) == 0)
        return status;
    *may_retry = true;
    return tt_fail(err, TT_ERROR_NETWORK, "the picture of the service was damaged on the way: its SHA-256 is another");
}

static tt_status check_header(const tt_http_answer *answer, const tt_cloud_body *body, tt_error *err)
{
    tt_image_header header;
    const uint8_t *bytes = (const uint8_t *)answer->body.bytes;
    if (tt_image_header_read(bytes, answer->body.n_bytes, "the service's picture", &header, err) != TT_OK)
        return TT_ERROR_NETWORK;
    if (strcmp(header.type, answer->type) != 0)
        return tt_fail(err, TT_ERROR_NETWORK, "the service sent %s and called it %s; it is not taken", header.type,
                       answer->type);
    if (header.width != body->out_width || header.height != body->out_height)
        return tt_fail(err, TT_ERROR_NETWORK, "the service sent a picture of %u x %u pixels instead of %u x %u",
                       header.width, header.height, body->out_width, body->out_height);
    return TT_OK;
}

tt_status tt_cloud_result_read(const tt_http_answer *answer, const tt_cloud_body *body, tt_image *result,
                               bool *may_retry, tt_error *err)
{
    *may_retry = false;
    if (strcmp(answer->type, "image/png") != 0 && strcmp(answer->type, "image/jpeg") != 0)
        return tt_fail(err, TT_ERROR_NETWORK, "the service sent \"%s\" instead of a picture", answer->type);
    tt_status status = check_digest(answer, may_retry, err);
    if (status == TT_OK)
        status = check_header(answer, body, err);
    if (status != TT_OK)
        return status;
    const tt_image_limits limits = {.max_side = body->out_width > body->out_height ? body->out_width : body->out_height,
                                    .max_pixels = (uint64_t)body->out_width * body->out_height,
                                    .max_bytes = answer->body.n_bytes};
    status = tt_image_decode((const uint8_t *)answer->body.bytes, answer->body.n_bytes, "the service's picture",
                             &limits, body->out_channels, result, err);
    return status == TT_OK || status == TT_ERROR_MEMORY ? status : TT_ERROR_NETWORK;
}
