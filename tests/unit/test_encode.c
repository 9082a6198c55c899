/* test_encode.c - encoders of quantized blocks: plain bytes against gguf-py's, exact round trips, the search against
 * plain rounding, rows at the edges. */
#include "base/rng.h"
#include "quantize/encode-super.h"
#include "quantize/encode.h"
#include "tests/support/test-safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 16 * 256, MAX_BYTES = N * 34 / 32 };

static const char goldens[] = "tests/golden/data/blocks.safetensors";

static void fill_normal(uint64_t seed, float *values, size_t n)
{
    tt_rng_state rng;
    tt_rng_init(&rng, TT_RNG_CPU, seed);
    tt_rng_normal(&rng, values, n);
}

/* Weighted squared error of the decoded blocks; importance may be NULL. */
static double decoded_error(tt_dtype dtype, const uint8_t *blocks, const float *values, const float *importance,
                            size_t n)
{
    static float decoded[N];
    double error = 0;
    tt_to_float(dtype, blocks, decoded, n);
    for (size_t i = 0; i < n; i++) {
        double miss = (double)decoded[i] - (double)values[i];
        error += miss * miss * (importance == NULL ? 1.0 : (double)importance[i]);
    }
    return error;
}

static double error_of_fit(tt_dtype dtype, tt_fit fit, const float *values, const float *importance, size_t n)
{
    static uint8_t blocks[MAX_BYTES];
    tt_encode_blocks(dtype, fit, values, importance, n, blocks);
    return decoded_error(dtype, blocks, values, importance, n);
}

static void test_known_types(void **state)
{
    (void)state;
    for (int dtype = 0; dtype < TT_N_DTYPES; dtype++)
        for (int fit = TT_FIT_SEARCH; fit <= TT_FIT_NEAREST; fit++)
            assert_int_equal(tt_encode_knows((tt_dtype)dtype, (tt_fit)fit), dtype >= TT_Q4_0);
}

/* ---- plain ---- */

static void test_plain_bytes(void **state)
{
    (void)state;
    static const tt_dtype types[] = {TT_Q8_0, TT_Q4_0, TT_Q4_1, TT_Q5_0, TT_Q5_1};
    tt_tensor_file *file = test_safetensors_open(goldens);
    const tt_tensor *rows = tt_tensor_file_find(file, "rows");
    assert_non_null(rows);
    size_t n = (size_t)tt_tensor_count(rows);
    assert_in_range(n, 32 * 50, N);
    static float values[N];
    static uint8_t found[MAX_BYTES];
    tt_to_float(TT_F32, rows->data, values, n);
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%s.plain", tt_dtype_name(types[t]));
        const tt_tensor *expected = tt_tensor_file_find(file, name);
        assert_non_null(expected);
        assert_int_equal(expected->n_bytes, tt_dtype_bytes(types[t], n));
        tt_encode_blocks(types[t], TT_FIT_PLAIN, values, NULL, n, found);
        size_t block = tt_dtype_block_bytes(types[t]);
        for (size_t i = 0; i < n / 32; i++)
            if (memcmp(found + i * block, (const uint8_t *)expected->data + i * block, block) != 0)
                fail_msg("%s: row %zu differs from gguf-py's bytes", tt_dtype_name(types[t]), i);
    }
    tt_tensor_file_close(file);
}

/* ---- round trips: what blocks decode to is found again ---- */

static uint8_t byte_of(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint8_t)(*seed >> 56);
}

