/* dot.h - what dot product forms see of weights and inputs: the twin of packing (matrix-dot.c) and staging. A product
 * of rounded numbers is then an ordinary one for the other references. */
#ifndef TT_CL_KERNELS_REFERENCE_DOT_H
#define TT_CL_KERNELS_REFERENCE_DOT_H

#include "cl-kernels/plane.h"

/* Rounds n values that are `step` apart, in place: INT8: to code * scale with codes -127 .. 127 and scale = max / 127;
 * HALF: to bfloat16; FLOAT: not at all. */
void tt_reference_dot_round(tt_arithmetic arithmetic, float *values, size_t n, size_t step);

/* Rounds n values of a convolution's patch in place: INT8: to (code - zero) * scale with codes of a byte that reach
 * from the least to the largest value (and zero); else as above. */
void tt_reference_dot_round_patch(tt_arithmetic arithmetic, float *values, size_t n);

/* The weights of a matrix, [n_out][n_columns], each output for itself. */
void tt_reference_dot_weights(tt_arithmetic arithmetic, float *weights, uint32_t n_out, size_t n_columns);

/* Inputs of linear layers, [batch][channels][positions], each position for itself. */
void tt_reference_dot_inputs(tt_arithmetic arithmetic, float *values, uint32_t batch, uint32_t channels,
                             size_t positions);

#endif
