/* stage.c - tt_stage_run: one part of the engine on plain arrays. */
#include "pipeline/arrays.h"
#include "pipeline/stage-denoise.h"
#include "scheduler/analytic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tt_stage_params_default(tt_stage_params *params, tt_stage stage)
{
    *params = (tt_stage_params){
        .stage = stage, .encoder = 1, .n_steps = 20, .cfg_scale = 7.5f, .strength = 1.0f, .clip_skip = 1};
}

/* Appends a float array of 2 to 4 dimensions (later zeros are left out). */
static tt_status put(tt_arrays *out, const char *name, const float *data, uint64_t a, uint64_t b, uint64_t c,
                     uint64_t d, tt_error *err)
{
    uint64_t dims[4] = {a, b, c, d};
    uint32_t n_dims = d ? 4 : c ? 3 : 2;
    return tt_arrays_append(out, name, TT_ARRAY_F32, n_dims, dims, data, err);
}

/* Checks that a dimension fits the engine's 32-bit sizes. */
static tt_status small(const tt_array *array, uint32_t dim, uint32_t *value, tt_error *err)
{
    if (array->dims[dim] > 65536)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the input array %s is too large: dimension %u is %llu", array->name,
                       dim, (unsigned long long)array->dims[dim]);
    *value = (uint32_t)array->dims[dim];
    return TT_OK;
}

/* ---- text */

static tt_status need_ids(const tt_arrays *in, const tt_array **ids, int32_t **values, tt_error *err)
{
    const tt_array *a = tt_arrays_find(in, "input_ids");
    if (!a || (a->type != TT_ARRAY_I32 && a->type != TT_ARRAY_I64) || a->n_dims != 2 || tt_array_count(a) == 0 ||
        a->dims[0] > 256 || a->dims[1] > 4096)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the input needs an array input_ids of I32 with shape [batch, 77]");
    size_t n = tt_array_count(a);
    *values = malloc(n * sizeof **values);
    if (!*values)
        return tt_fail_memory(err, "token ids", n * sizeof **values);
    for (size_t i = 0; i < n; i++) {
        int64_t id = a->type == TT_ARRAY_I32 ? ((const int32_t *)a->data)[i] : ((const int64_t *)a->data)[i];
        (*values)[i] = id < INT32_MIN || id > INT32_MAX ? -1 : (int32_t)id;
    }
    *ids = a;
    return TT_OK;
}

static tt_status encode_and_put(tt_clip *clip, const tt_clip_config *c, const int32_t *ids, uint32_t batch,
                                uint32_t tokens, float *buffer, tt_arrays *out, tt_error *err)
{
    size_t n = (size_t)batch * tokens * c->hidden;
    uint32_t pooled_size = c->projection_dim ? c->projection_dim : c->hidden;
    float *last = buffer, *skipped = last + n, *normed = skipped + n, *pooled = normed + n;
    tt_clip_output output = {.last_hidden = last, .pooled = pooled};
    if (c->n_layers >= 2) {
        output.skipped = skipped;
        output.skipped_normed = normed;
    }
    tt_status status = tt_clip_encode(clip, ids, batch, tokens, c->n_layers >= 2 ? 2 : 1, &output, err);
    if (status == TT_OK)
        status = put(out, "last_hidden_state", last, batch, tokens, c->hidden, 0, err);
    if (status == TT_OK && c->n_layers >= 2)
        status = put(out, "penultimate", skipped, batch, tokens, c->hidden, 0, err);
    if (status == TT_OK && c->n_layers >= 2)
        status = put(out, "clip_skip_2", normed, batch, tokens, c->hidden, 0, err);
    if (status == TT_OK)
        status = put(out, c->projection_dim ? "text_embeds" : "pooled", pooled, batch, pooled_size, 0, 0, err);
    return status;
}

