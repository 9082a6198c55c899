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
    TT_Q4_0, /* blocks of 32: see below */
    TT_Q4_1,
    TT_Q5_0,
    TT_Q5_1,
    TT_Q8_0,
    TT_Q2_K, /* blocks of 256 */
    TT_Q3_K,
    TT_Q4_K,
    TT_Q5_K,
    TT_Q6_K,
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

/* Bytes of one element; 0 for block types, whose elements have no address of their own. */
size_t tt_dtype_size(tt_dtype dtype);

/* Block types hold runs of elements of a row with common scales, as ggml lays them out. Elements of a block (1 for
 * plain types) and its bytes. */
bool tt_dtype_is_block(tt_dtype dtype);
size_t tt_dtype_block(tt_dtype dtype);
size_t tt_dtype_block_bytes(tt_dtype dtype);

/* Bytes of n elements; n is a multiple of the block and the caller has checked that the product fits. */
uint64_t tt_dtype_bytes(tt_dtype dtype, uint64_t n);

/* Safetensors' name of the type ("F16"), ggml's of block types ("Q4_K"); static storage. */
const char *tt_dtype_name(tt_dtype dtype);

/* Reads a safetensors type name; false when unknown and for block types, which safetensors does not have. */
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

/* Converts n elements of a stored type to float: F64, F32, F16, BF16, integers, block types (then src begins a block
 * and n is a multiple of the block). src may be unaligned. Blocks decode to the bits of ggml's and gguf-py's
 * arithmetic. */
void tt_to_float(tt_dtype dtype, const void *src, float *dst, size_t n);

/* Converts n floats to binary16. */
void tt_to_half(const float *src, uint16_t *dst, size_t n);

#endif
