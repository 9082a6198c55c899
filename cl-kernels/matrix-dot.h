/* matrix-dot.h - weights packed for dot product units (tt_matrix.arithmetic HALF or INT8).
 *
 * CPU units. A panel of 32 outputs is one piece of memory, [block][32 outputs][64 bytes]: a block is 64 bytes of every
 * output's row, 64 int8 codes or 32 bfloat16. Blocks run over (channel block, tap): channels of each source in blocks
 * of 64 (32), zero-padded, and within a channel block the taps in row order. Both AMX (16 outputs x 64 bytes are a
 * tile) and AVX-512 (four bytes of an output are broadcast to 16 positions) read this order. Inputs are staged as
 * [group of four bytes][position][4 bytes]: for int8 that is a C4 slice, codes (+ 128 but for AMX); for bfloat16
 * two groups a slice. Convolutions of nine taps stage their inputs the other way round, [channel block][position][64
 * bytes], so that a tap moves by whole rows; their blocks are [2][16 groups of four bytes][16 outputs][4 bytes].
 *
 * GPU units. INT8: panel [slice * tap][32 outputs][4 codes], slices padded as in matrix.h; HALF: as in matrix.h.
 *
 * INT8 panels end in 32 floats, the outputs' scales, and 32 int32, the sums of their codes (for the + 128).
 * code = round(w / scale) in -127 .. 127, scale = max |w| / 127 of the output's row. */
#ifndef TT_CL_KERNELS_MATRIX_DOT_H
#define TT_CL_KERNELS_MATRIX_DOT_H

#include "cl-kernels/matrix-rows.h"

/* Bytes of a block, groups of four bytes in it, outputs of a panel. */
enum { TT_DOT_BLOCK_BYTES = 64, TT_DOT_GROUPS = 16, TT_DOT_PANEL = 32 };

/* Channels of a block: 64 for INT8, 32 for HALF. */
uint32_t tt_dot_block_channels(tt_arithmetic arithmetic);

/* Channel blocks of both sources, and bytes of a panel with its scales and sums. */
uint32_t tt_dot_blocks(const tt_matrix *matrix);
size_t tt_dot_panel_bytes(const tt_matrix *matrix);

/* For packing (matrix.c): sets the arithmetic of a matrix whose other numbers are known, and the packing's family and
 * dtype with it; FLOAT where the device has no unit or the matrix is too small to gain. */
void tt_dot_describe(const tt_kernels *kernels, tt_matrix *matrix);

/* True when a matrix's panels are packed by tt_dot_pack_panel (HALF on GPUs is packed as ever). */
bool tt_dot_packs(const tt_matrix *matrix);
void tt_dot_pack_panel(const tt_packing *pack, const tt_output_row *rows, uint8_t *panel);

#endif
