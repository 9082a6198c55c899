/* latent.h - latents as callers hold them, and decoded floats as pictures; used inside this room. */
#ifndef TT_PIPELINE_LATENT_H
#define TT_PIPELINE_LATENT_H

#include "pipeline/model.h"

/* Takes the VAE's scaling factor out: latent [channels][h][w] as the UNet sees it -> values as the decoder takes them.
 */
void tt_latent_unscale(const tt_vae_config *vae, const float *latent, size_t n, float *values);

/* The same into a new tt_latent, which is freed with tt_latent_free. */
tt_status tt_latent_take(const tt_model *model, const float *latent, uint32_t height, uint32_t width, tt_latent *out,
                         tt_error *err);

/* [3][H][W] in -1..1 -> RGB bytes, rounded as diffusers does; a new picture. */
tt_status tt_image_from_floats(const float *values, uint32_t width, uint32_t height, tt_image *image, tt_error *err);

#endif
