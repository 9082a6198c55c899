/* take.h - plain C twin of cl-kernels/take.h. */
#ifndef TT_CL_KERNELS_REFERENCE_TAKE_H
#define TT_CL_KERNELS_REFERENCE_TAKE_H

#include "cl-kernels/plane.h"

typedef struct tt_reference_take_args {
    uint32_t channels, width, n; /* positions of an image of the input; images of the output */
    const float *in;             /* [batch][channels][width] */
    const float *index;          /* [n] */
    float *out;                  /* [n][channels] */
} tt_reference_take_args;

void tt_reference_take(const tt_reference_take_args *args);

#endif