static tt_status run_text(tt_model *model, const tt_stage_params *p, const tt_arrays *in, tt_arrays *out, tt_error *err)
{
    const tt_array *array = NULL;
    int32_t *ids = NULL;
    uint32_t index = p->encoder == 2 ? 1 : 0;
    tt_status status = tt_model_need_text(model, index, err);
    if (status == TT_OK)
        status = need_ids(in, &array, &ids, err);
    if (status != TT_OK)
        return status;
    const tt_clip_config *c = &model->text[index].config;
    size_t n = tt_array_count(array) * c->hidden;
    size_t pooled = (size_t)array->dims[0] * (c->projection_dim > c->hidden ? c->projection_dim : c->hidden);
    float *buffer = malloc((3 * n + pooled) * sizeof *buffer);
    if (!buffer)
        status = tt_fail_memory(err, "text embeddings", 3 * n * sizeof *buffer);
    else
        status = encode_and_put(model->text[index].clip, c, ids, (uint32_t)array->dims[0], (uint32_t)array->dims[1],
                                buffer, out, err);
    free(buffer);
    free(ids);
    return status;
}

/* ---- UNet */

/* An optional condition array of [batch][n]. */
static tt_status need_extra(const tt_arrays *in, const char *name, uint32_t batch, uint32_t n, bool required,
                            const float **values, tt_error *err)
{
    const tt_array *a = tt_arrays_find(in, name);
    *values = NULL;
    if (!a && !required)
        return TT_OK;
    tt_status status = tt_arrays_need_f32(in, name, 2, &a, err);
    if (status == TT_OK && (a->dims[0] != batch || a->dims[1] != n))
        status = tt_fail(err, TT_ERROR_ARGUMENT, "the input array %s must be [%u, %u]", name, batch, n);
    if (status == TT_OK)
        *values = a->data;
    return status;
}

static tt_status need_timesteps(const tt_arrays *in, uint32_t batch, double *timesteps, tt_error *err)
{
    const tt_array *a = tt_arrays_find(in, "timestep");
    size_t n = a ? tt_array_count(a) : 0;
    if (!a || a->n_dims > 1 || (n != 1 && n != batch) || (a->type != TT_ARRAY_F32 && a->type != TT_ARRAY_F64))
        return tt_fail(err, TT_ERROR_ARGUMENT, "the input needs an array timestep of F32 with shape [%u] or [1]",
                       batch);
    for (uint32_t i = 0; i < batch; i++) {
        size_t j = n == 1 ? 0 : i;
        timesteps[i] = a->type == TT_ARRAY_F32 ? (double)((const float *)a->data)[j] : ((const double *)a->data)[j];
    }
    return TT_OK;
}

typedef struct tt_unet_inputs {
    const tt_array *sample, *context;
    tt_unet_shape shape;
    tt_unet_condition condition;
    double timesteps[64];
} tt_unet_inputs;

static tt_status read_unet_inputs(const tt_model *model, const tt_arrays *in, tt_unet_inputs *u, tt_error *err)
{
    const tt_unet_config *c = &model->unet_config;
    tt_status status = tt_arrays_need_f32(in, "sample", 4, &u->sample, err);
    if (status == TT_OK)
        status = tt_arrays_need_f32(in, "encoder_hidden_states", 3, &u->context, err);
    if (status != TT_OK)
        return status;
    const uint64_t *s = u->sample->dims, *e = u->context->dims;
    if (s[0] > 64 || s[1] != c->in_channels || e[0] != s[0] || e[2] != c->cross_attention_dim)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "this UNet takes sample [B<=64, %u, h, w] and encoder_hidden_states [B, tokens, %u], but got "
                       "[%llu, %llu, ...] and [%llu, ..., %llu]",
                       c->in_channels, c->cross_attention_dim, (unsigned long long)s[0], (unsigned long long)s[1],
                       (unsigned long long)e[0], (unsigned long long)e[2]);
    status = small(u->sample, 2, &u->shape.height, err);
    if (status == TT_OK)
        status = small(u->sample, 3, &u->shape.width, err);
    if (status == TT_OK)
        status = small(u->context, 1, &u->shape.n_tokens, err);
    u->shape.batch = (uint32_t)s[0];
    u->condition.context = u->context->data;
    bool added = c->addition_input_dim > 0;
    if (status == TT_OK)
        status = need_timesteps(in, u->shape.batch, u->timesteps, err);
    if (status == TT_OK && added)
        status = need_extra(in, "text_embeds", u->shape.batch, c->addition_input_dim - 6 * c->addition_time_dim, true,
                            &u->condition.text_embeds, err);
    if (status == TT_OK && added)
        status = need_extra(in, "time_ids", u->shape.batch, 6, true, &u->condition.time_ids, err);
    if (status == TT_OK && c->time_cond_dim > 0)
        status =
            need_extra(in, "timestep_cond", u->shape.batch, c->time_cond_dim, false, &u->condition.timestep_cond, err);
    return status;
}

