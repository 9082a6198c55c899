/* denoise.c - the sampling loop: start latent (text, picture, mask), guidance, scheduler steps, blending. The order of
 * random draws is that of diffusers' pipelines, so that equal noise gives equal pictures. */
#include "pipeline/denoise.h"
#include "base/system-memory.h"
#include "pipeline/latent.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Everything of one run; arrays are owned. */
typedef struct tt_run {
    tt_model *model;
    const tt_denoise_request *request;
    tt_scheduler *scheduler;
    size_t n_latent, n_positions;
    uint32_t latent_channels;
    tt_call_plan calls;
    uint32_t batch; /* conditions that the UNet is prepared for, 0: not yet */
    float *noise;   /* start noise, kept for inpainting */
    float *step_noise;
    float *image_latent;  /* clean latent of the init picture */
    float *mask;          /* [positions], 1 = repaint */
    float *masked_latent; /* 9-channel models: latent of the picture without the repainted part */
    float *input;         /* [batch][in_channels][positions] */
    float *output;        /* [batch][latent_channels][positions] */
} tt_run;

static void free_run(tt_run *run)
{
    tt_scheduler_destroy(run->scheduler);
    free(run->noise);
    free(run->step_noise);
    free(run->image_latent);
    free(run->mask);
    free(run->masked_latent);
    free(run->input);
    free(run->output);
}

static bool is_inpaint_unet(const tt_run *run)
{
    return run->model->unet_config.in_channels == 2 * run->latent_channels + 1;
}

static tt_status allocate(tt_run *run, tt_error *err)
{
    size_t batch = run->request->condition->batch ? run->request->condition->batch : 1, n = run->n_latent;
    run->noise = malloc(n * sizeof(float));
    run->step_noise = malloc(n * sizeof(float));
    run->image_latent = calloc(n, sizeof(float));
    run->mask = calloc(run->n_positions, sizeof(float));
    run->masked_latent = calloc(n, sizeof(float));
    run->input = malloc(batch * run->model->unet_config.in_channels * run->n_positions * sizeof(float));
    run->output = malloc(batch * n * sizeof(float));
    if (run->noise && run->step_noise && run->image_latent && run->mask && run->masked_latent && run->input &&
        run->output)
        return TT_OK;
    return tt_fail_memory(err, "latents", n * sizeof(float));
}

void tt_moments_free(tt_moments *moments)
{
    free(moments->picture.mean);
    free(moments->picture.logvar);
    free(moments->masked.mean);
    free(moments->masked.logvar);
    *moments = (tt_moments){0};
}

/* Runs the VAE encoder unless its result is there already. A tiny autoencoder gives a mean only. */
static tt_status encode_moments(tt_run *run, const float *image, float **mean, float **logvar, tt_error *err)
{
    tt_model *model = run->model;
    const tt_vae_config *vae = &model->vae_config;
    if (*mean)
        return TT_OK;
    *mean = malloc(run->n_latent * sizeof(float));
    if (vae->kind != TT_VAE_TINY)
        *logvar = malloc(run->n_latent * sizeof(float));
    tt_status status = TT_OK;
    if (!*mean || (vae->kind != TT_VAE_TINY && !*logvar))
        status = tt_fail_memory(err, "latents", run->n_latent * sizeof(float));
    if (status == TT_OK)
        status = tt_model_need_vae(model, err);
    if (status == TT_OK)
        status = tt_vae_encode(model->vae, image, 1, run->request->height * vae->factor,
                               run->request->width * vae->factor, *mean, *logvar, err);
    if (status != TT_OK) {
        free(*mean);
        free(*logvar);
        *mean = *logvar = NULL;
    }
    return status;
}

/* Encodes a picture and samples its latent: z = (mean + exp(logvar / 2) * noise - shift) * scaling. A tiny autoencoder
 * has no distribution and draws nothing. */
