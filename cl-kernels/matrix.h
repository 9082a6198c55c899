/* matrix.h - weights of linear and convolution layers in the device's packed form, and small float vectors.
 *
 * Block types and w8c stay as they are, in the order of quant.h, when all parts of a matrix have that one type, are not
 * transposed, have rows of whole blocks, and two sources meet at a multiple of four channels; anything else that is
 * quantized is widened to half (float in the F32 form).
 *
 * Packed values of the others: [ceil(n_out/32)][k][32] with k = (input slice, tap, channel in slice) running over
 * ceil(n_in/4) * n_taps * 4, zero-padded, so that one k row feeds a register tile of 32 outputs and a GPU wave reads it
 * uniformly. Elements are half or float; stored F16 checkpoints stay half in both storage forms (exact), F32 and BF16
 * become float in the F32 form. The bias is float, padded to 32. */
#ifndef TT_CL_KERNELS_MATRIX_H
#define TT_CL_KERNELS_MATRIX_H

#include "cl-kernels/plane.h"
#include "cl-kernels/quant.h"

/* One stored weight tensor: [n_out, n_in] (or [n_in, n_out] when transposed), or [n_out, n_in, kh, kw]. */
typedef struct tt_matrix_part {
    tt_dtype dtype; /* F32, F16, BF16, F64, a block type, or I8 with scale (w8c) */
    const void *values;
    const void *scale, *offset; /* w8c: floats [n_out], may be unaligned; offset NULL when symmetric */
    bool transposed;
    uint32_t n_out;
    tt_dtype bias_dtype;
    const void *bias; /* [n_out], NULL: zeros; a floating type or whole blocks */
    tt_dtype slope_dtype;
    const void *slope; /* [n_out], NULL: no slopes of its own; as bias */
    float leak;        /* slope of all outputs that have none of their own */
} tt_matrix_part;

typedef struct tt_matrix {
    tt_buffer values;
    tt_buffer bias; /* float [round_up(n_out, 32)], always present; with has_slopes twice that: PReLU's slopes follow */
    bool has_slopes;
    uint32_t n_out, n_in, n_taps;
    uint32_t split;           /* two-source input: channels of the first source (padded to 4 on its own), else n_in */
    tt_dtype dtype;           /* of the packed values: F32, F16, a block type, or I8 (w8c) */
    bool is_geglu;            /* outputs j and j + n_out/2 are neighbours: see below */
    tt_arithmetic arithmetic; /* in use: kernels->arithmetic, or less where the device or the shape has no unit; not
                                 FLOAT: values are packed as in matrix-dot.h and dtype is I8, BF16 or F16 */
    tt_family family;         /* for which of the packings of matrix-dot.h */
} tt_matrix;

/* Packs n_parts tensors stacked along the output dimension (QKV as one matrix), all with n_in inputs and n_taps taps
 * (1 or 9). split: when the input comes from two planes, channels of the first (else 0). geglu: n_out is twice the
 * inner width; the packing places the value and gate halves so that one tile computes both. Tensor data may be
 * unaligned. */
tt_status tt_matrix_create(const tt_kernels *kernels, const tt_matrix_part *parts, uint32_t n_parts, uint32_t n_in,
                           uint32_t n_taps, uint32_t split, bool geglu, tt_matrix *matrix, tt_error *err);
void tt_matrix_release(tt_device *device, tt_matrix *matrix);

/* The two halves of tt_matrix_create, for plans and for weights that stay in their file and pass through the device.
 * describe fills *matrix with everything but memory: values.mem and bias.mem are NULL, their n_bytes are what is
 * needed. The device may be NULL. */
tt_status tt_matrix_describe(const tt_kernels *kernels, const tt_matrix_part *parts, uint32_t n_parts, uint32_t n_in,
                             uint32_t n_taps, uint32_t split, bool geglu, tt_matrix *matrix, tt_error *err);

/* Packs the values of a described matrix (not its bias) into values.n_bytes bytes of host memory, 64-byte aligned. Pure
 * arithmetic on the host, no device is used. */
void tt_matrix_pack(const tt_matrix_part *parts, uint32_t n_parts, const tt_matrix *matrix, void *bytes);

/* The same for panels first_panel .. first_panel + n_panels - 1 (of 32 outputs each) alone, so that a large matrix can
 * be packed in portions; bytes is the place of the whole matrix. */
void tt_matrix_pack_panels(const tt_matrix_part *parts, uint32_t n_parts, const tt_matrix *matrix, uint32_t first_panel,
                           uint32_t n_panels, void *bytes);

/* Panels of a matrix: ceil(n_out / 32). */
uint32_t tt_matrix_panels(const tt_matrix *matrix);

/* Columns of a quantized matrix: n_in * n_taps. */
uint32_t tt_matrix_columns(const tt_matrix *matrix);

/* Makes the bias of a described matrix. */
tt_status tt_matrix_create_bias(const tt_kernels *kernels, const tt_matrix_part *parts, uint32_t n_parts,
                                tt_matrix *matrix, tt_error *err);

/* A float vector on the device, zero-padded to a multiple of 32 (norm scale and shift); stored as a floating type or in
 * whole blocks. */
typedef struct tt_vector {
    tt_buffer values;
    uint32_t n;
} tt_vector;

tt_status tt_vector_create(const tt_kernels *kernels, tt_dtype dtype, const void *values, uint32_t n, tt_vector *vector,
                           tt_error *err);
void tt_vector_release(tt_device *device, tt_vector *vector);

#endif
