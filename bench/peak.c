/* peak.c - prints the fp32 peak, the peaks of dot product units and the reading speed of a device: peak [RUNS
 * [DEVICE]], from the repository root. */
#include "bench/probe.h"
#include "cl-kernels/dot.h"

#include <stdio.h>
#include <stdlib.h>

/* The best of n runs of a list, in units of `work` per second. */
static tt_status best_rate(const tt_probe *probe, tt_recorder *recorder, double work, int n_runs, double *rate,
                           tt_error *err)
{
    *rate = 0;
    for (int i = 0; i < n_runs; i++) {
        tt_moment took;
        tt_status status = tt_bench_run(probe->device, recorder, &took, err);
        if (status != TT_OK)
            return status;
        if (work / took.wall_s > *rate)
            *rate = work / took.wall_s;
    }
    return TT_OK;
}

/* Prints the rate of the unit of a form, if there is one; "alone" as in bench-kernels.c. */
static tt_status print_dot(const tt_probe *probe, tt_arithmetic arithmetic, int n_runs, tt_error *err)
{
    tt_dot dot;
    tt_recorder *recorder = NULL;
    double work = 0, rate = 0;
    tt_moment took = {0};
    tt_status status = tt_dot_probe(probe->device, &dot, err);
    tt_dot_unit unit = arithmetic == TT_ARITHMETIC_HALF ? dot.half : dot.int8;
    if (status != TT_OK || unit == TT_DOT_NONE)
        return status;
    status = tt_probe_dot(probe, arithmetic, &recorder, &work, err);
    if (status == TT_OK)
        status = best_rate(probe, recorder, work, n_runs, &rate, err);
    if (status == TT_OK)
        status = tt_bench_run(probe->device, recorder, &took, err);
    if (status == TT_OK)
        printf("%s %s: %.1f GFLOP/s, alone %.1f GFLOP/s\n", arithmetic == TT_ARITHMETIC_HALF ? "half" : "int8",
               tt_dot_name(unit), rate * 1e-9,
               work / took.cpu_s * tt_device_caps(probe->device)->n_compute_units * 1e-9);
    tt_recorder_destroy(recorder);
    return status;
}

int main(int argc, char **argv)
{
    int n_runs = argc > 1 ? atoi(argv[1]) : 20;
    tt_probe probe;
    tt_error err = {""};
    double flops = 0, bytes = 0;
    tt_status status = tt_probe_open(argc > 2 ? argv[2] : NULL, &probe, &err);
    if (status == TT_OK)
        status = best_rate(&probe, probe.compute, tt_probe_flops(), n_runs > 0 ? n_runs : 1, &flops, &err);
    if (status == TT_OK)
        status = best_rate(&probe, probe.read, tt_probe_bytes(), n_runs > 0 ? n_runs : 1, &bytes, &err);
    if (status == TT_OK)
        printf("%s: %.1f GFLOP/s fp32, %.1f GB/s read\n", tt_device_caps(probe.device)->info.name, flops * 1e-9,
               bytes * 1e-9);
    for (int form = TT_ARITHMETIC_HALF; form <= TT_ARITHMETIC_INT8 && status == TT_OK; form++)
        status = print_dot(&probe, (tt_arithmetic)form, n_runs > 0 ? n_runs : 1, &err);
    if (status != TT_OK)
        fprintf(stderr, "peak: %s\n", err.text);
    tt_probe_close(&probe);
    return status == TT_OK ? 0 : 1;
}
