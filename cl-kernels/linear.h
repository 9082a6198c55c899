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
    tt_plane out;   /* n_out channels (n_out/2 for a GEGLU matrix: value * gelu(gate)), any border: it is zeroed */
    cl_mem scratch; /* NULL, or room for tt_linear_scratch_bytes, used by these launches only ... */
    size_t scratch_offset; /* ... from this byte on, a multiple of 256 */
} tt_linear_args;

/* Bytes of scratch with which the launch is faster; 0 when it would not help. Without scratch the results are as good.
 */
size_t tt_linear_scratch_bytes(const tt_kernels *kernels, const tt_matrix *matrix, const tt_plane *out);

/* Records the launch(es). Planes have equal batch, height, width; borders may differ. */
tt_status tt_linear_record(const tt_kernels *kernels, const tt_linear_args *args, tt_recorder *recorder, tt_error *err);

#endif
