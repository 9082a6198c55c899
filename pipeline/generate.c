/* generate.c - tt_generate: one request from prompt to pictures. */
#include "base/rng.h"
#include "pipeline/denoise.h"
#include "pipeline/preview.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Text encoders larger than this leave the device once the prompt is encoded: most of a run does not need them. */
static const uint64_t keep_text_bytes = 64u << 20;

/* UNet activations larger than this make room for the decoder's; building the graph again costs less than a step. */
static const size_t keep_unet_bytes = 32u << 20;

/* One image's loop, for the callbacks. */
typedef struct tt_job {
    tt_model *model;
    const tt_generate_params *params;
    tt_rng_state rng;
    uint32_t image;
    tt_resume *resume;
    uint32_t first_call; /* of the image, when it is a resumed one */
    double started_ms, step_started_ms, encode_ms;
    tt_image preview;
    uint32_t latent_height, latent_width;
} tt_job;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

tt_status tt_generate_params_default(tt_model *model, tt_generate_params *params)
{
    tt_context_begin(model->context);
    *params = (tt_generate_params){.width = model->default_width,
                                   .height = model->default_height,
                                   .n_steps = model->default_steps,
                                   .cfg_scale = model->default_cfg_scale,
                                   .seed = -1,
                                   .n_images = 1,
                                   .strength = 0.75f};
    return TT_OK;
}

const char *tt_sampler_name(size_t index)
{
    return tt_scheduler_sampler_name(index);
}

/* ---- checks */

static tt_status check_image(const tt_image *image, uint32_t n_channels, const tt_generate_params *p, const char *what,
                             tt_error *err)
{
    if (!image)
        return TT_OK;
    if (image->n_channels == n_channels && image->width == p->width && image->height == p->height && image->pixels)
        return TT_OK;
    return tt_fail(err, TT_ERROR_ARGUMENT, "the %s is %u x %u with %u channels, but %u x %u with %u are needed", what,
                   image->width, image->height, image->n_channels, p->width, p->height, n_channels);
}

static tt_status check_size(const tt_model *model, const tt_generate_params *p, tt_error *err)
{
    uint32_t f = model->vae_config.factor;
    if (p->width < f || p->height < f || p->width > 16384 || p->height > 16384)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a picture of %u x %u is out of range: sides go from %u to 16384 pixels",
                       p->width, p->height, f);
    if (p->width % f || p->height % f)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "a picture of %u x %u cannot be made: both sides must be multiples of %u; %u x %u is near",
                       p->width, p->height, f, p->width / f * f, p->height / f * f);
    return TT_OK;
}

static tt_status check_params(const tt_model *model, const tt_generate_params *p, tt_error *err)
{
    if (!model->has_unet || !model->has_vae || !model->text[0].present || !model->scheduler)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s lacks a %s; give a whole model",
                       tt_model_files_path(model->files),
                       !model->has_unet          ? "UNet"
                       : !model->has_vae         ? "VAE (give one with --vae or --taesd)"
                       : !model->text[0].present ? "text encoder"
                                                 : "scheduler");
    if (!p->prompt)
        return tt_fail(err, TT_ERROR_ARGUMENT, "no prompt was given");
    if (p->n_steps == 0 || p->n_steps > 1000)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%u steps are out of range: 1 to 1000; 20 is usual", p->n_steps);
    if (p->first_image > 1000000000)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the first image %u is out of range: 0 to 1000000000", p->first_image);
    if (p->n_images == 0 || p->n_images > 10000)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%u images are out of range: 1 to 10000", p->n_images);
    if (!(p->cfg_scale >= 0.0f && p->cfg_scale <= 1000.0f))
        return tt_fail(err, TT_ERROR_ARGUMENT, "the cfg scale %g is out of range: 0 to 1000; 7 is usual",
                       (double)p->cfg_scale);
    if (p->init_image && !(p->strength > 0.0f && p->strength <= 1.0f))
        return tt_fail(err, TT_ERROR_ARGUMENT, "the strength %g is out of range: above 0, at most 1",
                       (double)p->strength);
    tt_status status = check_size(model, p, err);
    if (status == TT_OK)
        status = check_image(p->init_image, 3, p, "picture to start from", err);
    return status == TT_OK ? check_image(p->mask, 1, p, "mask", err) : status;
}

