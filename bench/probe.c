/* probe.c - the yardsticks of the benchmarks. */
#include "bench/probe.h"

#include "device/program.h"

#include <time.h>

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

tt_status tt_bench_replay(tt_device *device, tt_recorder *recorder, tt_moment *took, tt_error *err)
{
    tt_moment start = tt_moment_now();
    tt_status status = tt_recorder_replay(recorder, err);
    if (status == TT_OK)
        status = tt_device_finish(device, err);
    tt_moment end = tt_moment_now();
    *took = (tt_moment){end.wall_s - start.wall_s, end.cpu_s - start.cpu_s};
    return status;
}

tt_status tt_probe_open(const char *device_name, tt_probe *probe, tt_error *err)
{
    *probe = (tt_probe){0};
    tt_device_options options = {.device = device_name};
    tt_status status = tt_device_open(&options, &probe->kernels.device, err);
    if (status != TT_OK)
        return status;
    tt_device_set_sources(probe->kernels.device, tt_kernel_source_text);
    probe->kernels.family = tt_device_caps(probe->kernels.device)->family;
    status = tt_dot_probe(probe->kernels.device, NULL, &probe->kernels.dot, err);
    for (int i = 0; i < TT_PROBE_KINDS && status == TT_OK; i++)
        status = tt_peak_create(&probe->kernels, (tt_peak_kind)i, &probe->peaks[i], err);
    if (status != TT_OK)
        tt_probe_close(probe);
    return status;
}

void tt_probe_close(tt_probe *probe)
{
    if (probe->kernels.device == NULL)
        return;
    for (int i = 0; i < TT_PROBE_KINDS; i++)
        tt_peak_release(probe->kernels.device, &probe->peaks[i]);
    tt_device_close(probe->kernels.device);
    *probe = (tt_probe){0};
}
