/* group-norm.h - plain C twin of cl-kernels/group-norm.h: NCHW floats in, double sums. */
#ifndef TT_CL_KERNELS_REFERENCE_GROUP_NORM_H
#define TT_CL_KERNELS_REFERENCE_GROUP_NORM_H

#include "cl-kernels/plane.h"

typedef struct tt_reference_group_norm_args {
    uint32_t batch, n_channels, n_positions, n_groups;
    const float *in;            /* [batch][n_channels][n_positions] */
    const float *scale, *shift; /* [n_channels] */
    double eps;
    bool silu;
    float *out; /* as in */
} tt_reference_group_norm_args;

void tt_reference_group_norm(const tt_reference_group_norm_args *args);

#endif
