/* body.c - a picture's header and a latent's, against the limits. */
#include "service/body.h"

#include "base/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    LATENT_HEAD = 52,
    LATENT_HASH_AT = 20,
    LATENT_HASH_BYTES = 32,
    MAX_LATENT_CHANNELS = 64,
    MAX_VAE_FACTOR = 64,
};

tt_body_limits tt_body_limits_default(void)
{
    return (tt_body_limits){
        .max_bytes = (size_t)8 << 20, .max_side = 2048, .max_pixels = 4194304, .max_result_pixels = 16777216};
}

const char *tt_body_kind_type(tt_body_kind kind)
{
    static const char *const types[] = {"image/png", "image/jpeg", "application/x-tintype-latent"};
    return types[kind];
}

/* True when content_type, without its parameters, is this type. */
static bool is_type(const char *content_type, const char *type)
{
    const size_t n = strcspn(content_type, "; \t");
    return n == strlen(type) && strncasecmp(content_type, type, n) == 0;
}

/* What Content-Type says. False: nothing that is taken. */
static bool kind_of_type(const char *content_type, tt_body_kind *kind)
{
    for (int i = TT_BODY_PNG; i <= TT_BODY_LATENT; i++)
        if (content_type != NULL && is_type(content_type, tt_body_kind_type((tt_body_kind)i))) {
            *kind = (tt_body_kind)i;
            return true;
        }
    return false;
}

/* What the first bytes say. */
static bool kind_of_bytes(const uint8_t *bytes, size_t n_bytes, tt_body_kind *kind)
{
    static const uint8_t png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t jpeg[] = {0xff, 0xd8, 0xff};
    static const uint8_t latent[] = {'T', 'T', 'L', '1'};
    if (n_bytes >= sizeof png && memcmp(bytes, png, sizeof png) == 0)
        *kind = TT_BODY_PNG;
    else if (n_bytes >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0)
        *kind = TT_BODY_JPEG;
    else if (n_bytes >= sizeof latent && memcmp(bytes, latent, sizeof latent) == 0)
        *kind = TT_BODY_LATENT;
    else
        return false;
    return true;
}

static tt_status check_picture(const uint8_t *bytes, size_t n_bytes, tt_body_info *info, tt_error *err)
{
    tt_image_header header;
    tt_context *context = tt_context_create();
    if (context == NULL)
        return tt_fail_memory(err, "a picture's header", sizeof header);
    tt_status status = tt_image_read_header(context, bytes, n_bytes, &header);
    if (status != TT_OK)
        (void)tt_fail(err, status, "%s", tt_context_message(context));
    tt_context_destroy(context);
    info->width = status == TT_OK ? header.width : 0;
    info->height = status == TT_OK ? header.height : 0;
    return status;
}

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

/* The hash is 8 to 32 hex digits, then zero bytes. */
static bool read_hash(const uint8_t *bytes, char hash[LATENT_HASH_BYTES + 1])
{
    memcpy(hash, bytes, LATENT_HASH_BYTES);
    hash[LATENT_HASH_BYTES] = '\0';
    const size_t n = strspn(hash, "0123456789abcdef");
    for (size_t i = n; i < LATENT_HASH_BYTES; i++)
        if (bytes[i] != 0)
            return false;
    return n >= 8;
}

