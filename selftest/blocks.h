/* blocks.h - random quantized weights. */
#ifndef TT_SELFTEST_BLOCKS_H
#define TT_SELFTEST_BLOCKS_H

#include "base/dtype.h"

/* All types that stay quantized on the device: the block types, and I8 for w8c. */
enum { TT_N_SAMPLE_QUANT_TYPES = 11 };
extern const tt_dtype tt_sample_quant_types[TT_N_SAMPLE_QUANT_TYPES];

/* Blocks of n elements (free(); NULL when memory is out) that begin at the second byte: random codes and sub-block
 * scales, block scales such that the values have mean 0 and about this standard deviation. Small deviations give
 * subnormal halves, as they are in real files. I8: random codes. */
uint8_t *tt_sample_blocks_new(tt_dtype dtype, size_t n, double deviation, uint64_t seed);

#endif
