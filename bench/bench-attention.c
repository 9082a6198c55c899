/* bench-attention.c - speed of attention at the shapes of Stable Diffusion 1.5, beside the device's float peak.
 *
 *     bench-attention [-n RUNS] [-d DEVICE] [-s f32|f16] [-a float|half] [FILTER]
 *
 * is run from the repository root. Figures are of CPU time, as in bench-kernels: cores of the device times the work,
 * divided by the CPU time that the process used. */
#include "bench/probe.h"
#include "cl-kernels/attention.h"
#include "cl-kernels/dot.h"

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
    int n_runs;
    const char *device, *storage, *arithmetic, *filter;
} request;

typedef struct job {
    tt_buffer buffers[4];
    tt_attention_args args;
    tt_recorder *recorder;
} job;

/* Pseudo-random numbers near 1, so that scores spread by a few units. */
static tt_status fill(const tt_kernels *kernels, const tt_plane *plane, tt_buffer *buffer, tt_error *err)
{
    void *bytes = NULL;
    size_t n = tt_plane_bytes(plane, TT_STORAGE_F16) / 2;
    tt_status status = tt_buffer_map(kernels->device, buffer, &bytes, err);
    if (status != TT_OK)
        return status;
    uint32_t seed = 1;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        if (kernels->storage == TT_STORAGE_F16)
            ((uint16_t *)bytes)[i] = (uint16_t)(0x3800u + (seed >> 22) + (seed >> 6 & 0x8000u));
        else
            ((float *)bytes)[i] = (float)(int32_t)seed * 0x1p-30f;
    }
    return tt_buffer_unmap(kernels->device, buffer, bytes, err);
}

static tt_status set_up(const tt_kernels *kernels, const shape *s, job *j, tt_error *err)
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
            status = fill(kernels, planes[i], &j->buffers[i], err);
    }
    return status == TT_OK ? tt_attention_record(kernels, &j->args, j->recorder, err) : status;
}

static void tear_down(const tt_kernels *kernels, job *j)
{
    tt_recorder_destroy(j->recorder);
    for (size_t i = 0; i < 4; i++)
        tt_buffer_release(kernels->device, &j->buffers[i]);
}

static void report(const shape *s, const tt_kernels *kernels, double cpu, double peak_cpu, double peak_work)
{
    double cores = tt_device_caps(kernels->device)->n_compute_units, ms = cpu / cores * 1e3;
    double flops = 4.0 * s->n_queries * s->n_keys * s->n_heads * s->head_dim * s->batch * (s->causal ? 0.5 : 1.0);
    double rate = flops / ms * 1e-6, peak = peak_work / (peak_cpu / cores) * 1e-9;
    printf("%-18s d=%-4u %s %-6s %9.3f ms %8.1f GFLOP/s (float peak %.1f: %.2f)\n", s->where, (unsigned)s->head_dim,
           kernels->storage == TT_STORAGE_F16 ? "f16" : "f32", tt_dot_name(kernels->dot.half), ms, rate, peak,
           rate / peak);
}

static tt_status measure(const tt_probe *probe, const shape *s, const tt_kernels *kernels, int n_runs, tt_error *err)
{
    job j;
    tt_moment took;
    double best = 1e30, peak = 1e30;
    tt_status status = set_up(kernels, s, &j, err);
    if (status == TT_OK)
        status = tt_bench_replay(probe->kernels.device, j.recorder, &took, err);
    for (int i = 0; i < n_runs && status == TT_OK; i++) {
        status = tt_bench_replay(probe->kernels.device, probe->peaks[TT_PEAK_FLOAT].recorder, &took, err);
        peak = fmin(peak, took.cpu_s);
        if (status == TT_OK)
            status = tt_bench_replay(probe->kernels.device, j.recorder, &took, err);
        best = fmin(best, took.cpu_s);
    }
    if (status == TT_OK)
        report(s, kernels, best, peak, probe->peaks[TT_PEAK_FLOAT].work);
    tear_down(kernels, &j);
    return status;
}

static bool parse(int argc, char **argv, request *asked)
{
    int option;
    *asked = (request){.n_runs = 9, .filter = ""};
    while ((option = getopt(argc, argv, "n:d:s:a:")) != -1) {
        if (option == 'n')
            asked->n_runs = atoi(optarg);
        else if (option == 'd')
            asked->device = optarg;
        else if (option == 's')
            asked->storage = optarg;
        else if (option == 'a')
            asked->arithmetic = optarg;
        else
            return false;
    }
    if (optind < argc)
        asked->filter = argv[optind];
    return true;
}

/* Measures all shapes in one form, unless the request leaves it out. */
static tt_status measure_form(const tt_probe *probe, const request *asked, tt_kernels kernels, tt_error *err)
{
    bool is_half = kernels.storage == TT_STORAGE_F16, is_float = kernels.arithmetic == TT_ARITHMETIC_FLOAT;
    tt_status status = TT_OK;
    if (asked->storage != NULL && strcmp(asked->storage, is_half ? "f16" : "f32") != 0)
        return TT_OK;
    if (asked->arithmetic != NULL && strcmp(asked->arithmetic, is_float ? "float" : "half") != 0)
        return TT_OK;
    if (!is_float)
        status = tt_dot_probe(probe->kernels.device, &kernels.dot, err);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && status == TT_OK; i++)
        if (strstr(shapes[i].where, asked->filter) != NULL)
            status = measure(probe, &shapes[i], &kernels, asked->n_runs, err);
    return status;
}

int main(int argc, char **argv)
{
    request asked;
    tt_probe probe;
    tt_error err = {""};
    if (!parse(argc, argv, &asked))
        return 2;
    tt_status status = tt_probe_open(asked.device, &probe, &err);
    for (int i = 0; i < 4 && status == TT_OK; i++) {
        tt_kernels kernels = {.device = probe.kernels.device,
                              .storage = i % 2 == 0 ? TT_STORAGE_F16 : TT_STORAGE_F32,
                              .family = tt_device_caps(probe.kernels.device)->family,
                              .arithmetic = i < 2 ? TT_ARITHMETIC_FLOAT : TT_ARITHMETIC_HALF};
        status = measure_form(&probe, &asked, kernels, &err);
    }
    if (status != TT_OK)
        fprintf(stderr, "bench-attention: %s\n", err.text);
    tt_probe_close(&probe);
    return status == TT_OK ? 0 : 1;
}
