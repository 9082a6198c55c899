/* test_matrix.c - packed weights: every value where matrix.h says, zero elsewhere, wrong requests refused. */
#include "cl-kernels/matrix-dot.h"
#include "cl-kernels/reference/dequantize.h"
#include "cl-kernels/reference/dot.h"
#include "selftest/blocks.h"
#include "tests/support/test-device.h"
#include "tests/support/test-matrix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const tt_test_matrix_spec specs[] = {
    {.dtype = TT_F32, .n_out = 1, .n_in = 1, .n_taps = 1},
    {.dtype = TT_F32, .n_out = 33, .n_in = 7, .n_taps = 1},
    {.dtype = TT_F16, .n_out = 64, .n_in = 150, .n_taps = 1},
    {.dtype = TT_BF16, .n_out = 5, .n_in = 6, .n_taps = 9},
    {.dtype = TT_F64, .n_out = 31, .n_in = 4, .n_taps = 9},
    {.dtype = TT_F16, .n_out = 40, .n_in = 37, .n_taps = 9},
    {.dtype = TT_F16, .n_out = 12, .n_in = 77, .n_taps = 1, .split = 38},
    {.dtype = TT_F32, .n_out = 90, .n_in = 9, .n_taps = 1, .n_parts = 4},
    {.dtype = TT_F16, .n_out = 44, .n_in = 10, .n_taps = 1, .is_geglu = true, .n_parts = 2},
    {.dtype = TT_F32, .n_out = 64, .n_in = 8, .n_taps = 1, .is_geglu = true, .no_bias = true},
    {.dtype = TT_F16, .n_out = 35, .n_in = 41, .n_taps = 1, .is_transposed = true, .n_parts = 2},
    {.dtype = TT_BF16, .n_out = 6, .n_in = 41, .n_taps = 1, .is_transposed = true},
};

/* Panel and lane of an output. */
static void place_of(const tt_matrix *matrix, uint32_t output, uint32_t *panel, uint32_t *lane)
{
    *panel = output / 32;
    *lane = output % 32;
    if (matrix->is_geglu) {
        uint32_t inner = matrix->n_out / 2, j = output % inner;
        *panel = j / 16;
        *lane = j % 16 + (output < inner ? 0 : 16);
    }
}

/* Index of a weight in the packed values. */
static size_t packed_index(const tt_matrix *matrix, uint32_t output, uint32_t channel, uint32_t tap)
{
    uint32_t first_slices = (matrix->split + 3) / 4, panel, lane;
    uint32_t n_slices = first_slices + (matrix->n_in - matrix->split + 3) / 4;
    bool is_first = channel < matrix->split;
    uint32_t within = is_first ? channel : channel - matrix->split;
    uint32_t slice = within / 4 + (is_first ? 0 : first_slices);
    place_of(matrix, output, &panel, &lane);
    return ((((size_t)panel * n_slices + slice) * matrix->n_taps + tap) * 4 + within % 4) * 32 + lane;
}

/* All packed values as floats. */
static float *read_values(const tt_kernels *kernels, const tt_matrix *matrix, size_t *n)
{
    void *bytes = malloc(matrix->values.n_bytes);
    *n = matrix->values.n_bytes / (matrix->dtype == TT_F16 ? 2 : 4);
    float *values = malloc(*n * sizeof(*values));
    assert_non_null(bytes);
    assert_non_null(values);
    tt_test_ok(tt_buffer_read(kernels->device, &matrix->values, 0, bytes, matrix->values.n_bytes, tt_test_error()));
    tt_to_float(matrix->dtype == TT_F16 ? TT_F16 : TT_F32, bytes, values, *n);
    free(bytes);
    return values;
}

static void check_values(const tt_kernels *kernels, const tt_test_matrix *made)
{
    const tt_matrix *matrix = &made->matrix;
    size_t n = 0;
    float *values = read_values(kernels, matrix, &n);
    for (uint32_t o = 0; o < matrix->n_out; o++)
        for (uint32_t i = 0; i < matrix->n_in; i++)
            for (uint32_t tap = 0; tap < matrix->n_taps; tap++) {
                size_t at = packed_index(matrix, o, i, tap);
                assert_true(at < n);
                assert_true(values[at] == made->weights[((size_t)o * matrix->n_in + i) * matrix->n_taps + tap]);
                values[at] = 0.0f;
            }
    for (size_t i = 0; i < n; i++)
        assert_true(values[i] == 0.0f); /* padding */
    free(values);
}

