/* generate.c - tt_generate: one request from prompt to pictures. */
#include "base/clock.h"
#include "base/rng.h"
#include "base/system-memory.h"
#include "pipeline/denoise.h"
#include "pipeline/latent.h"
#include "pipeline/preview.h"
#include "pipeline/request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    tt_memory_choice memory;
    tt_unet_shape unet_shape; /* of the first pass, as planned */
    tt_memory_watch watch;
    uint32_t latent_height, latent_width;
} tt_job;

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
                            .phase_ms = tt_clock_ms() - job->started_ms,
                            .step_ms = step_ms,
                            .preview = preview};
    return job->params->progress(job->params->progress_user, &progress);
}

static bool step_done(void *user, uint32_t call, uint32_t n_calls, const float *latent)
{
    tt_job *job = user;
    double now = tt_clock_ms(), step_ms = now - job->step_started_ms;
    const tt_image *preview = NULL;
    if (job->preview.pixels && job->model->preview_projection) {
        tt_preview_draw(job->model, latent, job->latent_height, job->latent_width, &job->preview);
        preview = &job->preview;
    }
    job->step_started_ms = now;
    tt_memory_watch_look(&job->watch);
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
    job->encode_ms = tt_clock_ms() - job->started_ms;
    if (!report(job, TT_PHASE_ENCODE, 1, 1, job->encode_ms, NULL))
        atomic_store(&job->model->cancelled, true);
    job->started_ms = job->step_started_ms = tt_clock_ms();
}

