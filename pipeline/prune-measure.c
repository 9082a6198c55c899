/* prune-measure.c - states of short runs, and how much the UNet's output there changes. */
#include "pipeline/prune-measure.h"
#include "base/rng.h"
#include "pipeline/quantize-probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SEED = 2000 };

/* Work of a run whose states are kept, in multiplications and additions: what small models do at their own size. */
static const double aimed_flops = 100e9;

/* ---- memory */

static float *floats(size_t n)
{
    return calloc(n > 0 ? n : 1, sizeof(float));
}

static tt_status allocate(tt_prune_probe *p, tt_error *err)
{
    const tt_unet_config *c = &p->model->unet_config;
    size_t batch = p->shape.batch, positions = (size_t)p->shape.height * p->shape.width;
    p->n_input = c->in_channels * positions;
    p->n_latent = c->out_channels * positions;
    size_t n_pooled = c->addition_input_dim > 0 ? c->addition_input_dim - 6 * c->addition_time_dim : 0;
    p->context = floats(batch * p->shape.n_tokens * c->cross_attention_dim);
    p->text_embeds = floats(batch * n_pooled);
    p->time_ids = floats(batch * 6);
    p->timestep_cond = floats(batch * c->time_cond_dim);
    p->timesteps = calloc(batch, sizeof *p->timesteps);
    p->input = floats(batch * p->n_input);
    p->output = floats(batch * p->n_latent);
    p->reference = calloc(p->n_states * p->n_latent, sizeof *p->reference);
    if (p->context && p->text_embeds && p->time_ids && p->timestep_cond && p->timesteps && p->input && p->output &&
        p->reference)
        return TT_OK;
    return tt_fail_memory(err, "states to measure with", batch * p->n_input * sizeof(float));
}

void tt_prune_probe_free(tt_prune_probe *p)
{
    free(p->context);
    free(p->text_embeds);
    free(p->time_ids);
    free(p->timestep_cond);
    free(p->timesteps);
    free(p->input);
    free(p->output);
    free(p->reference);
    *p = (tt_prune_probe){0};
}

/* ---- states */

/* Watches one run and copies the latents before some of its calls. */
typedef struct watch {
    tt_prune_probe *probe;
    tt_scheduler *scheduler; /* a second one, for what the UNet sees of a latent */
    uint32_t prompt;
} watch;

/* The call, after the first, whose input is state `i` of a run. */
static uint32_t call_of(uint32_t i, uint32_t n_calls)
{
    uint32_t call = 1 + (n_calls - 1) * (2 * i + 1) / (2 * TT_PRUNE_STATES);
    return call < n_calls ? call : n_calls - 1;
}

static bool see_step(void *user, uint32_t call, uint32_t n_calls, const float *latent)
{
    watch *w = user;
    tt_prune_probe *p = w->probe;
    for (uint32_t i = 0; i < TT_PRUNE_STATES; i++) {
        if (call_of(i, n_calls) != call + 1)
            continue;
        size_t first = ((size_t)w->prompt * TT_PRUNE_STATES + i) * p->n_branches;
        float *scaled = p->input + first * p->n_input;
        tt_scheduler_scale_input(w->scheduler, call + 1, latent, scaled);
        /* Inpainting models also read a mask, here all of the picture, and the rest of the picture, here nothing. */
        for (size_t k = p->n_latent; k < p->n_input; k++)
            scaled[k] = k < p->n_latent + (size_t)p->shape.height * p->shape.width ? 1.0f : 0.0f;
        for (uint32_t b = 0; b < p->n_branches; b++) {
            p->timesteps[first + b] = tt_scheduler_timestep(w->scheduler, call + 1);
            if (b > 0)
                memcpy(scaled + b * p->n_input, scaled, p->n_input * sizeof *scaled);
        }
    }
    return true;
}

