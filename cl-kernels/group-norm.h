/* group-norm.h - group normalisation (Wu and He 2018), optionally followed by SiLU; statistics in float by a method
 * that does not cancel (per-chunk mean and M2, combined as Chan et al.). */
#ifndef TT_CL_KERNELS_GROUP_NORM_H
#define TT_CL_KERNELS_GROUP_NORM_H

#include "cl-kernels/matrix.h"

/* One launch, where every work item (CPU) or work-group (GPU) sums and writes whole groups; or three launches, which
 * spread statistics and writing over chunks of positions. */
typedef enum tt_group_norm_form { TT_NORM_CHOOSE = 0, TT_NORM_WHOLE, TT_NORM_CHUNKS } tt_group_norm_form;

typedef struct tt_group_norm_args {
    tt_plane in;
    const tt_plane *in2; /* NULL, or the second source of a virtual concat along channels; in.channels % 4 == 0 then */
    const tt_vector *scale, *shift; /* all channels */
    uint32_t n_groups;              /* divides the channels; a group need not start at a multiple of four */
    float eps;
    bool silu;
    tt_group_norm_form form; /* TT_NORM_CHOOSE: by family and shape */
    cl_mem scratch;          /* floats, tt_group_norm_scratch_bytes; NULL when those are 0 */
    uint32_t scratch_offset; /* in floats */
    /* Any border: it is zeroed. May be the memory of `in` when in2 is NULL and the borders are equal. */
    tt_plane out;
} tt_group_norm_args;

/* Bytes of scratch for these planes (in the arena, live only during the op); 0 for one launch. */
size_t tt_group_norm_scratch_bytes(const tt_kernels *kernels, const tt_group_norm_args *args);

tt_status tt_group_norm_record(const tt_kernels *kernels, const tt_group_norm_args *args, tt_recorder *recorder,
                               tt_error *err);

#endif
