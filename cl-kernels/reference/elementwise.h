/* elementwise.h - plain C twin of cl-kernels/elementwise.h, in double. */
#ifndef TT_CL_KERNELS_REFERENCE_ELEMENTWISE_H
#define TT_CL_KERNELS_REFERENCE_ELEMENTWISE_H

#include "cl-kernels/plane.h"

typedef struct tt_reference_elementwise_args {
    size_t n;
    const float *a;
    const float *b; /* or NULL */
    double scale, scale2, offset;
    tt_activation activation;
    float *out;
} tt_reference_elementwise_args;

void tt_reference_elementwise(const tt_reference_elementwise_args *args);

#endif