/* Bytes of the packed values of a matrix (free()). */
static uint8_t *read_bytes(const tt_kernels *kernels, const tt_matrix *matrix)
{
    uint8_t *bytes = malloc(matrix->values.n_bytes);
    assert_non_null(bytes);
    tt_test_ok(tt_buffer_read(kernels->device, &matrix->values, 0, bytes, matrix->values.n_bytes, tt_test_error()));
    return bytes;
}

/* Every stored value comes out of the packed panels with its very bits, and lanes without an output are zero. */
static void check_quantized(const tt_kernels *kernels, const tt_test_matrix *made)
{
    const tt_matrix *matrix = &made->matrix;
    uint32_t n_columns = tt_matrix_columns(matrix), n_panels = (matrix->n_out + 31) / 32;
    size_t panel_bytes = matrix->values.n_bytes / n_panels;
    uint8_t *bytes = read_bytes(kernels, matrix);
    bool *is_used = calloc(n_panels, 32 * sizeof(*is_used));
    assert_non_null(is_used);
    for (uint32_t o = 0; o < matrix->n_out; o++) {
        uint32_t panel, lane;
        place_of(matrix, o, &panel, &lane);
        is_used[panel * 32 + lane] = true;
        for (uint32_t i = 0; i < n_columns; i++) {
            float got = tt_reference_dequantize(matrix->dtype, bytes + panel * panel_bytes, n_columns, i, lane);
            assert_true(got == made->weights[(size_t)o * n_columns + i]);
        }
    }
    for (uint32_t at = 0; at < n_panels * 32; at++)
        for (uint32_t i = 0; i < n_columns && !is_used[at]; i++)
            assert_true(tt_reference_dequantize(matrix->dtype, bytes + at / 32 * panel_bytes, n_columns, i, at % 32) ==
                        0.0f);
    free(is_used);
    free(bytes);
}

static void check_bias(const tt_kernels *kernels, const tt_test_matrix *made)
{
    const tt_matrix *matrix = &made->matrix;
    size_t n = matrix->bias.n_bytes / sizeof(float);
    assert_int_equal(n, (matrix->n_out + 31) / 32 * 32);
    float *bias = malloc(matrix->bias.n_bytes);
    assert_non_null(bias);
    tt_test_ok(tt_buffer_read(kernels->device, &matrix->bias, 0, bias, matrix->bias.n_bytes, tt_test_error()));
    for (uint32_t o = 0; o < matrix->n_out; o++) {
        uint32_t panel, lane;
        place_of(matrix, o, &panel, &lane);
        assert_true(bias[panel * 32 + lane] == made->bias[o]);
        bias[panel * 32 + lane] = 0.0f;
    }
    for (size_t i = 0; i < n; i++)
        assert_true(bias[i] == 0.0f);
    free(bias);
}

static void test_packing(void **state)
{
    (void)state;
    for (size_t form = 0; form < TT_TEST_N_FORMS; form++)
        for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
            const tt_kernels *kernels = &tt_test_forms()[form];
            tt_test_matrix_spec spec = specs[i];
            spec.seed = 100 + i;
            tt_test_matrix made = tt_test_matrix_create(kernels, &spec);
            assert_int_equal(made.matrix.dtype == TT_F16, spec.dtype == TT_F16 || kernels->storage == TT_STORAGE_F16);
            check_values(kernels, &made);
            check_bias(kernels, &made);
            tt_test_matrix_release(kernels, &made);
            assert_null(made.matrix.values.mem);
        }
}

static const tt_test_matrix_spec quantized_specs[] = {
    {.n_out = 33, .n_in = 256, .n_taps = 1},
    {.n_out = 64, .n_in = 1280, .n_taps = 1, .split = 644},
    {.n_out = 40, .n_in = 256, .n_taps = 9},
    {.n_out = 90, .n_in = 512, .n_taps = 1, .n_parts = 4},
    {.n_out = 44, .n_in = 2816, .n_taps = 1, .is_geglu = true, .n_parts = 2},
    {.n_out = 31, .n_in = 32, .n_taps = 1},
    {.n_out = 7, .n_in = 352, .n_taps = 9},
    {.n_out = 35, .n_in = 41, .n_taps = 1, .is_asymmetric = true},
    {.n_out = 3, .n_in = 5, .n_taps = 9},
};

