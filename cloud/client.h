/* client.h - sends a picture or latent to an upscale service and waits for the result (docs/cloud.md is the protocol).
 *
 * POST /v1/upscales with an Idempotency-Key that depends on what is sent alone, so that a request that is sent again is
 * the same job. 200 is the result; 202 names the job, which is then asked for until it is done. The POST itself does
 * not ask to wait: the sooner the job's name is here, the sooner it can be found again after a kill, or cancelled. 429,
 * 503 and lost connections are tried again, max_tries times in a row at most, after Retry-After or a doubling wait with
 * jitter. */
#ifndef TT_CLOUD_CLIENT_H
#define TT_CLOUD_CLIENT_H

#include "base/error.h"

/* What is to be enlarged, ready to be sent. */
typedef struct tt_cloud_body {
    const uint8_t *bytes;
    size_t n_bytes;
    const char *type;               /* "image/png" or "application/x-tintype-latent" */
    uint32_t out_width, out_height; /* of the result that must come back */
    uint32_t out_channels;          /* that it is decoded to: 1, 3 or 4 */
    uint32_t scale;
} tt_cloud_body;

/* Checks everything that can be checked without a connection: address, token, permission, limits. */
tt_status tt_cloud_check_params(const tt_cloud_params *params, tt_error *err);

/* What becomes of an accepted job when the call fails otherwise than by cancelling, which always drops it. */
typedef enum tt_cloud_leave {
    TT_CLOUD_KEEP = 0, /* the state file goes on naming it; without a state file nobody could wait for it: dropped */
    TT_CLOUD_DROP = 1  /* the caller has another way: the job is dropped and the state file removed */
} tt_cloud_leave;

/* Sends and waits. *result is the decoded and checked picture. */
tt_status tt_cloud_run(const tt_cloud_params *params, const tt_cloud_body *body, tt_cloud_leave leave, tt_image *result,
                       tt_cloud_report *report, tt_error *err);

/* A latent as it is sent: "TTL1", then little-endian u32 channels, height, width, vae factor, the first 32 bytes of the
 * model's hash as text padded with zeros, then channels * height * width halves. *bytes is freed with free(). */
tt_status tt_cloud_latent_encode(const tt_latent *latent, const char *model_hash, uint32_t vae_factor, uint8_t **bytes,
                                 size_t *n_bytes, tt_error *err);

#endif