static tt_status encode_picture(tt_run *run, const float *image, bool is_masked, float *latent, tt_error *err)
{
    const tt_vae_config *vae = &run->model->vae_config;
    tt_moments own = {0}, *moments = run->request->moments ? run->request->moments : &own;
    float **mean = is_masked ? &moments->masked.mean : &moments->picture.mean;
    float **logvar = is_masked ? &moments->masked.logvar : &moments->picture.logvar;
    tt_status status = encode_moments(run, image, mean, logvar, err);
    if (status == TT_OK && *logvar)
        status = run->request->draw(run->request->draw_user, run->step_noise, run->n_latent, err);
    for (size_t i = 0; i < run->n_latent && status == TT_OK; i++) {
        float z = (*mean)[i];
        if (*logvar) {
            float clipped = fminf(fmaxf((*logvar)[i], -30.0f), 20.0f);
            z += expf(0.5f * clipped) * run->step_noise[i];
        }
        latent[i] = (float)(((double)z - vae->shift_factor) * vae->scaling_factor);
    }
    tt_moments_free(&own);
    return status;
}

/* The mask at latent size: the pixel at each position's top left corner, made 0 or 1. */
static void shrink_mask(tt_run *run)
{
    const tt_denoise_request *r = run->request;
    uint32_t f = run->model->vae_config.factor;
    for (uint32_t y = 0; y < r->height; y++)
        for (uint32_t x = 0; x < r->width; x++)
            run->mask[(size_t)y * r->width + x] =
                r->mask[(size_t)y * f * r->width * f + (size_t)x * f] >= 0.5f ? 1.0f : 0.0f;
}

/* The picture without its repainted part (grey there), encoded. Four-channel models draw for it and ignore it. */
static tt_status encode_masked(tt_run *run, tt_error *err)
{
    const tt_denoise_request *r = run->request;
    if (!is_inpaint_unet(run))
        return run->model->vae_config.kind == TT_VAE_TINY ? TT_OK
                                                          : r->draw(r->draw_user, run->step_noise, run->n_latent, err);
    size_t plane = run->n_positions * run->model->vae_config.factor * run->model->vae_config.factor;
    float *masked = malloc(3 * plane * sizeof *masked);
    if (!masked)
        return tt_fail_memory(err, "the masked picture", 3 * plane * sizeof *masked);
    for (size_t i = 0; i < 3 * plane; i++)
        masked[i] = r->mask[i % plane] >= 0.5f ? 0.0f : r->image[i];
    tt_status status = encode_picture(run, masked, true, run->masked_latent, err);
    free(masked);
    return status;
}

/* Fills the start latent in diffusers' order of draws. */
static tt_status start(tt_run *run, float *latent, tt_error *err)
{
    const tt_denoise_request *r = run->request;
    bool whole = !r->image || (r->mask && r->strength >= 1.0f);
    bool keeps_image = r->image && !(whole && is_inpaint_unet(run));
    tt_status status = TT_OK;
    if (keeps_image)
        status = encode_picture(run, r->image, false, run->image_latent, err);
    if (status == TT_OK)
        status = r->draw(r->draw_user, run->noise, run->n_latent, err);
    if (status == TT_OK && r->mask) {
        shrink_mask(run);
        status = encode_masked(run, err);
    }
    if (status != TT_OK)
        return status;
    if (r->image && r->encoded)
        r->encoded(r->step_user);
    float sigma = tt_scheduler_init_noise_sigma(run->scheduler);
    if (whole)
        for (size_t i = 0; i < run->n_latent; i++)
            latent[i] = run->noise[i] * sigma;
    else
        tt_scheduler_add_noise(run->scheduler, 0, run->image_latent, run->noise, latent);
    return TT_OK;
}

/* What a resume file keeps of this run: the latent, and for blending and nine-channel models their pictures. */
static tt_resume_parts parts_of(tt_run *run, float *latent)
{
    const tt_denoise_request *r = run->request;
    bool blends = r->mask && !is_inpaint_unet(run);
    return (tt_resume_parts){.scheduler = run->scheduler,
                             .channels = run->latent_channels,
                             .height = r->height,
                             .width = r->width,
                             .latent = latent,
                             .noise = blends ? run->noise : NULL,
                             .image_latent = blends ? run->image_latent : NULL,
                             .masked_latent = is_inpaint_unet(run) ? run->masked_latent : NULL,
                             .mask = r->mask ? run->mask : NULL};
}