static void test_quantized_packing(void **state)
{
    (void)state;
    for (size_t t = 0; t < TT_N_SAMPLE_QUANT_TYPES; t++)
        for (size_t i = 0; i < sizeof(quantized_specs) / sizeof(quantized_specs[0]); i++) {
            const tt_kernels *kernels = &tt_test_forms()[i % TT_TEST_N_FORMS];
            tt_test_matrix_spec spec = quantized_specs[i];
            spec.dtype = tt_sample_quant_types[t];
            spec.seed = 300 + i;
            if (spec.n_in * spec.n_taps % tt_dtype_block(spec.dtype) != 0)
                continue;
            tt_test_matrix made = tt_test_matrix_create(kernels, &spec);
            assert_int_equal(made.matrix.dtype, spec.dtype);
            check_quantized(kernels, &made);
            check_bias(kernels, &made);
            tt_test_matrix_release(kernels, &made);
        }
}

/* Quantized weights take the file's bytes and at most five percent more. */
static void test_quantized_size(void **state)
{
    (void)state;
    const tt_kernels *kernels = &tt_test_forms()[1];
    for (size_t t = 0; t < TT_N_SAMPLE_QUANT_TYPES; t++) {
        tt_dtype dtype = tt_sample_quant_types[t];
        uint8_t *blocks = tt_sample_blocks_new(dtype, (size_t)320 * 1280, 1.0, 5);
        float scales[320] = {0};
        tt_matrix_part part = {.dtype = dtype, .values = blocks + 1, .scale = scales, .n_out = 320};
        tt_matrix described;
        tt_test_ok(tt_matrix_describe(kernels, &part, 1, 1280, 1, 0, false, &described, tt_test_error()));
        double file_bytes = (double)tt_dtype_bytes(dtype, 320 * 1280) + (dtype == TT_I8 ? sizeof(scales) : 0.0);
        double ratio = (double)described.values.n_bytes / file_bytes;
        print_message("%s: %.4f of the file's bytes\n", dtype == TT_I8 ? "w8c" : tt_dtype_name(dtype), ratio);
        assert_true(ratio >= 1.0 && ratio <= 1.05);
        free(blocks);
    }
}

/* What cannot stay quantized is widened: to half where activations are half, to float where they are float. */
static void test_widening(void **state)
{
    (void)state;
    const tt_test_matrix_spec specs_widened[] = {
        {.n_out = 35, .n_in = 256, .n_taps = 1, .split = 34},
        {.n_out = 32, .n_in = 256, .n_taps = 1, .is_transposed = true},
        {.n_out = 256, .n_in = 40, .n_taps = 1, .is_transposed = true, .n_parts = 1},
        {.dtype = TT_I8, .n_out = 12, .n_in = 9, .n_taps = 1, .split = 3, .is_asymmetric = true},
        {.dtype = TT_Q4_0, .n_out = 32, .n_in = 20, .n_taps = 9},
    };
    for (size_t form = 0; form < 2; form++)
        for (size_t t = 0; t < TT_N_SAMPLE_QUANT_TYPES; t++)
            for (size_t i = 0; i < sizeof(specs_widened) / sizeof(specs_widened[0]); i++) {
                const tt_kernels *kernels = &tt_test_forms()[form];
                tt_test_matrix_spec spec = specs_widened[i];
                spec.dtype = spec.dtype == TT_F64 ? tt_sample_quant_types[t] : spec.dtype;
                spec.seed = 500 + i;
                tt_test_matrix made = tt_test_matrix_create(kernels, &spec);
                assert_int_equal(made.matrix.dtype, kernels->storage == TT_STORAGE_F16 ? TT_F16 : TT_F32);
                check_values(kernels, &made);
                tt_test_matrix_release(kernels, &made);
            }
}

