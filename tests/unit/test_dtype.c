/* test_dtype.c - element types and conversions, against arithmetic that is written from the definition of the formats.
 */
#include "base/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* binary16 by its definition. */
static double half_value(uint16_t half)
{
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double sign = half & 0x8000 ? -1.0 : 1.0;
    if (exponent == 31)
        return mantissa != 0 ? (double)NAN : sign * (double)INFINITY;
    return exponent == 0 ? sign * ldexp(mantissa, -24) : sign * ldexp(1024 + mantissa, exponent - 25);
}

/* Rounds to a multiple of the spacing at this exponent, ties to even (rint's default), as the standard says. */
static uint16_t nearest_half(float value)
{
    uint16_t sign = (uint16_t)(bits_of(value) >> 16 & 0x8000);
    if (isnan(value))
        return (uint16_t)(sign | 0x7e00);
    double size = fabs((double)value);
    int exponent;
    (void)frexp(size, &exponent); /* size in [2^(exponent-1), 2^exponent) */
    int spacing = exponent - 11 < -24 ? -24 : exponent - 11;
    double rounded = isinf(size) ? size : ldexp(rint(ldexp(size, -spacing)), spacing);
    if (rounded >= 65536.0)
        return (uint16_t)(sign | 0x7c00);
    if (rounded < ldexp(1, -14))
        return (uint16_t)(sign | (uint16_t)ldexp(rounded, 24));
    (void)frexp(rounded, &exponent);
    return (uint16_t)(sign | ((exponent + 14) << 10) | ((int)ldexp(rounded, 11 - exponent) - 1024));
}

static bool is_nan_half(uint16_t half)
{
    return (half & 0x7fff) > 0x7c00;
}

/* All 65536 halves, one by one and as a block. */
static void test_every_half(void **state)
{
    (void)state;
    static uint16_t halves[65536];
    static float floats[65536];
    for (uint32_t i = 0; i < 65536; i++)
        halves[i] = (uint16_t)i;
    tt_to_float(TT_F16, halves, floats, 65536);
    for (uint32_t i = 0; i < 65536; i++) {
        float one = tt_half_to_float((uint16_t)i), expected = (float)half_value((uint16_t)i);
        if (is_nan_half((uint16_t)i)) {
            assert_true(isnan(one) && isnan(floats[i]));
            assert_true(signbit(one) == signbit(floats[i]) && !signbit(one) == (i < 0x8000));
            assert_true(is_nan_half(tt_float_to_half(one)));
            continue;
        }
        assert_int_equal(bits_of(one), bits_of(expected));
        assert_int_equal(bits_of(floats[i]), bits_of(expected));
        assert_int_equal(tt_float_to_half(one), i);
    }
}

/* Floats of all signs and exponents whose lower bits are near the places where rounding turns. */
static void test_float_to_half(void **state)
{
    (void)state;
    static const uint32_t tails[] = {0,        1,        0xfff,    0x1000,   0x1001,  0x1fff,   0x2000,
                                     0x2fff,   0x3000,   0x3001,   0x5000,   0x7000,  0x3ff000, 0x400000,
                                     0x400001, 0x7fe000, 0x7fefff, 0x7ff000, 0x7fffff};
    enum { N_TAILS = sizeof(tails) / sizeof(tails[0]) };
    static float floats[512 * N_TAILS];
    static uint16_t halves[512 * N_TAILS];
    for (uint32_t i = 0; i < 512 * N_TAILS; i++)
        floats[i] = float_of(i / N_TAILS << 23 | tails[i % N_TAILS]);
    tt_to_half(floats, halves, 512 * N_TAILS);
    for (uint32_t i = 0; i < 512 * N_TAILS; i++) {
        uint16_t expected = nearest_half(floats[i]), one = tt_float_to_half(floats[i]);
        if (is_nan_half(expected)) {
            assert_true(is_nan_half(one) && is_nan_half(halves[i]));
            assert_int_equal(one & 0x8000, expected & 0x8000);
        } else if (one != expected || halves[i] != expected) {
            fail_msg("%08x: %04x and %04x, expected %04x", bits_of(floats[i]), one, halves[i], expected);
        }
    }
}

