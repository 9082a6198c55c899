/* layer-norm.h - plain C twin of cl-kernels/layer-norm.h: NCHW floats in, double sums. */
#ifndef TT_CL_KERNELS_REFERENCE_LAYER_NORM_H
#define TT_CL_KERNELS_REFERENCE_LAYER_NORM_H

#include "cl-kernels/plane.h"

typedef struct tt_reference_layer_norm_args {
    uint32_t batch, n_channels, n_positions;
    const float *in;            /* [batch][n_channels][n_positions] */
    const float *scale, *shift; /* [n_channels] */
    double eps;
    float *out; /* as in */
} tt_reference_layer_norm_args;

void tt_reference_layer_norm(const tt_reference_layer_norm_args *args);

#endif
