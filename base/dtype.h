/* dtype.h - element types of stored tensors and conversions between them. */
#ifndef TT_BASE_DTYPE_H
#define TT_BASE_DTYPE_H

#include "base/error.h"

typedef enum tt_dtype {
    TT_F64 = 0,
    TT_F32,
    TT_F16,
    TT_BF16,
    TT_I64,
    TT_I32,
    TT_I16,
    TT_I8,
    TT_U8,
    TT_BOOL,
    TT_N_DTYPES
} tt_dtype;

enum { TT_MAX_DIMS = 8, TT_MAX_NAME = 256 };

/* A tensor of a model file: a view, nothing is owned. Row-major, dims[0] outermost. */
typedef struct tt_tensor {
    const char *name; /* as in the file, owned by the file */
    tt_dtype dtype;
    uint32_t n_dims;
    uint64_t dims[TT_MAX_DIMS];
    const void *data; /* little-endian, may be unaligned */
    uint64_t n_bytes;
} tt_tensor;

/* Bytes of one element. */
size_t tt_dtype_size(tt_dtype dtype);

/* Safetensors' name of the type ("F16"); static storage. */
const char *tt_dtype_name(tt_dtype dtype);

/* Reads a safetensors type name; false when unknown. */
bool tt_dtype_parse(const char *name, tt_dtype *dtype);

/* Product of the dims; the caller has checked that it fits (files are checked when opened). */
uint64_t tt_tensor_count(const tt_tensor *tensor);

/* "[320, 4, 3, 3]" into text, for error sentences. */
void tt_shape_text(uint32_t n_dims, const uint64_t *dims, char *text, size_t n_bytes);

/* IEEE 754 binary16 <-> binary32, round to nearest even, overflow to infinity, NaN kept. */
float tt_half_to_float(uint16_t half);
uint16_t tt_float_to_half(float value);

/* bfloat16 -> float is exact. */
float tt_bf16_to_float(uint16_t bf16);

/* Converts n elements of a stored type (F64, F32, F16, BF16, integers) to float. src may be unaligned. */
void tt_to_float(tt_dtype dtype, const void *src, float *dst, size_t n);

/* Converts n floats to binary16. */
void tt_to_half(const float *src, uint16_t *dst, size_t n);

#endif
