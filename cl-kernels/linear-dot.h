/* linear-dot.h - launcher of linear-dot.cl, for linear.c: the arguments are checked there. */
#ifndef TT_CL_KERNELS_LINEAR_DOT_H
#define TT_CL_KERNELS_LINEAR_DOT_H

#include "cl-kernels/linear.h"

/* True when the matrix is packed for this launcher. */
bool tt_linear_dot_takes(const tt_kernels *kernels, const tt_matrix *matrix);

tt_status tt_linear_dot_record(const tt_kernels *kernels, const tt_linear_args *args, double bytes,
                               tt_recorder *recorder, tt_error *err);

#endif
