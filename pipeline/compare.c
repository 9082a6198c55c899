/* compare.c - tt_compare: one model after the other, scored against the first. */
#include "pipeline/compare.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MODELS = 16, MAX_PROMPTS = 1000, MAX_PASSES = 16 };

void tt_compare_params_default(tt_compare_params *params)
{
    *params = (tt_compare_params){.cfg_scale = -1.0f, .n_passes = 4, .n_probed = 2};
}

bool tt_comparing_reference(const tt_comparing *c)
{
    return c->index == 0;
}

tt_comparison_model *tt_comparing_model(const tt_comparing *c)
{
    return &c->result->models[c->index];
}

/* ---- progress */

/* A probed prompt costs about as much as a picture. */
static double done_part(const tt_comparing *c, uint32_t step, uint32_t n_steps)
{
    double n_prompts = (double)c->result->n_prompts, n_probed = (double)c->result->n_probed;
    double part = n_steps ? (double)step / n_steps : 0.0, within;
    if (c->prompt < c->result->n_prompts)
        within = c->prompt + part;
    else
        within = n_prompts + part * n_probed;
    return (c->index + within / (n_prompts + n_probed)) / (double)c->result->n_models;
}

tt_status tt_comparing_report(const tt_comparing *c, uint32_t step, uint32_t n_steps, tt_error *err)
{
    tt_compare_progress progress = {.model = c->index,
                                    .n_models = (uint32_t)c->result->n_models,
                                    .prompt = c->prompt,
                                    .n_prompts = (uint32_t)c->result->n_prompts,
                                    .step = step,
                                    .n_steps = n_steps,
                                    .fraction = done_part(c, step, n_steps)};
    if (!c->params->progress || c->params->progress(c->params->progress_user, &progress))
        return TT_OK;
    return tt_fail(err, TT_ERROR_CANCELLED, "cancelled while model %u of %u was compared", c->index + 1,
                   progress.n_models);
}

/* ---- rows of conditions */

static bool copy_row(const float *from, uint32_t batch, size_t n, float **to)
{
    *to = NULL;
    if (!from || n == 0)
        return true;
    *to = malloc(n * sizeof **to);
    if (*to)
        memcpy(*to, from + (batch - 1) * n, n * sizeof **to);
    return *to != NULL;
}

tt_status tt_condition_copy_row(const tt_model *model, const tt_condition *condition, tt_condition *row, tt_error *err)
{
    const tt_unet_config *u = &model->unet_config;
    size_t n_pooled = u->addition_input_dim ? u->addition_input_dim - 6 * u->addition_time_dim : 0;
    size_t n_context = (size_t)condition->n_tokens * u->cross_attention_dim;
    *row = (tt_condition){.batch = 1, .n_tokens = condition->n_tokens};
    if (copy_row(condition->context, condition->batch, n_context, &row->context) &&
        copy_row(condition->text_embeds, condition->batch, n_pooled, &row->text_embeds) &&
        copy_row(condition->time_ids, condition->batch, 6, &row->time_ids) &&
        copy_row(condition->timestep_cond, condition->batch, u->time_cond_dim, &row->timestep_cond))
        return TT_OK;
    tt_condition_free(row);
    return tt_fail_memory(err, "the prompt's embeddings", n_context * sizeof(float));
}

/* ---- before anything is loaded */

static tt_status check_prompts(const tt_compare_params *p, tt_error *err)
{
    if (p->n_prompts == 0 || p->n_prompts > MAX_PROMPTS)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%zu prompts cannot be compared: 1 to %d are taken, 4 to 20 are usual",
                       p->n_prompts, MAX_PROMPTS);
    for (size_t i = 0; i < p->n_prompts; i++)
        if (!p->prompts[i])
            return tt_fail(err, TT_ERROR_ARGUMENT, "prompt %zu of the comparison is missing", i + 1);
    return TT_OK;
}

static tt_status check_params(const tt_context *context, const tt_compare_params *p, tt_error *err)
{
    if (!context->device)
        return tt_fail(err, TT_ERROR_ARGUMENT, "no device is open; call tt_context_open_device first");
    if (context->n_models > 0)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "%u models are alive on the device; a comparison measures memory and needs it for itself",
                       context->n_models);
    if (p->n_models < 2 || p->n_models > MAX_MODELS)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "%zu models cannot be compared: 2 to %d are taken, the first is the "
                       "reference",
                       p->n_models, MAX_MODELS);
    if (p->n_passes == 0 || p->n_passes > MAX_PASSES || p->n_probed == 0)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%u passes of %u prompts cannot be probed: 1 to %d of 1 or more",
                       p->n_passes, p->n_probed, MAX_PASSES);
    if (p->seed < 0)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the seed %lld cannot be compared: all models need the same, 0 or more",
                       (long long)p->seed);
    return check_prompts(p, err);
}

