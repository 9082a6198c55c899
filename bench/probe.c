/* probe.c - the yardsticks of the benchmarks. */
#include "bench/probe.h"

#include "cl-kernels/dot.h"
#include "device/program.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CHAINS = 14 };

static double seconds(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

tt_moment tt_moment_now(void)
{
    return (tt_moment){seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID)};
}

tt_status tt_bench_run(tt_device *device, tt_recorder *recorder, tt_moment *took, tt_error *err)
{
    tt_moment start = tt_moment_now();
    tt_status status = tt_recorder_replay(recorder, err);
    if (status == TT_OK)
        status = tt_device_finish(device, err);
    tt_moment end = tt_moment_now();
    *took = (tt_moment){end.wall_s - start.wall_s, end.cpu_s - start.cpu_s};
    return status;
}

bool tt_parse_arithmetic(const char *name, tt_arithmetic *arithmetic)
{
    static const char *const names[] = {"float", "half", "int8"};
    for (int i = 0; i < 3; i++) {
        *arithmetic = (tt_arithmetic)i;
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

double tt_probe_flops(void)
{
    return 2.0 * TT_PROBE_ITEMS * TT_PROBE_ROUNDS * CHAINS * 16;
}

double tt_probe_bytes(void)
{
    return 64.0 * TT_PROBE_ITEMS * TT_PROBE_READ_VECTORS;
}

/* Records one launch of TT_PROBE_ITEMS work items. */
static tt_status record(const tt_kernels *kernels, const char *file, const char *options, const char *entry,
                        const tt_buffer *buffers, cl_uint n_buffers, cl_uint count, tt_recorder **recorder,
                        tt_error *err)
{
    cl_kernel kernel = NULL;
    cl_uint index = 0;
    tt_status status = tt_recorder_create(kernels->device, recorder, err);
    if (status == TT_OK)
        status = tt_kernels_make(kernels, file, options, entry, &kernel, err);
    if (status != TT_OK)
        return status;
    for (cl_uint i = 0; i < n_buffers && status == TT_OK; i++)
        status = tt_kernels_set(kernels, kernel, &index, sizeof(cl_mem), &buffers[i].mem, err);
    if (status == TT_OK)
        status = tt_kernels_set(kernels, kernel, &index, sizeof(count), &count, err);
    if (status != TT_OK) {
        (void)tt_device_cl(kernels->device)->release_kernel(kernel);
        return status;
    }
    tt_launch launch = {
        .stem = entry, .kernel = kernel, .n_dims = 1, .global = {TT_PROBE_ITEMS, 1, 1}, .local = {1, 1, 1}};
    return tt_recorder_add(*recorder, &launch, err);
}

static tt_status clear(tt_device *device, const tt_buffer *buffer, tt_error *err)
{
    void *bytes = NULL;
    tt_status status = tt_buffer_map(device, buffer, &bytes, err);
    if (status != TT_OK)
        return status;
    for (size_t i = 0; i < buffer->n_bytes / sizeof(float); i++)
        ((float *)bytes)[i] = 1.0f;
    return tt_buffer_unmap(device, buffer, bytes, err);
}

tt_status tt_probe_open(const char *device_name, tt_probe *probe, tt_error *err)
{
    *probe = (tt_probe){0};
    tt_device_options options = {.device = device_name, .kernel_dir = "bench"};
    tt_status status = tt_device_open(&options, &probe->device, err);
    if (status != TT_OK)
        return status;
    tt_device_set_sources(probe->device, tt_kernel_source_text);
    tt_kernels kernels = {.device = probe->device, .family = tt_device_caps(probe->device)->family};
    status = tt_buffer_create(probe->device, (size_t)tt_probe_bytes(), "probe input", &probe->in, err);
    if (status == TT_OK)
        status = tt_buffer_create(probe->device, TT_PROBE_ITEMS * 4096, "probe output", &probe->out, err);
    if (status == TT_OK)
        status = clear(probe->device, &probe->in, err);
    if (status == TT_OK)
        status = record(&kernels, "peak.cl", "", "peak_float", &probe->out, 1, TT_PROBE_ROUNDS, &probe->compute, err);
    tt_buffer both[2] = {probe->in, probe->out};
    if (status == TT_OK)
        status = record(&kernels, "peak.cl", "", "peak_read", both, 2, TT_PROBE_READ_VECTORS, &probe->read, err);
    if (status != TT_OK)
        tt_probe_close(probe);
    return status;
}

tt_status tt_probe_dot(const tt_probe *probe, tt_arithmetic arithmetic, tt_recorder **recorder, double *work,
                       tt_error *err)
{
    enum { ROUNDS = 20000, TILE_CHAINS = 4, VECTOR_CHAINS = 20 };
    tt_dot dot;
    char options[64];
    tt_kernels kernels = {.device = probe->device, .family = tt_device_caps(probe->device)->family};
    tt_status status = tt_dot_probe(probe->device, &dot, err);
    if (status != TT_OK)
        return status;
    bool is_half = arithmetic == TT_ARITHMETIC_HALF;
    tt_dot_unit unit = is_half ? dot.half : dot.int8;
    double products = unit == TT_DOT_AMX ? TILE_CHAINS * 16.0 * 16 * 64 : VECTOR_CHAINS * 64.0;
    *work = 2.0 * TT_PROBE_ITEMS * ROUNDS * products / (is_half ? 2 : 1);
    (void)snprintf(options, sizeof(options), "-DDOT_UNIT=%d -DDOT_HALF=%d", (int)unit, is_half);
    tt_buffer both[2] = {probe->in, probe->out};
    return record(&kernels, "peak-dot.cl", options, "peak_dot", both, 2, ROUNDS, recorder, err);
}

void tt_probe_close(tt_probe *probe)
{
    if (probe->device == NULL)
        return;
    tt_recorder_destroy(probe->compute);
    tt_recorder_destroy(probe->read);
    tt_buffer_release(probe->device, &probe->in);
    tt_buffer_release(probe->device, &probe->out);
    tt_device_close(probe->device);
    *probe = (tt_probe){0};
}