static tt_status save(tt_run *run, float *latent, uint32_t n_done, tt_error *err)
{
    tt_resume_parts parts = parts_of(run, latent);
    return tt_resume_save(run->request->resume, &parts, n_done, err);
}

static void leave_encoder(tt_model *model, bool one_at_a_time)
{
    if (one_at_a_time)
        tt_vae_release_device(model->vae);
    else
        tt_vae_release_graph(model->vae);
    tt_heap_trim();
}

/* Makes the start latent, or takes the state of a run that was stopped; *first is the call to go on with. */
static tt_status begin(tt_run *run, float *latent, uint32_t *first, tt_error *err)
{
    const tt_denoise_request *r = run->request;
    tt_resume_parts parts = parts_of(run, latent);
    bool is_loaded = false;
    tt_status status = tt_resume_load(r->resume, &parts, &is_loaded, first, err);
    if (status != TT_OK)
        return status;
    if (is_loaded && r->image && r->encoded)
        r->encoded(r->step_user);
    if (is_loaded)
        return TT_OK;
    status = start(run, latent, err);
    if (status == TT_OK && r->image && run->model->vae)
        leave_encoder(run->model, r->one_at_a_time);
    return status == TT_OK ? save(run, latent, 0, err) : status;
}

/* The UNet's input: the scaled latent (and mask, masked latent) once for every condition. */
static void fill_input(tt_run *run, uint32_t call, const float *latent)
{
    size_t one = run->model->unet_config.in_channels * run->n_positions;
    tt_scheduler_scale_input(run->scheduler, call, latent, run->input);
    if (is_inpaint_unet(run)) {
        memcpy(run->input + run->n_latent, run->mask, run->n_positions * sizeof(float));
        memcpy(run->input + run->n_latent + run->n_positions, run->masked_latent, run->n_latent * sizeof(float));
    }
    for (uint32_t b = 1; b < run->batch; b++)
        memcpy(run->input + b * one, run->input, one * sizeof(float));
}

/* Classifier-free guidance (Ho and Salimans, arXiv 2207.12598); the result is in the first half of output. */
static void guide(tt_run *run)
{
    if (run->batch < 2)
        return;
    float scale = run->request->cfg_scale;
    const float *with_prompt = run->output + run->n_latent;
    for (size_t i = 0; i < run->n_latent; i++)
        run->output[i] += scale * (with_prompt[i] - run->output[i]);
}

/* Four-channel inpainting: outside the mask the picture comes back, noised to the level of the next call. */
static void blend(tt_run *run, uint32_t call, uint32_t n_calls, float *latent)
{
    if (!run->request->mask || is_inpaint_unet(run))
        return;
    float *outside = run->step_noise;
    if (call + 1 < n_calls)
        tt_scheduler_add_noise(run->scheduler, call + 1, run->image_latent, run->noise, outside);
    else
        memcpy(outside, run->image_latent, run->n_latent * sizeof *outside);
    for (size_t i = 0; i < run->n_latent; i++) {
        float m = run->mask[i % run->n_positions];
        latent[i] = (1.0f - m) * outside[i] + m * latent[i];
    }
}

