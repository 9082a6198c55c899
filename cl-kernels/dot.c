/* dot.c - probes dot product units: a small product is computed and compared. */
#include "cl-kernels/dot.h"

#include "cl-kernels/dot-gpu.h"
#include "cl-kernels/dot-system.h"
#include "cl-kernels/launch.h"
#include "cl-kernels/matrix-dot.h"
#include "cl-kernels/tuning.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The product of dot-probe.cl. */
enum { BLOCKS = 2, VECTORS = 3, LANES = 16, GROUPS = BLOCKS * TT_DOT_GROUPS };
enum { N_WEIGHTS = BLOCKS * TT_DOT_PANEL * TT_DOT_BLOCK_BYTES, N_X = GROUPS * VECTORS * LANES * 4 };
enum { N_SUMS = VECTORS * TT_DOT_PANEL * LANES };

/* Units that CPUs may have, best first. */
static const tt_dot_unit cpu_units[] = {TT_DOT_AMX, TT_DOT_AVX512};

const char *tt_dot_name(tt_dot_unit unit)
{
    static const char *const names[] = {"none", "plain", "avx512", "amx", "fp16", "khr", "qcom", "arm"};
    return names[unit];
}

/* What the probe computes with, as the device has it. */
typedef struct probe {
    bool is_half;
    uint8_t weights[N_WEIGHTS], x[N_X];
    uint32_t sums[N_SUMS]; /* int, or the bits of floats */
} probe;

/* A small whole number as a stored number of the probe: exact in both forms. */
static void fill(probe *p)
{
    uint32_t state = 1;
    for (size_t i = 0; i < N_WEIGHTS + N_X; i += p->is_half ? 2 : 1) {
        uint8_t *at = i < N_WEIGHTS ? p->weights + i : p->x + (i - N_WEIGHTS);
        state = state * 1664525u + 1013904223u;
        uint32_t bits = state >> 24;
        if (!p->is_half) {
            *at = (uint8_t)bits;
            continue;
        }
        float value = (float)(int)(bits & 31) - 15.0f;
        memcpy(&bits, &value, sizeof(bits));
        at[0] = (uint8_t)(bits >> 16);
        at[1] = (uint8_t)(bits >> 24);
    }
}

static int32_t half_number(const uint8_t *at)
{
    uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 24;
    float value;
    memcpy(&value, &bits, sizeof(value));
    return (int32_t)value;
}

/* The product of one group of four bytes. */
static int32_t multiply_group(const probe *p, const uint8_t *w, const uint8_t *x)
{
    int32_t sum = 0;
    if (p->is_half)
        return half_number(w) * half_number(x) + half_number(w + 2) * half_number(x + 2);
    for (int i = 0; i < 4; i++)
        sum += (int32_t)(int8_t)w[i] * x[i];
    return sum;
}

static int32_t wanted(const probe *p, size_t vector, size_t output, size_t lane)
{
    int32_t sum = 0;
    for (size_t group = 0; group < GROUPS; group++) {
        size_t block = group / TT_DOT_GROUPS, within = group % TT_DOT_GROUPS;
        sum += multiply_group(p, p->weights + ((block * TT_DOT_PANEL + output) * TT_DOT_GROUPS + within) * 4,
                              p->x + ((group * VECTORS + vector) * LANES + lane) * 4);
    }
    return sum;
}

static bool is_right(const probe *p)
{
    for (size_t i = 0; i < N_SUMS; i++) {
        int32_t want = wanted(p, i / (TT_DOT_PANEL * LANES), i / LANES % TT_DOT_PANEL, i % LANES);
        float number = (float)want;
        uint32_t bits = (uint32_t)want;
        if (p->is_half)
            memcpy(&bits, &number, sizeof(bits));
        if (p->sums[i] != bits)
            return false;
    }
    return true;
}

static tt_status create_buffers(tt_device *device, const probe *p, tt_buffer buffers[3], tt_error *err)
{
    const size_t sizes[3] = {sizeof(p->weights), sizeof(p->x), sizeof(p->sums)};
    const void *const values[3] = {p->weights, p->x, p->sums};
    tt_status status = TT_OK;
    for (int i = 0; i < 3 && status == TT_OK; i++) {
        status = tt_buffer_create(device, sizes[i], "a probe of dot products", &buffers[i], err);
        if (status == TT_OK)
            status = tt_buffer_write(device, &buffers[i], 0, values[i], sizes[i], err);
    }
    return status;
}

/* Runs the program of a unit over the buffers. */
static tt_status launch(const tt_kernels *kernels, tt_dot_unit unit, bool is_half, const tt_buffer buffers[3],
                        tt_error *err)
{
    char options[64];
    (void)snprintf(options, sizeof(options), "-DDOT_UNIT=%d -DDOT_HALF=%d", (int)unit, is_half);
    return tt_launch_once(kernels, "dot-probe.cl", options, "dot_probe", 1, buffers, err);
}

