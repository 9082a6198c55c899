/* encode.h - floats to ggml's quantized blocks and to int8 channels: the encoders of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0
 * (blocks of 32) and Q2_K to Q6_K (blocks of 256), whose decoders are in base/blocks.h, and of w8c.
 *
 * None of these functions can fail or allocates. The plain rules of the blocks of 32 are those of gguf-py's quants.py;
 * a non-finite value in a block makes the codes of the block meaningless under them, while the search takes NaN as 0
 * and an infinity as a huge number. */
#ifndef TT_QUANTIZE_ENCODE_H
#define TT_QUANTIZE_ENCODE_H

#include "base/dtype.h"

/* How scales and codes are found. */
typedef enum tt_fit {
    TT_FIT_SEARCH = 0, /* least weighted squared error over a search of clipping and offsets; never above plain's */
    TT_FIT_PLAIN,      /* scales from the extremes alone; Q8_0, Q4_0, Q4_1, Q5_0, Q5_1: the very bytes that gguf-py
                          writes, which rounds codes with the scale before that is rounded to half */
    TT_FIT_NEAREST     /* plain scales, but each code is the nearest under the scale as it is stored; the same as plain
                          for the blocks of 256 */
} tt_fit;

/* True for the types and fits that tt_encode_blocks writes: every block type, in every fit. */
bool tt_encode_knows(tt_dtype dtype, tt_fit fit);

/* Encodes n values (a multiple of the type's block) of one row to dst (tt_dtype_bytes of them, may be unaligned).
 * importance (NULL: all 1) [n], finite and not negative, weighs the squared errors that the search minimises; only its
 * proportions within a block count, and a block without any importance is fitted as if all were 1. Errors are measured
 * on the values that a reader will decode: scales rounded to half, sub-scales to their bits. */
void tt_encode_blocks(tt_dtype dtype, tt_fit fit, const float *values, const float *importance, size_t n, void *dst);

/* w8c: one output channel of n values as int8, value = *scale * q + *offset. Symmetric: *offset is 0, q in -127..127;
 * else q in -128..127. Plain and nearest: the scale reaches the extremes exactly (symmetric: max|w| / 127; else
 * (max - min) / 255). The search minimises the weighted squared error over clipping, and over offsets unless symmetric.
 * A channel of equal values gets scale 0 where the offset can carry it. Non-finite values make codes meaningless. */
void tt_encode_channel(tt_fit fit, bool symmetric, const float *values, const float *importance, size_t n, int8_t *q,
                       float *scale, float *offset);

#endif