/* A block that decodes to values from which its scales can be read: the extremes of codes, scales and offsets occur. */
static void make_super(tt_dtype dtype, uint64_t seed, tt_super *block)
{
    bool sixteen = dtype != TT_Q4_K && dtype != TT_Q5_K, is_signed = dtype == TT_Q3_K || dtype == TT_Q6_K;
    int top = dtype == TT_Q2_K ? 3 : dtype == TT_Q3_K ? 7 : dtype == TT_Q4_K ? 15 : dtype == TT_Q5_K ? 31 : 63;
    int top_scale = dtype == TT_Q2_K ? 15 : dtype == TT_Q3_K ? 32 : dtype == TT_Q6_K ? 128 : 63;
    int n_subs = sixteen ? 16 : 8, n = 256 / n_subs;
    *block = (tt_super){.d = 0x1.8cp-9f, .dmin = is_signed ? 0 : 0x1.5p-8f};
    for (int sub = 0; sub < n_subs; sub++) {
        int size = 1 + byte_of(&seed) % (top_scale - 1);
        block->scales[sub] = is_signed && sub % 3 == 1 ? -size : size;
        block->offsets[sub] = is_signed ? 0 : byte_of(&seed) % (top_scale + 1);
        for (int i = 0; i < n; i++)
            block->codes[sub * n + i] = (uint8_t)(byte_of(&seed) % (top + 1));
        block->codes[sub * n + 2] = 0;
        block->codes[sub * n + 5] = (uint8_t)top;
    }
    block->scales[5] = is_signed ? -top_scale : top_scale;
    if (!is_signed)
        block->offsets[3] = top_scale;
}

/* Packed, decoded and encoded again the bytes are the same; so packing is also the inverse of decoding. */
static void test_super_round_trip(void **state)
{
    (void)state;
    for (int t = TT_Q2_K; t <= TT_Q6_K; t++)
        for (uint64_t seed = 1; seed <= 40; seed++) {
            tt_dtype dtype = (tt_dtype)t;
            tt_super block;
            uint8_t bytes[210], again[210];
            float values[256];
            make_super(dtype, seed, &block);
            tt_super_pack(dtype, &block, bytes);
            tt_to_float(dtype, bytes, values, 256);
            tt_encode_blocks(dtype, TT_FIT_PLAIN, values, NULL, 256, again);
            assert_memory_equal(again, bytes, tt_dtype_block_bytes(dtype));
            assert_true(error_of_fit(dtype, TT_FIT_SEARCH, values, NULL, 256) == 0);
        }
}

/* Blocks of 32 from random bytes, their scales sane and the codes' extremes present. */
static void test_small_round_trip(void **state)
{
    (void)state;
    for (int t = TT_Q4_0; t <= TT_Q8_0; t++)
        for (uint64_t seed = 1; seed <= 40; seed++) {
            tt_dtype dtype = (tt_dtype)t;
            size_t n_bytes = tt_dtype_block_bytes(dtype);
            uint8_t bytes[34], again[34];
            float values[32];
            for (size_t i = 0; i < n_bytes; i++) {
                bytes[i] = byte_of(&seed);
                if (dtype == TT_Q8_0 && bytes[i] == 0x80)
                    bytes[i] = 0x81;
            }
            const uint8_t scales[4] = {0x55, 0x1d, 0x31, 0xa6};
            memcpy(bytes, scales, dtype == TT_Q4_1 || dtype == TT_Q5_1 ? 4 : 2);
            bytes[n_bytes - 3] = dtype == TT_Q8_0 ? 0x7f : 0xf0;
            if (dtype == TT_Q5_0 || dtype == TT_Q5_1) { /* codes 13 (0) and 29 (31) */
                bytes[n_bytes - 19] &= 0xdf;
                bytes[n_bytes - 17] |= 0x20;
            }
            tt_to_float(dtype, bytes, values, 32);
            tt_encode_blocks(dtype, TT_FIT_PLAIN, values, NULL, 32, again);
            assert_memory_equal(again, bytes, n_bytes);
            tt_encode_blocks(dtype, TT_FIT_NEAREST, values, NULL, 32, again);
            assert_memory_equal(again, bytes, n_bytes);
            assert_true(error_of_fit(dtype, TT_FIT_SEARCH, values, NULL, 32) == 0);
        }
}

/* ---- the search ---- */

/* Normal, heavy-tailed, uniform, few outliers, offset, one-sided. */
enum { N_SHAPES = 6 };

static void make_values(int shape, float *values)
{
    fill_normal((uint64_t)(100 + shape), values, N);
    for (size_t i = 0; i < N; i++) {
        float x = values[i];
        if (shape == 1)
            values[i] = x * x * x;
        else if (shape == 2)
            values[i] = (float)erf(x * 0.7071) * 0.03f;
        else if (shape == 3)
            values[i] = i % 97 == 0 ? 12 * x : x;
        else if (shape == 4)
            values[i] = 3 + 0.1f * x;
        else if (shape == 5)
            values[i] = -fabsf(x) * 1e-3f;
    }
}

