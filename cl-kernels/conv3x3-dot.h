/* conv3x3-dot.h - launcher of conv3x3-dot.cl, for conv3x3.c: the arguments are checked there. */
#ifndef TT_CL_KERNELS_CONV3X3_DOT_H
#define TT_CL_KERNELS_CONV3X3_DOT_H

#include "cl-kernels/conv3x3.h"

/* How outputs are cut into rectangles. One scale belongs to the int8 codes of everything that a rectangle reads. */
typedef struct tt_conv3x3_cut {
    uint32_t width, height, images; /* of a rectangle; images > 1 only with whole ones */
    uint32_t panels;                /* of a work item */
} tt_conv3x3_cut;

/* True when the matrix is packed for this launcher. */
bool tt_conv3x3_dot_takes(const tt_kernels *kernels, const tt_matrix *matrix);

/* The cut that a launch uses; a tuning may choose among the best few of the estimate, which are named
 * "w64h8i1p10" after the members. */
tt_status tt_conv3x3_dot_cut(const tt_kernels *kernels, const tt_conv3x3_args *args, tt_conv3x3_cut *cut,
                             tt_error *err);

tt_status tt_conv3x3_dot_record(const tt_kernels *kernels, const tt_conv3x3_args *args, double bytes,
                                tt_recorder *recorder, tt_error *err);

#endif