/* Starts a phase; fails when the caller wants to stop. */
static tt_status begin_phase(tt_job *job, tt_phase phase, tt_error *err)
{
    job->started_ms = job->step_started_ms = tt_clock_ms();
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

/* ---- the request */

typedef struct tt_request_data {
    tt_scheduler_config *scheduler; /* owned unless it is the model's */
    const tt_scheduler_config *scheduler_used;
    tt_condition condition;
    tt_moments moments;
    float *image, *mask;
    float *latents; /* [n_images][latent_channels][h][w] */
    size_t n_latent;
} tt_request_data;

static void free_pictures(tt_request_data *data)
{
    tt_moments_free(&data->moments);
    free(data->image);
    free(data->mask);
    data->image = data->mask = NULL;
}

static void free_data(tt_request_data *data)
{
    tt_scheduler_config_free(data->scheduler);
    tt_condition_free(&data->condition);
    free_pictures(data);
    free(data->latents);
}

static tt_status allocate(const tt_model *model, const tt_generate_params *p, tt_job *job, tt_request_data *data,
                          tt_error *err)
{
    size_t positions = (size_t)job->latent_height * job->latent_width, plane = (size_t)p->width * p->height;
    data->n_latent = positions * model->unet_config.out_channels;
    data->latents = malloc(p->n_images * data->n_latent * sizeof(float));
    if (p->init_image)
        data->image = image_to_float(p->init_image);
    if (p->mask)
        data->mask = mask_to_float(p->mask);
    if (p->preview)
        job->preview = (tt_image){job->latent_width, job->latent_height, 3, malloc(3 * positions)};
    if (data->latents && (!p->init_image || data->image) && (!p->mask || data->mask) &&
        (!p->preview || job->preview.pixels))
        return TT_OK;
    return tt_fail_memory(err, "pictures", 3 * plane * sizeof(float));
}

static bool is_single(const tt_job *job)
{
    return job->memory.mode != TT_MEMORY_RESIDENT;
}

/* Lets threads pack the UNet's weights while the prompt is encoded. */
static tt_status begin_unet(tt_model *model, const tt_job *job, tt_error *err)
{
    if (!job->memory.packs_early)
        return TT_OK;
    tt_status status = tt_model_need_unet(model, err);
    return status == TT_OK ? tt_unet_begin(model->unet, &job->unet_shape, err) : status;
}

static tt_status encode_prompt(tt_model *model, const tt_generate_params *p, tt_job *job, tt_request_data *data,
                               tt_error *err)
{
    tt_condition_request request = tt_request_condition(model, p);
    tt_status status = begin_phase(job, TT_PHASE_TEXT, err);
    request.one_at_a_time = is_single(job);
    if (status == TT_OK)
        status = begin_unet(model, job, err);
    if (status == TT_OK)
        status = tt_condition_make(model, &request, &data->condition, err);
    tt_memory_watch_look(&job->watch);
    for (int i = 0; i < TT_MAX_CLIPS; i++)
        if (model->text[i].clip && tt_clip_weight_bytes(model->text[i].clip) > TT_KEEP_TEXT_BYTES)
            tt_clip_release_device(model->text[i].clip);
    tt_heap_trim();
    if (status == TT_OK && !report(job, TT_PHASE_TEXT, 1, 1, tt_clock_ms() - job->started_ms, NULL))
        status = tt_fail(err, TT_ERROR_CANCELLED, "cancelled after the prompt was encoded");
    return status;
}

/* Noise and loop for one image of the batch. */
static tt_status denoise_image(tt_model *model, const tt_generate_params *p, tt_job *job, tt_request_data *data,
                               tt_generate_stats *stats, tt_error *err)
{
    tt_denoise_request request = {.scheduler = data->scheduler_used,
                                  .n_steps = p->n_steps,
                                  .strength = p->strength,
                                  .eta = p->eta,
                                  .cfg_scale = p->cfg_scale,
                                  .savers = &p->savers,
                                  .height = job->latent_height,
                                  .width = job->latent_width,
                                  .condition = &data->condition,
                                  .image = data->image,
                                  .mask = data->mask,
                                  .draw = draw_noise,
                                  .draw_user = job,
                                  .step = step_done,
                                  .step_user = job,
                                  .moments = &data->moments,
                                  .one_at_a_time = is_single(job),
                                  .encoded = encoder_done,
                                  .resume = job->resume};
    uint32_t n_calls = 0;
    tt_rng_init(&job->rng, p->rng, (uint64_t)stats->seed + p->first_image + job->image);
    tt_resume_begin(job->resume, p->first_image + job->image, &job->rng);
    tt_status status = begin_phase(job, p->init_image ? TT_PHASE_ENCODE : TT_PHASE_DENOISE, err);
    double begun = tt_clock_ms();
    if (status == TT_OK)
        status = tt_denoise(model, &request, data->latents + job->image * data->n_latent, NULL, &n_calls, err);
    stats->encode_ms += job->encode_ms;
    stats->denoise_ms += tt_clock_ms() - begun - job->encode_ms;
    job->encode_ms = 0.0;
    stats->n_unet_calls += n_calls;
    return status;
}

/* What the decoder does not need leaves before it comes. */
static void leave_unet(tt_model *model, const tt_job *job, tt_request_data *data)
{
    free_pictures(data);
    if (model->unet && is_single(job))
        tt_unet_release_device(model->unet);
    else if (model->unet && tt_unet_arena_bytes(model->unet) > TT_KEEP_UNET_BYTES)
        tt_unet_release_graph(model->unet);
    tt_heap_trim();
}

/* Decoder and rounding for one image of the batch. */
static tt_status decode_image(tt_model *model, const tt_generate_params *p, tt_job *job, const tt_request_data *data,
                              tt_image *image, tt_generate_stats *stats, tt_error *err)
{
    size_t n_pixels = (size_t)3 * p->width * p->height;
    tt_status status = begin_phase(job, TT_PHASE_DECODE, err);
    if (status != TT_OK)
        return status;
    double begun = tt_clock_ms();
    float *pixels = malloc(n_pixels * sizeof *pixels);
    if (!pixels)
        return tt_fail_memory(err, "the picture", n_pixels * sizeof *pixels);
    status = tt_decode_latent(model, data->latents + job->image * data->n_latent, job->latent_height, job->latent_width,
                              pixels, tile_starts, job, err);
    if (status == TT_OK)
        status = tt_image_from_floats(pixels, p->width, p->height, image, err);
    tt_memory_watch_look(&job->watch);
    free(pixels);
    stats->decode_ms += tt_clock_ms() - begun;
    if (status == TT_OK && !report(job, TT_PHASE_DONE, 1, 1, tt_clock_ms() - job->started_ms, NULL))
        status = tt_fail(err, TT_ERROR_CANCELLED, "cancelled after image %u", job->image + 1);
    return status;
}

/* Latent and picture of one image, as far as they are asked for. */
static tt_status hand_over(tt_model *model, const tt_generate_params *p, tt_job *job, const tt_request_data *data,
                           tt_image *images, tt_generate_stats *stats, tt_error *err)
{
    tt_status status = TT_OK;
    if (p->latents)
        status = tt_latent_take(model, data->latents + job->image * data->n_latent, job->latent_height,
                                job->latent_width, &p->latents[job->image], err);
    if (status != TT_OK)
        return status;
    if (!p->skip_decode)
        return decode_image(model, p, job, data, &images[job->image], stats, err);
    return report(job, TT_PHASE_DONE, 1, 1, 0.0, NULL)
               ? TT_OK
               : tt_fail(err, TT_ERROR_CANCELLED, "cancelled after image %u", job->image + 1);
}

static int64_t choose_seed(int64_t seed)
{
    struct timespec t;
    if (seed >= 0)
        return seed;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)(((uint64_t)t.tv_sec * 1000003u ^ (uint64_t)t.tv_nsec) & 0x7fffffffu);
}

static tt_status make_images(tt_model *model, const tt_generate_params *p, tt_job *job, tt_request_data *data,
                             tt_image *images, tt_generate_stats *stats, tt_error *err)
{
    tt_status status = TT_OK;
    for (job->image = 0; job->image < p->n_images && status == TT_OK; job->image++) {
        job->first_call = tt_resume_first_call(job->resume, p->first_image + job->image);
        stats->first_call = job->first_call ? job->first_call : stats->first_call;
        status = denoise_image(model, p, job, data, stats, err);
    }
    tt_memory_watch_look(&job->watch);
    leave_unet(model, job, data);
    for (job->image = 0; job->image < p->n_images && status == TT_OK; job->image++)
        status = hand_over(model, p, job, data, images, stats, err);
    return status;
}

