/* group-norm.h - group normalisation (Wu and He 2018), optionally followed by SiLU; statistics in float by a method
 * that does not cancel (per-chunk mean and M2, combined as Chan et al.). */
#ifndef TT_CL_KERNELS_GROUP_NORM_H
#define TT_CL_KERNELS_GROUP_NORM_H

#include "cl-kernels/matrix.h"

typedef struct tt_group_norm_args {
    tt_plane in;
    const tt_plane *in2; /* NULL, or the second source of a virtual concat along channels; in.channels % 4 == 0 then */
    const tt_vector *scale, *shift; /* all channels */
    uint32_t n_groups;              /* divides the channels; a group need not start at a multiple of four */
    float eps;
    bool silu;
    cl_mem scratch;          /* floats, tt_group_norm_scratch_bytes */
    uint32_t scratch_offset; /* in floats */
    /* Any border: zeroed by the launcher. May be the memory of `in` when in2 is NULL and the borders are equal. */
    tt_plane out;
} tt_group_norm_args;

/* Bytes of scratch for these planes (in the arena, live only during the op). */
size_t tt_group_norm_scratch_bytes(const tt_kernels *kernels, const tt_group_norm_args *args);

tt_status tt_group_norm_record(const tt_kernels *kernels, const tt_group_norm_args *args, tt_recorder *recorder,
                               tt_error *err);

#endif