/* Stacked parts stay quantized when all are of one type. */
static void test_stacked_types(void **state)
{
    (void)state;
    const tt_kernels *kernels = &tt_test_forms()[1];
    uint8_t *q8 = tt_sample_blocks_new(TT_Q8_0, 8 * 64, 1.0, 1), *q4 = tt_sample_blocks_new(TT_Q4_0, 8 * 64, 1.0, 2);
    const tt_matrix_part parts[3] = {{.dtype = TT_Q8_0, .values = q8 + 1, .n_out = 8},
                                     {.dtype = TT_Q8_0, .values = q8 + 1, .n_out = 8},
                                     {.dtype = TT_Q4_0, .values = q4 + 1, .n_out = 8}};
    const uint32_t n_values = 32 * 64;
    float values[32 * 64], stored[2][8 * 64];
    tt_matrix alike, mixed;
    tt_test_ok(tt_matrix_create(kernels, parts, 2, 64, 1, 0, false, &alike, tt_test_error()));
    tt_test_ok(tt_matrix_create(kernels, parts, 3, 64, 1, 0, false, &mixed, tt_test_error()));
    assert_int_equal(alike.dtype, TT_Q8_0);
    assert_int_equal(mixed.dtype, TT_F16);
    assert_int_equal(mixed.values.n_bytes, n_values * sizeof(uint16_t));
    uint8_t *halves = read_bytes(kernels, &mixed);
    tt_to_float(TT_F16, halves, values, n_values);
    tt_to_float(TT_Q8_0, q8 + 1, stored[0], 8 * 64);
    tt_to_float(TT_Q4_0, q4 + 1, stored[1], 8 * 64);
    for (uint32_t o = 0; o < 24; o++)
        for (uint32_t i = 0; i < 64; i++)
            assert_true(values[i * 32 + o] ==
                        tt_half_to_float(tt_float_to_half(stored[o / 16][(size_t)(o % 8) * 64 + i])));
    free(halves);
    free(q8);
    free(q4);
    tt_matrix_release(kernels->device, &alike);
    tt_matrix_release(kernels->device, &mixed);
}

/* A description names the sizes and types that creation makes, without a device, and packing it gives the same bytes.
 */
static void test_description(void **state)
{
    (void)state;
    static const tt_dtype dtypes[] = {TT_F32, TT_F16, TT_Q4_0, TT_Q6_K, TT_I8};
    for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++) {
        const tt_kernels *kernels = &tt_test_forms()[i % 2];
        tt_kernels without = *kernels;
        without.device = NULL;
        uint8_t *blocks = tt_sample_blocks_new(dtypes[i], (size_t)36 * 256, 1.0, 9);
        float scales[36] = {1.0f, 2.0f};
        tt_matrix_part part = {.dtype = dtypes[i], .values = blocks + 1, .scale = scales, .n_out = 36};
        tt_matrix made, described;
        tt_test_ok(tt_matrix_create(kernels, &part, 1, 256, 1, 0, true, &made, tt_test_error()));
        tt_test_ok(tt_matrix_describe(&without, &part, 1, 256, 1, 0, true, &described, tt_test_error()));
        assert_null(described.values.mem);
        assert_int_equal(described.dtype, made.dtype);
        assert_int_equal(described.values.n_bytes, made.values.n_bytes);
        assert_int_equal(described.bias.n_bytes, made.bias.n_bytes);
        uint8_t *packed = aligned_alloc(64, (described.values.n_bytes + 63) / 64 * 64);
        assert_non_null(packed);
        tt_matrix_pack(&part, 1, &described, packed);
        uint8_t *bytes = read_bytes(kernels, &made);
        assert_memory_equal(packed, bytes, made.values.n_bytes);
        free(bytes);
        free(packed);
        free(blocks);
        tt_matrix_release(kernels->device, &made);
    }
}

/* ---- packing for dot product units ---- */

static const tt_test_matrix_spec dot_specs[] = {
    {.dtype = TT_F32, .n_out = 33, .n_in = 65, .n_taps = 1},
    {.dtype = TT_F16, .n_out = 12, .n_in = 150, .n_taps = 1, .split = 70},
    {.dtype = TT_BF16, .n_out = 40, .n_in = 37, .n_taps = 9},
    {.dtype = TT_F32, .n_out = 90, .n_in = 40, .n_taps = 1, .n_parts = 4},
    {.dtype = TT_F16, .n_out = 44, .n_in = 70, .n_taps = 1, .is_geglu = true, .n_parts = 2},
    {.dtype = TT_F32, .n_out = 35, .n_in = 41, .n_taps = 1, .is_transposed = true},
    {.dtype = TT_Q8_0, .n_out = 31, .n_in = 96, .n_taps = 9},
    {.dtype = TT_F16, .n_out = 34, .n_in = 150, .n_taps = 9, .split = 70},
    {.dtype = TT_I8, .n_out = 20, .n_in = 66, .n_taps = 1, .is_asymmetric = true},
};