static void test_float_to_half_landmarks(void **state)
{
    (void)state;
    assert_int_equal(tt_float_to_half(65504.0f), 0x7bff);
    assert_int_equal(tt_float_to_half(65519.996f), 0x7bff);
    assert_int_equal(tt_float_to_half(65520.0f), 0x7c00);
    assert_int_equal(tt_float_to_half(-1e30f), 0xfc00);
    assert_int_equal(tt_float_to_half(-0.0f), 0x8000);
    assert_int_equal(tt_float_to_half(0x1p-24f), 1);
    assert_int_equal(tt_float_to_half(0x1p-25f), 0);
    assert_int_equal(tt_float_to_half(0x1.000002p-25f), 1);
    assert_int_equal(tt_float_to_half(0x1.8p-24f), 2);
    assert_int_equal(tt_float_to_half(0x1.ffep-15f), 0x400);
    assert_int_equal(tt_float_to_half(1.0f + 0x1p-11f), 0x3c00);
    assert_int_equal(tt_float_to_half(1.0f + 0x3p-11f), 0x3c02);
}

/* Every length up to three vectors, at every alignment; the bytes around the result stay as they are. */
static void test_ragged_blocks(void **state)
{
    (void)state;
    static const tt_dtype types[] = {TT_F16, TT_BF16, TT_F32, TT_F64};
    uint8_t source[8 * 40 + 8];
    for (size_t i = 0; i < sizeof(source); i++)
        source[i] = (uint8_t)(i * 37 + 11) & 0x3f; /* no NaN in any of the types */
    for (size_t t = 0; t < 4; t++)
        for (size_t n = 0; n <= 24; n++)
            for (size_t shift = 0; shift < 4; shift++) {
                float out[40], one;
                for (int i = 0; i < 40; i++)
                    out[i] = -77.0f;
                tt_to_float(types[t], source + shift, out + 4, n);
                for (size_t i = 0; i < 40; i++) {
                    bool inside = i >= 4 && i < 4 + n;
                    if (inside)
                        tt_to_float(types[t], source + shift + (i - 4) * tt_dtype_size(types[t]), &one, 1);
                    assert_int_equal(bits_of(out[i]), bits_of(inside ? one : -77.0f));
                }
            }
}

static void test_ragged_halves(void **state)
{
    (void)state;
    float source[30];
    for (int i = 0; i < 30; i++)
        source[i] = (float)i * 0.37f - 4.0f;
    for (size_t n = 0; n <= 24; n++) {
        uint16_t out[40];
        memset(out, 0x55, sizeof(out));
        tt_to_half(source, out + 3, n);
        for (size_t i = 0; i < 40; i++)
            assert_int_equal(out[i], i >= 3 && i < 3 + n ? tt_float_to_half(source[i - 3]) : 0x5555);
    }
}

