/* dequantize.h - plain C twin of cl-kernels/dequantize.h: one value at a time, straight from the layout in quant.h. */
#ifndef TT_CL_KERNELS_REFERENCE_DEQUANTIZE_H
#define TT_CL_KERNELS_REFERENCE_DEQUANTIZE_H

#include "cl-kernels/quant.h"

/* The value of an output (0..31) at a stored column of a packed panel that has n_columns columns. */
float tt_reference_dequantize(tt_dtype dtype, const uint8_t *panel, uint32_t n_columns, uint32_t column,
                              uint32_t output);

#endif
