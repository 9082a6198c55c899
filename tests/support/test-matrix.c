/* test-matrix.c - see test-matrix.h. */
#include "tests/support/test-matrix.h"

#include "selftest/blocks.h"
#include "tests/support/test-device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_PARTS = 4 };

/* Stores one value as dtype. */
static void encode(tt_dtype dtype, float value, uint8_t *bytes)
{
    uint16_t half = tt_float_to_half(value);
    uint32_t bits;
    double wide = (double)value;
    memcpy(&bits, &value, sizeof(bits));
    uint16_t brain = (uint16_t)(bits >> 16);
    const void *source = dtype == TT_F16    ? (const void *)&half
                         : dtype == TT_BF16 ? (const void *)&brain
                         : dtype == TT_F64  ? (const void *)&wide
                                            : (const void *)&value;
    memcpy(bytes, source, tt_dtype_size(dtype));
}

/* Encodes n values and reads them back in place. Returns the block; the values begin at its second byte. */
static uint8_t *store(tt_dtype dtype, float *values, size_t n)
{
    size_t size = tt_dtype_size(dtype);
    uint8_t *block = malloc(n * size + 1);
    assert_non_null(block);
    for (size_t i = 0; i < n; i++)
        encode(dtype, values[i], block + 1 + i * size);
    tt_to_float(dtype, block + 1, values, n);
    return block;
}

/* [rows][columns] -> [columns][rows] */
static void transpose(const float *from, float *to, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            to[c * rows + r] = from[r * columns + c];
}

/* Stored weights of one part from the floats of its outputs, which become what was stored. */
static uint8_t *store_part(const tt_test_matrix_spec *spec, float *weights, uint32_t n_out)
{
    size_t width = (size_t)spec->n_in * spec->n_taps, n = n_out * width;
    if (!spec->is_transposed)
        return store(spec->dtype, weights, n);
    float *turned = malloc(n * sizeof(*turned));
    assert_non_null(turned);
    transpose(weights, turned, n_out, width);
    uint8_t *block = store(spec->dtype, turned, n);
    transpose(turned, weights, width, n_out);
    free(turned);
    return block;
}

/* Quantized weights of one part, decoded into weights. */
static uint8_t *store_quantized(const tt_test_matrix_spec *spec, float *weights, uint32_t n_out, uint32_t first)
{
    size_t width = (size_t)spec->n_in * spec->n_taps, n = n_out * width;
    uint8_t *block = tt_sample_blocks_new(spec->dtype, n, 1.0 / sqrt((double)width), spec->seed + 2 + first);
    float *decoded = malloc(n * sizeof(*decoded));
    assert_non_null(decoded);
    tt_to_float(spec->dtype, block + 1, decoded, n);
    if (!spec->is_transposed)
        memcpy(weights, decoded, n * sizeof(*weights));
    else
        transpose(decoded, weights, width, n_out);
    free(decoded);
    return block;
}

/* Numbers of w8c at an odd address: about centre * (1 +- 0.9), one an output. */
static uint8_t *store_numbers(float *numbers, uint32_t n, double centre, double spread, uint64_t seed)
{
    tt_test_random(numbers, n, seed);
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = (float)(centre + spread * (double)numbers[i]);
    return store(TT_F32, numbers, n);
}

/* What one part's memory is; all is freed when the matrix has been made. */
typedef struct stored_part {
    uint8_t *values, *bias, *slope, *scale, *offset;
} stored_part;