/* Block by block, under no importance and under one that varies by factors of hundreds. */
static void test_search_is_never_worse(void **state)
{
    (void)state;
    static float values[N], importance[N];
    fill_normal(7, importance, N);
    for (size_t i = 0; i < N; i++)
        importance[i] = expf(2 * importance[i]) * 1e3f;
    for (int shape = 0; shape < N_SHAPES; shape++) {
        make_values(shape, values);
        for (int t = TT_Q4_0; t < TT_N_DTYPES; t++)
            for (int weighted = 0; weighted < 2; weighted++) {
                tt_dtype dtype = (tt_dtype)t;
                size_t block = tt_dtype_block(dtype);
                for (size_t i = 0; i < N; i += block) {
                    const float *w = weighted ? importance + i : NULL;
                    double plain = error_of_fit(dtype, TT_FIT_PLAIN, values + i, w, block);
                    double searched = error_of_fit(dtype, TT_FIT_SEARCH, values + i, w, block);
                    if (!(searched <= plain * (1 + 1e-12)))
                        fail_msg("%s, shape %d: %.9g over plain's %.9g", tt_dtype_name(dtype), shape, searched, plain);
                }
            }
    }
}

/* How much lower at least, on normal values: rounding is the same for all, so these are far from any noise. */
static void test_search_gains(void **state)
{
    (void)state;
    static const struct {
        tt_dtype dtype;
        double bar, weighted_bar;
    } cases[] = {
        {TT_Q4_0, 0.92, 0.80}, {TT_Q4_1, 0.82, 0.80}, {TT_Q5_0, 0.92, 0.90}, {TT_Q5_1, 0.83, 0.82},
        {TT_Q8_0, 0.85, 0.85}, {TT_Q2_K, 0.66, 0.60}, {TT_Q3_K, 0.89, 0.80}, {TT_Q4_K, 0.83, 0.80},
        {TT_Q5_K, 0.84, 0.82}, {TT_Q6_K, 0.84, 0.82},
    };
    static float values[N], importance[N];
    fill_normal(8, values, N);
    fill_normal(9, importance, N);
    for (size_t i = 0; i < N; i++)
        importance[i] = expf(2 * importance[i]);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tt_dtype dtype = cases[i].dtype;
        double even =
            error_of_fit(dtype, TT_FIT_SEARCH, values, NULL, N) / error_of_fit(dtype, TT_FIT_PLAIN, values, NULL, N);
        double weighted = error_of_fit(dtype, TT_FIT_SEARCH, values, importance, N) /
                          error_of_fit(dtype, TT_FIT_PLAIN, values, importance, N);
        printf("%s: search leaves %.3f of plain's squared error, %.3f weighted\n", tt_dtype_name(dtype), even,
               weighted);
        assert_true(even < cases[i].bar);
        assert_true(weighted < cases[i].weighted_bar);
    }
}

/* Only proportions of importance count; none is the same as all alike; blocks do not see each other. */
static void test_importance(void **state)
{
    (void)state;
    static float values[N], importance[N], scaled[N], zeros[N];
    static uint8_t first[MAX_BYTES], second[MAX_BYTES];
    fill_normal(10, values, N);
    for (size_t i = 0; i < N; i++) {
        importance[i] = 1.0f + (float)(i * 7 % 31);
        scaled[i] = importance[i] * 0x1p-40f;
    }
    for (int t = TT_Q4_0; t < TT_N_DTYPES; t++) {
        tt_dtype dtype = (tt_dtype)t;
        size_t n_bytes = (size_t)tt_dtype_bytes(dtype, N), step = tt_dtype_block(dtype);
        tt_encode_blocks(dtype, TT_FIT_SEARCH, values, importance, N, first);
        tt_encode_blocks(dtype, TT_FIT_SEARCH, values, scaled, N, second);
        assert_memory_equal(first, second, n_bytes);
        for (size_t i = 0; i < N; i += step)
            tt_encode_blocks(dtype, TT_FIT_SEARCH, values + i, importance + i, step, second + tt_dtype_bytes(dtype, i));
        assert_memory_equal(first, second, n_bytes);
        tt_encode_blocks(dtype, TT_FIT_SEARCH, values, NULL, N, first);
        tt_encode_blocks(dtype, TT_FIT_SEARCH, values, zeros, N, second);
        assert_memory_equal(first, second, n_bytes);
        tt_encode_blocks(dtype, TT_FIT_SEARCH, values, importance, N, second);
        assert_true(memcmp(first, second, n_bytes) != 0);
    }
}