/* Byte of a weight in its panel. */
static size_t dot_index(const tt_matrix *matrix, uint32_t lane, uint32_t channel, uint32_t tap)
{
    bool is_first = channel < matrix->split;
    uint32_t within = is_first ? channel : channel - matrix->split;
    if (matrix->family == TT_FAMILY_GPU_PLAIN) {
        uint32_t slice = within / 4 + (is_first ? 0 : (matrix->split + 3) / 4);
        return (((size_t)slice * matrix->n_taps + tap) * 32 + lane) * 4 + within % 4;
    }
    uint32_t size = tt_dot_block_channels(matrix->arithmetic);
    uint32_t block = within / size + (is_first ? 0 : (matrix->split + size - 1) / size);
    size_t start = ((size_t)block * matrix->n_taps + tap) * 2048, byte = within % size * (64 / size);
    if (matrix->n_taps == 1)
        return start + (size_t)lane * 64 + byte;
    return start + lane / 16 * 1024 + byte / 4 * 64 + lane % 16 * 4 + byte % 4;
}

/* A packed number as it counts: a code times its output's scale, or a bfloat16. */
static float dot_number(const tt_matrix *matrix, const uint8_t *at, float scale)
{
    float value;
    uint32_t bits = (uint32_t)at[0] << 16;
    if (matrix->arithmetic == TT_ARITHMETIC_INT8)
        return (float)(int8_t)at[0] * scale;
    bits |= (uint32_t)at[1] << 24;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* One output: all its numbers, its scale and the sum of its codes. Numbers that were seen become zero. */
static void check_dot_row(const tt_matrix *matrix, const float *weights, uint8_t *panel, uint32_t lane)
{
    size_t end = tt_dot_panel_bytes(matrix), n_bytes = matrix->arithmetic == TT_ARITHMETIC_INT8 ? 1 : 2;
    float scale = 0.0f;
    int32_t sum = 0, want_sum = 0;
    if (matrix->arithmetic == TT_ARITHMETIC_INT8) {
        memcpy(&scale, panel + end - 256 + lane * 4, sizeof(scale));
        memcpy(&sum, panel + end - 128 + lane * 4, sizeof(sum));
    }
    for (uint32_t i = 0; i < matrix->n_in; i++)
        for (uint32_t tap = 0; tap < matrix->n_taps; tap++) {
            uint8_t *at = panel + dot_index(matrix, lane, i, tap);
            float want = weights[(size_t)i * matrix->n_taps + tap], got = dot_number(matrix, at, scale);
            assert_true(fabsf(got - want) <= 1e-6f * fabsf(want));
            want_sum += n_bytes == 1 ? (int8_t)at[0] : 0;
            memset(at, 0, n_bytes);
        }
    assert_int_equal(sum, want_sum);
}

static void check_dot_values(const tt_kernels *kernels, const tt_test_matrix *made)
{
    const tt_matrix *matrix = &made->matrix;
    uint8_t *bytes = read_bytes(kernels, matrix);
    size_t panel_bytes = tt_dot_panel_bytes(matrix), n_panels = (matrix->n_out + 31) / 32;
    assert_int_equal(matrix->values.n_bytes, panel_bytes * n_panels);
    for (uint32_t o = 0; o < matrix->n_out; o++) {
        uint32_t panel, lane;
        place_of(matrix, o, &panel, &lane);
        check_dot_row(matrix, made->weights + (size_t)o * matrix->n_in * matrix->n_taps, bytes + panel * panel_bytes,
                      lane);
    }
    size_t end = matrix->arithmetic == TT_ARITHMETIC_INT8 ? 256 : 0;
    for (size_t i = 0; i < matrix->values.n_bytes; i++)
        assert_true(i % panel_bytes >= panel_bytes - end || bytes[i] == 0); /* padding */
    free(bytes);
}

/* Both forms for CPUs, and int8 for GPUs. */
static void test_dot_packing(void **state)
{
    (void)state;
    for (int form = 0; form < 3; form++)
        for (size_t i = 0; i < sizeof(dot_specs) / sizeof(dot_specs[0]); i++) {
            tt_kernels kernels = tt_test_forms()[form == 2 ? 2 : 0];
            kernels.family = form == 2 ? TT_FAMILY_GPU_PLAIN : TT_FAMILY_CPU_TILE; /* packing is the host's work */
            kernels.arithmetic = form == 0 ? TT_ARITHMETIC_HALF : TT_ARITHMETIC_INT8;
            kernels.dot = (tt_dot){.half = TT_DOT_PLAIN, .int8 = TT_DOT_PLAIN};
            tt_test_matrix_spec spec = dot_specs[i];
            spec.seed = 700 + i;
            tt_test_matrix made = tt_test_matrix_create(&kernels, &spec);
            assert_int_equal(made.matrix.arithmetic, kernels.arithmetic);
            tt_reference_dot_weights(kernels.arithmetic, made.weights, spec.n_out, (size_t)spec.n_in * spec.n_taps);
            check_dot_values(&kernels, &made);
            check_bias(&kernels, &made);
            tt_test_matrix_release(&kernels, &made);
        }
}

/* What cannot be had falls back to the next form. */
static void test_dot_choice(void **state)
{
    (void)state;
    const float values[64 * 2] = {0};
    const struct {
        tt_arithmetic asked;
        tt_dot dot;
        uint32_t n_in;
        tt_arithmetic got;
    } choices[] = {
        {TT_ARITHMETIC_FLOAT, {TT_DOT_PLAIN, TT_DOT_PLAIN}, 64, TT_ARITHMETIC_FLOAT},
        {TT_ARITHMETIC_HALF, {TT_DOT_PLAIN, TT_DOT_PLAIN}, 64, TT_ARITHMETIC_HALF},
        {TT_ARITHMETIC_HALF, {TT_DOT_NONE, TT_DOT_PLAIN}, 64, TT_ARITHMETIC_FLOAT},
        {TT_ARITHMETIC_INT8, {TT_DOT_PLAIN, TT_DOT_PLAIN}, 64, TT_ARITHMETIC_INT8},
        {TT_ARITHMETIC_INT8, {TT_DOT_PLAIN, TT_DOT_NONE}, 64, TT_ARITHMETIC_HALF},
        {TT_ARITHMETIC_INT8, {TT_DOT_PLAIN, TT_DOT_PLAIN}, 20, TT_ARITHMETIC_HALF},
        {TT_ARITHMETIC_INT8, {TT_DOT_PLAIN, TT_DOT_PLAIN}, 4, TT_ARITHMETIC_FLOAT},
    };
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        tt_kernels kernels = {.arithmetic = choices[i].asked, .dot = choices[i].dot};
        tt_matrix_part part = {.dtype = TT_F32, .values = values, .n_out = 2};
        tt_matrix matrix;
        tt_test_ok(tt_matrix_describe(&kernels, &part, 1, choices[i].n_in, 1, 0, false, &matrix, tt_test_error()));
        assert_int_equal(matrix.arithmetic, choices[i].got);
    }
}

