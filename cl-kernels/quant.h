/* quant.h - quantized weights in the device's packed form: the codes and scales of a block type or of w8c in another
 * order, never widened.
 *
 * A panel of 32 outputs is one piece of memory. Its columns are the stored ones (channel * taps + tap), and a column is
 * a vector over the outputs, so that outputs may be placed in any order. Sections, each at a multiple of 64 bytes:
 *
 *   low bits    [column][32 outputs] of 8, 4 or 2 bits. 8: a byte each (signed where the type's codes are). 4: byte i
 *               holds output i in its low and i + 16 in its high half. 2: byte i holds outputs i, i + 8, i + 16, i + 24
 *   high bits   nothing, [column] words whose bit i belongs to output i, or two bits as above
 *   d           block types: [block][32] halves, with a second 32 (m or dmin) where the type has offsets;
 *               w8c: [32] floats, the scales, then [32] floats, the offsets (zeros when symmetric)
 *   scales      types with sub-blocks: [sub-block][32] bytes, with a second 32 (the offsets) in Q4_K and Q5_K; Q2_K
 *               keeps scale and offset in one byte, as the file has them
 *
 * value = scale * (code - zero) + offset, with the scales and offsets that base/blocks.h defines: the same numbers come
 * out. A panel takes the bytes of the file's 32 rows, plus up to 3.7 percent where six-bit scales become bytes. */
#ifndef TT_CL_KERNELS_QUANT_H
#define TT_CL_KERNELS_QUANT_H

#include "base/dtype.h"

enum { TT_QUANT_PANEL = 32 };

/* True for the types that stay as they are on the device: block types, and I8 as w8c. */
bool tt_quant_is_type(tt_dtype dtype);

/* Places of the sections in a panel, in bytes; the low bits are at 0. */
typedef struct tt_quant_layout {
    uint32_t high_at, d_at, scales_at, n_bytes;
} tt_quant_layout;

/* Layout of a panel of n_columns columns (a multiple of the block). False when a panel would not fit in 32 bits. */
bool tt_quant_layout_of(tt_dtype dtype, uint64_t n_columns, tt_quant_layout *layout);

/* One row of stored weights: its first block (or I8 code; may be unaligned), NULL where a panel has no output.
 * scale and offset: w8c only. */
typedef struct tt_quant_row {
    const uint8_t *codes;
    float scale, offset;
} tt_quant_row;

/* Writes a panel from the rows of its 32 outputs. */
void tt_quant_pack_panel(tt_dtype dtype, const tt_quant_row *rows, size_t n_columns, uint8_t *panel);

#endif
