/* latent.c - latents between the UNet and the decoder, and the decoder alone. */
#include "pipeline/latent.h"
#include "pipeline/denoise.h"

#include <math.h>
#include <stdlib.h>

void tt_latent_free(tt_latent *latent)
{
    if (!latent)
        return;
    free(latent->values);
    *latent = (tt_latent){0};
}

void tt_latent_unscale(const tt_vae_config *vae, const float *latent, size_t n, float *values)
{
    for (size_t i = 0; i < n; i++)
        values[i] = (float)((double)latent[i] / vae->scaling_factor + vae->shift_factor);
}

tt_status tt_latent_take(const tt_model *model, const float *latent, uint32_t height, uint32_t width, tt_latent *out,
                         tt_error *err)
{
    const tt_vae_config *vae = &model->vae_config;
    size_t n = (size_t)vae->latent_channels * height * width;
    *out = (tt_latent){vae->latent_channels, height, width, malloc(n * sizeof(float))};
    if (!out->values)
        return tt_fail_memory(err, "a latent", n * sizeof(float));
    tt_latent_unscale(vae, latent, n, out->values);
    return TT_OK;
}

tt_status tt_image_from_floats(const float *values, uint32_t width, uint32_t height, tt_image *image, tt_error *err)
{
    size_t plane = (size_t)width * height;
    image->pixels = malloc(3 * plane);
    if (!image->pixels)
        return tt_fail_memory(err, "the picture", 3 * plane);
    image->width = width;
    image->height = height;
    image->n_channels = 3;
    for (size_t p = 0; p < plane; p++)
        for (size_t c = 0; c < 3; c++) {
            float v = values[c * plane + p] * 0.5f + 0.5f;
            v = v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v;
            image->pixels[p * 3 + c] = (uint8_t)lrintf(v * 255.0f);
        }
    return TT_OK;
}

static tt_status check(const tt_model *model, const tt_latent *latent, tt_error *err)
{
    const tt_vae_config *vae = &model->vae_config;
    const uint32_t most = 16384 / (vae->factor ? vae->factor : 1);
    if (!model->has_vae)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s lacks a VAE (give one with --vae or --taesd)", model->name);
    if (latent->channels == vae->latent_channels && latent->height > 0 && latent->height <= most && latent->width > 0 &&
        latent->width <= most && latent->values)
        return TT_OK;
    return tt_fail(err, TT_ERROR_ARGUMENT, "the latent is %u x %u x %u, but %u channels and sides of 1 to %u are taken",
                   latent->channels, latent->height, latent->width, vae->latent_channels, most);
}

static bool goes_on(void *user, uint32_t tile, uint32_t n_tiles)
{
    tt_model *model = user;
    (void)tile;
    (void)n_tiles;
    return !atomic_load(&model->cancelled);
}

tt_status tt_latent_decode(tt_model *model, const tt_latent *latent, tt_image *image)
{
    tt_error *err = tt_context_begin(model->context);
    *image = (tt_image){0};
    tt_status status = check(model, latent, err);
    if (status != TT_OK)
        return status;
    atomic_store(&model->cancelled, false);
    const uint32_t width = latent->width * model->vae_config.factor, height = latent->height * model->vae_config.factor;
    const size_t n = (size_t)3 * width * height;
    float *pixels = malloc(n * sizeof *pixels);
    if (!pixels)
        return tt_fail_memory(err, "the picture", n * sizeof *pixels);
    status = tt_decode_values(model, latent->values, latent->height, latent->width, pixels, goes_on, model, err);
    if (status == TT_OK)
        status = tt_image_from_floats(pixels, width, height, image, err);
    free(pixels);
    return status;
}
