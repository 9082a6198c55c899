/* encode-super.h - encoders of blocks of 256: Q2_K to Q6_K. Inside of quantize/encode.c. */
#ifndef TT_QUANTIZE_ENCODE_SUPER_H
#define TT_QUANTIZE_ENCODE_SUPER_H

#include "quantize/encode.h"

enum { TT_MAX_SUBS = 16 };

/* What a block of 256 holds: value = d * scale * code - dmin * offset, a scale and an offset for each sub-block. */
typedef struct tt_super {
    float d, dmin; /* as stored: halves */
    int scales[TT_MAX_SUBS], offsets[TT_MAX_SUBS];
    uint8_t codes[256]; /* from 0 on */
} tt_super;

/* Encodes 256 values. weights may be NULL (plain and nearest ignore them). */
void tt_encode_super(tt_dtype dtype, tt_fit fit, const float values[256], const float *weights, uint8_t *dst);

/* The bytes of a block. */
void tt_super_pack(tt_dtype dtype, const tt_super *block, uint8_t *dst);

#endif
