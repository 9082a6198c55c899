/* stage-denoise.c - the whole loop on given noise: what an independent pipeline can be compared with. */
#include "pipeline/stage-denoise.h"
#include "pipeline/arrays.h"
#include "pipeline/denoise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hands out noise0, noise1, ... and keeps the latents of all calls. */
typedef struct tt_tape {
    const tt_arrays *in;
    uint32_t n_drawn;
    float *rows; /* [max_calls][n_latent] */
    size_t n_latent;
} tt_tape;

static tt_status draw_from_tape(void *user, float *out, size_t n, tt_error *err)
{
    tt_tape *tape = user;
    char name[32];
    snprintf(name, sizeof name, "noise%u", tape->n_drawn++);
    const tt_array *array = tt_arrays_find(tape->in, name);
    if (!array || array->type != TT_ARRAY_F32 || tt_array_count(array) != n)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the input needs an F32 array %s of %zu values", name, n);
    memcpy(out, array->data, n * sizeof *out);
    return TT_OK;
}

static bool keep_step(void *user, uint32_t call, uint32_t n_calls, const float *latent)
{
    tt_tape *tape = user;
    (void)n_calls;
    memcpy(tape->rows + call * tape->n_latent, latent, tape->n_latent * sizeof *latent);
    return true;
}

/* Sizes come from the first noise that has the latent's channels. */
static tt_status read_size(const tt_model *model, const tt_arrays *in, tt_denoise_request *r, tt_error *err)
{
    const tt_array *noise = NULL;
    tt_status status = tt_arrays_need_f32(in, "noise0", 4, &noise, err);
    if (status != TT_OK)
        return status;
    if (noise->dims[0] != 1 || noise->dims[1] != model->unet_config.out_channels || noise->dims[2] > 2048 ||
        noise->dims[3] > 2048)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the input array noise0 must be [1, %u, h, w] with sides up to 2048",
                       model->unet_config.out_channels);
    r->height = (uint32_t)noise->dims[2];
    r->width = (uint32_t)noise->dims[3];
    return TT_OK;
}

/* An optional picture [1, channels, H, W]. */
static tt_status read_picture(const tt_arrays *in, const char *name, uint64_t channels, uint64_t height, uint64_t width,
                              const float **values, tt_error *err)
{
    const tt_array *a = NULL;
    *values = NULL;
    if (!tt_arrays_find(in, name))
        return TT_OK;
    tt_status status = tt_arrays_need_f32(in, name, 4, &a, err);
    if (status == TT_OK && (a->dims[0] != 1 || a->dims[1] != channels || a->dims[2] != height || a->dims[3] != width))
        status = tt_fail(err, TT_ERROR_ARGUMENT, "the input array %s must be [1, %llu, %llu, %llu]", name,
                         (unsigned long long)channels, (unsigned long long)height, (unsigned long long)width);
    if (status == TT_OK)
        *values = a->data;
    return status;
}

static tt_condition_request condition_request(const tt_model *model, const tt_stage_params *p,
                                              const tt_denoise_request *r)
{
    uint32_t f = model->vae_config.factor;
    float height = (float)(r->height * f), width = (float)(r->width * f);
    return (tt_condition_request){.prompt = p->prompt,
                                  .negative = p->negative_prompt,
                                  .guided = p->cfg_scale > 1.0f && model->unet_config.time_cond_dim == 0,
                                  .clip_skip = p->clip_skip,
                                  .cfg_scale = p->cfg_scale,
                                  .time_ids = {p->original_height ? (float)p->original_height : height,
                                               p->original_width ? (float)p->original_width : width, (float)p->crop_top,
                                               (float)p->crop_left, p->target_height ? (float)p->target_height : height,
                                               p->target_width ? (float)p->target_width : width}};
}

