/* tune.c - tt_tune: measures kernel variants on the shapes of a request. */
#include "graph/tuner.h"
#include "pipeline/request.h"
#include "pipeline/tune-store.h"

#include <stdatomic.h>
#include <time.h>

static const double usual_seconds = 20;

void tt_tune_params_default(tt_tune_params *params)
{
    *params = (tt_tune_params){.seconds = usual_seconds};
}

/* A running tt_tune. */
typedef struct tt_tune_job {
    tt_model *model;
    const tt_tune_params *params;
    struct timespec begun;
    tt_tuner tuner;
    size_t n_parts_left;
} tt_tune_job;

static double seconds_since(const struct timespec *begun)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begun->tv_sec) + (double)(now.tv_nsec - begun->tv_nsec) * 1e-9;
}

/* What is decided so far is kept before the next key is tried: a driver that crashes then takes nothing with it. */
static bool told(void *user, const tt_tuner_progress *p)
{
    tt_tune_job *job = user;
    tt_tune_store_save(job->model->context);
    if (atomic_load(&job->model->cancelled))
        return false;
    tt_tune_progress progress = {.part = p->graph,
                                 .op = p->op,
                                 .key = p->key,
                                 .done = p->done,
                                 .total = p->total,
                                 .seconds = seconds_since(&job->begun)};
    return !job->params->progress || job->params->progress(job->params->progress_user, &progress);
}

static tt_status tune_part(tt_tune_job *job, tt_part part, const tt_part_shape *shape, tt_error *err)
{
    tt_model *model = job->model;
    tt_unet_shape pass = tt_part_unet_shape(shape);
    uint32_t encoder = part == TT_PART_TEXT_2;
    tt_status status;
    switch (part) {
    case TT_PART_TEXT:
    case TT_PART_TEXT_2:
        status = tt_model_need_text(model, encoder, err);
        return status == TT_OK
                   ? tt_clip_tune(model->text[encoder].clip, shape->batch, shape->n_tokens, &job->tuner, err)
                   : status;
    case TT_PART_UNET:
        status = tt_model_need_unet(model, err);
        return status == TT_OK ? tt_unet_tune(model->unet, &pass, &job->tuner, err) : status;
    case TT_PART_ENCODER:
    case TT_PART_DECODER:
        status = tt_model_need_vae(model, err);
        return status == TT_OK
                   ? tt_vae_tune(model->vae, part == TT_PART_DECODER, shape->height, shape->width, &job->tuner, err)
                   : status;
    case TT_N_PARTS:
        break;
    }
    return TT_OK;
}

/* Frees what a part holds, as a request that keeps one part at a time does. */
static void leave_part(tt_model *model, tt_part part)
{
    if (part == TT_PART_UNET && model->unet)
        tt_unet_release_device(model->unet);
    else if ((part == TT_PART_ENCODER || part == TT_PART_DECODER) && model->vae)
        tt_vae_release_device(model->vae);
    else if (part <= TT_PART_TEXT_2 && model->text[part].clip)
        tt_clip_release_device(model->text[part].clip);
}

/* The parts, those that take the most of a run first. */
static tt_status tune_parts(tt_tune_job *job, const tt_memory_plan *plan, tt_error *err)
{
    static const tt_part order[] = {TT_PART_UNET, TT_PART_DECODER, TT_PART_TEXT, TT_PART_TEXT_2, TT_PART_ENCODER};
    tt_status status = TT_OK;
    for (size_t i = 0; i < sizeof order / sizeof *order && status == TT_OK; i++) {
        if (!tt_memory_part_runs(job->model, &plan->request, order[i]))
            continue;
        if (tt_tuner_is_over(&job->tuner)) {
            job->n_parts_left++;
            continue;
        }
        tt_part_shape shape = tt_memory_part_shape(job->model, &plan->request, &plan->choice, order[i]);
        status = tune_part(job, order[i], &shape, err);
        if (plan->choice.mode != TT_MEMORY_RESIDENT)
            leave_part(job->model, order[i]);
    }
    return status;
}

static void fill_report(const tt_tune_job *job, tt_tune_report *report)
{
    const tt_tuner_counts *c = &job->tuner.counts;
    *report = (tt_tune_report){.n_keys = c->n_keys,
                               .n_measured = c->n_measured,
                               .n_known = c->n_known,
                               .n_left = c->n_left,
                               .n_parts_left = job->n_parts_left,
                               .n_refused = c->n_refused,
                               .n_wrong = c->n_wrong,
                               .before_ms = c->before_ms,
                               .after_ms = c->after_ms,
                               .seconds = seconds_since(&job->begun)};
}

tt_status tt_tune(tt_model *model, const tt_generate_params *request, const tt_tune_params *params,
                  tt_tune_report *report)
{
    tt_error *err = tt_context_begin(model->context);
    tt_memory_plan plan;
    tt_tune_job job = {.model = model, .params = params};
    if (report)
        *report = (tt_tune_report){0};
    if (!(params->seconds > 0))
        return tt_fail(err, TT_ERROR_ARGUMENT, "tuning takes some seconds, not %g", params->seconds);
    job.tuner = (tt_tuner){.seconds = params->seconds, .again = params->again, .progress = told, .user = &job};
    clock_gettime(CLOCK_MONOTONIC, &job.begun);
    atomic_store(&model->cancelled, false);
    tt_status status = tt_request_check(model, request, err);
    if (status == TT_OK)
        status = tt_memory_plan_make(model, request, &plan, err);
    if (status == TT_OK && !plan.fits)
        return tt_memory_refuse(model, &plan, err);
    if (status == TT_OK)
        status = tt_memory_enter(model, &plan.choice, err);
    if (status == TT_OK) {
        status = tune_parts(&job, &plan, err);
        tt_memory_leave(model, &plan.choice);
        tt_tune_store_save(model->context);
    }
    if (report)
        fill_report(&job, report);
    return status;
}