/* ---- edges ---- */

static void set_all(float *values, float value)
{
    for (size_t i = 0; i < 256; i++)
        values[i] = value;
}

static void expect_all(tt_dtype dtype, const float *values, double tolerance)
{
    uint8_t bytes[272];
    float decoded[256];
    for (int fit = TT_FIT_SEARCH; fit <= TT_FIT_NEAREST; fit++) {
        tt_encode_blocks(dtype, (tt_fit)fit, values, NULL, 256, bytes);
        tt_to_float(dtype, bytes, decoded, 256);
        for (size_t i = 0; i < 256; i++)
            if (!(fabs((double)decoded[i] - (double)values[i]) <= tolerance))
                fail_msg("%s: %g became %g", tt_dtype_name(dtype), (double)values[i], (double)decoded[i]);
    }
}

static void test_edge_rows(void **state)
{
    (void)state;
    float values[256];
    for (int t = TT_Q4_0; t < TT_N_DTYPES; t++) {
        tt_dtype dtype = (tt_dtype)t;
        set_all(values, 0.0f);
        expect_all(dtype, values, 0);
        set_all(values, -0.0f);
        expect_all(dtype, values, 0);
        set_all(values, 0.7f);
        expect_all(dtype, values, 0.7 * 2e-3);
        set_all(values, -0.7f);
        expect_all(dtype, values, 0.7 * 2e-3);
        set_all(values, 1e-41f);
        expect_all(dtype, values, 1e-41);
        values[7] = -2.5f; /* beside nothing */
        expect_all(dtype, values, 2.5 * 2e-3);
        for (int i = 0; i < 256; i++)
            values[i] = 1000.0f + (float)(i % 32); /* far from 0 */
        expect_all(dtype, values, dtype == TT_Q2_K ? 180 : 80);
        for (int i = 0; i < 256; i++)
            values[i] = -1000.0f - (float)(i % 32);
        expect_all(dtype, values, dtype == TT_Q2_K ? 180 : 80);
    }
}

/* Scales end at 65504: the search stops there, nothing becomes infinite or NaN, whatever comes in. */
static void test_search_stays_finite(void **state)
{
    (void)state;
    static const float odd[] = {INFINITY, -INFINITY, NAN, 3.4e38f, -3.4e38f, 1e20f, 1e7f, 1e-45f, 0.0f};
    for (int t = TT_Q4_0; t < TT_N_DTYPES; t++)
        for (size_t k = 0; k < sizeof(odd) / sizeof(odd[0]); k++)
            for (size_t every = 1; every <= 64; every *= 4) {
                tt_dtype dtype = (tt_dtype)t;
                float values[256], decoded[256];
                uint8_t bytes[272];
                fill_normal(11, values, 256);
                for (size_t i = 0; i < 256; i += every)
                    values[i] = odd[k];
                tt_encode_blocks(dtype, TT_FIT_SEARCH, values, NULL, 256, bytes);
                tt_to_float(dtype, bytes, decoded, 256);
                for (size_t i = 0; i < 256; i++)
                    assert_true(isfinite(decoded[i]));
                tt_encode_blocks(dtype, TT_FIT_PLAIN, values, NULL, 256, bytes);
                tt_encode_blocks(dtype, TT_FIT_NEAREST, values, NULL, 256, bytes);
            }
}

/* ---- channels ---- */