/* Appends the outputs of all traced blocks. */
static tt_status put_trace(tt_unet *unet, tt_arrays *out, tt_error *err)
{
    tt_status status = TT_OK;
    tt_plane p;
    const char *name;
    bool channels_last;
    for (size_t i = 0; status == TT_OK && tt_unet_trace_at(unet, i, &name, &p, &channels_last); i++) {
        size_t n = tt_plane_positions(&p) * p.channels;
        float *values = malloc(n * sizeof *values);
        if (!values)
            return tt_fail_memory(err, "a trace", n * sizeof *values);
        status = tt_unet_trace_read(unet, name, values, n, err);
        if (status == TT_OK && channels_last)
            status = put(out, name, values, p.batch, (uint64_t)p.height * p.width, p.channels, 0, err);
        else if (status == TT_OK)
            status = put(out, name, values, p.batch, p.channels, p.height, p.width, err);
        free(values);
    }
    return status;
}

static tt_status run_unet(tt_model *model, const tt_stage_params *p, const tt_arrays *in, tt_arrays *out, tt_error *err)
{
    tt_unet_inputs u = {0};
    tt_status status = tt_model_need_unet(model, err);
    if (status == TT_OK)
        status = read_unet_inputs(model, in, &u, err);
    u.shape.trace = p->trace;
    if (status == TT_OK)
        status = tt_unet_prepare(model->unet, &u.shape, err);
    if (status == TT_OK)
        status = tt_unet_set_condition(model->unet, &u.condition, err);
    if (status != TT_OK)
        return status;
    uint32_t channels = model->unet_config.out_channels;
    size_t n = (size_t)u.shape.batch * channels * u.shape.height * u.shape.width;
    float *result = malloc(n * sizeof *result);
    if (!result)
        return tt_fail_memory(err, "the UNet's output", n * sizeof *result);
    status = tt_unet_run(model->unet, u.sample->data, u.timesteps, result, err);
    if (status == TT_OK)
        status = put(out, "sample", result, u.shape.batch, channels, u.shape.height, u.shape.width, err);
    if (status == TT_OK && p->trace)
        status = put_trace(model->unet, out, err);
    free(result);
    return status;
}

/* ---- VAE */

static tt_status run_vae_decode(tt_model *model, const tt_arrays *in, tt_arrays *out, tt_error *err)
{
    const tt_array *latent = NULL;
    uint32_t h = 0, w = 0, batch = 0;
    tt_status status = tt_model_need_vae(model, err);
    if (status == TT_OK)
        status = tt_arrays_need_f32(in, "latent", 4, &latent, err);
    if (status == TT_OK && latent->dims[1] != model->vae_config.latent_channels)
        status = tt_fail(err, TT_ERROR_ARGUMENT, "the input array latent has %llu channels, but this VAE takes %u",
                         (unsigned long long)latent->dims[1], model->vae_config.latent_channels);
    if (status == TT_OK)
        status = small(latent, 0, &batch, err);
    if (status == TT_OK)
        status = small(latent, 2, &h, err);
    if (status == TT_OK)
        status = small(latent, 3, &w, err);
    if (status != TT_OK)
        return status;
    uint32_t f = model->vae_config.factor;
    size_t n = (size_t)batch * 3 * h * w * f * f;
    float *image = malloc(n * sizeof *image);
    if (!image)
        return tt_fail_memory(err, "the picture", n * sizeof *image);
    status = tt_vae_decode(model->vae, latent->data, batch, h, w, image, NULL, NULL, err);
    if (status == TT_OK)
        status = put(out, "image", image, batch, 3, (uint64_t)h * f, (uint64_t)w * f, err);
    free(image);
    return status;
}