static tt_status check_latent(const uint8_t *bytes, size_t n_bytes, tt_body_info *info, tt_error *err)
{
    if (n_bytes < LATENT_HEAD)
        return tt_fail(err, TT_ERROR_FORMAT, "the latent is cut off: its head alone has %d bytes", LATENT_HEAD);
    const uint64_t n_channels = read_u32(bytes + 4), height = read_u32(bytes + 8), width = read_u32(bytes + 12);
    const uint64_t factor = read_u32(bytes + 16);
    if (n_channels == 0 || n_channels > MAX_LATENT_CHANNELS || factor == 0 || factor > MAX_VAE_FACTOR ||
        !read_hash(bytes + LATENT_HASH_AT, info->model_hash))
        return tt_fail(
            err, TT_ERROR_FORMAT,
            "the latent's head is damaged: expected 1 to %d channels, a factor of 1 to %d and a model's hash",
            MAX_LATENT_CHANNELS, MAX_VAE_FACTOR);
    if (height == 0 || width == 0 || height > UINT16_MAX || width > UINT16_MAX)
        return tt_fail(err, TT_ERROR_FORMAT, "the latent says it is %llu x %llu", (unsigned long long)width,
                       (unsigned long long)height);
    const uint64_t wanted = LATENT_HEAD + n_channels * height * width * 2;
    if (n_bytes != wanted)
        return tt_fail(err, TT_ERROR_FORMAT, "the latent has %zu bytes, its head promises %llu", n_bytes,
                       (unsigned long long)wanted);
    info->width = (uint32_t)(width * factor);
    info->height = (uint32_t)(height * factor);
    return TT_OK;
}

tt_status tt_body_read_latent(const uint8_t *bytes, size_t n_bytes, tt_latent *latent, tt_error *err)
{
    const size_t n = (n_bytes - LATENT_HEAD) / 2;
    *latent = (tt_latent){read_u32(bytes + 4), read_u32(bytes + 8), read_u32(bytes + 12), NULL};
    float *values = malloc(n * sizeof *values);
    if (values == NULL)
        return tt_fail_memory(err, "a latent", n * sizeof *values);
    tt_to_float(TT_F16, bytes + LATENT_HEAD, values, n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i])) {
            free(values);
            return tt_fail(err, TT_ERROR_FORMAT, "the latent holds what is no number");
        }
    latent->values = values;
    return TT_OK;
}

static tt_status check_size(const tt_body_info *info, uint32_t scale, const tt_body_limits *limits, tt_error *err)
{
    const uint64_t pixels = (uint64_t)info->width * info->height;
    if (info->width == 0 || info->height == 0 || info->width > limits->max_side || info->height > limits->max_side ||
        pixels > limits->max_pixels)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "the picture is %u x %u pixels, allowed are 1 to %u a side and %llu in all", info->width,
                       info->height, limits->max_side, (unsigned long long)limits->max_pixels);
    if (pixels * scale * scale > limits->max_result_pixels)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "the result would be %llu x %llu pixels, allowed are %llu in all: ask for a smaller scale",
                       (unsigned long long)info->width * scale, (unsigned long long)info->height * scale,
                       (unsigned long long)limits->max_result_pixels);
    return TT_OK;
}

tt_status tt_body_check(const uint8_t *bytes, size_t n_bytes, const char *content_type, uint32_t scale,
                        const tt_body_limits *limits, tt_body_info *info, uint32_t *code, tt_error *err)
{
    tt_body_kind said = TT_BODY_PNG;
    *info = (tt_body_info){0};
    *code = 413;
    if (n_bytes > limits->max_bytes)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "the body has %zu bytes, allowed are %zu", n_bytes,
                       limits->max_bytes);
    *code = 415;
    if (!kind_of_type(content_type, &said))
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "Content-Type must be image/png, image/jpeg or application/x-tintype-latent");
    if (!kind_of_bytes(bytes, n_bytes, &info->kind))
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "the body is neither a PNG nor a JPEG nor a latent");
    if (info->kind != said)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "Content-Type says %s, the body is %s", tt_body_kind_type(said),
                       tt_body_kind_type(info->kind));
    *code = 422;
    tt_status status = info->kind == TT_BODY_LATENT ? check_latent(bytes, n_bytes, info, err)
                                                    : check_picture(bytes, n_bytes, info, err);
    if (status == TT_ERROR_MEMORY)
        *code = 500;
    if (status == TT_OK)
        status = check_size(info, scale, limits, err);
    if (status == TT_OK)
        *code = 0;
    return status;
}
