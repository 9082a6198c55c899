/* dot-gpu.h - which product units a GPU has. */
#ifndef TT_CL_KERNELS_DOT_GPU_H
#define TT_CL_KERNELS_DOT_GPU_H

#include "cl-kernels/plane.h"

/* The same as tt_dot_probe for the family of GPUs, whatever the device says that it is; nothing is kept. Extensions are
 * not believed: some drivers name them and refuse their functions. */
tt_status tt_dot_gpu_probe(tt_device *device, tt_dot *dot, tt_error *err);

#endif
