/* denoise.h - the loop from noise to a finished latent; used inside this room. */
#ifndef TT_PIPELINE_DENOISE_H
#define TT_PIPELINE_DENOISE_H

#include "pipeline/condition.h"
#include "pipeline/resume.h"
#include "pipeline/savers.h"

/* Gives the next n standard normals, in the order in which diffusers' pipelines draw them. */
typedef tt_status (*tt_draw_fn)(void *user, float *out, size_t n, tt_error *err);

/* Called after every UNet call with the current latent; false cancels. */
typedef bool (*tt_step_fn)(void *user, uint32_t call, uint32_t n_calls, const float *latent);

/* What the VAE encoder made of a request's picture, kept for the other images of a batch: [latent_channels][h][w] each,
 * NULL until made. Zero-initialise; free with tt_moments_free. */
typedef struct tt_moments {
    struct {
        float *mean, *logvar; /* logvar NULL: the VAE has none */
    } picture, masked;
} tt_moments;
void tt_moments_free(tt_moments *moments);

typedef struct tt_denoise_request {
    const tt_scheduler_config *scheduler;
    uint32_t n_steps;
    float strength, eta, cfg_scale;
    const tt_savers *savers; /* checked; NULL: none */
    uint32_t height, width;  /* latent positions */
    const tt_condition *condition;
    const float *image; /* [3][height*f][width*f] in -1..1, NULL: text to image */
    const float *mask;  /* [height*f][width*f], > 0.5 is repainted, NULL: none */
    tt_draw_fn draw;
    void *draw_user;
    tt_step_fn step; /* may be NULL */
    void *step_user;
    tt_moments *moments;         /* NULL, or kept from image to image */
    bool one_at_a_time;          /* free the VAE encoder's device memory before the UNet is loaded */
    void (*encoded)(void *user); /* told when the VAE encoder is done; may be NULL */
    tt_resume *resume;           /* keeps the state; NULL: nothing does */
} tt_denoise_request;

/* Runs the loop; latent [latent_channels][height][width] receives the result (scaled as the UNet sees it). timesteps
 * (NULL or room for all calls, at most 4 * n_steps + 16) and *n_calls tell the calls made; a resumed run makes, and
 * tells, those that were left. */
tt_status tt_denoise(tt_model *model, const tt_denoise_request *request, float *latent, double *timesteps,
                     uint32_t *n_calls, tt_error *err);

/* vae latent -> picture values: latent as the UNet sees it -> image [3][H][W] in -1..1. */
tt_status tt_decode_latent(tt_model *model, const float *latent, uint32_t height, uint32_t width, float *image,
                           tt_vae_tile_fn tile, void *user, tt_error *err);

/* The same with values that have no scaling factor inside. */
tt_status tt_decode_values(tt_model *model, const float *values, uint32_t height, uint32_t width, float *image,
                           tt_vae_tile_fn tile, void *user, tt_error *err);

#endif
