/* quantize.c - tt_quantize: a model becomes one smaller file. */
#include "base/file.h"
#include "base/parallel.h"
#include "pipeline/quantize-job.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

void tt_quantize_params_default(tt_quantize_params *params)
{
    *params = (tt_quantize_params){0};
    tt_model_params_default(&params->model);
}

void tt_quantize_report_free(tt_quantize_report *report)
{
    free(report->layers);
    free(report->units);
    *report = (tt_quantize_report){0};
}

double tt_job_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

void tt_job_begin_phase(tt_quantize_job *job)
{
    job->phase_started_ms = tt_job_now_ms();
}

tt_status tt_job_report(tt_quantize_job *job, tt_quantize_phase phase, uint64_t done, uint64_t total, const char *name,
                        tt_error *err)
{
    tt_quantize_progress progress = {phase, done, total, name, tt_job_now_ms() - job->phase_started_ms};
    if (!job->params->progress || job->params->progress(job->params->progress_user, &progress))
        return TT_OK;
    return tt_fail(err, TT_ERROR_CANCELLED, "cancelled; no file was written");
}

static bool has_budget(const tt_quantize_params *p)
{
    return p->size_budget > 0 || p->fidelity_db > 0.0;
}

static tt_status check_params(const tt_quantize_params *p, tt_error *err)
{
    if (!p->output || !p->output[0])
        return tt_fail(err, TT_ERROR_ARGUMENT, "no output was named; give the .gguf file to write");
    if (!p->type && !has_budget(p))
        return tt_fail(err, TT_ERROR_ARGUMENT, "no type was named; q8_0, q4_k and f16 are usual");
    if (p->size_budget > 0 && p->fidelity_db > 0.0)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a budget is a size or a fidelity, not both");
    if (!(p->fidelity_db >= 0.0 && p->fidelity_db <= 100.0))
        return tt_fail(err, TT_ERROR_ARGUMENT, "a fidelity of %g dB is out of range: 10 to 60 are useful",
                       p->fidelity_db);
    if (!(p->prune >= 0.0f && p->prune < 1.0f))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "a share of %g cannot be pruned: it goes from 0 to below 1; 0.3 is usual", (double)p->prune);
    if (p->n_threads > TT_MAX_THREADS)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%u threads are out of range: 1 to %d", p->n_threads, TT_MAX_THREADS);
    return TT_OK;
}

static tt_status prepare(tt_quantize_job *job, tt_error *err)
{
    const tt_quantize_params *p = job->params;
    job->fit = p->plain_fit ? TT_FIT_PLAIN : TT_FIT_SEARCH;
    job->n_threads = p->n_threads ? p->n_threads : tt_parallel_processors();
    job->base = TT_WEIGHT_Q8_0;
    tt_status status = p->type ? tt_weight_type_parse(p->type, strlen(p->type), &job->base, err) : TT_OK;
    if (status == TT_OK)
        status = tt_rules_create(p->rules, &job->rules, err);
    /* Loading reports into the same context. */
    if (status == TT_OK)
        status = tt_model_load(job->context, &p->model, &job->model);
    if (status == TT_OK)
        tt_model_pin_float(job->model);
    if (status == TT_OK)
        status = tt_job_check_output(job, err);
    if (status == TT_OK && p->prune_structured)
        status = tt_job_prune_structured(job, err);
    if (status == TT_OK)
        status = tt_job_list(job, err);
    if (status == TT_OK)
        tt_job_choose_types(job);
    return status;
}

/* At most so much do header and padding take: GGUF's texts have lengths of 8 bytes, data begins at multiples of 32. */
static uint64_t metadata_bytes(const tt_job_metadata *m, const tt_quantize_job *job)
{
    uint64_t n = 24 + 8 + strlen("general.alignment") + 8 + 31;
    for (size_t i = 0; i < m->n; i++)
        n += 8 + strlen(m->pairs[i].key) + 4 + (m->pairs[i].text ? 8 + strlen(m->pairs[i].text) : 4);
    for (size_t i = 0; i < job->n_tensors; i++)
        n += 8 + strlen(job->tensors[i].name) + 4 + 8 * job->tensors[i].n_dims + 4 + 8 + 31;
    return n;
}

static uint64_t file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

static tt_status run(tt_quantize_job *job, tt_job_metadata *metadata, tt_error *err)
{
    const tt_quantize_params *p = job->params;
    tt_quantize_report *r = job->report;
    tt_status status = prepare(job, err);
    if (status == TT_OK)
        status = tt_job_hash_source(job, err);
    if (status == TT_OK)
        status = tt_job_make_metadata(job, metadata, err);
    double started = tt_job_now_ms();
    if (status == TT_OK && p->prompts)
        status = tt_job_calibrate(job, err);
    r->calibrate_ms = p->prompts ? tt_job_now_ms() - started : 0.0;
    started = tt_job_now_ms();
    if (status == TT_OK && has_budget(p))
        status = tt_job_mix(job, metadata_bytes(metadata, job), err);
    r->measure_ms = has_budget(p) ? tt_job_now_ms() - started : 0.0;
    started = tt_job_now_ms();
    if (status == TT_OK)
        status = tt_job_write(job, metadata, err);
    r->write_ms = tt_job_now_ms() - started;
    r->bytes_in += job->n_bytes_left_out;
    r->bytes_out = status == TT_OK ? file_bytes(p->output) : 0;
    return status;
}

tt_status tt_quantize(tt_context *context, const tt_quantize_params *params, tt_quantize_report *report)
{
    tt_error *err = tt_context_begin(context);
    tt_quantize_report own = {0};
    tt_quantize_job job = {.context = context, .params = params, .report = report ? report : &own};
    tt_job_metadata metadata = {0};
    *job.report = (tt_quantize_report){0};
    tt_status status = check_params(params, err);
    if (status == TT_OK)
        status = run(&job, &metadata, err);
    tt_job_free_metadata(&metadata);
    tt_job_free_list(&job);
    tt_importance_destroy(job.importance);
    tt_rules_destroy(job.rules);
    tt_model_destroy(job.model);
    if (status != TT_OK || !report)
        tt_quantize_report_free(job.report);
    return status;
}