static tt_status draw(void *user, float *out, size_t n, tt_error *err)
{
    (void)err;
    tt_rng_normal(user, out, n);
    return TT_OK;
}

/* Repeats a condition's rows for the states of its prompt. */
static void spread(float *to, const float *from, size_t n, uint32_t first)
{
    for (uint32_t i = 0; from && i < TT_PRUNE_STATES; i++)
        memcpy(to + (first + i) * n, from, n * sizeof *to);
}

static void keep_condition(tt_prune_probe *p, const tt_condition *c, uint32_t prompt)
{
    const tt_unet_config *config = &p->model->unet_config;
    uint32_t first = prompt * TT_PRUNE_STATES;
    size_t n_pooled = config->addition_input_dim > 0 ? config->addition_input_dim - 6 * config->addition_time_dim : 0;
    spread(p->context, c->context, (size_t)p->n_branches * c->n_tokens * config->cross_attention_dim, first);
    spread(p->text_embeds, c->text_embeds, p->n_branches * n_pooled, first);
    spread(p->time_ids, c->time_ids, (size_t)p->n_branches * 6, first);
    spread(p->timestep_cond, c->timestep_cond, (size_t)p->n_branches * config->time_cond_dim, first);
}

static tt_status run_prompt(tt_prune_probe *p, const tt_probe *plan, uint32_t prompt, const tt_condition *condition,
                            tt_error *err)
{
    tt_model *m = p->model;
    watch w = {.probe = p, .prompt = prompt};
    tt_rng_state rng;
    uint32_t n_calls = 0, f = m->vae_config.factor;
    size_t plane = (size_t)plan->side * f * plan->side * f;
    bool inpaints = m->unet_config.in_channels > m->unet_config.out_channels;
    float *latent = floats(p->n_latent), *grey = floats(inpaints ? 3 * plane : 1), *mask = floats(inpaints ? plane : 1);
    tt_rng_init(&rng, TT_RNG_CPU, FIRST_SEED + prompt);
    for (size_t i = 0; inpaints && mask && i < plane; i++)
        mask[i] = 1.0f;
    tt_denoise_request request = {.scheduler = m->scheduler,
                                  .n_steps = plan->n_steps,
                                  .strength = 1.0f,
                                  .cfg_scale = p->cfg_scale,
                                  .height = plan->side,
                                  .width = plan->side,
                                  .condition = condition,
                                  .image = inpaints ? grey : NULL,
                                  .mask = inpaints ? mask : NULL,
                                  .draw = draw,
                                  .draw_user = &rng,
                                  .step = see_step,
                                  .step_user = &w};
    tt_status status = latent && grey && mask ? TT_OK : tt_fail_memory(err, "latents", p->n_latent * sizeof *latent);
    if (status == TT_OK)
        status = tt_scheduler_create(m->scheduler, plan->n_steps, 1.0f, 0.0f, p->n_latent, &w.scheduler, err);
    if (status == TT_OK)
        status = tt_denoise(m, &request, latent, NULL, &n_calls, err);
    tt_scheduler_destroy(w.scheduler);
    free(latent);
    free(grey);
    free(mask);
    return status;
}

/* Plain text is cut at one chunk, so that all prompts have equally many tokens. */
static tt_status make_condition(tt_model *m, const tt_probe *plan, uint32_t prompt, bool is_guided,
                                tt_condition *condition, tt_error *err)
{
    float pixels = (float)(plan->side * m->vae_config.factor);
    const tt_condition_request request = {.prompt = plan->prompts[prompt],
                                          .negative = "",
                                          .guided = is_guided,
                                          .cfg_scale = m->default_cfg_scale,
                                          .time_ids = {pixels, pixels, 0, 0, pixels, pixels}};
    return tt_condition_make(m, &request, condition, err);
}

