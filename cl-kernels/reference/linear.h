/* linear.h - plain C twin of cl-kernels/linear.h: NCHW floats in, double sums. */
#ifndef TT_CL_KERNELS_REFERENCE_LINEAR_H
#define TT_CL_KERNELS_REFERENCE_LINEAR_H

#include "cl-kernels/plane.h"

typedef struct tt_reference_linear_args {
    uint32_t batch, n_in, n_out, n_positions;
    const float *in;       /* [batch][n_in][n_positions] */
    const float *weights;  /* [n_out][n_in] */
    const float *bias;     /* [n_out] or NULL */
    const float *residual; /* [batch][n_out][n_positions] or NULL */
    tt_activation activation;
    const float *slopes; /* [n_out], of PReLU */
    bool is_geglu;       /* out has n_out / 2 channels: value * gelu(gate), values are the first half of the outputs */
    float *out;          /* [batch][n_out or n_out / 2][n_positions] */
} tt_reference_linear_args;

void tt_reference_linear(const tt_reference_linear_args *args);

#endif
