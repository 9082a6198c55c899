/* weight-type.h - the types that a weight can be written as, and which of them a row of a given length can hold. */
#ifndef TT_QUANTIZE_WEIGHT_TYPE_H
#define TT_QUANTIZE_WEIGHT_TYPE_H

#include "base/dtype.h"

/* In the order of their size. */
typedef enum tt_weight_type {
    TT_WEIGHT_Q2_K = 0,
    TT_WEIGHT_Q3_K,
    TT_WEIGHT_Q4_0,
    TT_WEIGHT_Q4_K,
    TT_WEIGHT_Q4_1,
    TT_WEIGHT_Q5_0,
    TT_WEIGHT_Q5_K,
    TT_WEIGHT_Q5_1,
    TT_WEIGHT_Q6_K,
    TT_WEIGHT_W8C,  /* int8 with a scale for each output channel */
    TT_WEIGHT_W8CA, /* and an offset */
    TT_WEIGHT_Q8_0,
    TT_WEIGHT_F16,
    TT_WEIGHT_F32,
    TT_N_WEIGHT_TYPES
} tt_weight_type;

/* "q4_k"; static storage. */
const char *tt_weight_type_name(tt_weight_type type);

/* Reads a name in any case; the sentence of a failure lists the known ones. n_name bytes are looked at. */
tt_status tt_weight_type_parse(const char *name, size_t n_name, tt_weight_type *type, tt_error *err);

/* What the values are stored as: TT_I8 for both w8c forms. */
tt_dtype tt_weight_type_dtype(tt_weight_type type);

/* True for the two w8c forms. */
bool tt_weight_type_is_channel(tt_weight_type type);

/* True for everything but F16 and F32. */
bool tt_weight_type_is_quantized(tt_weight_type type);

/* True when a code stands for exactly 0, so that pruned weights stay 0: not so where a block or channel has an offset
 * that is rounded by itself (q4_1, q5_1, q2_k, q4_k, q5_k, w8ca). */
bool tt_weight_type_keeps_zero(tt_weight_type type);

/* True when rows of n_columns values can be stored: blocks do not cross rows. */
bool tt_weight_type_fits(tt_weight_type type, uint64_t n_columns);

/* The type itself when it fits. Else, for blocks of 256: the type of blocks of 32 with the least error for its bits at
 * or above (q2_k, q3_k: q4_0; q4_k: q5_0; q5_k: q5_1; q6_k: q8_0). q4_1 is not used: with 5 bits a value its error is
 * near q4_0's, with 5.5 bits q5_0's is half of that. For rows that hold no blocks of 32: f16. */
tt_weight_type tt_weight_type_fallback(tt_weight_type type, uint64_t n_columns);

/* Bytes of n_rows rows, scales and offsets of w8c included; the caller has checked that the product fits. */
uint64_t tt_weight_type_bytes(tt_weight_type type, uint64_t n_rows, uint64_t n_columns);

#endif
