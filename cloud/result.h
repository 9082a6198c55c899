/* result.h - is what came back what was asked for? Used inside this room. */
#ifndef TT_CLOUD_RESULT_H
#define TT_CLOUD_RESULT_H

#include "cloud/client.h"
#include "cloud/http.h"

/* Compares an answer's type, SHA-256 and size in pixels with what must come, in that order, and only then decodes it.
 * *may_retry: it was damaged on the way, so that another try may bring it whole. */
tt_status tt_cloud_result_read(const tt_http_answer *answer, const tt_cloud_body *body, tt_image *result,
                               bool *may_retry, tt_error *err);

/* Bytes that a picture of that size can have as PNG or JPEG at most, with room for other chunks. */
size_t tt_cloud_result_bytes(const tt_cloud_body *body);

#endif
