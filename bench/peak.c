/* peak.c - prints the peaks of a device: peak [RUNS [DEVICE]]. */
#include "bench/probe.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    int n_runs = argc > 1 ? atoi(argv[1]) : 20;
    tt_probe probe;
    tt_error err = {""};
    double rates[TT_PROBE_KINDS] = {0};
    tt_status status = tt_probe_open(argc > 2 ? argv[2] : NULL, &probe, &err);
    for (int i = 0; i < TT_PROBE_KINDS && status == TT_OK; i++)
        status = tt_peak_measure(&probe.kernels, (tt_peak_kind)i, n_runs > 0 ? (uint32_t)n_runs : 1, &rates[i], &err);
    if (status == TT_OK)
        printf("%s: %.1f GFLOP/s float, %.1f GFLOP/s half (%s), %.1f GOP/s int8 (%s), %.1f GB/s read\n",
               tt_device_caps(probe.kernels.device)->info.name, rates[TT_PEAK_FLOAT] * 1e-9, rates[TT_PEAK_HALF] * 1e-9,
               tt_dot_name(probe.kernels.dot.half), rates[TT_PEAK_INT8] * 1e-9, tt_dot_name(probe.kernels.dot.int8),
               rates[TT_PEAK_READ] * 1e-9);
    else
        fprintf(stderr, "peak: %s\n", err.text);
    tt_probe_close(&probe);
    return status == TT_OK ? 0 : 1;
}