/* ---- room for results */

static tt_status make_model_result(const tt_compare_params *p, size_t index, tt_comparison_model *m, tt_error *err)
{
    const char *path = p->models[index].path ? p->models[index].path : "";
    size_t length;
    const char *last = tt_path_last(path, &length);
    m->file_name = calloc(length + 1, 1);
    m->pass_errors = calloc(p->n_passes, sizeof *m->pass_errors);
    m->pictures = calloc(p->n_prompts, sizeof *m->pictures);
    if (!tt_string_copy(path, &m->path) || !m->file_name || !m->pass_errors || !m->pictures)
        return tt_fail_memory(err, "the comparison", p->n_prompts * sizeof *m->pictures);
    memcpy(m->file_name, last, length);
    return TT_OK;
}

static tt_status make_result(const tt_context *context, const tt_compare_params *p, tt_comparison **result,
                             tt_error *err)
{
    tt_comparison *r = calloc(1, sizeof *r);
    *result = r;
    if (!r)
        return tt_fail_memory(err, "the comparison", sizeof *r);
    r->models = calloc(p->n_models, sizeof *r->models);
    r->prompts = calloc(p->n_prompts, sizeof *r->prompts);
    r->timesteps = calloc(p->n_passes, sizeof *r->timesteps);
    bool is_made = r->models && r->prompts && r->timesteps &&
                   tt_string_copy(p->negative_prompt ? p->negative_prompt : "", &r->negative_prompt);
    r->n_models = r->models ? p->n_models : 0;
    for (size_t i = 0; i < p->n_prompts && is_made; i++)
        is_made = tt_string_copy(p->prompts[i], &r->prompts[i]);
    if (!is_made)
        return tt_fail_memory(err, "the comparison", p->n_prompts * sizeof *r->prompts);
    r->n_prompts = p->n_prompts;
    r->n_passes = p->n_passes;
    r->n_probed = p->n_probed < p->n_prompts ? p->n_probed : p->n_prompts;
    r->seed = p->seed;
    snprintf(r->device, sizeof r->device, "%s", tt_device_caps(context->device)->info.name);
    tt_status status = TT_OK;
    for (size_t i = 0; i < p->n_models && status == TT_OK; i++)
        status = make_model_result(p, i, &r->models[i], err);
    return status;
}

static void free_model_result(tt_comparison_model *m, size_t n_prompts)
{
    for (size_t i = 0; m->pictures && i < n_prompts; i++)
        tt_image_free(&m->pictures[i].image);
    free(m->path);
    free(m->file_name);
    free(m->pass_errors);
    free(m->layer_errors);
    free(m->pictures);
    free(m->accuracies);
}

void tt_comparison_free(tt_comparison *comparison)
{
    if (!comparison)
        return;
    for (size_t i = 0; i < comparison->n_models; i++)
        free_model_result(&comparison->models[i], comparison->n_prompts);
    for (size_t i = 0; i < comparison->n_prompts; i++)
        free(comparison->prompts[i]);
    for (size_t i = 0; i < comparison->n_layers; i++)
        free(comparison->layers[i]);
    free(comparison->models);
    free(comparison->prompts);
    free(comparison->negative_prompt);
    free(comparison->timesteps);
    free(comparison->layers);
    free(comparison);
}

static void free_run(tt_reference_run *run, size_t n_passes, size_t n_layers)
{
    for (int i = 0; i < TT_MAX_CLIPS; i++)
        free(run->ids[i]);
    for (size_t i = 0; i < n_passes; i++) {
        free(run->inputs ? run->inputs[i] : NULL);
        free(run->outputs ? run->outputs[i] : NULL);
    }
    for (size_t i = 0; run->blocks && i < n_passes * n_layers; i++)
        free(run->blocks[i].values);
    tt_condition_free(&run->condition);
    free(run->latent);
    free(run->image);
    free(run->inputs);
    free(run->outputs);
    free(run->blocks);
}

/* ---- scores over the prompts */

