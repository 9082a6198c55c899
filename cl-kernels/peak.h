/* peak.h - how fast a device computes and reads in loops that do nothing else: the yardsticks of all measurements. */
#ifndef TT_CL_KERNELS_PEAK_H
#define TT_CL_KERNELS_PEAK_H

#include "cl-kernels/plane.h"

typedef enum tt_peak_kind {
    TT_PEAK_FLOAT = 0, /* float multiply-adds */
    TT_PEAK_HALF,      /* products of kernels->dot.half */
    TT_PEAK_INT8,      /* products of kernels->dot.int8 */
    TT_PEAK_READ       /* bytes from memory, 64 MiB in a row */
} tt_peak_kind;

/* A recorded loop. work: multiplications and additions, or bytes, of one replay; 0, and no recorder, when the device
 * lacks the unit. */
typedef struct tt_peak {
    tt_recorder *recorder;
    tt_buffer in, out;
    double work;
} tt_peak;

tt_status tt_peak_create(const tt_kernels *kernels, tt_peak_kind kind, tt_peak *peak, tt_error *err);
void tt_peak_release(tt_device *device, tt_peak *peak);

/* Work a second, the best of n_runs; 0 when the device lacks the unit. */
tt_status tt_peak_measure(const tt_kernels *kernels, tt_peak_kind kind, uint32_t n_runs, double *rate, tt_error *err);

#endif