static tt_status run_vae_encode(tt_model *model, const tt_arrays *in, tt_arrays *out, tt_error *err)
{
    const tt_array *image = NULL;
    uint32_t h = 0, w = 0, batch = 0;
    tt_status status = tt_model_need_vae(model, err);
    if (status == TT_OK)
        status = tt_arrays_need_f32(in, "image", 4, &image, err);
    if (status == TT_OK && image->dims[1] != 3)
        status = tt_fail(err, TT_ERROR_ARGUMENT, "the input array image must be [B, 3, H, W]");
    if (status == TT_OK)
        status = small(image, 0, &batch, err);
    if (status == TT_OK)
        status = small(image, 2, &h, err);
    if (status == TT_OK)
        status = small(image, 3, &w, err);
    if (status != TT_OK)
        return status;
    const tt_vae_config *c = &model->vae_config;
    size_t n = (size_t)batch * c->latent_channels * (h / c->factor) * (w / c->factor);
    float *moments = malloc((2 * n + 1) * sizeof *moments);
    if (!moments)
        return tt_fail_memory(err, "latents", 2 * n * sizeof *moments);
    bool tiny = c->kind == TT_VAE_TINY;
    status = tt_vae_encode(model->vae, image->data, batch, h, w, moments, moments + n, err);
    uint64_t lh = h / c->factor, lw = w / c->factor;
    if (status == TT_OK)
        status = put(out, tiny ? "latent" : "mean", moments, batch, c->latent_channels, lh, lw, err);
    if (status == TT_OK && !tiny)
        status = put(out, "logvar", moments + n, batch, c->latent_channels, lh, lw, err);
    free(moments);
    return status;
}

/* ---- scheduler alone */

static tt_status put_timesteps(tt_arrays *out, const double *timesteps, uint32_t n, tt_error *err)
{
    uint64_t dims[1] = {n};
    return tt_arrays_append(out, "timesteps", TT_ARRAY_F64, 1, dims, timesteps, err);
}

/* Runs all calls on the analytic denoiser; rows [n_calls][n]. */
static tt_status sample_loop(tt_scheduler *s, const tt_array *x_init, const tt_array *noise, size_t n, float *rows,
                             double *timesteps, tt_error *err)
{
    uint32_t n_calls = tt_scheduler_n_calls(s);
    size_t n_noise = noise ? tt_array_count(noise) : 0, drawn = 0;
    float *work = malloc(3 * n * sizeof *work);
    if (!work)
        return tt_fail_memory(err, "samples", 3 * n * sizeof *work);
    float *x = work, *scaled = work + n, *eps = work + 2 * n;
    tt_status status = TT_OK;
    for (size_t i = 0; i < n; i++)
        x[i] = ((const float *)x_init->data)[i] * tt_scheduler_init_noise_sigma(s);
    for (uint32_t call = 0; call < n_calls && status == TT_OK; call++) {
        const float *draw = NULL;
        timesteps[call] = tt_scheduler_timestep(s, call);
        if (tt_scheduler_needs_noise(s, call)) {
            if (drawn + n > n_noise) {
                status = tt_fail(err, TT_ERROR_ARGUMENT,
                                 "the input array noise has too few rows: call %u needs row %zu", call, drawn / n);
                break;
            }
            draw = (const float *)noise->data + drawn;
            drawn += n;
        }
        tt_scheduler_scale_input(s, call, x, scaled);
        tt_analytic_denoiser(timesteps[call], scaled, eps, n);
        status = tt_scheduler_step(s, call, eps, draw, x, err);
        memcpy(rows + call * n, x, n * sizeof *x);
    }
    free(work);
    return status;
}

