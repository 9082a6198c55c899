/* matrix-rows.h - the rows of a matrix that is being packed: where an output is stored, and its values as floats.
 * Shared by the packings (matrix.c, matrix-dot.c). */
#ifndef TT_CL_KERNELS_MATRIX_ROWS_H
#define TT_CL_KERNELS_MATRIX_ROWS_H

#include "cl-kernels/matrix.h"

/* Everything that stays the same while a matrix is packed. */
typedef struct tt_packing {
    const tt_matrix_part *parts;
    uint32_t n_parts;
    const tt_matrix *matrix;
    uint32_t n_slices, n_panels;
} tt_packing;

/* One output of the stacked parts; part NULL: padding. */
typedef struct tt_output_row {
    const tt_matrix_part *part;
    uint32_t row;
} tt_output_row;

/* The output at a lane of a panel. GEGLU: 16 values, then their 16 gates. */
tt_output_row tt_packing_row(const tt_packing *pack, uint32_t panel, uint32_t lane);

/* Decodes n stored elements from index `first` on; blocks are opened whole. */
void tt_packing_read(tt_dtype dtype, const void *stored, size_t first, size_t n, float *values);

/* Scale or offset of an output of w8c, 0 without numbers. */
float tt_packing_number(const void *numbers, uint32_t row);

/* Reads n stored columns of one output as float. */
void tt_packing_floats(const tt_packing *pack, tt_output_row from, size_t first_column, size_t n, float *values);

#endif
