/* quantize-calibrate.c - runs prompts and sums the squares of what each layer reads. */
#include "pipeline/quantize-probe.h"

#include <stdio.h>
#include <string.h>

enum { MAX_PROMPTS = 256 };

/* Work for each prompt: activations are alike at all sizes, so a few steps of a small picture do. */
static const double aimed_flops = 10e9;

/* One part's observer. */
typedef struct watch {
    tt_quantize_job *job;
    tt_probe_part part;
} watch;

static tt_status see(void *user, const char *layers, const double *sums, size_t n_channels, uint64_t n_positions,
                     tt_error *err)
{
    const watch *w = user;
    tt_status status = TT_OK;
    for (const char *at = layers; at && status == TT_OK;) {
        char name[TT_MAX_NAME + 32];
        size_t length = strcspn(at, "+");
        snprintf(name, sizeof name, "%s%.*s", tt_probe_prefix(w->part), (int)length, at);
        status = tt_importance_add(w->job->importance, name, sums, n_channels, n_positions, err);
        at = at[length] == '+' ? at + length + 1 : NULL;
    }
    return status;
}

/* Installs or takes away the observers of all parts. */
static tt_status observe(tt_probe *probe, watch *watches, bool on, tt_error *err)
{
    tt_status status = TT_OK;
    for (int i = TT_PROBE_TEXT; i <= TT_PROBE_VAE && status == TT_OK; i++) {
        tt_weight_store *store = NULL;
        tt_graph_observer observer = {see, &watches[i]};
        watches[i] = (watch){probe->job, (tt_probe_part)i};
        if (i == TT_PROBE_TEXT_2 && !probe->job->model->text[1].present)
            continue;
        status = tt_probe_store(probe, (tt_probe_part)i, &store, err);
        if (status == TT_OK)
            tt_weight_store_observe(store, on ? &observer : NULL);
    }
    return status;
}

tt_status tt_job_calibrate(tt_quantize_job *job, tt_error *err)
{
    tt_probe probe;
    watch watches[TT_PROBE_VAE + 1];
    tt_job_begin_phase(job);
    tt_status status = tt_importance_create(&job->importance, err);
    if (status == TT_OK)
        status = tt_probe_create(job, job->params->prompts, MAX_PROMPTS, aimed_flops, &probe, err);
    if (status != TT_OK)
        return status;
    status = observe(&probe, watches, true, err);
    for (uint32_t i = 0; i < probe.n_prompts && status == TT_OK; i++) {
        status = tt_job_report(job, TT_QUANTIZE_CALIBRATE, i, probe.n_prompts, probe.prompts[i], err);
        if (status == TT_OK)
            status = tt_probe_run(&probe, i, NULL, probe.scratch, err);
    }
    if (status == TT_OK)
        status = observe(&probe, watches, false, err);
    tt_log_write(&job->context->log, TT_LOG_INFO, "calibrated %zu layers at %u steps of %ux%u latents",
                 tt_importance_count(job->importance), probe.n_steps, probe.side, probe.side);
    tt_probe_free(&probe);
    return status;
}
