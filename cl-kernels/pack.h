/* pack.h - between plain NCHW float arrays and C4 planes. */
#ifndef TT_CL_KERNELS_PACK_H
#define TT_CL_KERNELS_PACK_H

#include "cl-kernels/plane.h"

typedef struct tt_pack_args {
    cl_mem array; /* float, NCHW [batch][channels][height][width], or [batch][positions][channels] when channels_last */
    uint32_t array_offset; /* in floats */
    bool channels_last;
    tt_plane plane;
} tt_pack_args;

/* array -> plane (unused channels and border become zero). */
tt_status tt_pack_record(const tt_kernels *kernels, const tt_pack_args *args, tt_recorder *recorder, tt_error *err);

/* plane -> array. */
tt_status tt_unpack_record(const tt_kernels *kernels, const tt_pack_args *args, tt_recorder *recorder, tt_error *err);

#endif
