/* layer-norm.h - layer normalisation over the channels of every position (Ba et al. 2016), two-pass statistics. */
#ifndef TT_CL_KERNELS_LAYER_NORM_H
#define TT_CL_KERNELS_LAYER_NORM_H

#include "cl-kernels/matrix.h"

typedef struct tt_layer_norm_args {
    tt_plane in;
    const tt_vector *scale, *shift;
    float eps;
    tt_plane out; /* any border: zeroed by the launcher */
} tt_layer_norm_args;

tt_status tt_layer_norm_record(const tt_kernels *kernels, const tt_layer_norm_args *args, tt_recorder *recorder,
                               tt_error *err);

#endif
