/* blocks.h - decoding of ggml's quantized blocks: the layouts of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 (32 elements) and Q2_K to
 * Q6_K (256 elements), as ggml's ggml-common.h and gguf-py's quants.py define them. */
#ifndef TT_BASE_BLOCKS_H
#define TT_BASE_BLOCKS_H

#include "base/dtype.h"

/* Decodes n elements (a multiple of the type's block) from src, which may be unaligned. The result has the bits of
 * gguf-py's numpy arithmetic: products and differences in float, each rounded, none fused. */
void tt_blocks_to_float(tt_dtype dtype, const void *src, float *dst, size_t n);

#endif
