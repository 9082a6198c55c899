/* bench-attention.c - speed of attention at the shapes of Stable Diffusion, beside the device's peak.
 *
 *     bench-attention [-n RUNS] [-d DEVICE] [-s f32|f16] [-a float|half] [-x SPREAD] [FILTER]
 *
 * is run from the repository root. SPREAD is the deviation of the scores before the softmax, 1 unless it is told:
 * trained models have up to some tens, and the largest score so far rises more often then. Milliseconds and rates are
 * of CPU time, spread over the device's cores (bench/turns.h); "wall" is the best by the clock on the wall. */
#include "base/dtype.h"
#include "bench/turns.h"
#include "cl-kernels/attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct shape {
    uint32_t n_queries, n_keys, n_heads, head_dim, batch;
    bool causal;
    const char *where;
} shape;

static const shape shapes[] = {
    {4096, 4096, 8, 40, 1, false, "UNet 64x64"},     {1024, 1024, 8, 80, 1, false, "UNet 32x32"},
    {256, 256, 8, 160, 1, false, "UNet 16x16"},      {64, 64, 8, 160, 1, false, "UNet 8x8"},
    {4096, 77, 8, 40, 1, false, "UNet cross 64x64"}, {1024, 77, 8, 80, 1, false, "UNet cross 32x32"},
    {4096, 4096, 10, 64, 1, false, "SDXL 64x64"},    {4096, 4096, 1, 512, 1, false, "VAE 64x64"},
    {77, 77, 12, 64, 1, true, "text encoder"},
};

/* What the command line asks for. */
typedef struct request {
    tt_bench_request common;
    double spread;
} request;

typedef struct job {
    tt_buffer buffers[4];
    tt_attention_args args;
    tt_recorder *recorder;
} job;

/* Pseudo-random numbers of this deviation. */
static tt_status fill(const tt_kernels *kernels, const tt_plane *plane, double deviation, tt_buffer *buffer,
                      tt_error *err)
{
    void *bytes = NULL;
    size_t n = tt_plane_bytes(plane, TT_STORAGE_F16) / 2;
    tt_status status = tt_buffer_map(kernels->device, buffer, &bytes, err);
    if (status != TT_OK)
        return status;
    uint32_t seed = 1;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        float value = (float)((double)(int32_t)seed * 0x1p-31 * sqrt(3.0) * deviation);
        if (kernels->storage == TT_STORAGE_F16)
            ((uint16_t *)bytes)[i] = tt_float_to_half(value);
        else
            ((float *)bytes)[i] = value;
    }
    return tt_buffer_unmap(kernels->device, buffer, bytes, err);
}

static tt_status set_up(const tt_kernels *kernels, const shape *s, double spread, job *j, tt_error *err)
{
    tt_plane q = {.channels = s->n_heads * s->head_dim, .batch = s->batch, .height = 1, .width = s->n_queries}, k = q;
    k.width = s->n_keys;
    *j = (job){.args = {q, k, k, s->n_heads, s->head_dim, s->causal, q}};
    tt_plane *planes[] = {&j->args.q, &j->args.k, &j->args.v, &j->args.out};
    tt_status status = tt_recorder_create(kernels->device, &j->recorder, err);
    for (size_t i = 0; i < 4 && status == TT_OK; i++) {
        status = tt_buffer_create(kernels->device, tt_plane_bytes(planes[i], kernels->storage), "benchmark tensor",
                                  &j->buffers[i], err);
        planes[i]->mem = j->buffers[i].mem;
        if (status == TT_OK)
            status = fill(kernels, planes[i], i == 0 ? spread : 1.0, &j->buffers[i], err);
    }
    return status == TT_OK ? tt_attention_record(kernels, &j->args, j->recorder, err) : status;
}

static void tear_down(const tt_kernels *kernels, job *j)
{
    tt_recorder_destroy(j->recorder);
    for (size_t i = 0; i < 4; i++)
        tt_buffer_release(kernels->device, &j->buffers[i]);
}

static void report(const shape *s, const tt_kernels *kernels, const tt_bench_result *result)
{
    double flops = 4.0 * s->n_queries * s->n_keys * s->n_heads * s->head_dim * s->batch * (s->causal ? 0.5 : 1.0);
    tt_bench_rates rates = tt_bench_rates_of(result, flops);
    printf("%-18s d=%-4u %s %-6s %9.3f ms %8.1f GFLOP/s (peak %7.1f: %5.1f%%), wall %9.3f ms\n", s->where,
           (unsigned)s->head_dim, kernels->storage == TT_STORAGE_F16 ? "f16" : "f32", tt_dot_name(kernels->dot.half),
           flops / rates.alone * 1e3, rates.alone * 1e-9, rates.peak_alone * 1e-9, 100 * rates.alone / rates.peak_alone,
           result->best.wall_s * 1e3);
    (void)fflush(stdout);
}

static tt_status measure(const tt_probe *probe, const shape *s, const tt_kernels *kernels, const request *asked,
                         tt_error *err)
{
    job j;
    tt_bench_result result;
    tt_status status = set_up(kernels, s, asked->spread, &j, err);
    if (status == TT_OK)
        status = tt_bench_turns(probe, &asked->common, kernels->arithmetic, j.recorder, &j.buffers[3], &result, err);
    if (status == TT_OK)
        report(s, kernels, &result);
    tear_down(kernels, &j);
    return status;
}

static bool parse(int argc, char **argv, request *asked)
{
    int option;
    *asked = (request){.common = {.n_runs = 9, .filter = ""}, .spread = 1.0};
    while ((option = getopt(argc, argv, TT_BENCH_OPTIONS "x:")) != -1) {
        if (option == 'x')
            asked->spread = atof(optarg);
        else if (!tt_bench_option(&asked->common, option, optarg))
            return false;
    }
    if (optind < argc)
        asked->common.filter = argv[optind];
    return true;
}

/* Measures all shapes in one form, unless the request leaves it out. */
static tt_status measure_form(const tt_probe *probe, const request *asked, const tt_kernels *kernels, tt_error *err)
{
    const tt_bench_request *common = &asked->common;
    tt_status status = TT_OK;
    if (common->storage != NULL && strcmp(common->storage, kernels->storage == TT_STORAGE_F16 ? "f16" : "f32") != 0)
        return TT_OK;
    if (common->has_arithmetic && common->arithmetic != kernels->arithmetic)
        return TT_OK;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && status == TT_OK; i++)
        if (strstr(shapes[i].where, common->filter) != NULL)
            status = measure(probe, &shapes[i], kernels, asked, err);
    return status;
}

int main(int argc, char **argv)
{
    request asked;
    tt_probe probe;
    tt_error err = {""};
    if (!parse(argc, argv, &asked))
        return 2;
    tt_status status = tt_probe_open(asked.common.device, &probe, &err);
    for (int i = 0; i < 4 && status == TT_OK; i++) {
        tt_kernels kernels = {.device = probe.kernels.device,
                              .storage = i % 2 == 0 ? TT_STORAGE_F16 : TT_STORAGE_F32,
                              .family = tt_device_caps(probe.kernels.device)->family,
                              .arithmetic = i < 2 ? TT_ARITHMETIC_FLOAT : TT_ARITHMETIC_HALF};
        if (i >= 2)
            kernels.dot = probe.kernels.dot;
        status = measure_form(&probe, &asked, &kernels, &err);
    }
    if (status != TT_OK)
        fprintf(stderr, "bench-attention: %s\n", err.text);
    tt_probe_close(&probe);
    return status == TT_OK ? 0 : 1;
}
