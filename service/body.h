/* body.h - what a client sent, judged from its first bytes before anything is decoded or stored. */
#ifndef TT_SERVICE_BODY_H
#define TT_SERVICE_BODY_H

#include "base/error.h"

typedef struct tt_body_limits {
    size_t max_bytes;           /* default 8 MiB */
    uint32_t max_side;          /* default 2048 */
    uint64_t max_pixels;        /* default 4,194,304 */
    uint64_t max_result_pixels; /* default 16,777,216 */
} tt_body_limits;

tt_body_limits tt_body_limits_default(void);

typedef enum tt_body_kind { TT_BODY_PNG = 0, TT_BODY_JPEG, TT_BODY_LATENT } tt_body_kind;

typedef struct tt_body_info {
    tt_body_kind kind;
    uint32_t width, height; /* of the picture, or of the one that the latent becomes, in pixels */
    char model_hash[33];    /* latents */
} tt_body_info;

/* The HTTP status that a refusal deserves, in *code: 413 (too large), 415 (not a type we take, or not the one that
 * Content-Type says), 422 (damaged, or its result would be too large at this scale). TT_OK: a worker may try it. A
 * picture is judged by its header alone: a decompression bomb is refused by the size that it claims, and a file that
 * lies about its size is the sandboxed worker's to find. */
tt_status tt_body_check(const uint8_t *bytes, size_t n_bytes, const char *content_type, uint32_t scale,
                        const tt_body_limits *limits, tt_body_info *info, uint32_t *code, tt_error *err);

/* The values of a latent that tt_body_check took; values that are no numbers are refused. Free with tt_latent_free. */
tt_status tt_body_read_latent(const uint8_t *bytes, size_t n_bytes, tt_latent *latent, tt_error *err);

/* "image/png", "image/jpeg", "application/x-tintype-latent"; static storage. */
const char *tt_body_kind_type(tt_body_kind kind);

#endif