/* ---- callbacks */

static tt_status draw_noise(void *user, float *out, size_t n, tt_error *err)
{
    tt_job *job = user;
    (void)err;
    tt_rng_normal(&job->rng, out, n);
    return TT_OK;
}

/* Reports a moment of a phase; false when the caller wants to stop. */
static bool report(tt_job *job, tt_phase phase, uint32_t step, uint32_t n_steps, double step_ms,
                   const tt_image *preview)
{
    if (!job->params->progress)
        return true;
    tt_progress progress = {.phase = phase,
                            .image = job->image,
                            .n_images = job->params->n_images,
                            .step = step,
                            .n_steps = n_steps,
                            .first_step = job->first_call,
                            .phase_ms = now_ms() - job->started_ms,
                            .step_ms = step_ms,
                            .preview = preview};
    return job->params->progress(job->params->progress_user, &progress);
}

static bool step_done(void *user, uint32_t call, uint32_t n_calls, const float *latent)
{
    tt_job *job = user;
    double now = now_ms(), step_ms = now - job->step_started_ms;
    const tt_image *preview = NULL;
    if (job->preview.pixels && job->model->preview_projection) {
        tt_preview_draw(job->model, latent, job->latent_height, job->latent_width, &job->preview);
        preview = &job->preview;
    }
    job->step_started_ms = now;
    return report(job, TT_PHASE_DENOISE, call + 1, n_calls, step_ms, preview);
}

static bool tile_starts(void *user, uint32_t tile, uint32_t n_tiles)
{
    tt_job *job = user;
    return !atomic_load(&job->model->cancelled) && report(job, TT_PHASE_DECODE, tile, n_tiles, 0.0, NULL);
}

static void encoder_done(void *user)
{
    tt_job *job = user;
    job->encode_ms = now_ms() - job->started_ms;
    if (!report(job, TT_PHASE_ENCODE, 1, 1, job->encode_ms, NULL))
        atomic_store(&job->model->cancelled, true);
    job->started_ms = job->step_started_ms = now_ms();
}

/* Starts a phase; fails when the caller wants to stop. */
static tt_status begin_phase(tt_job *job, tt_phase phase, tt_error *err)
{
    job->started_ms = job->step_started_ms = now_ms();
    if (report(job, phase, 0, 0, 0.0, NULL) && !atomic_load(&job->model->cancelled))
        return TT_OK;
    return tt_fail(err, TT_ERROR_CANCELLED, "cancelled");
}

/* ---- pictures */

/* RGB bytes -> [3][H][W] in -1..1. */
static float *image_to_float(const tt_image *image)
{
    size_t plane = (size_t)image->width * image->height;
    float *out = malloc(3 * plane * sizeof *out);
    for (size_t i = 0; out && i < 3 * plane; i++)
        out[i] = (float)image->pixels[(i % plane) * 3 + i / plane] / 127.5f - 1.0f;
    return out;
}

static float *mask_to_float(const tt_image *mask)
{
    size_t plane = (size_t)mask->width * mask->height;
    float *out = malloc(plane * sizeof *out);
    for (size_t i = 0; out && i < plane; i++)
        out[i] = (float)mask->pixels[i] / 255.0f;
    return out;
}

/* [3][H][W] in -1..1 -> RGB bytes, rounded as diffusers does. */
static tt_status float_to_image(const float *values, uint32_t width, uint32_t height, tt_image *image, tt_error *err)
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

/* ---- the request */

typedef struct tt_request_data {
    tt_scheduler_config *scheduler; /* owned unless it is the model's */
    const tt_scheduler_config *scheduler_used;
    tt_condition condition;
    float *image, *mask, *latent, *pixels;
} tt_request_data;

static void free_data(tt_request_data *data)
{
    tt_scheduler_config_free(data->scheduler);
    tt_condition_free(&data->condition);
    free(data->image);
    free(data->mask);
    free(data->latent);
    free(data->pixels);
}

