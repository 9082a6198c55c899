/* dequantize.h - a quantized matrix widened on the device, for launches over so many positions that decoding in
 * registers would repeat itself. */
#ifndef TT_CL_KERNELS_DEQUANTIZE_H
#define TT_CL_KERNELS_DEQUANTIZE_H

#include "cl-kernels/matrix.h"

typedef struct tt_dequantize_args {
    const tt_matrix *matrix; /* quantized */
    cl_mem out;              /* tt_dequantize_bytes from out_offset on: the packed form of matrix.h, elements of the */
    size_t out_offset;       /* storage form; in bytes, a multiple of 256 */
} tt_dequantize_args;

/* Bytes that the widened matrix takes. */
size_t tt_dequantize_bytes(const tt_kernels *kernels, const tt_matrix *matrix);

tt_status tt_dequantize_record(const tt_kernels *kernels, const tt_dequantize_args *args, tt_recorder *recorder,
                               tt_error *err);

#endif
