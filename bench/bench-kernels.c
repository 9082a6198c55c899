/* bench-kernels.c - speed of linear and conv3x3 at the shapes of Stable Diffusion 1.5, beside the device's peak.
 *
 *     bench-kernels [-n RUNS] [-d DEVICE] [-s f32|f16|f32w16] [-f tile|plain] [-t TYPE [-w 0|1]]
 *                   [-a float|half|int8] [-m METHOD] [FILTER]
 *
 * is run from the repository root. TYPE is how weights are stored instead of as the form says: F32, F16, Q8_0 ... Q6_K
 * or I8 (w8c); shapes whose rows are no whole blocks are then left out, and the speed of packing is told in bytes of
 * the file. -a: how is multiplied. FILTER: part of a shape's name, or "linear" or "conv". -w: never or always widen
 * them into scratch first; otherwise the kernels decide. METHOD is how float 3x3 convolutions make their sums: 0 the
 * fastest, 1 directly, 2 and 3 by Winograd's squares of 2 and 4; rates always count the direct form's operations.
 *
 * Runs of a shape and of a peak take turns (bench/turns.h). "cpu" compares the CPU time that the process used, which
 * other programs on the machine hardly change; it means something on CPU devices only, and so does "alone", the rate if
 * all units of the device worked all the time at the rate that this CPU time gives. */
#include "bench/turns.h"
#include "cl-kernels/conv3x3.h"
#include "cl-kernels/dequantize.h"
#include "cl-kernels/dot.h"
#include "cl-kernels/linear.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct shape {
    uint32_t n_taps, width, height, n_in, n_out;
    bool is_geglu, has_residual;
    tt_conv_mode mode;
    const char *where;
} shape;

static const shape shapes[] = {
    {9, 64, 64, 320, 320, false, true, TT_CONV_SAME, "UNet 64x64"},
    {9, 64, 64, 960, 320, false, false, TT_CONV_SAME, "UNet up 64x64"},
    {9, 32, 32, 640, 640, false, true, TT_CONV_SAME, "UNet 32x32"},
    {9, 16, 16, 1280, 1280, false, true, TT_CONV_SAME, "UNet 16x16"},
    {9, 16, 16, 2560, 1280, false, false, TT_CONV_SAME, "UNet up 16x16"},
    {9, 8, 8, 1280, 1280, false, true, TT_CONV_SAME, "UNet middle 8x8"},
    {9, 8, 8, 2560, 1280, false, false, TT_CONV_SAME, "UNet up 8x8"},
    {9, 64, 64, 320, 320, false, false, TT_CONV_DOWN, "UNet down to 32x32"},
    {9, 32, 32, 640, 640, false, false, TT_CONV_UP, "UNet up to 64x64"},
    {9, 64, 64, 4, 320, false, false, TT_CONV_SAME, "UNet in"},
    {9, 64, 64, 320, 4, false, false, TT_CONV_SAME, "UNet out"},
    {9, 64, 64, 512, 512, false, true, TT_CONV_SAME, "VAE 64x64"},
    {9, 128, 128, 512, 512, false, true, TT_CONV_SAME, "VAE 128x128"},
    {9, 256, 256, 256, 256, false, true, TT_CONV_SAME, "VAE 256x256"},
    {9, 512, 512, 128, 128, false, true, TT_CONV_SAME, "VAE 512x512"},
    {1, 4096, 1, 320, 320, false, true, TT_CONV_SAME, "attention out 64x64"},
    {1, 4096, 1, 320, 960, false, false, TT_CONV_SAME, "QKV 64x64"},
    {1, 4096, 1, 320, 2560, true, false, TT_CONV_SAME, "GEGLU 64x64"},
    {1, 4096, 1, 1280, 320, false, true, TT_CONV_SAME, "FF out 64x64"},
    {1, 1024, 1, 640, 640, false, true, TT_CONV_SAME, "attention out 32x32"},
    {1, 1024, 1, 640, 5120, true, false, TT_CONV_SAME, "GEGLU 32x32"},
    {1, 256, 1, 1280, 1280, false, true, TT_CONV_SAME, "attention out 16x16"},
    {1, 256, 1, 1280, 10240, true, false, TT_CONV_SAME, "GEGLU 16x16"},
    {1, 256, 1, 5120, 1280, false, true, TT_CONV_SAME, "FF out 16x16"},
    {1, 64, 1, 1280, 1280, false, true, TT_CONV_SAME, "attention out 8x8"},
    {1, 77, 1, 768, 640, false, false, TT_CONV_SAME, "cross-attention K,V"},
    {1, 1, 1, 1280, 1280, false, false, TT_CONV_SAME, "time embedding"},
};