static tt_status choose_scheduler(const tt_model *model, const tt_generate_params *p, tt_request_data *data,
                                  tt_error *err)
{
    tt_status status = TT_OK;
    data->scheduler_used = model->scheduler;
    if (p->scheduler_config)
        status = tt_scheduler_config_parse(p->scheduler_config, strlen(p->scheduler_config), &data->scheduler, err);
    else if (p->sampler || p->schedule)
        status = tt_scheduler_config_derive(model->scheduler, p->sampler, p->schedule, &data->scheduler, err);
    if (data->scheduler)
        data->scheduler_used = data->scheduler;
    return status;
}

static tt_status allocate(const tt_model *model, const tt_generate_params *p, tt_job *job, tt_request_data *data,
                          tt_error *err)
{
    size_t positions = (size_t)job->latent_height * job->latent_width, plane = (size_t)p->width * p->height;
    data->latent = malloc(positions * model->unet_config.out_channels * sizeof(float));
    data->pixels = malloc(3 * plane * sizeof(float));
    if (p->init_image)
        data->image = image_to_float(p->init_image);
    if (p->mask)
        data->mask = mask_to_float(p->mask);
    if (p->preview)
        job->preview = (tt_image){job->latent_width, job->latent_height, 3, malloc(3 * positions)};
    if (data->latent && data->pixels && (!p->init_image || data->image) && (!p->mask || data->mask) &&
        (!p->preview || job->preview.pixels))
        return TT_OK;
    return tt_fail_memory(err, "pictures", 3 * plane * sizeof(float));
}

static tt_status encode_prompt(tt_model *model, const tt_generate_params *p, tt_job *job, tt_request_data *data,
                               tt_error *err)
{
    tt_condition_request request = {
        .prompt = p->prompt,
        .negative = p->negative_prompt,
        .grammar = true,
        .guided = p->cfg_scale > 1.0f && model->unet_config.time_cond_dim == 0,
        .clip_skip = p->clip_skip,
        .skip_negative = true,
        .cfg_scale = p->cfg_scale,
        .time_ids = {(float)p->height, (float)p->width, 0, 0, (float)p->height, (float)p->width}};
    tt_status status = begin_phase(job, TT_PHASE_TEXT, err);
    if (status == TT_OK)
        status = tt_condition_make(model, &request, &data->condition, err);
    for (int i = 0; i < TT_MAX_CLIPS; i++)
        if (model->text[i].clip && tt_clip_weight_bytes(model->text[i].clip) > keep_text_bytes)
            tt_clip_release_device(model->text[i].clip);
    if (status == TT_OK && !report(job, TT_PHASE_TEXT, 1, 1, now_ms() - job->started_ms, NULL))
        status = tt_fail(err, TT_ERROR_CANCELLED, "cancelled after the prompt was encoded");
    return status;
}

