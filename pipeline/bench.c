/* bench.c - tt_bench_measure: one part of a model, timed as a whole and kernel by kernel. */
#include "base/clock.h"
#include "cl-kernels/dot.h"
#include "cl-kernels/peak.h"
#include "device/recorder.h"
#include "pipeline/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_TOKENS = 77, MAX_PASSES = 1000, MAX_SIDE = 8192 };

/* A part that is being measured: its inputs and outputs, made once. */
typedef struct tt_bench {
    tt_model *model;
    const tt_bench_params *params;
    tt_unet_shape shape; /* latent size, for the VAE too */
    float *in, *out;
    size_t n_in, n_out;
    int32_t ids[N_TOKENS];
} tt_bench;

static tt_status check(const tt_model *model, const tt_bench_params *p, tt_error *err)
{
    uint32_t factor = model->has_vae ? model->vae_config.factor : 8;
    if (p->n_passes < 1 || p->n_passes > MAX_PASSES)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a measurement of %u passes: expected 1 to %d", p->n_passes, MAX_PASSES);
    if (p->part == TT_BENCH_TEXT)
        return TT_OK;
    if (p->width < factor || p->height < factor || p->width % factor || p->height % factor || p->width > MAX_SIDE ||
        p->height > MAX_SIDE)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a picture of %u x %u: sides must be multiples of %u, at most %d",
                       p->width, p->height, factor, MAX_SIDE);
    return TT_OK;
}

/* Values in -1 .. 1 that are no noise worth the name, but neither constant nor periodic. */
static void fill(float *values, size_t n)
{
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(state >> 8) * (2.0f / 16777216.0f) - 1.0f;
    }
}

static tt_status make_arrays(tt_bench *b, size_t n_in, size_t n_out, tt_error *err)
{
    b->n_in = n_in;
    b->n_out = n_out;
    b->in = malloc(n_in * sizeof *b->in);
    b->out = malloc(n_out * sizeof *b->out);
    if (!b->in || !b->out)
        return tt_fail_memory(err, "a measurement", (n_in + n_out) * sizeof(float));
    fill(b->in, n_in);
    return TT_OK;
}

/* ---- the parts: what is done before the first pass, and a pass */

static tt_status begin_text(tt_bench *b, tt_error *err)
{
    const tt_clip_config *c = &b->model->text[0].config;
    for (int i = 0; i < N_TOKENS; i++)
        b->ids[i] = (int32_t)((uint32_t)i * 7u % c->n_vocabulary);
    tt_status status = tt_model_need_text(b->model, 0, err);
    return status == TT_OK ? make_arrays(b, 1, (size_t)N_TOKENS * c->hidden, err) : status;
}

static tt_status pass_text(tt_bench *b, tt_error *err)
{
    uint32_t n = b->model->text[0].config.n_positions < N_TOKENS ? b->model->text[0].config.n_positions : N_TOKENS;
    tt_clip_output output = {.last_hidden = b->out};
    return tt_clip_encode(b->model->text[0].clip, b->ids, 1, n, 1, &output, err);
}

/* A condition of made-up numbers. */
static tt_status set_condition(tt_bench *b, tt_error *err)
{
    const tt_unet_config *c = &b->model->unet_config;
    uint32_t n_added = c->addition_input_dim, batch = b->shape.batch;
    size_t n_context = (size_t)batch * N_TOKENS * c->cross_attention_dim, n_text = (size_t)batch * n_added;
    float *values = malloc((n_context + n_text + 6 * (size_t)batch) * sizeof *values);
    if (!values)
        return tt_fail_memory(err, "a condition", n_context * sizeof *values);
    fill(values, n_context + n_text + 6 * (size_t)batch);
    tt_unet_condition condition = {.context = values};
    if (n_added > 0) {
        condition.text_embeds = values + n_context;
        condition.time_ids = values + n_context + n_text;
    }
    tt_status status = tt_unet_set_condition(b->model->unet, &condition, err);
    free(values);
    return status;
}

static tt_status begin_unet(tt_bench *b, tt_error *err)
{
    const tt_unet_config *c = &b->model->unet_config;
    size_t positions = (size_t)b->shape.batch * b->shape.height * b->shape.width;
    tt_status status = tt_model_need_unet(b->model, err);
    if (status == TT_OK)
        status = make_arrays(b, positions * c->in_channels, positions * c->out_channels, err);
    if (status == TT_OK)
        status = tt_unet_prepare(b->model->unet, &b->shape, err);
    return status == TT_OK ? set_condition(b, err) : status;
}

static tt_status pass_unet(tt_bench *b, tt_error *err)
{
    double timesteps[64];
    for (uint32_t i = 0; i < b->shape.batch; i++)
        timesteps[i] = 500.0;
    return tt_unet_run(b->model->unet, b->in, timesteps, b->out, err);
}

static tt_status begin_vae(tt_bench *b, tt_error *err)
{
    const tt_vae_config *c = &b->model->vae_config;
    tt_status status = tt_model_need_vae(b->model, err);
    if (status != TT_OK)
        return status;
    tt_vae_set_tiles(b->model->vae, (tt_vae_tile){0, 0}, (tt_vae_tile){0, 0});
    return make_arrays(b, (size_t)c->latent_channels * b->shape.height * b->shape.width,
                       3 * (size_t)b->params->height * b->params->width, err);
}

static tt_status pass_vae(tt_bench *b, tt_error *err)
{
    return tt_vae_decode(b->model->vae, b->in, 1, b->shape.height, b->shape.width, b->out, NULL, NULL, err);
}

