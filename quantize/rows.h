/* rows.h - the rows of a stored weight as floats, and rows of floats as a type of weights: what a model that is
 * quantized passes through, a few rows at a time. */
#ifndef TT_QUANTIZE_ROWS_H
#define TT_QUANTIZE_ROWS_H

#include "model-file/weights.h"
#include "quantize/encode.h"
#include "quantize/weight-type.h"

/* A stored weight seen as [n_rows][n_columns]: rows are output channels, columns inputs (channel * taps + tap). */
typedef struct tt_row_source {
    tt_weight weight;
    uint64_t n_rows, n_columns;
    float *turned; /* of weights stored [in, out]: all values, turned around; else NULL */
} tt_row_source;

/* Free with tt_row_source_close. */
tt_status tt_row_source_open(const tt_weight *weight, uint64_t n_rows, uint64_t n_columns, tt_row_source *source,
                             tt_error *err);
void tt_row_source_close(tt_row_source *source);

/* Reads rows as floats; any thread may. */
void tt_row_source_read(const tt_row_source *source, uint64_t first_row, uint64_t n_rows, float *values);

/* Gives the pages of these rows back to the system. */
void tt_row_source_drop(const tt_row_source *source, uint64_t first_row, uint64_t n_rows);

/* The stored bytes of rows when they are just what `type` would hold, so that nothing is lost by copying them; else
 * NULL. */
const void *tt_row_source_same(const tt_row_source *source, tt_weight_type type, uint64_t first_row);

/* How rows are encoded. */
typedef struct tt_row_form {
    tt_weight_type type;
    tt_fit fit;
    uint64_t n_columns;
    const float *importance; /* [n_columns], NULL: all 1 */
} tt_row_form;

/* One encoded row: bytes of the values (tt_weight_type_bytes of one row, without scale and offset), and w8c's two. */
typedef struct tt_encoded_row {
    void *bytes;
    float scale, offset;
} tt_encoded_row;

/* Encodes one row into row->bytes. */
void tt_encode_row(const tt_row_form *form, const float *values, tt_encoded_row *row);

/* Decodes it again, as a reader will. */
void tt_decode_row(const tt_row_form *form, const tt_encoded_row *row, float *values);

/* Sums over columns of importance * (a - b)^2; b NULL: 0. */
double tt_weighted_square(const float *a, const float *b, const float *importance, uint64_t n);

#endif
