/* quant-blocks.h - a stored block taken apart into codes of a byte each and its scales. */
#ifndef TT_CL_KERNELS_QUANT_BLOCKS_H
#define TT_CL_KERNELS_QUANT_BLOCKS_H

#include "base/dtype.h"

enum { TT_QUANT_MAX_BLOCK = 256, TT_QUANT_MAX_SUBS = 16 };

/* What a block says beside its codes. */
typedef struct tt_quant_scales {
    uint16_t d, m;                      /* halves; m: smallest value or scale of the offsets, 0 where there is none */
    uint8_t scales[TT_QUANT_MAX_SUBS];  /* of sub-blocks, as quant.h wants them */
    uint8_t offsets[TT_QUANT_MAX_SUBS]; /* Q4_K and Q5_K */
} tt_quant_scales;

/* Takes one block of a block type apart: codes[] gets as many bytes as the block has elements. */
void tt_quant_open_block(tt_dtype dtype, const uint8_t *block, uint8_t *codes, tt_quant_scales *scales);

#endif
