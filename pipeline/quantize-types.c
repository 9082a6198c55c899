/* quantize-types.c - which type each tensor is written as. */
#include "base/log.h"
#include "pipeline/quantize-job.h"

#include <string.h>

/* Layers that read or write this few channels are the ends of a network: first and last convolutions, the 1x1
 * convolutions of latents. They hold some 0.003% of SD1.5's weights, and every value passes through them. */
enum { END_CHANNELS = 16 };

/* Two small matrices that every residual block depends on, through timesteps of very different sizes. */
static const char *const time_layers[] = {"unet.time_embedding.", "unet.add_embedding."};

/* The exception for a matrix, if there is one. */
static bool exception_of(const tt_job_tensor *t, tt_weight_type *type)
{
    if (t->n_rows <= END_CHANNELS || t->n_columns / t->n_taps <= END_CHANNELS) {
        *type = TT_WEIGHT_F16;
        return true;
    }
    for (size_t i = 0; i < sizeof time_layers / sizeof *time_layers; i++)
        if (strncmp(t->name, time_layers[i], strlen(time_layers[i])) == 0) {
            *type = TT_WEIGHT_Q8_0;
            return true;
        }
    return false;
}

/* As exact as the source, in float or half. */
static tt_weight_type plain_type(const tt_job_tensor *t)
{
    return t->weight.tensor.dtype == TT_F16 ? TT_WEIGHT_F16 : TT_WEIGHT_F32;
}

static tt_weight_type with_zero(tt_weight_type type)
{
    switch (type) {
    case TT_WEIGHT_Q2_K:
        return TT_WEIGHT_Q3_K;
    case TT_WEIGHT_Q4_K:
    case TT_WEIGHT_Q4_1:
        return TT_WEIGHT_Q4_0;
    case TT_WEIGHT_Q5_K:
    case TT_WEIGHT_Q5_1:
        return TT_WEIGHT_Q5_0;
    case TT_WEIGHT_W8CA:
        return TT_WEIGHT_W8C;
    default:
        return type;
    }
}

tt_weight_type tt_job_type_for(const tt_quantize_job *job, const tt_job_tensor *t, tt_weight_type type)
{
    /* The table's rows are gathered by the host or device as blocks; a scale for each token would be a table more. */
    if (t->role == TT_ROLE_TABLE && tt_weight_type_is_channel(type))
        type = TT_WEIGHT_Q8_0;
    if (job->params->prune > 0.0f && t->role == TT_ROLE_MATRIX && !t->is_fragile)
        type = with_zero(type);
    type = tt_weight_type_fallback(type, t->n_columns);
    if (job->params->prune > 0.0f && t->role == TT_ROLE_MATRIX && !t->is_fragile)
        type = with_zero(type);
    return type;
}

static void choose(tt_quantize_job *job, tt_job_tensor *t)
{
    tt_weight_type exception;
    bool is_position = strstr(t->canonical, "position_embedding.weight") != NULL;
    t->is_fixed = true;
    if (t->role == TT_ROLE_VECTOR || t->role == TT_ROLE_BIAS) {
        t->type = plain_type(t);
        return;
    }
    if (t->is_on_host || is_position) {
        t->is_fragile = true;
        t->type = job->base == TT_WEIGHT_F32 ? plain_type(t) : TT_WEIGHT_F16;
        return;
    }
    bool has_exception = !job->params->pure && t->role == TT_ROLE_MATRIX && exception_of(t, &exception);
    t->is_fragile = has_exception;
    tt_weight_type type = job->base;
    t->is_fixed = t->role == TT_ROLE_TABLE;
    if (tt_rules_match(job->rules, t->name, &type))
        t->is_fixed = true;
    else if (has_exception) {
        t->is_fixed = true;
        type = exception > job->base ? exception : job->base;
    }
    t->type = tt_job_type_for(job, t, type);
}

/* Layers that are stacked to one matrix on the device must be alike: the most exact type of a group wins. */
static void unite_groups(tt_quantize_job *job)
{
    for (size_t i = 0; i < job->n_tensors; i++) {
        tt_job_tensor *a = &job->tensors[i];
        for (size_t j = i + 1; a->role == TT_ROLE_MATRIX && j < job->n_tensors; j++) {
            tt_job_tensor *b = &job->tensors[j];
            if (b->group != a->group)
                break;
            if (b->role != TT_ROLE_MATRIX)
                continue;
            a->type = b->type = a->type > b->type ? a->type : b->type;
            a->is_fixed = b->is_fixed = a->is_fixed || b->is_fixed;
            a->is_fragile = b->is_fragile = a->is_fragile || b->is_fragile;
        }
    }
}

void tt_job_choose_types(tt_quantize_job *job)
{
    for (size_t i = 0; i < job->n_tensors; i++)
        choose(job, &job->tensors[i]);
    unite_groups(job);
    unite_groups(job); /* the first of three may have been weaker than the last */
    for (size_t i = 0; i < tt_rules_count(job->rules); i++)
        if (!tt_rules_was_used(job->rules, i))
            tt_log_write(&job->context->log, TT_LOG_WARNING, "the rule \"%s\" decided about no weight",
                         tt_rules_text(job->rules, i));
    for (size_t i = 0; i < job->n_tensors; i++)
        tt_log_write(&job->context->log, TT_LOG_DEBUG, "%s: %s", job->tensors[i].name,
                     tt_weight_type_name(job->tensors[i].type));
}