static tt_status one_call(tt_run *run, uint32_t call, uint32_t n_calls, float *latent, tt_error *err)
{
    const tt_denoise_request *r = run->request;
    double timesteps[2];
    timesteps[0] = timesteps[1] = tt_scheduler_timestep(run->scheduler, call);
    fill_input(run, call, latent);
    tt_status status = tt_call_is_whole(&run->calls, call, n_calls)
                           ? tt_unet_run(run->model->unet, run->input, timesteps, run->output, err)
                           : tt_unet_run_reusing(run->model->unet, run->input, timesteps, run->output, err);
    if (status == TT_OK && tt_scheduler_needs_noise(run->scheduler, call))
        status = r->draw(r->draw_user, run->step_noise, run->n_latent, err);
    if (status != TT_OK)
        return status;
    guide(run);
    status = tt_scheduler_step(run->scheduler, call, run->output, run->step_noise, latent, err);
    if (status == TT_OK)
        blend(run, call, n_calls, latent);
    if (status == TT_OK && run->model->watcher.call)
        run->model->watcher.call(run->model->watcher.user,
                                 &(tt_watched_call){call, n_calls, timesteps[0], r->condition, run->input, latent});
    /* A run can only go on where the UNet's kept feature is not needed. */
    if (status == TT_OK && (call + 1 == n_calls || tt_call_is_whole(&run->calls, call + 1, n_calls)))
        status = save(run, latent, call + 1, err);
    if (status == TT_OK && r->step && !r->step(r->step_user, call, n_calls, latent))
        atomic_store(&run->model->cancelled, true);
    return status;
}

/* Tells the UNet the timesteps of all calls from `first` on. */
static tt_status plan_timesteps(tt_run *run, uint32_t first, tt_error *err)
{
    uint32_t n_calls = tt_scheduler_n_calls(run->scheduler);
    double *timesteps = malloc(n_calls * sizeof *timesteps);
    if (!timesteps)
        return tt_fail_memory(err, "timesteps", n_calls * sizeof *timesteps);
    for (uint32_t call = first; call < n_calls; call++)
        timesteps[call - first] = tt_scheduler_timestep(run->scheduler, call);
    tt_status status = tt_unet_set_timesteps(run->model->unet, timesteps, n_calls - first, err);
    free(timesteps);
    return status;
}

/* Both conditions, or the prompt's alone, which is the last. */
static tt_unet_condition condition_of(const tt_run *run, uint32_t batch)
{
    const tt_condition *c = run->request->condition;
    const tt_unet_config *u = &run->model->unet_config;
    size_t skipped = c->batch - batch, n_pooled = u->addition_input_dim - 6 * u->addition_time_dim;
    return (tt_unet_condition){.context = c->context + skipped * c->n_tokens * u->cross_attention_dim,
                               .text_embeds = c->text_embeds ? c->text_embeds + skipped * n_pooled : NULL,
                               .time_ids = c->time_ids ? c->time_ids + skipped * 6 : NULL,
                               .timestep_cond =
                                   c->timestep_cond ? c->timestep_cond + skipped * u->time_cond_dim : NULL};
}

/* The UNet's graph, its conditions and the timesteps of the calls from `call` on, where it is not prepared for this
 * call: at first, and where guidance begins or ends. One graph is there at a time: building another costs less than a
 * step. */
static tt_status prepare_unet(tt_run *run, uint32_t call, uint32_t n_calls, tt_error *err)
{
    const tt_condition *c = run->request->condition;
    tt_model *model = run->model;
    uint32_t batch = c->batch > 1 && !tt_call_is_guided(&run->calls, call, n_calls) ? 1 : c->batch;
    if (batch == run->batch)
        return TT_OK;
    tt_unet_shape shape = {.batch = batch,
                           .height = run->request->height,
                           .width = run->request->width,
                           .n_tokens = c->n_tokens,
                           .reuse_depth = run->calls.reuse_depth,
                           .kv_downsample = run->calls.kv_downsample};
    tt_unet_condition condition = condition_of(run, batch);
    tt_status status = tt_model_need_unet(model, err);
    if (status == TT_OK)
        status = tt_unet_prepare(model->unet, &shape, err);
    if (status == TT_OK)
        status = tt_unet_set_condition(model->unet, &condition, err);
    if (status == TT_OK)
        status = plan_timesteps(run, call, err);
    run->batch = batch;
    return status;
}

static tt_status check_cancelled(tt_model *model, uint32_t call, uint32_t n_calls, tt_error *err)
{
    if (!atomic_load(&model->cancelled))
        return TT_OK;
    return tt_fail(err, TT_ERROR_CANCELLED, "cancelled after %u of %u steps", call, n_calls);
}