static void add_score(tt_comparison_score *score, size_t i, double value)
{
    score->min = i == 0 || value < score->min ? value : score->min;
}

/* Mean of the finite values; the value that all have where none is finite. */
static double finite_mean(const tt_comparison_model *m, size_t n, size_t offset)
{
    double sum = 0, any = 0;
    size_t n_finite = 0;
    for (size_t i = 0; i < n; i++) {
        memcpy(&any, (const char *)&m->pictures[i] + offset, sizeof any);
        if (isfinite(any)) {
            sum += any;
            n_finite++;
        }
    }
    return n_finite ? sum / (double)n_finite : any;
}

static void sum_up(tt_comparison_model *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const tt_comparison_picture *p = &m->pictures[i];
        add_score(&m->psnr, i, p->psnr);
        add_score(&m->ssim, i, p->ssim);
        add_score(&m->latent_psnr, i, p->latent_psnr);
        add_score(&m->latent_ssim, i, p->latent_ssim);
        m->n_equal += isinf(p->psnr) && p->psnr > 0;
    }
    m->psnr.mean = finite_mean(m, n, offsetof(tt_comparison_picture, psnr));
    m->ssim.mean = finite_mean(m, n, offsetof(tt_comparison_picture, ssim));
    m->latent_psnr.mean = finite_mean(m, n, offsetof(tt_comparison_picture, latent_psnr));
    m->latent_ssim.mean = finite_mean(m, n, offsetof(tt_comparison_picture, latent_ssim));
    m->latent_error = finite_mean(m, n, offsetof(tt_comparison_picture, latent_error));
}

/* ---- the models */

static tt_status measure(tt_comparing *c, tt_error *err)
{
    tt_status status = tt_compare_fit(c, err);
    if (status == TT_OK)
        status = tt_compare_describe(c, err);
    if (status == TT_OK)
        status = tt_compare_accuracy(c, err);
    if (status == TT_OK)
        status = tt_compare_pictures(c, err);
    if (status == TT_OK)
        status = tt_compare_parts(c, err);
    if (status == TT_OK)
        sum_up(tt_comparing_model(c), c->result->n_prompts);
    return status;
}

static tt_status compare_one(tt_comparing *c, tt_error *err)
{
    tt_comparison_model *m = tt_comparing_model(c);
    c->prompt = 0;
    tt_status status = tt_comparing_report(c, 0, 1, err);
    double begun = tt_clock_ms();
    if (status == TT_OK)
        status = tt_model_load(c->context, &c->params->models[c->index], &c->model);
    m->load_ms = tt_clock_ms() - begun;
    if (status != TT_OK)
        return status;
    tt_model_pin_float(c->model);
    status = measure(c, err);
    if (c->model->scheduler == c->scheduler)
        c->model->scheduler = NULL; /* it serves the next model too */
    tt_model_destroy(c->model);
    c->model = NULL;
    return status;
}

/* A share for no model at all is a file that belongs to something else. */
static tt_status check_accuracy(const tt_comparing *c, tt_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < c->result->n_models; i++)
        n += c->result->models[i].n_accuracies;
    if (!c->params->accuracy || n > 0)
        return TT_OK;
    return tt_fail(err, TT_ERROR_ARGUMENT,
                   "the accuracies are of other models: none of them is named like a compared one (\"%.80s\")",
                   c->result->models[0].file_name);
}

tt_status tt_compare(tt_context *context, const tt_compare_params *params, tt_comparison **comparison)
{
    tt_error *err = tt_context_begin(context);
    tt_comparing c = {.context = context, .params = params};
    *comparison = NULL;
    tt_status status = check_params(context, params, err);
    if (status == TT_OK)
        status = make_result(context, params, &c.result, err);
    if (status == TT_OK && !(c.runs = calloc(params->n_prompts, sizeof *c.runs)))
        status = tt_fail_memory(err, "the comparison", params->n_prompts * sizeof *c.runs);
    for (c.index = 0; c.index < params->n_models && status == TT_OK; c.index++)
        status = compare_one(&c, err);
    if (status == TT_OK)
        status = check_accuracy(&c, err);
    for (size_t i = 0; c.runs && i < params->n_prompts; i++)
        free_run(&c.runs[i], params->n_passes, c.result->n_layers);
    free(c.runs);
    tt_scheduler_config_free(c.scheduler);
    if (status == TT_OK)
        *comparison = c.result;
    else
        tt_comparison_free(c.result);
    return status;
}