/* True when the unit's program builds and its numbers are right. Failures of the memory it needs are no answer. */
static tt_status try_unit(const tt_kernels *kernels, tt_dot_unit unit, bool is_half, probe *p, bool *works,
                          tt_error *err)
{
    tt_buffer buffers[3] = {{0}};
    tt_error ignored = {""};
    *works = false;
    memset(p, 0, sizeof(*p));
    p->is_half = is_half;
    fill(p);
    tt_status status = create_buffers(kernels->device, p, buffers, err);
    if (status == TT_OK && launch(kernels, unit, is_half, buffers, &ignored) == TT_OK) {
        status = tt_buffer_read(kernels->device, &buffers[2], 0, p->sums, sizeof(p->sums), err);
        *works = status == TT_OK && is_right(p);
    }
    for (int i = 0; i < 3; i++)
        tt_buffer_release(kernels->device, &buffers[i]);
    return status;
}

/* The environment's limit; units that are not named do not limit. */
static tt_dot_unit highest_unit(void)
{
    const char *name = getenv("TINTYPE_DOT");
    for (int unit = TT_DOT_NONE; name != NULL && unit <= TT_DOT_AMX; unit++)
        if (strcmp(name, tt_dot_name((tt_dot_unit)unit)) == 0)
            return (tt_dot_unit)unit;
    return TT_DOT_AMX;
}

void tt_dot_form_name(tt_dot_unit unit, bool is_half, char name[32])
{
    (void)snprintf(name, 32, "%s %s", tt_dot_name(unit), is_half ? "half" : "int8");
}

/* Whether any check of the self-test found the unit wrong in this form. */
static bool is_disabled(const tt_tuning *tuning, tt_dot_unit unit, bool is_half)
{
    char name[32];
    tt_dot_form_name(unit, is_half, name);
    return unit != TT_DOT_NONE && tt_tuning_is_disabled(tuning, "dot", name, NULL);
}

static tt_status best_unit(const tt_kernels *kernels, const tt_tuning *tuning, bool is_half, probe *p,
                           tt_dot_unit *best, tt_error *err)
{
    tt_dot_unit highest = highest_unit();
    tt_status status = TT_OK;
    *best = highest == TT_DOT_PLAIN ? TT_DOT_PLAIN : TT_DOT_NONE;
    for (size_t i = 0; i < sizeof(cpu_units) / sizeof(cpu_units[0]) && status == TT_OK && *best == TT_DOT_NONE; i++) {
        bool works = false;
        if (cpu_units[i] <= highest && !is_disabled(tuning, cpu_units[i], is_half) &&
            tt_dot_system_has(cpu_units[i], is_half))
            status = try_unit(kernels, cpu_units[i], is_half, p, &works, err);
        if (works)
            *best = cpu_units[i];
    }
    return status;
}

/* What the device's note says of both forms; false where nothing is noted, or a unit that is disabled by now. */
static bool read_note(uint32_t note, const tt_tuning *tuning, tt_dot *dot)
{
    *dot = (tt_dot){(tt_dot_unit)(note >> 8 & 255), (tt_dot_unit)(note & 255)};
    return note != 0 && !is_disabled(tuning, dot->half, true) && !is_disabled(tuning, dot->int8, false);
}

tt_status tt_dot_probe(tt_device *device, const tt_tuning *tuning, tt_dot *dot, tt_error *err)
{
    enum { KNOWN = 1 << 16 };
    uint32_t *note = tt_device_note(device, TT_DEVICE_NOTE_DOT);
    tt_kernels kernels = {.device = device, .family = tt_device_caps(device)->family};
    if (read_note(*note, tuning, dot))
        return TT_OK;
    *dot = (tt_dot){TT_DOT_NONE, TT_DOT_NONE};
    if (tt_device_caps(device)->is_cpu && kernels.family == TT_FAMILY_CPU_TILE) {
        probe *p = malloc(sizeof(*p));
        if (p == NULL)
            return tt_fail_memory(err, "a probe of dot products", sizeof(*p));
        tt_status status = best_unit(&kernels, tuning, true, p, &dot->half, err);
        if (status == TT_OK)
            status = best_unit(&kernels, tuning, false, p, &dot->int8, err);
        free(p);
        if (status != TT_OK)
            return status;
    }
    /* A limit below every unit of GPUs; the plain form is slower than float there, and for tests. */
    tt_dot_unit highest = highest_unit();
    if (kernels.family == TT_FAMILY_GPU_PLAIN && highest == TT_DOT_PLAIN)
        dot->int8 = TT_DOT_PLAIN;
    else if (kernels.family == TT_FAMILY_GPU_PLAIN && highest != TT_DOT_NONE) {
        tt_status status = tt_dot_gpu_probe(device, dot, err);
        if (status != TT_OK)
            return status;
    }
    if (is_disabled(tuning, dot->half, true))
        dot->half = TT_DOT_NONE;
    if (is_disabled(tuning, dot->int8, false))
        dot->int8 = TT_DOT_NONE;
    *note = KNOWN | (uint32_t)dot->half << 8 | (uint32_t)dot->int8;
    return TT_OK;
}