static void test_vector(void **state)
{
    (void)state;
    const tt_kernels *kernels = &tt_test_forms()[0];
    const uint16_t halves[5] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000};
    tt_vector vector;
    tt_test_ok(tt_vector_create(kernels, TT_F16, halves, 5, &vector, tt_test_error()));
    assert_int_equal(vector.n, 5);
    assert_int_equal(vector.values.n_bytes, 32 * sizeof(float));
    float got[32];
    tt_test_ok(tt_buffer_read(kernels->device, &vector.values, 0, got, sizeof(got), tt_test_error()));
    for (int i = 0; i < 32; i++)
        assert_true(got[i] == (i < 5 ? tt_half_to_float(halves[i]) : 0.0f));
    tt_vector_release(kernels->device, &vector);
    assert_null(vector.values.mem);
    assert_int_equal(tt_vector_create(kernels, TT_F16, halves, 0, &vector, tt_test_error()), TT_ERROR_INTERNAL);
    assert_int_equal(tt_vector_create(kernels, TT_I32, halves, 2, &vector, tt_test_error()), TT_ERROR_INTERNAL);
}

/* Norms and biases of a file may be in blocks too; they become float. */
static void test_vectors_in_blocks(void **state)
{
    (void)state;
    const tt_kernels *kernels = &tt_test_forms()[0];
    uint8_t *blocks = tt_sample_blocks_new(TT_Q8_0, 64, 1.0, 8);
    float want[64], got[64];
    const float weights[64] = {0};
    tt_to_float(TT_Q8_0, blocks + 1, want, 64);
    tt_vector vector;
    tt_test_ok(tt_vector_create(kernels, TT_Q8_0, blocks + 1, 64, &vector, tt_test_error()));
    tt_test_ok(tt_buffer_read(kernels->device, &vector.values, 0, got, sizeof(got), tt_test_error()));
    assert_memory_equal(got, want, sizeof(got));
    tt_vector_release(kernels->device, &vector);
    assert_int_equal(tt_vector_create(kernels, TT_Q8_0, blocks + 1, 40, &vector, tt_test_error()), TT_ERROR_INTERNAL);

    tt_matrix_part part = {.dtype = TT_F32, .values = weights, .n_out = 64, .bias_dtype = TT_Q8_0, .bias = blocks + 1};
    tt_matrix matrix;
    tt_test_ok(tt_matrix_create(kernels, &part, 1, 1, 1, 0, false, &matrix, tt_test_error()));
    tt_test_ok(tt_buffer_read(kernels->device, &matrix.bias, 0, got, sizeof(got), tt_test_error()));
    assert_memory_equal(got, want, sizeof(got));
    tt_matrix_release(kernels->device, &matrix);
    part.n_out = 40;
    assert_int_equal(tt_matrix_create(kernels, &part, 1, 1, 1, 0, false, &matrix, tt_test_error()),
                     TT_ERROR_UNSUPPORTED);
    free(blocks);
}

