/* conv3x3-dot.h - launcher of conv3x3-dot.cl: convolutions with dot product units of CPUs. */
#ifndef TT_CL_KERNELS_CONV3X3_DOT_H
#define TT_CL_KERNELS_CONV3X3_DOT_H

#include "cl-kernels/conv3x3.h"

/* How outputs are cut into rectangles. One scale belongs to the int8 codes of everything that a rectangle reads. */
typedef struct tt_conv3x3_cut {
    uint32_t width, height, images; /* of a rectangle; images > 1 only with whole ones */
    uint32_t panels;                /* of a work item */
    uint32_t block_bytes;           /* of the staged patch: 64 bytes at all its positions */
    uint32_t blocks;                /* channel blocks that are multiplied in one run */
} tt_conv3x3_cut;

/* The cut that a launch uses. */
tt_status tt_conv3x3_dot_cut(const tt_kernels *kernels, const tt_conv3x3_args *args, tt_conv3x3_cut *cut,
                             tt_error *err);

/* Records the launch; arguments were checked and the border of the output is zeroed already. */
tt_status tt_conv3x3_dot_record(const tt_kernels *kernels, const tt_conv3x3_args *args, tt_recorder *recorder,
                                tt_error *err);

#endif