/* How activations and weights are stored. */
typedef struct form {
    const char *name;
    tt_storage storage;
    tt_dtype weights;
} form;

static const form forms[] = {
    {"f32", TT_STORAGE_F32, TT_F32}, {"f32w16", TT_STORAGE_F32, TT_F16}, {"f16", TT_STORAGE_F16, TT_F16}};

/* Whether quantized weights are widened into scratch. */
typedef enum widening { WIDEN_NEVER = 0, WIDEN_ALWAYS, WIDEN_AS_KERNELS_DO } widening;

/* One shape's device memory and recorded launches. */
typedef struct job {
    tt_matrix matrix;
    tt_buffer buffers[3], scratch;
    double packed_rate; /* bytes of the file that were packed in a second */
    tt_plane in, out, residual;
    tt_recorder *recorder;
} job;

static tt_status make_plane(const tt_kernels *kernels, tt_plane *plane, tt_buffer *buffer, tt_error *err)
{
    size_t n_bytes = tt_plane_bytes(plane, kernels->storage);
    void *bytes = NULL;
    tt_status status = tt_buffer_create(kernels->device, n_bytes, "benchmark tensor", buffer, err);
    if (status == TT_OK)
        status = tt_buffer_map(kernels->device, buffer, &bytes, err);
    if (status != TT_OK)
        return status;
    /* Small numbers in both forms: 1.0 + something in half, in float 0.1 or so. */
    for (size_t i = 0; i < n_bytes / 4; i++)
        ((uint32_t *)bytes)[i] = 0x3c003c00u + ((uint32_t)i * 2654435761u >> 24);
    plane->mem = buffer->mem;
    return tt_buffer_unmap(kernels->device, buffer, bytes, err);
}

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Packs a described matrix a few times; the best rate in bytes of the file. */
static tt_status measure_packing(const tt_matrix_part *part, size_t n_bytes, job *j, tt_error *err)
{
    void *packed = aligned_alloc(64, (j->matrix.values.n_bytes + 63) / 64 * 64);
    if (packed == NULL)
        return tt_fail_memory(err, "packed weights", j->matrix.values.n_bytes);
    for (int i = 0; i < 5; i++) {
        double start = seconds_now();
        tt_matrix_pack(part, 1, &j->matrix, packed);
        double rate = (double)n_bytes / (seconds_now() - start);
        j->packed_rate = rate > j->packed_rate ? rate : j->packed_rate;
    }
    free(packed);
    return TT_OK;
}

static tt_status make_matrix(const tt_kernels *kernels, const shape *s, tt_dtype dtype, job *j, tt_error *err)
{
    size_t n = (size_t)s->n_in * s->n_taps * s->n_out, n_bytes = (size_t)tt_dtype_bytes(dtype, n);
    uint8_t *values = malloc(n_bytes);
    float *scales = calloc(s->n_out, sizeof(*scales));
    if (values == NULL || scales == NULL) {
        free(values);
        free(scales);
        return tt_fail_memory(err, "benchmark weights", n_bytes);
    }
    /* Halves below 2. Floats between 2^-7 and 2^-5: processors take many times as long for subnormal ones. */
    for (size_t i = 0; i < n_bytes; i++)
        values[i] = dtype == TT_F32 && i % 4 == 3 ? 0x3c : (uint8_t)(i * 2654435761u >> 16 & 0x3f);
    tt_matrix_part part = {.dtype = dtype, .values = values, .scale = scales, .n_out = s->n_out};
    tt_status status = tt_matrix_create(kernels, &part, 1, s->n_in, s->n_taps, 0, s->is_geglu, &j->matrix, err);
    if (status == TT_OK)
        status = measure_packing(&part, n_bytes, j, err);
    free(values);
    free(scales);
    return status;
}

