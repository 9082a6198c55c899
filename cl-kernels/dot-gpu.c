/* dot-gpu.c - probes the product units of GPUs: a small program is built and what it computes is compared. */
#include "cl-kernels/dot-gpu.h"

#include "cl-kernels/launch.h"

#include <stdio.h>
#include <string.h>

/* Pairs of four bytes; largest magnitude of a byte in half, whose sums stay exact below 2048. */
enum { N_PAIRS = 64, LARGEST_HALF = 15 };

/* A unit and the form of gpu-dot.clh and of the options that it needs. */
typedef struct candidate {
    tt_dot_unit unit;
    const char *options;
} candidate;

/* True when the device says that it has a unit. */
static bool is_named(const tt_caps *caps, tt_dot_unit unit)
{
    switch (unit) {
    case TT_DOT_GPU_FP16:
        return caps->has_fp16;
    case TT_DOT_GPU_KHR:
        return caps->has_khr_dot;
    case TT_DOT_GPU_QCOM:
        return caps->has_qcom_dot;
    case TT_DOT_GPU_ARM:
        return caps->has_arm_dot;
    default:
        return false;
    }
}

/* Best first. */
static const candidate int8_units[] = {
    {TT_DOT_GPU_KHR, "-DGPU_MATH=2 -DGPU_DOT=1 -cl-std=CL3.0"},
    {TT_DOT_GPU_ARM, "-DGPU_MATH=2 -DGPU_DOT=3"},
    {TT_DOT_GPU_QCOM, "-DGPU_MATH=2 -DGPU_DOT=2"},
};
static const candidate half_units[] = {{TT_DOT_GPU_FP16, "-DGPU_MATH=1"}};

typedef struct probe {
    int8_t a[N_PAIRS][4], b[N_PAIRS][4];
    int32_t sums[N_PAIRS];
} probe;

/* Bytes of all signs and sizes; -128 is no code. */
static void fill(probe *p, bool is_half)
{
    uint32_t state = 1;
    int8_t *const arrays[2] = {&p->a[0][0], &p->b[0][0]};
    int32_t most = is_half ? LARGEST_HALF : 127;
    for (size_t i = 0; i < 2 * 4 * (size_t)N_PAIRS; i++) {
        state = state * 1664525u + 1013904223u;
        int32_t number = (int32_t)(state >> 8) % (2 * most + 1) - most;
        arrays[i / (4 * (size_t)N_PAIRS)][i % (4 * (size_t)N_PAIRS)] = (int8_t)number;
    }
    memset(p->sums, 0, sizeof(p->sums));
}

static bool is_right(const probe *p)
{
    for (int32_t i = 0; i < N_PAIRS; i++) {
        int32_t sum = i;
        for (int k = 0; k < 4; k++)
            sum += p->a[i][k] * p->b[i][k];
        if (p->sums[i] != sum)
            return false;
    }
    return true;
}

/* True when the candidate's program builds and its numbers are right. Only a lack of memory is an error. */
static tt_status try_unit(const tt_kernels *kernels, const candidate *one, bool is_half, bool *works, tt_error *err)
{
    probe p;
    tt_buffer buffers[3] = {{0}};
    tt_error ignored = {""};
    fill(&p, is_half);
    *works = false;
    const void *const values[3] = {p.a, p.b, p.sums};
    tt_status status = TT_OK;
    for (int i = 0; i < 3 && status == TT_OK; i++) {
        status = tt_buffer_create(kernels->device, sizeof(p.sums), "a probe of dot products", &buffers[i], err);
        if (status == TT_OK)
            status = tt_buffer_write(kernels->device, &buffers[i], 0, values[i], sizeof(p.sums), err);
    }
    if (status == TT_OK && tt_launch_once(kernels, "gpu-dot-probe.cl", one->options, "gpu_dot_probe", N_PAIRS, buffers,
                                          &ignored) == TT_OK) {
        status = tt_buffer_read(kernels->device, &buffers[2], 0, p.sums, sizeof(p.sums), err);
        *works = status == TT_OK && is_right(&p);
    }
    for (int i = 0; i < 3; i++)
        tt_buffer_release(kernels->device, &buffers[i]);
    return status;
}

static tt_status best_unit(const tt_kernels *kernels, const candidate *candidates, size_t n, bool is_half,
                           tt_dot_unit *best, tt_error *err)
{
    bool works = false;
    *best = TT_DOT_NONE;
    for (size_t i = 0; i < n; i++) {
        if (!is_named(tt_device_caps(kernels->device), candidates[i].unit))
            continue;
        tt_status status = try_unit(kernels, &candidates[i], is_half, &works, err);
        if (status != TT_OK)
            return status;
        if (works) {
            *best = candidates[i].unit;
            return TT_OK;
        }
    }
    return TT_OK;
}

tt_status tt_dot_gpu_probe(tt_device *device, tt_dot *dot, tt_error *err)
{
    const tt_kernels kernels = {.device = device, .family = TT_FAMILY_GPU_PLAIN};
    *dot = (tt_dot){TT_DOT_NONE, TT_DOT_NONE};
    tt_status status =
        best_unit(&kernels, half_units, sizeof(half_units) / sizeof(half_units[0]), true, &dot->half, err);
    if (status == TT_OK)
        status = best_unit(&kernels, int8_units, sizeof(int8_units) / sizeof(int8_units[0]), false, &dot->int8, err);
    return status;
}
