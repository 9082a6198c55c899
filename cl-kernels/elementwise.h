/* elementwise.h - out = act(a * scale + b * scale2 + offset), for the few places where no other op can absorb it. */
#ifndef TT_CL_KERNELS_ELEMENTWISE_H
#define TT_CL_KERNELS_ELEMENTWISE_H

#include "cl-kernels/plane.h"

typedef struct tt_elementwise_args {
    tt_plane a;
    const tt_plane *b;           /* NULL: absent; same geometry, any border */
    float scale, scale2, offset; /* offset is added to real channels and positions only, never to padding */
    tt_activation activation;
    tt_plane out; /* any border: zeroed by the launcher */
} tt_elementwise_args;

tt_status tt_elementwise_record(const tt_kernels *kernels, const tt_elementwise_args *args, tt_recorder *recorder,
                                tt_error *err);

#endif