static tt_status run_request(tt_model *model, const tt_generate_params *p, tt_job *job, tt_request_data *data,
                             tt_image *images, tt_generate_stats *stats, tt_error *err)
{
    tt_status status = tt_request_scheduler(model, p, &data->scheduler, &data->scheduler_used, err);
    if (status == TT_OK && p->resume_path)
        status = tt_resume_open(model, p, data->scheduler_used, &stats->seed, &job->resume, err);
    if (status == TT_OK)
        status = allocate(model, p, job, data, err);
    double begun = tt_clock_ms();
    job->first_call = tt_resume_first_call(job->resume, p->first_image);
    if (status == TT_OK && tt_resume_needs_unet(job->resume, p))
        status = encode_prompt(model, p, job, data, err);
    stats->text_ms = tt_clock_ms() - begun;
    begun = tt_clock_ms();
    if (status == TT_OK && p->preview)
        status = tt_preview_fit(model, err);
    if (is_single(job) && model->vae)
        tt_vae_release_device(model->vae);
    stats->load_ms = tt_clock_ms() - begun;
    return status == TT_OK ? make_images(model, p, job, data, images, stats, err) : status;
}

/* Finds the mode in which the request fits, or says why none does. */
static tt_status plan_memory(tt_model *model, const tt_generate_params *p, tt_job *job, tt_generate_stats *stats,
                             tt_error *err)
{
    tt_memory_plan plan;
    tt_status status = tt_memory_plan_make(model, p, &plan, err);
    if (status == TT_OK && !plan.fits)
        status = tt_memory_refuse(model, &plan, err);
    if (status != TT_OK)
        return status;
    job->memory = plan.choice;
    tt_part_shape pass = tt_memory_unet_shape(model, &plan.request, plan.request.n_texts > 1);
    job->unet_shape = tt_part_unet_shape(&pass);
    stats->memory_mode = plan.choice.mode;
    (void)tt_memory_peak_phase(&plan.room, &plan.phases, &stats->forecast_bytes);
    tt_log_write(&model->context->log, TT_LOG_INFO, "memory: %s, %.0f MB forecast",
                 tt_memory_mode_name(plan.choice.mode), (double)stats->forecast_bytes * 1e-6);
    return TT_OK;
}

static void clear_results(const tt_generate_params *params, tt_image *images)
{
    if (images)
        memset(images, 0, params->n_images * sizeof *images);
    if (params->latents)
        memset(params->latents, 0, params->n_images * sizeof *params->latents);
}

tt_status tt_generate(tt_model *model, const tt_generate_params *params, tt_image *images, tt_generate_stats *stats)
{
    tt_error *err = tt_context_begin(model->context);
    tt_generate_stats own;
    tt_generate_stats *s = stats ? stats : &own;
    *s = (tt_generate_stats){.seed = choose_seed(params->seed)};
    tt_status status = tt_request_check(model, params, err);
    if (status == TT_OK && !params->prompt)
        status = tt_fail(err, TT_ERROR_ARGUMENT, "no prompt was given");
    if (status == TT_OK && params->skip_decode && !params->latents)
        status = tt_fail(err, TT_ERROR_ARGUMENT, "neither pictures nor latents are asked for");
    if (status != TT_OK)
        return status;
    clear_results(params, images);
    atomic_store(&model->cancelled, false);
    tt_job job = {.model = model,
                  .params = params,
                  .latent_height = params->height / model->vae_config.factor,
                  .latent_width = params->width / model->vae_config.factor};
    tt_request_data data = {0};
    double begun = tt_clock_ms();
    status = plan_memory(model, params, &job, s, err);
    if (status == TT_OK)
        status = tt_memory_enter(model, &job.memory, err);
    if (status != TT_OK)
        return status;
    tt_memory_watch_begin(&job.watch, model);
    status = run_request(model, params, &job, &data, images, s, err);
    if (model->unet)
        tt_unet_abandon(model->unet);
    s->total_ms = tt_clock_ms() - begun;
    s->resume_ms = tt_resume_write_ms(job.resume);
    tt_resume_close(job.resume);
    s->device_bytes = tt_device_peak_bytes(model->context->device);
    s->peak_bytes = tt_memory_watch_end(&job.watch);
    free(job.preview.pixels);
    free_data(&data);
    tt_memory_leave(model, &job.memory);
    for (uint32_t i = 0; i < params->n_images && status != TT_OK; i++) {
        tt_image_free(images ? &images[i] : NULL);
        tt_latent_free(params->latents ? &params->latents[i] : NULL);
    }
    return status;
}
