/* encode-small.h - encoders of blocks of 32: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1. Inside of quantize/encode.c. */
#ifndef TT_QUANTIZE_ENCODE_SMALL_H
#define TT_QUANTIZE_ENCODE_SMALL_H

#include "quantize/encode.h"

/* Encodes 32 values. weights may be NULL (plain and nearest ignore them). */
void tt_encode_small(tt_dtype dtype, tt_fit fit, const float values[32], const float *weights, uint8_t *dst);

/* The finite half nearest to a value, as a float: what a block's scale becomes when it is stored. */
float tt_stored_half(float value);

#endif
