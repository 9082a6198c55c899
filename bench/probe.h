/* probe.h - what the benchmarks share: the device, clocks, and probes of its peaks. */
#ifndef TT_BENCH_PROBE_H
#define TT_BENCH_PROBE_H

#include "cl-kernels/dot.h"
#include "cl-kernels/peak.h"

enum { TT_PROBE_KINDS = TT_PEAK_READ + 1 };

typedef struct tt_probe {
    tt_kernels kernels; /* float storage */
    tt_peak peaks[TT_PROBE_KINDS];
} tt_probe;

/* A moment: seconds of the wall clock and of the CPU time that this process has used. */
typedef struct tt_moment {
    double wall_s, cpu_s;
} tt_moment;

tt_moment tt_moment_now(void);

/* Runs a recorded list once and waits; returns the time it took. */
tt_status tt_bench_replay(tt_device *device, tt_recorder *recorder, tt_moment *took, tt_error *err);

/* Opens the device (NULL: the best). */
tt_status tt_probe_open(const char *device_name, tt_probe *probe, tt_error *err);
void tt_probe_close(tt_probe *probe);

#endif