/* Noise, loop and decoder for one image of the batch. */
static tt_status make_image(tt_model *model, const tt_generate_params *p, tt_job *job, tt_request_data *data,
                            tt_image *image, tt_generate_stats *stats, tt_error *err)
{
    tt_denoise_request request = {.scheduler = data->scheduler_used,
                                  .n_steps = p->n_steps,
                                  .strength = p->strength,
                                  .eta = p->eta,
                                  .cfg_scale = p->cfg_scale,
                                  .height = job->latent_height,
                                  .width = job->latent_width,
                                  .condition = &data->condition,
                                  .image = data->image,
                                  .mask = data->mask,
                                  .draw = draw_noise,
                                  .draw_user = job,
                                  .step = step_done,
                                  .step_user = job,
                                  .encoded = encoder_done,
                                  .resume = job->resume};
    uint32_t n_calls = 0;
    tt_rng_init(&job->rng, p->rng, (uint64_t)stats->seed + p->first_image + job->image);
    tt_resume_begin(job->resume, p->first_image + job->image, &job->rng);
    tt_status status = begin_phase(job, p->init_image ? TT_PHASE_ENCODE : TT_PHASE_DENOISE, err);
    double begun = now_ms();
    if (status == TT_OK)
        status = tt_denoise(model, &request, data->latent, NULL, &n_calls, err);
    stats->encode_ms += job->encode_ms;
    stats->denoise_ms += now_ms() - begun - job->encode_ms;
    job->encode_ms = 0.0;
    stats->n_unet_calls += n_calls;
    if (model->unet && tt_unet_arena_bytes(model->unet) > keep_unet_bytes)
        tt_unet_release_graph(model->unet);
    if (status == TT_OK)
        status = begin_phase(job, TT_PHASE_DECODE, err);
    begun = now_ms();
    if (status == TT_OK)
        status = tt_decode_latent(model, data->latent, job->latent_height, job->latent_width, data->pixels, tile_starts,
                                  job, err);
    if (status == TT_OK)
        status = float_to_image(data->pixels, p->width, p->height, image, err);
    stats->decode_ms += now_ms() - begun;
    if (status == TT_OK && !report(job, TT_PHASE_DONE, 1, 1, now_ms() - job->started_ms, NULL))
        status = tt_fail(err, TT_ERROR_CANCELLED, "cancelled after image %u", job->image + 1);
    return status;
}

static int64_t choose_seed(int64_t seed)
{
    struct timespec t;
    if (seed >= 0)
        return seed;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)(((uint64_t)t.tv_sec * 1000003u ^ (uint64_t)t.tv_nsec) & 0x7fffffffu);
}

static tt_status run_request(tt_model *model, const tt_generate_params *p, tt_job *job, tt_request_data *data,
                             tt_image *images, tt_generate_stats *stats, tt_error *err)
{
    tt_status status = choose_scheduler(model, p, data, err);
    if (status == TT_OK && p->resume_path)
        status = tt_resume_open(model, p, data->scheduler_used, &stats->seed, &job->resume, err);
    if (status == TT_OK)
        status = allocate(model, p, job, data, err);
    double begun = now_ms();
    job->first_call = tt_resume_first_call(job->resume, p->first_image);
    if (status == TT_OK && tt_resume_needs_unet(job->resume, p))
        status = encode_prompt(model, p, job, data, err);
    stats->text_ms = now_ms() - begun;
    begun = now_ms();
    if (status == TT_OK && p->preview)
        status = tt_preview_fit(model, err);
    stats->load_ms = now_ms() - begun;
    for (job->image = 0; job->image < p->n_images && status == TT_OK; job->image++) {
        job->first_call = tt_resume_first_call(job->resume, p->first_image + job->image);
        stats->first_call = job->first_call ? job->first_call : stats->first_call;
        status = make_image(model, p, job, data, &images[job->image], stats, err);
    }
    return status;
}

tt_status tt_generate(tt_model *model, const tt_generate_params *params, tt_image *images, tt_generate_stats *stats)
{
    tt_error *err = tt_context_begin(model->context);
    tt_generate_stats own;
    tt_generate_stats *s = stats ? stats : &own;
    *s = (tt_generate_stats){.seed = choose_seed(params->seed)};
    tt_status status = check_params(model, params, err);
    if (status != TT_OK)
        return status;
    memset(images, 0, params->n_images * sizeof *images);
    atomic_store(&model->cancelled, false);
    tt_job job = {.model = model,
                  .params = params,
                  .latent_height = params->height / model->vae_config.factor,
                  .latent_width = params->width / model->vae_config.factor};
    tt_request_data data = {0};
    double begun = now_ms();
    status = run_request(model, params, &job, &data, images, s, err);
    s->total_ms = now_ms() - begun;
    s->resume_ms = tt_resume_write_ms(job.resume);
    tt_resume_close(job.resume);
    if (model->context->device)
        s->device_bytes = tt_device_peak_bytes(model->context->device);
    free(job.preview.pixels);
    free_data(&data);
    if (model->vae)
        tt_vae_release_graph(model->vae);
    for (uint32_t i = 0; i < params->n_images && status != TT_OK; i++)
        tt_image_free(&images[i]);
    return status;
}
