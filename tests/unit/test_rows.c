/* test_rows.c - rows of stored weights as floats, whatever they are stored as, and back; importance of columns. */
#include "quantize/importance.h"
#include "quantize/rows.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 7, COLUMNS = 96, N = ROWS * COLUMNS };

static tt_row_source open_source(tt_dtype dtype, const void *data, uint64_t rows, uint64_t columns, bool transposed)
{
    tt_weight weight = {.tensor = {.name = "w", .dtype = dtype, .n_dims = 2, .dims = {rows, columns}, .data = data},
                        .transposed = transposed};
    tt_row_source source;
    tt_error err = {""};
    weight.tensor.n_bytes = tt_dtype_bytes(dtype, rows * columns);
    assert_int_equal(tt_row_source_open(&weight, rows, columns, &source, &err), TT_OK);
    return source;
}

static void test_plain(void **state)
{
    (void)state;
    float *values = tt_test_random_new(N, 3), got[2 * COLUMNS];
    tt_row_source source = open_source(TT_F32, values, ROWS, COLUMNS, false);
    tt_row_source_read(&source, 3, 2, got);
    assert_memory_equal(got, values + 3 * COLUMNS, sizeof got);
    assert_ptr_equal(tt_row_source_same(&source, TT_WEIGHT_F32, 2), values + 2 * COLUMNS);
    assert_null(tt_row_source_same(&source, TT_WEIGHT_F16, 2));
    tt_row_source_close(&source);
    /* Stored [in, out]: column r of what is stored is row r. */
    source = open_source(TT_F32, values, ROWS, COLUMNS, true);
    tt_row_source_read(&source, 2, 1, got);
    for (size_t c = 0; c < COLUMNS; c++)
        assert_memory_equal(&got[c], &values[c * ROWS + 2], sizeof(float));
    assert_null(tt_row_source_same(&source, TT_WEIGHT_F32, 2));
    tt_row_source_close(&source);
    free(values);
}

/* Blocks that run across rows, as some files have them: rows of 48 in blocks of 32. */
static void test_crossing(void **state)
{
    (void)state;
    enum { SHORT = 48, HIGH = N / SHORT };
    float *values = tt_test_random_new(N, 4), *decoded = malloc(N * sizeof *decoded), got[3 * SHORT];
    uint8_t *blocks = malloc((size_t)tt_dtype_bytes(TT_Q4_0, N));
    assert_true(decoded && blocks);
    tt_encode_blocks(TT_Q4_0, TT_FIT_PLAIN, values, NULL, N, blocks);
    tt_to_float(TT_Q4_0, blocks, decoded, N);
    tt_row_source source = open_source(TT_Q4_0, blocks, HIGH, SHORT, false);
    for (uint64_t row = 0; row + 3 <= HIGH; row++) {
        tt_row_source_read(&source, row, 3, got);
        assert_memory_equal(got, decoded + row * SHORT, sizeof got);
    }
    assert_null(tt_row_source_same(&source, TT_WEIGHT_Q4_0, 1));
    tt_row_source_close(&source);
    free(values);
    free(decoded);
    free(blocks);
}

static void test_channels(void **state)
{
    (void)state;
    float *values = tt_test_random_new(N, 5), scales[ROWS], offsets[ROWS], got[COLUMNS], decoded[COLUMNS];
    int8_t codes[N];
    tt_row_form form = {.type = TT_WEIGHT_W8CA, .fit = TT_FIT_SEARCH, .n_columns = COLUMNS};
    for (size_t r = 0; r < ROWS; r++) {
        tt_encoded_row row = {.bytes = codes + r * COLUMNS};
        tt_encode_row(&form, values + r * COLUMNS, &row);
        scales[r] = row.scale;
        offsets[r] = row.offset;
    }
    tt_row_source source = open_source(TT_I8, codes, ROWS, COLUMNS, false);
    source.weight.scale = scales;
    source.weight.offset = offsets;
    tt_row_source_read(&source, 6, 1, got);
    tt_decode_row(&form, &(tt_encoded_row){codes + 6 * COLUMNS, scales[6], offsets[6]}, decoded);
    assert_memory_equal(got, decoded, sizeof got);
    assert_true(tt_test_rms(got, values + 6 * COLUMNS, COLUMNS) < 0.01);
    tt_row_source_close(&source);
    free(values);
}

/* Each type comes back with an error that fits its bits; 0 stays 0 where that is promised. */
static void test_every_type(void **state)
{
    (void)state;
    enum { LONG = 512 };
    float *values = tt_test_random_new(LONG, 6), back[LONG];
    uint8_t bytes[LONG * 4];
    for (size_t i = 0; i < LONG; i += 3)
        values[i] = 0.0f;
    for (int i = 0; i < TT_N_WEIGHT_TYPES; i++) {
        tt_row_form form = {.type = (tt_weight_type)i, .fit = TT_FIT_SEARCH, .n_columns = LONG};
        tt_encoded_row row = {.bytes = bytes};
        tt_encode_row(&form, values, &row);
        tt_decode_row(&form, &row, back);
        double bits = 8.0 * (double)tt_weight_type_bytes(form.type, 1, LONG) / LONG;
        double error =
            sqrt(tt_weighted_square(values, back, NULL, LONG) / tt_weighted_square(values, NULL, NULL, LONG));
        if (!(error < 3.0 * pow(2.0, -bits)) && error > 3e-4)
            fail_msg("%s: error %g with %g bits", tt_weight_type_name(form.type), error, bits);
        for (size_t k = 0; k < LONG && tt_weight_type_keeps_zero(form.type); k += 3)
            assert_true(!(back[k] < 0.0f || back[k] > 0.0f));
    }
    free(values);
}

static void test_importance(void **state)
{
    (void)state;
    tt_importance *importance = NULL;
    tt_error err = {""};
    float *columns = NULL;
    const double first[3] = {1.0, 0.0, 2.0}, second[3] = {1.0, 0.0, 2.0};
    assert_int_equal(tt_importance_create(&importance, &err), TT_OK);
    assert_int_equal(tt_importance_add(importance, "unet.a", first, 3, 10, &err), TT_OK);
    assert_int_equal(tt_importance_add(importance, "unet.a", second, 3, 10, &err), TT_OK);
    assert_int_equal(tt_importance_add(importance, "unet.a", second, 2, 10, &err), TT_ERROR_INTERNAL);
    assert_int_equal(tt_importance_columns(importance, "unet.a", 3, 9, &columns, &err), TT_OK);
    assert_non_null(columns);
    for (int c = 0; c < 27; c++) {
        const double want[3] = {1.0, 0.0, 2.0};
        assert_true(fabs((double)columns[c] - want[c / 9]) < 0.01 && columns[c] > 0.0f);
    }
    free(columns);
    assert_int_equal(tt_importance_columns(importance, "unet.a", 4, 1, &columns, &err), TT_OK);
    assert_null(columns);
    assert_int_equal(tt_importance_columns(importance, "unet.b", 3, 1, &columns, &err), TT_OK);
    assert_null(columns);
    const double zeros[3] = {0.0, 0.0, 0.0};
    assert_int_equal(tt_importance_add(importance, "unet.z", zeros, 3, 10, &err), TT_OK);
    assert_int_equal(tt_importance_columns(importance, "unet.z", 3, 1, &columns, &err), TT_OK);
    assert_null(columns); /* nothing ever came in: all columns alike */
    assert_int_equal(tt_importance_count(importance), 2);
    tt_importance_destroy(importance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),      cmocka_unit_test(test_crossing),   cmocka_unit_test(test_channels),
        cmocka_unit_test(test_every_type), cmocka_unit_test(test_importance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