static tt_status collect(tt_prune_probe *p, const tt_probe *plan, tt_error *err)
{
    tt_status status = TT_OK;
    p->cfg_scale = p->model->default_cfg_scale;
    bool is_guided = p->cfg_scale > 1.0f && p->model->unet_config.time_cond_dim == 0;
    p->n_branches = is_guided ? 2 : 1;
    p->n_states = plan->n_prompts * TT_PRUNE_STATES;
    for (uint32_t i = 0; i < plan->n_prompts && status == TT_OK; i++) {
        tt_condition condition = {0};
        status = make_condition(p->model, plan, i, is_guided, &condition, err);
        if (status == TT_OK && i == 0) {
            p->shape = (tt_unet_shape){.batch = p->n_states * p->n_branches,
                                       .height = plan->side,
                                       .width = plan->side,
                                       .n_tokens = condition.n_tokens};
            status = allocate(p, err);
        }
        if (status == TT_OK) {
            keep_condition(p, &condition, i);
            status = run_prompt(p, plan, i, &condition, err);
        }
        tt_condition_free(&condition);
    }
    return status;
}

/* ---- passes */

static tt_status run_pass(tt_prune_probe *p, const tt_unet_removed *removed, tt_error *err)
{
    tt_unet *unet = p->model->unet;
    const tt_unet_condition condition = {.context = p->context,
                                         .text_embeds = p->text_embeds,
                                         .time_ids = p->time_ids,
                                         .timestep_cond = p->timestep_cond};
    tt_unet_try(unet, removed);
    tt_status status = tt_unet_prepare(unet, &p->shape, err);
    if (status == TT_OK)
        status = tt_unet_set_condition(unet, &condition, err);
    return status == TT_OK ? tt_unet_run(unet, p->input, p->timesteps, p->output, err) : status;
}

/* Value k of a state's output after guidance. */
static double guided(const tt_prune_probe *p, uint32_t state, size_t k)
{
    const float *first = p->output + (size_t)state * p->n_branches * p->n_latent;
    if (p->n_branches == 1)
        return (double)first[k];
    double plain = (double)first[k];
    return plain + (double)p->cfg_scale * ((double)first[p->n_latent + k] - plain);
}

tt_status tt_prune_probe_change(tt_prune_probe *p, const tt_unet_removed *removed, double *change, tt_error *err)
{
    double sum = 0.0;
    tt_status status = run_pass(p, removed, err);
    for (uint32_t s = 0; s < p->n_states && status == TT_OK; s++)
        for (size_t k = 0; k < p->n_latent; k++) {
            double d = guided(p, s, k) - p->reference[s * p->n_latent + k];
            sum += d * d;
        }
    *change = isfinite(sum) ? sum / p->power : INFINITY;
    return status;
}

static tt_status keep_reference(tt_prune_probe *p, tt_error *err)
{
    tt_status status = run_pass(p, &p->model->unet_config.removed, err);
    for (uint32_t s = 0; s < p->n_states && status == TT_OK; s++)
        for (size_t k = 0; k < p->n_latent; k++) {
            double value = guided(p, s, k);
            p->reference[s * p->n_latent + k] = value;
            p->power += value * value;
        }
    if (status == TT_OK && !(isfinite(p->power) && p->power > 0.0))
        status = tt_fail(err, TT_ERROR_DEVICE,
                         "the UNet's output is zero or no number, so nothing can be measured on it; try another "
                         "precision or device");
    return status;
}

tt_status tt_prune_probe_create(tt_quantize_job *job, tt_prune_probe *probe, tt_error *err)
{
    tt_probe plan;
    *probe = (tt_prune_probe){.model = job->model};
    tt_status status = tt_probe_create(job, job->params->prompts, TT_PRUNE_PROMPTS, aimed_flops, &plan, err);
    if (status != TT_OK)
        return status;
    status = collect(probe, &plan, err);
    tt_probe_free(&plan);
    if (status == TT_OK)
        status = keep_reference(probe, err);
    if (status != TT_OK)
        tt_prune_probe_free(probe);
    return status;
}