/* Loop and decoder; buffers hold the latent, the decoded picture and the timesteps. */
static tt_status run_loop(tt_model *model, const tt_denoise_request *r, tt_tape *tape, float *latent, float *image,
                          double *timesteps, tt_arrays *out, tt_error *err)
{
    uint32_t n_calls = 0, c = model->unet_config.out_channels, f = model->vae_config.factor;
    uint64_t row_dims[4] = {0, c, r->height, r->width}, dims[4] = {1, c, r->height, r->width};
    uint64_t image_dims[4] = {1, 3, (uint64_t)r->height * f, (uint64_t)r->width * f};
    tt_status status = tt_denoise(model, r, latent, timesteps, &n_calls, err);
    row_dims[0] = n_calls;
    if (status == TT_OK)
        status = tt_decode_latent(model, latent, r->height, r->width, image, NULL, NULL, err);
    uint64_t n_timesteps = n_calls;
    if (status == TT_OK)
        status = tt_arrays_append(out, "timesteps", TT_ARRAY_F64, 1, &n_timesteps, timesteps, err);
    if (status == TT_OK)
        status = tt_arrays_append(out, "latents_steps", TT_ARRAY_F32, 4, row_dims, tape->rows, err);
    if (status == TT_OK)
        status = tt_arrays_append(out, "latents_final", TT_ARRAY_F32, 4, dims, latent, err);
    return status == TT_OK ? tt_arrays_append(out, "image_out", TT_ARRAY_F32, 4, image_dims, image, err) : status;
}

static tt_status run_with_buffers(tt_model *model, const tt_stage_params *p, tt_denoise_request *r, tt_tape *tape,
                                  tt_arrays *out, tt_error *err)
{
    size_t max_calls = (size_t)4 * p->n_steps + 16, f = model->vae_config.factor;
    size_t n_image = (size_t)3 * r->height * r->width * f * f;
    tape->n_latent = (size_t)model->unet_config.out_channels * r->height * r->width;
    tape->rows = malloc(max_calls * tape->n_latent * sizeof(float));
    float *latent = malloc(tape->n_latent * sizeof *latent), *image = malloc(n_image * sizeof *image);
    double *timesteps = malloc(max_calls * sizeof *timesteps);
    tt_status status = tape->rows && latent && image && timesteps
                           ? run_loop(model, r, tape, latent, image, timesteps, out, err)
                           : tt_fail_memory(err, "latents", max_calls * tape->n_latent * sizeof(float));
    free(tape->rows);
    free(latent);
    free(image);
    free(timesteps);
    return status;
}

static tt_status check(const tt_model *model, const tt_stage_params *p, tt_error *err)
{
    if (!p->prompt)
        return tt_fail(err, TT_ERROR_ARGUMENT, "stage denoise needs a prompt");
    if (p->n_steps == 0 || p->n_steps > 1000)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%u steps are out of range: 1 to 1000", p->n_steps);
    if (!model->has_vae || !model->has_unet)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s lacks a VAE or a UNet; give a whole model",
                       tt_model_files_path(model->files));
    if (!model->scheduler && !p->scheduler_config)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the model brings no scheduler; give a scheduler config");
    return tt_savers_check(&p->savers, &model->unet_config, err);
}

tt_status tt_stage_denoise(tt_model *model, const tt_stage_params *p, const tt_arrays *in, tt_arrays *out,
                           tt_error *err)
{
    tt_scheduler_config *own = NULL;
    tt_condition condition = {0};
    tt_tape tape = {.in = in};
    tt_denoise_request r = {.scheduler = model->scheduler,
                            .n_steps = p->n_steps,
                            .strength = p->strength,
                            .eta = p->eta,
                            .cfg_scale = p->cfg_scale,
                            .savers = &p->savers,
                            .condition = &condition,
                            .draw = draw_from_tape,
                            .draw_user = &tape,
                            .step = keep_step,
                            .step_user = &tape};
    atomic_store(&model->cancelled, false);
    tt_status status = check(model, p, err);
    if (status == TT_OK && p->scheduler_config)
        status = tt_scheduler_config_parse(p->scheduler_config, strlen(p->scheduler_config), &own, err);
    if (own)
        r.scheduler = own;
    if (status == TT_OK)
        status = read_size(model, in, &r, err);
    uint64_t height = (uint64_t)r.height * model->vae_config.factor,
             width = (uint64_t)r.width * model->vae_config.factor;
    if (status == TT_OK)
        status = read_picture(in, "image", 3, height, width, &r.image, err);
    if (status == TT_OK)
        status = read_picture(in, "mask", 1, height, width, &r.mask, err);
    tt_condition_request request = condition_request(model, p, &r);
    if (status == TT_OK)
        status = tt_condition_make(model, &request, &condition, err);
    if (status == TT_OK)
        status = run_with_buffers(model, p, &r, &tape, out, err);
    tt_condition_free(&condition);
    tt_scheduler_config_free(own);
    return status;
}
