/* rows.h - single rows of stored matrices on the host, whatever type they are stored in. */
#ifndef TT_TEXT_ENCODER_ROWS_H
#define TT_TEXT_ENCODER_ROWS_H

#include "model-file/weights.h"

/* Adds row `row` of a weight [rows, width] that is not transposed to sum[width]. */
tt_status tt_rows_add(const tt_weight *weight, uint32_t row, float *sum, tt_error *err);

/* out[rows] = W x for a weight [rows, width], transposed or not; sums in double. */
tt_status tt_rows_multiply(const tt_weight *weight, const float *x, float *out, tt_error *err);

#endif