/* What was measured, beside times. */
static tt_recorder *note_sizes(tt_model *model, tt_bench_part part, tt_bench_report *report)
{
    tt_recorder *recorder = NULL;
    if (part == TT_BENCH_TEXT) {
        tt_clip *clip = model->text[0].clip;
        recorder = tt_clip_recorder(clip);
        report->weight_bytes = tt_clip_weight_bytes(clip);
        report->activation_bytes = tt_clip_arena_bytes(clip);
    } else if (part == TT_BENCH_UNET) {
        recorder = tt_unet_recorder(model->unet);
        report->weight_bytes = tt_unet_weight_bytes(model->unet);
        report->activation_bytes = tt_unet_arena_bytes(model->unet);
    } else {
        recorder = tt_vae_recorder(model->vae);
        report->weight_bytes = tt_vae_half_bytes(model->vae, true);
        report->activation_bytes = tt_vae_arena_bytes(model->vae);
    }
    return recorder;
}

static int by_ms(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int slowest_first(const void *a, const void *b)
{
    double x = ((const tt_kernel_time *)a)->ms, y = ((const tt_kernel_time *)b)->ms;
    return (x < y) - (x > y);
}

static tt_status profile(tt_recorder *recorder, tt_bench_report *report, tt_error *err)
{
    tt_profile_row *rows = NULL;
    size_t n = 0;
    tt_status status = tt_recorder_profile(recorder, &rows, &n, err);
    report->n_launches = (uint32_t)tt_recorder_count(recorder);
    for (size_t i = 0; i < n && status == TT_OK && report->n_kernels < TT_MAX_KERNEL_TIMES; i++) {
        tt_kernel_time *k = &report->kernels[report->n_kernels++];
        snprintf(k->op, sizeof k->op, "%s", rows[i].stem);
        k->n_launches = rows[i].n_launches;
        k->ms = rows[i].ms;
        k->flops = rows[i].flops;
        k->bytes = rows[i].bytes;
    }
    qsort(report->kernels, report->n_kernels, sizeof report->kernels[0], slowest_first);
    free(rows);
    return status;
}

typedef tt_status (*tt_bench_fn)(tt_bench *bench, tt_error *err);

static tt_status time_passes(tt_bench *b, tt_bench_fn pass, tt_bench_report *report, tt_error *err)
{
    uint32_t n = b->params->n_passes;
    double *ms = malloc(n * sizeof *ms);
    if (!ms)
        return tt_fail_memory(err, "times", n * sizeof *ms);
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < n && status == TT_OK; i++) {
        double begun = tt_clock_ms();
        status = pass(b, err);
        ms[i] = tt_clock_ms() - begun;
    }
    if (status == TT_OK) {
        qsort(ms, n, sizeof *ms, by_ms);
        report->best_ms = ms[0];
        report->median_ms = n % 2 ? ms[n / 2] : 0.5 * (ms[n / 2 - 1] + ms[n / 2]);
    }
    free(ms);
    return status;
}

static tt_status measure(tt_bench *b, tt_bench_report *report, tt_error *err)
{
    static const tt_bench_fn begin[] = {begin_text, begin_unet, begin_vae}, pass[] = {pass_text, pass_unet, pass_vae};
    tt_bench_part part = b->params->part;
    double begun = tt_clock_ms();
    tt_status status = begin[part](b, err);
    if (status == TT_OK)
        status = pass[part](b, err);
    report->first_ms = tt_clock_ms() - begun;
    if (status == TT_OK)
        status = time_passes(b, pass[part], report, err);
    if (status != TT_OK)
        return status;
    tt_recorder *recorder = note_sizes(b->model, part, report);
    return recorder ? profile(recorder, report, err) : TT_OK;
}

tt_status tt_bench_measure(tt_model *model, const tt_bench_params *params, tt_bench_report *report)
{
    tt_error *err = tt_context_begin(model->context);
    *report = (tt_bench_report){0};
    if ((unsigned)params->part > TT_BENCH_VAE)
        return tt_fail(err, TT_ERROR_ARGUMENT, "there is no part %d to measure", (int)params->part);
    tt_status status = check(model, params, err);
    if (status != TT_OK)
        return status;
    uint32_t factor = model->has_vae ? model->vae_config.factor : 8;
    tt_bench bench = {.model = model,
                      .params = params,
                      .shape = {.batch = params->batch ? params->batch : 1,
                                .height = params->height / factor,
                                .width = params->width / factor,
                                .n_tokens = N_TOKENS}};
    status = measure(&bench, report, err);
    free(bench.in);
    free(bench.out);
    return status;
}

tt_status tt_context_peaks(tt_context *context, tt_device_peaks *peaks)
{
    enum { RUNS = 5 };
    tt_error *err = tt_context_begin(context);
    *peaks = (tt_device_peaks){0};
    if (!context->device)
        return tt_fail(err, TT_ERROR_ARGUMENT, "no device is open; call tt_context_open_device first");
    tt_kernels kernels = {.device = context->device, .family = tt_device_caps(context->device)->family};
    double *const rates[] = {&peaks->float_flops, &peaks->half_flops, &peaks->int8_ops, &peaks->read_bytes};
    tt_status status = tt_dot_probe(context->device, context->tuning, &kernels.dot, err);
    for (int i = 0; i <= TT_PEAK_READ && status == TT_OK; i++)
        status = tt_peak_measure(&kernels, (tt_peak_kind)i, RUNS, rates[i], err);
    snprintf(peaks->half_unit, sizeof peaks->half_unit, "%s", tt_dot_name(kernels.dot.half));
    snprintf(peaks->int8_unit, sizeof peaks->int8_unit, "%s", tt_dot_name(kernels.dot.int8));
    return status;
}