static tt_status loop(tt_run *run, uint32_t first, float *latent, double *timesteps, uint32_t *made, tt_error *err)
{
    uint32_t n_calls = tt_scheduler_n_calls(run->scheduler);
    tt_status status = TT_OK;
    for (uint32_t call = first; call < n_calls && status == TT_OK; call++) {
        if (timesteps)
            timesteps[call] = tt_scheduler_timestep(run->scheduler, call);
        status = check_cancelled(run->model, call, n_calls, err);
        if (status == TT_OK)
            status = prepare_unet(run, call, n_calls, err);
        if (status == TT_OK)
            status = one_call(run, call, n_calls, latent, err);
        *made = call + 1 - first;
    }
    return status == TT_OK ? check_cancelled(run->model, n_calls, n_calls, err) : status;
}

/* A network that overflows gives NaN: better a sentence than a black picture. */
static tt_status check_finite(const float *values, size_t n, const char *what, const tt_model *model, tt_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return tt_fail(err, TT_ERROR_DEVICE, "the %s holds values that are no numbers; %s", what,
                           model->is_half ? "try --precision f32" : "the model or the device's driver is broken");
    return TT_OK;
}

static tt_status check_request(const tt_model *model, const tt_denoise_request *r, tt_error *err)
{
    bool inpaint_unet = model->unet_config.in_channels != model->unet_config.out_channels;
    if (inpaint_unet && (!r->image || !r->mask))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "this is an inpainting model: it needs a picture and a mask (-i and --mask)");
    if (r->mask && !r->image)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a mask needs a picture to repaint");
    return TT_OK;
}

tt_status tt_denoise(tt_model *model, const tt_denoise_request *request, float *latent, double *timesteps,
                     uint32_t *n_calls, tt_error *err)
{
    tt_run run = {.model = model, .request = request, .latent_channels = model->unet_config.out_channels};
    uint32_t first = 0;
    *n_calls = 0;
    run.n_positions = (size_t)request->height * request->width;
    run.n_latent = run.n_positions * run.latent_channels;
    run.calls = tt_call_plan_make(request->savers, &model->unet_config, request->condition->batch > 1);
    tt_status status = check_request(model, request, err);
    if (status == TT_OK)
        status = tt_scheduler_create(request->scheduler, request->n_steps, request->image ? request->strength : 1.0f,
                                     request->eta, run.n_latent, &run.scheduler, err);
    if (status == TT_OK)
        status = allocate(&run, err);
    if (status == TT_OK)
        status = begin(&run, latent, &first, err);
    if (status == TT_OK)
        status = loop(&run, first, latent, timesteps, n_calls, err);
    if (status == TT_OK)
        status = check_finite(latent, run.n_latent, "denoised latent", model, err);
    free_run(&run);
    return status;
}

tt_status tt_decode_values(tt_model *model, const float *values, uint32_t height, uint32_t width, float *image,
                           tt_vae_tile_fn tile, void *user, tt_error *err)
{
    uint32_t f = model->vae_config.factor;
    tt_status status = tt_model_need_vae(model, err);
    if (status == TT_OK)
        status = tt_vae_decode(model->vae, values, 1, height, width, image, tile, user, err);
    size_t n_image = (size_t)3 * height * width * f * f;
    return status == TT_OK ? check_finite(image, n_image, "decoded picture", model, err) : status;
}

tt_status tt_decode_latent(tt_model *model, const float *latent, uint32_t height, uint32_t width, float *image,
                           tt_vae_tile_fn tile, void *user, tt_error *err)
{
    size_t n = (size_t)model->vae_config.latent_channels * height * width;
    float *values = malloc(n * sizeof *values);
    if (!values)
        return tt_fail_memory(err, "latents", n * sizeof *values);
    tt_latent_unscale(&model->vae_config, latent, n, values);
    tt_status status = tt_decode_values(model, values, height, width, image, tile, user, err);
    free(values);
    return status;
}
