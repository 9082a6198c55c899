/* test-blocks.h - random quantized weights for kernel tests. */
#ifndef TT_TESTS_SUPPORT_TEST_BLOCKS_H
#define TT_TESTS_SUPPORT_TEST_BLOCKS_H

#include "base/dtype.h"

/* All types that stay quantized on the device: the block types, and I8 for w8c. */
enum { TT_TEST_N_QUANT_TYPES = 11 };
extern const tt_dtype tt_test_quant_types[TT_TEST_N_QUANT_TYPES];

/* Blocks of n elements (free()) that begin at the second byte: random codes and sub-block scales, block scales such
 * that the values have mean 0 and about this standard deviation. Small deviations give subnormal halves, as they are in
 * real files. I8: random codes. */
uint8_t *tt_test_blocks_new(tt_dtype dtype, size_t n, double deviation, uint64_t seed);

#endif
