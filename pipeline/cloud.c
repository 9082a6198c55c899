/* cloud.c - the public calls that send a picture or a latent to a service. */
#include "pipeline/cloud.h"
#include "cloud/client.h"
#include "image/png-write.h"
#include "pipeline/context.h"

#include <stdlib.h>

void tt_cloud_params_default(tt_cloud_params *params)
{
    *params = (tt_cloud_params){
        .connect_seconds = 10.0, .timeout_seconds = 120.0, .max_bytes = (uint64_t)8 << 20, .max_tries = 5};
}

tt_status tt_cloud_check(tt_context *context, const tt_cloud_params *params)
{
    return tt_cloud_check_params(params, tt_context_begin(context));
}

tt_status tt_cloud_send_image(const tt_cloud_params *params, const tt_image *image, uint32_t scale,
                              tt_cloud_leave leave, tt_image *out, tt_cloud_report *report, tt_error *err)
{
    tt_text png = {0};
    tt_status status = tt_png_encode(image, NULL, &png, err);
    if (status == TT_OK) {
        const tt_cloud_body body = {.bytes = (const uint8_t *)png.bytes,
                                    .n_bytes = png.n_bytes,
                                    .type = "image/png",
                                    .out_width = image->width * scale,
                                    .out_height = image->height * scale,
                                    .out_channels = image->n_channels,
                                    .scale = scale};
        status = tt_cloud_run(params, &body, leave, out, report, err);
    }
    tt_text_free(&png);
    return status;
}

tt_status tt_cloud_send_latent(const tt_cloud_params *params, const tt_cloud_latent *latent, uint32_t scale,
                               tt_cloud_leave leave, tt_image *out, tt_cloud_report *report, tt_error *err)
{
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    const tt_latent *values = latent->latent;
    tt_status status = tt_cloud_latent_encode(values, latent->model_hash, latent->vae_factor, &bytes, &n_bytes, err);
    if (status == TT_OK) {
        const tt_cloud_body body = {.bytes = bytes,
                                    .n_bytes = n_bytes,
                                    .type = "application/x-tintype-latent",
                                    .out_width = values->width * latent->vae_factor * scale,
                                    .out_height = values->height * latent->vae_factor * scale,
                                    .out_channels = 3,
                                    .scale = scale};
        status = tt_cloud_run(params, &body, leave, out, report, err);
    }
    free(bytes);
    return status;
}

tt_status tt_cloud_upscale(tt_context *context, const tt_cloud_params *params, const tt_image *image, uint32_t scale,
                           tt_image *out, tt_cloud_report *report)
{
    tt_error *err = tt_context_begin(context);
    *out = (tt_image){0};
    return tt_cloud_send_image(params, image, scale, TT_CLOUD_KEEP, out, report, err);
}

tt_status tt_cloud_upscale_latent(tt_context *context, const tt_cloud_params *params, const tt_latent *latent,
                                  const char *model_hash, uint32_t vae_factor, uint32_t scale, tt_image *out,
                                  tt_cloud_report *report)
{
    tt_error *err = tt_context_begin(context);
    const tt_cloud_latent sent = {latent, model_hash, vae_factor};
    *out = (tt_image){0};
    return tt_cloud_send_latent(params, &sent, scale, TT_CLOUD_KEEP, out, report, err);
}