static tt_status put_sample_results(tt_scheduler *s, const float *rows, const double *timesteps, size_t n,
                                    tt_arrays *out, tt_error *err)
{
    uint32_t n_calls = tt_scheduler_n_calls(s);
    size_t n_sigmas = 0;
    const float *sigmas = tt_scheduler_sigmas(s, &n_sigmas);
    uint64_t dims[1] = {n_sigmas};
    tt_status status = put_timesteps(out, timesteps, n_calls, err);
    if (status == TT_OK && sigmas)
        status = tt_arrays_append(out, "sigmas", TT_ARRAY_F32, 1, dims, sigmas, err);
    return status == TT_OK ? put(out, "x", rows, n_calls, n, 0, 0, err) : status;
}

static tt_status run_sample(const tt_stage_params *p, const tt_arrays *in, tt_arrays *out, tt_error *err)
{
    tt_scheduler_config *config = NULL;
    tt_scheduler *scheduler = NULL;
    float *rows = NULL;
    double *timesteps = NULL;
    const tt_array *x_init = tt_arrays_find(in, "x_init"), *noise = tt_arrays_find(in, "noise");
    size_t n = x_init ? tt_array_count(x_init) : 0;
    if (!p->scheduler_config)
        return tt_fail(err, TT_ERROR_ARGUMENT, "stage sample needs a scheduler config");
    if (n == 0 || x_init->type != TT_ARRAY_F32 || (noise && noise->type != TT_ARRAY_F32))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "the input needs F32 arrays x_init [n] and, for some samplers, noise [draws, n]");
    tt_status status = tt_scheduler_config_parse(p->scheduler_config, strlen(p->scheduler_config), &config, err);
    if (status == TT_OK)
        status = tt_scheduler_create(config, p->n_steps, 1.0f, p->eta, n, &scheduler, err);
    if (status == TT_OK) {
        uint32_t n_calls = tt_scheduler_n_calls(scheduler);
        rows = malloc((n_calls * n + 1) * sizeof *rows);
        timesteps = malloc((n_calls + 1u) * sizeof *timesteps);
        status = rows && timesteps ? sample_loop(scheduler, x_init, noise, n, rows, timesteps, err)
                                   : tt_fail_memory(err, "samples", n_calls * n * sizeof *rows);
    }
    if (status == TT_OK)
        status = put_sample_results(scheduler, rows, timesteps, n, out, err);
    free(rows);
    free(timesteps);
    tt_scheduler_destroy(scheduler);
    tt_scheduler_config_free(config);
    return status;
}

tt_status tt_stage_run(tt_context *context, tt_model *model, const tt_stage_params *params, const tt_arrays *inputs,
                       tt_arrays *outputs)
{
    tt_error *err = tt_context_begin(context);
    if (params->stage != TT_STAGE_SAMPLE && !model)
        return tt_fail(err, TT_ERROR_ARGUMENT, "this stage needs a model");
    switch (params->stage) {
    case TT_STAGE_TEXT:
        return run_text(model, params, inputs, outputs, err);
    case TT_STAGE_UNET:
        return run_unet(model, params, inputs, outputs, err);
    case TT_STAGE_VAE_DECODE:
        return run_vae_decode(model, inputs, outputs, err);
    case TT_STAGE_VAE_ENCODE:
        return run_vae_encode(model, inputs, outputs, err);
    case TT_STAGE_SAMPLE:
        return run_sample(params, inputs, outputs, err);
    case TT_STAGE_DENOISE:
        return tt_stage_denoise(model, params, inputs, outputs, err);
    }
    return tt_fail(err, TT_ERROR_ARGUMENT, "stage %d is not known", (int)params->stage);
}
