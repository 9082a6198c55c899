/* peak.c - records and times the loops of peak.cl. */
#include "cl-kernels/peak.h"

#include "base/clock.h"
#include "cl-kernels/launch.h"

#include <stdio.h>

/* Loops of a work item, as in peak.cl, and how many work items there are. */
enum { CHAINS = 14, LANES = 16, TILE_CHAINS = 4, VECTOR_CHAINS = 20, DOT_SUMS_BYTES = 4096 };
enum { CPU_ITEMS = 64, GPU_ITEMS_PER_UNIT = 4096, GPU_LANES = 64, FLOAT_ROUNDS = 60000, GPU_ROUNDS = 2000 };
enum { DOT_ROUNDS = 20000, READ_BYTES = 64 << 20, READ_ITEMS = 64 };

/* One loop: what is started, and with how much work. */
typedef struct loop {
    const char *file, *entry;
    char options[64];
    size_t n_items, n_local, item_bytes; /* bytes that an item writes */
    uint32_t rounds;
    double work;
} loop;

static bool is_cpu_unit(tt_dot_unit unit)
{
    return unit == TT_DOT_AVX512 || unit == TT_DOT_AMX;
}

static loop float_loop(const tt_kernels *kernels)
{
    bool is_gpu = kernels->family != TT_FAMILY_CPU_TILE;
    size_t units = tt_device_caps(kernels->device)->n_compute_units;
    loop l = {.file = "peak.cl",
              .entry = "peak_float",
              .item_bytes = LANES * sizeof(float),
              .n_items = is_gpu ? units * GPU_ITEMS_PER_UNIT : CPU_ITEMS,
              .n_local = is_gpu ? GPU_LANES : 1,
              .rounds = is_gpu ? GPU_ROUNDS : FLOAT_ROUNDS};
    l.work = 2.0 * (double)l.n_items * l.rounds * CHAINS * LANES;
    return l;
}

static loop dot_loop(tt_dot_unit unit, bool is_half)
{
    loop l = {.file = "peak-dot.cl",
              .entry = "peak_dot",
              .n_items = CPU_ITEMS,
              .n_local = 1,
              .item_bytes = DOT_SUMS_BYTES,
              .rounds = DOT_ROUNDS};
    double products = unit == TT_DOT_AMX ? TILE_CHAINS * 16.0 * 16 * 64 : VECTOR_CHAINS * 64.0;
    (void)snprintf(l.options, sizeof(l.options), "-DDOT_UNIT=%d -DDOT_HALF=%d", (int)unit, is_half);
    l.work = 2.0 * products * (is_half ? 0.5 : 1.0) * (double)l.n_items * l.rounds;
    return l;
}

/* False when the device has no such unit. */
static bool loop_of(const tt_kernels *kernels, tt_peak_kind kind, loop *l)
{
    tt_dot_unit unit = kind == TT_PEAK_HALF ? kernels->dot.half : kernels->dot.int8;
    if (kind == TT_PEAK_FLOAT)
        *l = float_loop(kernels);
    else if (kind == TT_PEAK_READ)
        *l = (loop){.file = "peak.cl",
                    .entry = "peak_read",
                    .item_bytes = LANES * sizeof(float),
                    .n_items = READ_ITEMS,
                    .n_local = 1,
                    .rounds = READ_BYTES / READ_ITEMS / 64,
                    .work = READ_BYTES};
    else if (is_cpu_unit(unit))
        *l = dot_loop(unit, kind == TT_PEAK_HALF);
    else
        return false;
    return true;
}

/* Ones: no number grows or becomes denormal. */
static tt_status make_input(tt_device *device, size_t n_bytes, tt_buffer *buffer, tt_error *err)
{
    void *bytes = NULL;
    tt_status status = tt_buffer_create(device, n_bytes, "a measurement of peaks", buffer, err);
    if (status == TT_OK)
        status = tt_buffer_map(device, buffer, &bytes, err);
    if (status != TT_OK)
        return status;
    for (size_t i = 0; i < n_bytes / sizeof(float); i++)
        ((float *)bytes)[i] = 1.0f;
    return tt_buffer_unmap(device, buffer, bytes, err);
}

static tt_status record(const tt_kernels *kernels, const loop *l, const tt_peak *peak, tt_error *err)
{
    tt_launcher launcher = tt_launcher_begin(kernels, l->file, l->options, l->entry, err);
    tt_launcher_buffer(&launcher, peak->in.mem);
    tt_launcher_buffer(&launcher, peak->out.mem);
    tt_launcher_uint(&launcher, l->rounds);
    tt_launch launch = {.stem = l->entry, .n_dims = 1, .global = {l->n_items, 1, 1}, .local = {l->n_local, 1, 1}};
    return tt_launcher_record(&launcher, &launch, peak->recorder);
}

tt_status tt_peak_create(const tt_kernels *kernels, tt_peak_kind kind, tt_peak *peak, tt_error *err)
{
    loop l;
    *peak = (tt_peak){0};
    if (!loop_of(kernels, kind, &l))
        return TT_OK;
    size_t n_in = kind == TT_PEAK_READ ? READ_BYTES : (size_t)LANES * 64;
    tt_status status = make_input(kernels->device, n_in, &peak->in, err);
    if (status == TT_OK)
        status = tt_buffer_create(kernels->device, l.n_items * l.item_bytes, "a measurement of peaks", &peak->out, err);
    if (status == TT_OK)
        status = tt_recorder_create(kernels->device, &peak->recorder, err);
    if (status == TT_OK)
        status = record(kernels, &l, peak, err);
    if (status != TT_OK)
        tt_peak_release(kernels->device, peak);
    else
        peak->work = l.work;
    return status;
}

void tt_peak_release(tt_device *device, tt_peak *peak)
{
    tt_recorder_destroy(peak->recorder);
    tt_buffer_release(device, &peak->in);
    tt_buffer_release(device, &peak->out);
    *peak = (tt_peak){0};
}

tt_status tt_peak_measure(const tt_kernels *kernels, tt_peak_kind kind, uint32_t n_runs, double *rate, tt_error *err)
{
    tt_peak peak;
    *rate = 0.0;
    tt_status status = tt_peak_create(kernels, kind, &peak, err);
    for (uint32_t i = 0; i <= n_runs && status == TT_OK && peak.work > 0; i++) { /* the first compiles */
        double begun = tt_clock_seconds();
        status = tt_recorder_replay(peak.recorder, err);
        if (status == TT_OK)
            status = tt_device_finish(kernels->device, err);
        double seconds = tt_clock_seconds() - begun;
        if (status == TT_OK && i > 0 && peak.work > seconds * *rate)
            *rate = peak.work / seconds;
    }
    tt_peak_release(kernels->device, &peak);
    return status;
}
