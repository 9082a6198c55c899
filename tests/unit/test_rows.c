/* test_rows.c - rows of stored matrices on the host: every type, w8c by row and by column, products. */
#include "tests/support/test-blocks.h"
#include "tests/support/test-device.h"
#include "text-encoder/rows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_ROWS = 5, WIDTH = 256, N = N_ROWS * WIDTH };

/* A weight [N_ROWS, WIDTH] over stored values; of w8c also the numbers, at odd addresses. */
static tt_weight weight_of(tt_dtype dtype, const uint8_t *values, const uint8_t *scale, const uint8_t *offset)
{
    return (tt_weight){.tensor = {.name = "table",
                                  .dtype = dtype,
                                  .n_dims = 2,
                                  .dims = {N_ROWS, WIDTH},
                                  .data = values,
                                  .n_bytes = tt_dtype_bytes(dtype, N)},
                       .scale = dtype == TT_I8 ? scale : NULL,
                       .offset = dtype == TT_I8 ? offset : NULL};
}

/* Floats at an odd address. */
static uint8_t *store_floats(const float *values, size_t n)
{
    uint8_t *block = malloc(n * sizeof(float) + 1);
    assert_non_null(block);
    memcpy(block + 1, values, n * sizeof(float));
    return block;
}

static void test_rows_of_every_type(void **state)
{
    (void)state;
    float scales[N_ROWS], offsets[N_ROWS], want[N], sum[WIDTH];
    tt_test_random(scales, N_ROWS, 1);
    tt_test_random(offsets, N_ROWS, 2);
    uint8_t *scale = store_floats(scales, N_ROWS), *offset = store_floats(offsets, N_ROWS);
    for (size_t t = 0; t <= TT_TEST_N_QUANT_TYPES; t++) {
        tt_dtype dtype = t < TT_TEST_N_QUANT_TYPES ? tt_test_quant_types[t] : TT_F16;
        uint8_t *values = tt_test_blocks_new(dtype, N, 1.0, 40 + t);
        for (size_t i = 0; i < N && dtype == TT_F16; i++)
            values[2 + 2 * i] &= 0x3f; /* no infinities */
        tt_weight weight = weight_of(dtype, values + 1, scale + 1, offset + 1);
        tt_to_float(dtype, values + 1, want, N);
        for (size_t i = 0; i < N && dtype == TT_I8; i++) {
            float product = scales[i / WIDTH] * want[i];
            want[i] = product + offsets[i / WIDTH];
        }
        for (uint32_t row = 0; row < N_ROWS; row++) {
            for (size_t i = 0; i < WIDTH; i++)
                sum[i] = 1.5f;
            tt_test_ok(tt_rows_add(&weight, row, sum, tt_test_error()));
            for (size_t i = 0; i < WIDTH; i++)
                assert_true(sum[i] == 1.5f + want[row * WIDTH + i]);
        }
        free(values);
    }
    free(scale);
    free(offset);
}

/* W x for W [n_out, n_in] whose values are `matrix`. */
static void check_product(const tt_weight *weight, const float *matrix, size_t n_out, size_t n_in)
{
    float x[WIDTH], got[WIDTH];
    tt_test_random(x, n_in, 3);
    tt_test_ok(tt_rows_multiply(weight, x, got, tt_test_error()));
    for (size_t i = 0; i < n_out; i++) {
        double want = 0.0;
        for (size_t j = 0; j < n_in; j++)
            want += (double)matrix[i * n_in + j] * (double)x[j];
        assert_true(fabs((double)got[i] - want) <= 1e-5 * (1.0 + fabs(want)));
    }
}

static void test_products(void **state)
{
    (void)state;
    float scales[WIDTH], stored[N], matrix[N];
    tt_test_random(scales, WIDTH, 4);
    uint8_t *scale = store_floats(scales, WIDTH), *values = tt_test_blocks_new(TT_I8, N, 1.0, 5);
    tt_weight weight = weight_of(TT_I8, values + 1, scale + 1, NULL);
    tt_to_float(TT_I8, values + 1, stored, N);
    for (size_t i = 0; i < N; i++)
        matrix[i] = scales[i / WIDTH] * stored[i];
    check_product(&weight, matrix, N_ROWS, WIDTH);
    /* The same bytes as [in, out]: 256 outputs of 5 inputs, scales by column. */
    weight.transposed = true;
    weight.tensor.dims[0] = WIDTH;
    weight.tensor.dims[1] = N_ROWS;
    for (size_t i = 0; i < N; i++)
        matrix[i % WIDTH * N_ROWS + i / WIDTH] = scales[i % WIDTH] * stored[i];
    check_product(&weight, matrix, WIDTH, N_ROWS);
    free(scale);
    free(values);
}

/* A row that ends inside a block cannot be read alone. */
static void test_broken_rows(void **state)
{
    (void)state;
    uint8_t *values = tt_test_blocks_new(TT_Q4_0, N, 1.0, 6);
    tt_weight weight = weight_of(TT_Q4_0, values + 1, NULL, NULL);
    float row[WIDTH];
    weight.tensor.dims[0] = 32;
    weight.tensor.dims[1] = 40;
    assert_int_equal(tt_rows_add(&weight, 0, row, tt_test_error()), TT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(tt_test_error()->text, "table"));
    assert_non_null(strstr(tt_test_error()->text, "Q4_0"));
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_every_type),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_broken_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