/* Requests that cannot be packed leave nothing behind. */
static void test_refuses(void **state)
{
    (void)state;
    const tt_kernels *kernels = &tt_test_forms()[0];
    const float values[64] = {0};
    const tt_matrix_part good = {.dtype = TT_F32, .values = values, .n_out = 3};
    tt_matrix_part integers = good, turned = good, nothing = good, odd_bias = good;
    integers.dtype = TT_I8;
    turned.transposed = true;
    nothing.values = NULL;
    odd_bias.bias = values;
    odd_bias.bias_dtype = TT_BOOL;
    const struct {
        const tt_matrix_part *part;
        uint32_t n_parts, n_in, n_taps, split;
        bool geglu;
        tt_status status;
    } wrong[] = {
        {&integers, 1, 4, 1, 0, false, TT_ERROR_UNSUPPORTED}, {&odd_bias, 1, 4, 1, 0, false, TT_ERROR_UNSUPPORTED},
        {&turned, 1, 2, 9, 0, false, TT_ERROR_INTERNAL},      {&nothing, 1, 4, 1, 0, false, TT_ERROR_INTERNAL},
        {&good, 0, 4, 1, 0, false, TT_ERROR_INTERNAL},        {&good, 1, 0, 1, 0, false, TT_ERROR_INTERNAL},
        {&good, 1, 4, 3, 0, false, TT_ERROR_INTERNAL},        {&good, 1, 4, 1, 5, false, TT_ERROR_INTERNAL},
        {&good, 1, 4, 1, 0, true, TT_ERROR_INTERNAL},
    };
    uint64_t held = tt_device_bytes(kernels->device);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        tt_matrix matrix;
        tt_error err = {""};
        assert_int_equal(tt_matrix_create(kernels, wrong[i].part, wrong[i].n_parts, wrong[i].n_in, wrong[i].n_taps,
                                          wrong[i].split, wrong[i].geglu, &matrix, &err),
                         wrong[i].status);
        assert_true(strlen(err.text) > 0);
        assert_null(matrix.values.mem);
    }
    assert_int_equal(tt_device_bytes(kernels->device), held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing),           cmocka_unit_test(test_quantized_packing),
        cmocka_unit_test(test_quantized_size),    cmocka_unit_test(test_widening),
        cmocka_unit_test(test_stacked_types),     cmocka_unit_test(test_description),
        cmocka_unit_test(test_vectors_in_blocks), cmocka_unit_test(test_vector),
        cmocka_unit_test(test_refuses),           cmocka_unit_test(test_dot_packing),
        cmocka_unit_test(test_dot_choice),
    };
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