/* Gives an I8 part scales and offsets, and applies them to its weights. */
static void scale_channels(const tt_test_matrix_spec *spec, float *weights, uint32_t first, stored_part *stored,
                           tt_matrix_part *part)
{
    size_t width = (size_t)spec->n_in * spec->n_taps;
    double centre = 1.0 / (74.0 * sqrt((double)width));
    float *numbers = malloc(2 * part->n_out * sizeof(*numbers)), *offsets = numbers + part->n_out;
    assert_non_null(numbers);
    stored->scale = store_numbers(numbers, part->n_out, centre, 0.5 * centre, spec->seed + 3 + first);
    stored->offset =
        store_numbers(offsets, part->n_out, 0.0, spec->is_asymmetric ? 20 * centre : 0.0, spec->seed + 4 + first);
    for (size_t i = 0; i < part->n_out * width; i++)
        weights[i] = numbers[i / width] * weights[i] + offsets[i / width];
    part->scale = stored->scale + 1;
    part->offset = spec->is_asymmetric ? stored->offset + 1 : NULL;
    free(numbers);
}

/* Stores one part; weights and bias become what was stored. */
static tt_matrix_part make_part(const tt_test_matrix_spec *spec, tt_test_matrix *made, uint32_t first, uint32_t n_out,
                                stored_part *stored)
{
    float *weights = made->weights + (size_t)first * spec->n_in * spec->n_taps;
    bool is_quantized = tt_quant_is_type(spec->dtype);
    tt_dtype bias_dtype = is_quantized ? TT_F32 : spec->dtype;
    stored->values = is_quantized ? store_quantized(spec, weights, n_out, first) : store_part(spec, weights, n_out);
    stored->bias = store(bias_dtype, made->bias + first, n_out);
    tt_matrix_part part = {.dtype = spec->dtype,
                           .values = stored->values + 1,
                           .transposed = spec->is_transposed,
                           .n_out = n_out,
                           .bias_dtype = bias_dtype,
                           .bias = spec->no_bias ? NULL : stored->bias + 1};
    if (spec->has_slopes) {
        stored->slope = store(bias_dtype, made->slopes + first, n_out);
        part.slope_dtype = bias_dtype;
        part.slope = stored->slope + 1;
    }
    if (spec->dtype == TT_I8)
        scale_channels(spec, weights, first, stored, &part);
    return part;
}

tt_test_matrix tt_test_matrix_create(const tt_kernels *kernels, const tt_test_matrix_spec *spec)
{
    tt_test_matrix made = {0};
    size_t width = (size_t)spec->n_in * spec->n_taps, n = spec->n_out * width;
    made.weights = tt_test_random_new(n, spec->seed);
    made.bias = tt_test_random_new(spec->n_out, spec->seed + 1);
    made.slopes = tt_test_random_new(spec->n_out, spec->seed + 9);
    for (size_t i = 0; i < n; i++)
        made.weights[i] /= sqrtf((float)width);
    for (size_t i = 0; spec->no_bias && i < spec->n_out; i++)
        made.bias[i] = 0.0f;

    tt_matrix_part parts[MAX_PARTS] = {{0}};
    stored_part stored[MAX_PARTS] = {{0}};
    uint32_t n_parts = spec->n_parts == 0 ? 1 : spec->n_parts, first = 0;
    for (uint32_t i = 0; i < n_parts; i++) {
        uint32_t n_out = i + 1 < n_parts ? spec->n_out / n_parts : spec->n_out - first;
        parts[i] = make_part(spec, &made, first, n_out, &stored[i]);
        first += n_out;
    }
    tt_test_ok(tt_matrix_create(kernels, parts, n_parts, spec->n_in, spec->n_taps, spec->split, spec->is_geglu,
                                &made.matrix, tt_test_error()));
    if (made.matrix.dtype == TT_F16)
        for (size_t i = 0; i < n; i++)
            made.weights[i] = tt_half_to_float(tt_float_to_half(made.weights[i]));
    for (uint32_t i = 0; i < n_parts; i++) {
        free(stored[i].values);
        free(stored[i].bias);
        free(stored[i].slope);
        free(stored[i].scale);
        free(stored[i].offset);
    }
    return made;
}

void tt_test_matrix_release(const tt_kernels *kernels, tt_test_matrix *matrix)
{
    tt_matrix_release(kernels->device, &matrix->matrix);
    free(matrix->weights);
    free(matrix->bias);
    free(matrix->slopes);
    *matrix = (tt_test_matrix){0};
}
