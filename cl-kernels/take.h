/* take.h - chosen positions of a plane: image i of the result is position index[i] of the input. */
#ifndef TT_CL_KERNELS_TAKE_H
#define TT_CL_KERNELS_TAKE_H

#include "cl-kernels/plane.h"

typedef struct tt_take_args {
    tt_plane in;           /* [batch, channels, 1, width] without border */
    cl_mem index;          /* floats [out.batch]: image * width + x in `in`; beyond the last position means the last */
    uint32_t index_offset; /* in floats */
    tt_plane out;          /* [any batch, channels of in, 1, 1] without border */
} tt_take_args;

tt_status tt_take_record(const tt_kernels *kernels, const tt_take_args *args, tt_recorder *recorder, tt_error *err);

#endif
