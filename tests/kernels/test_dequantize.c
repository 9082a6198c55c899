/* test_dequantize.c - quantized matrices widened on the device against the reference: every type, row and lane. */
#include "cl-kernels/dequantize.h"
#include "cl-kernels/reference/dequantize.h"
#include "cl-kernels/tile.h"
#include "selftest/blocks.h"
#include "tests/support/test-device.h"
#include "tests/support/test-matrix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const tt_test_matrix_spec specs[] = {
    {.n_out = 33, .n_in = 256, .n_taps = 1},
    {.n_out = 40, .n_in = 512, .n_taps = 1, .split = 132},
    {.n_out = 12, .n_in = 256, .n_taps = 1, .is_geglu = true},
    {.n_out = 5, .n_in = 256, .n_taps = 9},
    {.n_out = 36, .n_in = 32, .n_taps = 9},
    {.n_out = 34, .n_in = 39, .n_taps = 1, .is_asymmetric = true},
    {.n_out = 3, .n_in = 6, .n_taps = 9},
};

/* The value that belongs at an index of the widened form. */
static float wanted(const tt_matrix *matrix, const uint8_t *packed, size_t index)
{
    uint32_t n_columns = tt_matrix_columns(matrix), taps = matrix->n_taps, n_panels = (matrix->n_out + 31) / 32;
    size_t n_rows = (size_t)tt_matrix_slices(matrix) * taps * 4, row = index / 32 % n_rows, panel = index / 32 / n_rows;
    size_t channel = row / 4 / taps * 4 + row % 4, tap = row / 4 % taps;
    if (channel >= matrix->n_in)
        return 0.0f;
    return tt_reference_dequantize(matrix->dtype, packed + panel * (matrix->values.n_bytes / n_panels), n_columns,
                                   (uint32_t)(channel * taps + tap), (uint32_t)(index % 32));
}

static void check_case(const tt_kernels *kernels, const tt_test_matrix_spec *spec)
{
    enum { FIRST = 256, GUARD = 64 };
    char label[160];
    tt_test_matrix made = tt_test_matrix_create(kernels, spec);
    const tt_matrix *matrix = &made.matrix;
    size_t size = kernels->storage == TT_STORAGE_F16 ? 2 : 4, n_bytes = tt_dequantize_bytes(kernels, matrix);
    size_t n = n_bytes / size;
    uint8_t *packed = malloc(matrix->values.n_bytes), *bytes = malloc(FIRST + n_bytes + GUARD);
    float *want = malloc(n * sizeof(*want)), *got = malloc(n * sizeof(*got));
    assert_true(packed != NULL && bytes != NULL && want != NULL && got != NULL);
    assert_int_equal(n, (matrix->n_out + 31) / 32 * 32 * (size_t)tt_matrix_slices(matrix) * matrix->n_taps * 4);
    tt_test_ok(tt_buffer_read(kernels->device, &matrix->values, 0, packed, matrix->values.n_bytes, tt_test_error()));
    for (size_t i = 0; i < n; i++)
        want[i] = wanted(matrix, packed, i);

    tt_buffer out;
    memset(bytes, 0x7f, FIRST + n_bytes + GUARD);
    tt_test_ok(tt_buffer_create(kernels->device, FIRST + n_bytes + GUARD, "widened weights", &out, tt_test_error()));
    tt_test_ok(tt_buffer_write(kernels->device, &out, 0, bytes, out.n_bytes, tt_test_error()));
    tt_dequantize_args args = {.matrix = matrix, .out = out.mem, .out_offset = FIRST};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_dequantize_record(kernels, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    tt_test_ok(tt_buffer_read(kernels->device, &out, 0, bytes, out.n_bytes, tt_test_error()));
    tt_to_float(size == 2 ? TT_F16 : TT_F32, bytes + FIRST, got, n);
    (void)snprintf(label, sizeof(label), "%s %u x %u, %u taps, %s", tt_dtype_name(spec->dtype), spec->n_out, spec->n_in,
                   spec->n_taps, tt_test_form_name(kernels));
    tt_test_close(got, want, n, size == 2 ? 4e-4 : 1e-7, label);
    for (size_t i = 0; i < FIRST; i++)
        assert_int_equal(bytes[i], 0x7f);
    for (size_t i = 0; i < GUARD; i++)
        assert_int_equal(bytes[FIRST + n_bytes + i], 0x7f);

    tt_buffer_release(kernels->device, &out);
    tt_test_matrix_release(kernels, &made);
    free(packed);
    free(bytes);
    free(want);
    free(got);
}

static void test_values(void **state)
{
    (void)state;
    for (size_t form = 0; form < TT_TEST_N_FORMS; form++)
        for (size_t t = 0; t < TT_N_SAMPLE_QUANT_TYPES; t++)
            for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
                tt_test_matrix_spec spec = specs[i];
                spec.dtype = tt_sample_quant_types[t];
                spec.seed = 700 + i;
                bool is_skipped = tt_test_small() && (i + t + form) % 3 != 0; /* simulators are slow */
                if (!is_skipped && spec.n_in * spec.n_taps % tt_dtype_block(spec.dtype) == 0)
                    check_case(&tt_test_forms()[form], &spec);
            }
}

/* Plain matrices and places between units are refused. */
static void test_refuses(void **state)
{
    (void)state;
    const tt_kernels *kernels = &tt_test_forms()[0];
    tt_test_matrix plain = tt_test_matrix_create(
        kernels, &(tt_test_matrix_spec){.dtype = TT_F32, .n_out = 8, .n_in = 8, .n_taps = 1, .seed = 3});
    tt_test_matrix quantized = tt_test_matrix_create(
        kernels, &(tt_test_matrix_spec){.dtype = TT_Q8_0, .n_out = 8, .n_in = 32, .n_taps = 1, .seed = 3});
    const tt_dequantize_args wrong[] = {{.matrix = &plain.matrix}, {.matrix = &quantized.matrix, .out_offset = 64}};
    tt_recorder *recorder = tt_test_recorder();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        tt_error err = {""};
        assert_int_equal(tt_dequantize_record(kernels, &wrong[i], recorder, &err), TT_ERROR_INTERNAL);
        assert_non_null(strstr(err.text, "dequantize"));
    }
    assert_int_equal(tt_recorder_count(recorder), 0);
    tt_recorder_destroy(recorder);
    tt_test_matrix_release(kernels, &plain);
    tt_test_matrix_release(kernels, &quantized);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_refuses)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
