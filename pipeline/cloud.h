/* cloud.h - pictures and latents as bodies for a service; used inside this room. */
#ifndef TT_PIPELINE_CLOUD_H
#define TT_PIPELINE_CLOUD_H

#include "cloud/client.h"

typedef struct tt_cloud_latent {
    const tt_latent *latent;
    const char *model_hash;
    uint32_t vae_factor;
} tt_cloud_latent;

/* *out is zeroed and, when all goes well, filled in; report may be NULL. The scale is checked before anything is sent.
 */
tt_status tt_cloud_send_image(const tt_cloud_params *params, const tt_image *image, uint32_t scale,
                              tt_cloud_leave leave, tt_image *out, tt_cloud_report *report, tt_error *err);
tt_status tt_cloud_send_latent(const tt_cloud_params *params, const tt_cloud_latent *latent, uint32_t scale,
                               tt_cloud_leave leave, tt_image *out, tt_cloud_report *report, tt_error *err);

#endif
