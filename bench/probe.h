/* probe.h - what the benchmarks share: the device, clocks, and a probe of its fp32 peak and reading speed. */
#ifndef TT_BENCH_PROBE_H
#define TT_BENCH_PROBE_H

#include "cl-kernels/plane.h"

/* Work of one probe run. */
enum { TT_PROBE_ITEMS = 64, TT_PROBE_ROUNDS = 60000, TT_PROBE_READ_VECTORS = 16384 };

typedef struct tt_probe {
    tt_device *device;
    tt_buffer in, out;
    tt_recorder *compute, *read;
} tt_probe;

/* A moment: seconds of the wall clock and of the CPU time that this process has used. */
typedef struct tt_moment {
    double wall_s, cpu_s;
} tt_moment;

tt_moment tt_moment_now(void);

/* Runs a recorded list once and waits; returns the time it took. */
tt_status tt_bench_run(tt_device *device, tt_recorder *recorder, tt_moment *took, tt_error *err);

/* Reads "float", "half" or "int8"; false when it is none of them. */
bool tt_parse_arithmetic(const char *name, tt_arithmetic *arithmetic);

/* Opens the device (NULL: the best) with the kernels of this folder and of the library. */
tt_status tt_probe_open(const char *device_name, tt_probe *probe, tt_error *err);
void tt_probe_close(tt_probe *probe);

/* Records a run of the unit of a form (HALF, INT8) from registers; the device must have one. *work: its operations. */
tt_status tt_probe_dot(const tt_probe *probe, tt_arithmetic arithmetic, tt_recorder **recorder, double *work,
                       tt_error *err);

/* FLOPs of one run of probe->compute, bytes of one of probe->read. */
double tt_probe_flops(void);
double tt_probe_bytes(void);

#endif