static void test_other_types(void **state)
{
    (void)state;
    static const double doubles[] = {1.0, -0.1, 1e300, 5e-324};
    static const int64_t i64[] = {-1, 0, INT64_MAX, INT64_MIN};
    static const int32_t i32[] = {-1, 16777217, INT32_MAX, INT32_MIN};
    static const int16_t i16[] = {-1, 2, INT16_MAX, INT16_MIN};
    static const int8_t i8[] = {-1, 2, INT8_MAX, INT8_MIN};
    static const uint8_t u8[] = {255, 0, 127, 128}, flags[] = {1, 0, 0, 1};
    static const uint16_t bf16[] = {0x3f80, 0xc2c8, 0x7f80, 0x0001};
    static const struct {
        tt_dtype dtype;
        const void *data;
        float expected[4];
    } cases[] = {
        {TT_F64, doubles, {1.0f, -0.1f, INFINITY, 0.0f}},
        {TT_I64, i64, {-1.0f, 0.0f, 0x1p63f, -0x1p63f}},
        {TT_I32, i32, {-1.0f, 16777216.0f, 0x1p31f, -0x1p31f}},
        {TT_I16, i16, {-1.0f, 2.0f, 32767.0f, -32768.0f}},
        {TT_I8, i8, {-1.0f, 2.0f, 127.0f, -128.0f}},
        {TT_U8, u8, {255.0f, 0.0f, 127.0f, 128.0f}},
        {TT_BOOL, flags, {1.0f, 0.0f, 0.0f, 1.0f}},
        {TT_BF16, bf16, {1.0f, -100.0f, INFINITY, 0x1p-133f}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        float found[4];
        tt_to_float(cases[i].dtype, cases[i].data, found, 4);
        for (int j = 0; j < 4; j++)
            assert_int_equal(bits_of(found[j]), bits_of(cases[i].expected[j]));
    }
}

static void test_names_and_sizes(void **state)
{
    (void)state;
    static const size_t sizes[TT_BOOL + 1] = {8, 4, 2, 2, 8, 4, 2, 1, 1, 1};
    for (int i = 0; i <= TT_BOOL; i++) {
        tt_dtype parsed = TT_N_DTYPES;
        assert_true(tt_dtype_parse(tt_dtype_name((tt_dtype)i), &parsed));
        assert_int_equal(parsed, i);
        assert_int_equal(tt_dtype_size((tt_dtype)i), sizes[i]);
        assert_false(tt_dtype_is_block((tt_dtype)i));
        assert_int_equal(tt_dtype_block((tt_dtype)i), 1);
        assert_int_equal(tt_dtype_block_bytes((tt_dtype)i), sizes[i]);
        assert_int_equal(tt_dtype_bytes((tt_dtype)i, 96), 96 * sizes[i]);
    }
    tt_dtype parsed = TT_I16;
    assert_false(tt_dtype_parse("f16", &parsed));
    assert_false(tt_dtype_parse("", &parsed));
    assert_false(tt_dtype_parse("F16 ", &parsed));
    assert_int_equal(parsed, TT_I16);
    assert_string_equal(tt_dtype_name(TT_BF16), "BF16");
}

/* Bytes of a block, counted from what it holds: half scales, packed scales of sub-blocks, codes. */
static void test_block_types(void **state)
{
    (void)state;
    static const struct {
        tt_dtype dtype;
        const char *name;
        size_t block, n_bytes;
    } cases[] = {
        {TT_Q4_0, "Q4_0", 32, 2 + 32 / 2},
        {TT_Q4_1, "Q4_1", 32, 2 * 2 + 32 / 2},
        {TT_Q5_0, "Q5_0", 32, 2 + 32 * 5 / 8},
        {TT_Q5_1, "Q5_1", 32, 2 * 2 + 32 * 5 / 8},
        {TT_Q8_0, "Q8_0", 32, 2 + 32},
        {TT_Q2_K, "Q2_K", 256, 2 * 2 + 16 + 256 / 4},
        {TT_Q3_K, "Q3_K", 256, 2 + 16 * 6 / 8 + 256 * 3 / 8},
        {TT_Q4_K, "Q4_K", 256, 2 * 2 + 8 * 12 / 8 + 256 / 2},
        {TT_Q5_K, "Q5_K", 256, 2 * 2 + 8 * 12 / 8 + 256 * 5 / 8},
        {TT_Q6_K, "Q6_K", 256, 2 + 16 + 256 * 6 / 8},
    };
    assert_int_equal(sizeof(cases) / sizeof(cases[0]), TT_N_DTYPES - TT_Q4_0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tt_dtype dtype = cases[i].dtype, parsed = TT_I16;
        assert_true(tt_dtype_is_block(dtype));
        assert_int_equal(tt_dtype_size(dtype), 0);
        assert_string_equal(tt_dtype_name(dtype), cases[i].name);
        assert_int_equal(tt_dtype_block(dtype), cases[i].block);
        assert_int_equal(tt_dtype_block_bytes(dtype), cases[i].n_bytes);
        assert_int_equal(tt_dtype_bytes(dtype, 1024), 1024 / cases[i].block * cases[i].n_bytes);
        assert_false(tt_dtype_parse(cases[i].name, &parsed));
        assert_int_equal(parsed, TT_I16);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    const tt_tensor tensor = {.n_dims = 3, .dims = {3, 5, 7}}, scalar = {.n_dims = 0},
                    empty = {.n_dims = 2, .dims = {4, 0}};
    const uint64_t large[8] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, 1};
    char text[256], small[8];
    assert_int_equal(tt_tensor_count(&tensor), 105);
    assert_int_equal(tt_tensor_count(&scalar), 1);
    assert_int_equal(tt_tensor_count(&empty), 0);
    tt_shape_text(3, tensor.dims, text, sizeof(text));
    assert_string_equal(text, "[3, 5, 7]");
    tt_shape_text(1, tensor.dims, text, sizeof(text));
    assert_string_equal(text, "[3]");
    tt_shape_text(0, tensor.dims, text, sizeof(text));
    assert_string_equal(text, "[]");
    tt_shape_text(8, large, text, sizeof(text));
    assert_int_equal(strlen(text), 7 * 20 + 1 + 2 + 7 * 2);
    memset(small, 'x', sizeof(small));
    tt_shape_text(3, tensor.dims, small, 6);
    assert_string_equal(small, "[3, 5");
    assert_int_equal(small[6], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_half),
        cmocka_unit_test(test_float_to_half),
        cmocka_unit_test(test_float_to_half_landmarks),
        cmocka_unit_test(test_ragged_blocks),
        cmocka_unit_test(test_ragged_halves),
        cmocka_unit_test(test_other_types),
        cmocka_unit_test(test_names_and_sizes),
        cmocka_unit_test(test_block_types),
        cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