static double channel_error(tt_fit fit, bool symmetric, const float *values, const float *importance, size_t n)
{
    static int8_t q[N + 1];
    float scale, offset;
    double error = 0;
    q[n] = 99;
    tt_encode_channel(fit, symmetric, values, importance, n, q, &scale, &offset);
    assert_int_equal(q[n], 99);
    for (size_t i = 0; i < n; i++) {
        double miss = (double)scale * q[i] + (double)offset - (double)values[i];
        error += miss * miss * (importance == NULL ? 1.0 : (double)importance[i]);
        assert_true(!symmetric || q[i] >= -127);
    }
    assert_true(!symmetric || offset == 0);
    assert_true(scale >= 0);
    return error;
}

static void test_plain_channel(void **state)
{
    (void)state;
    static const float values[5] = {-0.6f, 0.2f, 1.27f, 0, 0.004f};
    int8_t q[5];
    float scale, offset;
    tt_encode_channel(TT_FIT_PLAIN, true, values, NULL, 5, q, &scale, &offset);
    assert_true(scale == 1.27f / 127 && offset == 0);
    const int8_t expected[5] = {-60, 20, 127, 0, 0};
    assert_memory_equal(q, expected, 5);
    tt_encode_channel(TT_FIT_PLAIN, false, values, NULL, 5, q, &scale, &offset);
    assert_true(fabsf(scale - 1.87f / 255) < 1e-8f && fabsf(offset - (-0.6f + 128 * 1.87f / 255)) < 1e-6f);
    assert_int_equal(q[0], -128);
    assert_int_equal(q[2], 127);
}

static void test_channel_search(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 2, 3, 17, 64, 65, 320, N};
    static float values[N], importance[N];
    fill_normal(12, importance, N);
    for (size_t i = 0; i < N; i++)
        importance[i] = expf(2 * importance[i]);
    for (int shape = 0; shape < N_SHAPES; shape++) {
        make_values(shape, values);
        for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++)
            for (int form = 0; form < 4; form++) {
                const float *w = form & 2 ? importance : NULL;
                double plain = channel_error(TT_FIT_PLAIN, form & 1, values, w, lengths[k]);
                double searched = channel_error(TT_FIT_SEARCH, form & 1, values, w, lengths[k]);
                assert_true(searched <= plain * (1 + 1e-12));
            }
    }
    /* Values far from 0 need the offset; heavy tails that matter little are clipped. */
    make_values(4, values);
    assert_true(channel_error(TT_FIT_SEARCH, false, values, NULL, N) <
                0.1 * channel_error(TT_FIT_SEARCH, true, values, NULL, N));
    make_values(1, values);
    for (size_t i = 0; i < N; i++)
        importance[i] = fabsf(values[i]) > 3 ? 1e-6f : 1.0f;
    for (int symmetric = 0; symmetric < 2; symmetric++)
        assert_true(channel_error(TT_FIT_SEARCH, symmetric, values, importance, N) <
                    0.5 * channel_error(TT_FIT_PLAIN, symmetric, values, importance, N));
}

static void test_channel_edges(void **state)
{
    (void)state;
    float values[40];
    for (int form = 0; form < 4; form++) {
        tt_fit fit = form & 2 ? TT_FIT_SEARCH : TT_FIT_PLAIN;
        for (int i = 0; i < 40; i++)
            values[i] = 0;
        assert_true(channel_error(fit, form & 1, values, NULL, 40) == 0);
        for (int i = 0; i < 40; i++)
            values[i] = -0.3f;
        assert_true(channel_error(fit, form & 1, values, NULL, 40) < 1e-12);
        int8_t q[40];
        float scale, offset;
        values[3] = NAN;
        values[4] = INFINITY;
        tt_encode_channel(fit, form & 1, values, NULL, 40, q, &scale, &offset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_types),
        cmocka_unit_test(test_plain_bytes),
        cmocka_unit_test(test_super_round_trip),
        cmocka_unit_test(test_small_round_trip),
        cmocka_unit_test(test_search_is_never_worse),
        cmocka_unit_test(test_search_gains),
        cmocka_unit_test(test_importance),
        cmocka_unit_test(test_edge_rows),
        cmocka_unit_test(test_search_stays_finite),
        cmocka_unit_test(test_plain_channel),
        cmocka_unit_test(test_channel_search),
        cmocka_unit_test(test_channel_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
