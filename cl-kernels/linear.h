/* linear.h - y = act(W x + b + residual) at every position: linear layers and 1x1 convolutions. */
#ifndef TT_CL_KERNELS_LINEAR_H
#define TT_CL_KERNELS_LINEAR_H

#include "cl-kernels/matrix.h"

typedef struct tt_linear_args {
    tt_plane in;              /* n_in channels (or matrix->split of them) */
    const tt_plane *in2;      /* NULL, or the second source: channels split .. n_in-1 (virtual concat) */
    const tt_matrix *matrix;  /* n_taps 1 */
    const tt_plane *residual; /* NULL, or added before the activation; same geometry as out, any border */
    tt_activation activation;
    tt_plane
        out; /* n_out channels (n_out/2 for a GEGLU matrix: value * gelu(gate)), any border: the launcher zeroes it */
} tt_linear_args;

/* Records the launch(es). Planes have equal batch, height, width; borders may differ. */
tt_status tt_linear_record(const tt_kernels *kernels, const tt_linear_args *args, tt_recorder *recorder, tt_error *err);

#endif