/* Scratch of a job whose launches are to be recorded. */
static tt_status make_scratch(const tt_kernels *kernels, const shape *s, widening widen, job *j, tt_error *err)
{
    size_t n_bytes = s->n_taps == 1 ? tt_linear_scratch_bytes(kernels, &j->matrix, &j->out)
                                    : tt_conv3x3_scratch_bytes(kernels, &j->matrix, &j->in, &j->out);
    if (widen != WIDEN_AS_KERNELS_DO)
        n_bytes = widen == WIDEN_ALWAYS ? tt_dequantize_bytes(kernels, &j->matrix) : 0;
    return n_bytes == 0 ? TT_OK : tt_buffer_create(kernels->device, n_bytes, "benchmark scratch", &j->scratch, err);
}

static tt_status record(const tt_kernels *kernels, const shape *s, tt_conv_method method, job *j, tt_error *err)
{
    const tt_plane *residual = s->has_residual ? &j->residual : NULL;
    tt_linear_args linear = {
        .in = j->in, .matrix = &j->matrix, .residual = residual, .out = j->out, .scratch = j->scratch.mem};
    tt_conv3x3_args conv = {.in = j->in,
                            .matrix = &j->matrix,
                            .mode = s->mode,
                            .method = method,
                            .residual = residual,
                            .out = j->out,
                            .scratch = j->scratch.mem};
    return s->n_taps == 1 ? tt_linear_record(kernels, &linear, j->recorder, err)
                          : tt_conv3x3_record(kernels, &conv, j->recorder, err);
}

static tt_status set_up(const tt_kernels *kernels, const shape *s, tt_dtype dtype, widening widen,
                        tt_conv_method method, job *j, tt_error *err)
{
    *j = (job){
        .in = {.channels = s->n_in, .batch = 1, .height = s->height, .width = s->width, .border = s->n_taps == 9}};
    j->out = j->in;
    j->out.border = 0;
    j->out.channels = s->is_geglu ? s->n_out / 2 : s->n_out;
    if (s->mode == TT_CONV_DOWN) {
        j->out.width /= 2;
        j->out.height /= 2;
    } else if (s->mode == TT_CONV_UP) {
        j->out.width *= 2;
        j->out.height *= 2;
    }
    j->residual = j->out;
    tt_status status = make_plane(kernels, &j->in, &j->buffers[0], err);
    if (status == TT_OK)
        status = make_plane(kernels, &j->out, &j->buffers[1], err);
    if (status == TT_OK && s->has_residual)
        status = make_plane(kernels, &j->residual, &j->buffers[2], err);
    if (status == TT_OK)
        status = make_matrix(kernels, s, dtype, j, err);
    if (status == TT_OK)
        status = make_scratch(kernels, s, widen, j, err);
    if (status == TT_OK)
        status = tt_recorder_create(kernels->device, &j->recorder, err);
    return status == TT_OK ? record(kernels, s, method, j, err) : status;
}

static void tear_down(const tt_kernels *kernels, job *j)
{
    if (j->recorder != NULL)
        tt_recorder_destroy(j->recorder);
    tt_matrix_release(kernels->device, &j->matrix);
    for (int i = 0; i < 3; i++)
        tt_buffer_release(kernels->device, &j->buffers[i]);
    tt_buffer_release(kernels->device, &j->scratch);
}

static double flops_of(const shape *s, const job *j)
{
    return 2.0 * (double)tt_plane_positions(&j->out) * s->n_in * s->n_taps * s->n_out;
}

static void report(const shape *s, const form *f, const job *j, const tt_bench_result *result)
{
    tt_bench_rates rates = tt_bench_rates_of(result, flops_of(s, j));
    printf("%-20s %s %4ux%-3u %4u->%-5u %-6s %-4s %8.3f ms  best %6.1f  median %6.1f GFLOP/s  of peak %6.1f: %5.1f%%  "
           "cpu %5.1f%%, alone %7.1f GFLOP/s  packed %5.2f GB/s\n",
           s->where, s->n_taps == 9 ? "conv  " : "linear", s->width, s->height, s->n_in, s->n_out, f->name,
           tt_dtype_name(j->matrix.dtype), result->best.wall_s * 1e3, rates.best * 1e-9, rates.median * 1e-9,
           rates.peak * 1e-9, 100 * rates.best / rates.peak, 100 * rates.alone / rates.peak_alone, rates.alone * 1e-9,
           1e-9 * j->packed_rate);
    (void)fflush(stdout);
}

/* What the command line asks for. */
typedef struct request {
    tt_bench_request common;
    bool has_type, has_family;
    tt_dtype type;
    tt_family family;
    widening widen;
    tt_conv_method method;
} request;

static tt_status measure(const tt_probe *probe, const shape *s, const form *f, const request *asked, tt_family family,
                         tt_error *err)
{
    tt_kernels kernels = {.device = probe->kernels.device,
                          .storage = f->storage,
                          .family = family,
                          .arithmetic = asked->common.arithmetic,
                          .dot = probe->kernels.dot};
    job j;
    tt_bench_result result;
    tt_status status = set_up(&kernels, s, f->weights, asked->widen, asked->method, &j, err);
    if (status == TT_OK)
        status = tt_bench_turns(probe, &asked->common, j.matrix.arithmetic, j.recorder, &j.buffers[1], &result, err);
    if (status == TT_OK)
        report(s, f, &j, &result);
    tear_down(&kernels, &j);
    return status;
}

/* Reads the name of a type; false when weights cannot be of it. */
static bool parse_type(const char *name, tt_dtype *dtype)
{
    for (int i = 0; i < TT_N_DTYPES; i++) {
        *dtype = (tt_dtype)i;
        bool is_weight = i == TT_F32 || i == TT_F16 || i == TT_BF16 || tt_quant_is_type(*dtype);
        if (is_weight && strcmp(name, tt_dtype_name(*dtype)) == 0)
            return true;
    }
    return false;
}

static bool parse(int argc, char **argv, request *asked)
{
    int option;
    *asked = (request){.common = {.n_runs = 9, .filter = ""}, .widen = WIDEN_AS_KERNELS_DO};
    while ((option = getopt(argc, argv, TT_BENCH_OPTIONS "f:t:w:m:")) != -1) {
        if (option == 'f')
            asked->has_family = true;
        else if (option == 't')
            asked->has_type = true;
        else if (option == 'm')
            asked->method = (tt_conv_method)atoi(optarg);
        else if (option == 'w')
            asked->widen = atoi(optarg) != 0 ? WIDEN_ALWAYS : WIDEN_NEVER;
        else if (!tt_bench_option(&asked->common, option, optarg))
            return false;
        if (option == 'f')
            asked->family = strcmp(optarg, "tile") == 0 ? TT_FAMILY_CPU_TILE : TT_FAMILY_GPU_PLAIN;
        if (option == 't' && !parse_type(optarg, &asked->type))
            return false;
    }
    if (optind < argc)
        asked->common.filter = argv[optind];
    return true;
}

/* Measures one shape in one form, unless the request leaves it out. */
static tt_status measure_asked(const tt_probe *probe, const request *asked, const shape *s, form f, tt_error *err)
{
    if (asked->has_type)
        f.weights = asked->type;
    const char *kind = s->n_taps == 9 ? "conv" : "linear";
    const char *filter = asked->common.filter, *storage = asked->common.storage;
    bool is_named = strstr(s->where, filter) != NULL || strcmp(kind, filter) == 0;
    bool is_wanted = is_named && (storage == NULL || strcmp(storage, f.name) == 0);
    bool has_whole_blocks = (size_t)s->n_in * s->n_taps % tt_dtype_block(f.weights) == 0;
    if (!is_wanted || !has_whole_blocks)
        return TT_OK;
    tt_family family = asked->has_family ? asked->family : tt_device_caps(probe->kernels.device)->family;
    return measure(probe, s, &f, asked, family, err);
}

int main(int argc, char **argv)
{
    request asked;
    tt_probe probe;
    tt_error err = {""};
    if (!parse(argc, argv, &asked))
        return 2;
    tt_status status = tt_probe_open(asked.common.device, &probe, &err);
    for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++)
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && status == TT_OK; i++)
            status = measure_asked(&probe, &asked, &shapes[i], forms[f], &err);
    if (status != TT_OK)
        fprintf(stderr, "bench-kernels: %s\n", err.text);
    tt_probe_close(&probe);
    return status == TT_OK ? 0 : 1;
}
