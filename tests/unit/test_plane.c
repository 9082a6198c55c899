/* test_plane.c - geometry of C4 planes, and that the tests' own guarded tensors notice mistakes. */
#include "tests/support/test-device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void geometry_follows_the_layout(void **state)
{
    (void)state;
    tt_plane plane = {.offset = 7, .channels = 10, .batch = 2, .height = 3, .width = 5, .border = 1};
    assert_int_equal(tt_plane_slices(&plane), 3);
    assert_int_equal(tt_plane_slice_units(&plane), 2 * 5 * 7);
    assert_int_equal(tt_plane_positions(&plane), 30);
    assert_int_equal(tt_plane_bytes(&plane, TT_STORAGE_F32), 3 * 70 * 16);
    assert_int_equal(tt_plane_bytes(&plane, TT_STORAGE_F16), 3 * 70 * 8);
    tt_plane view = tt_plane_channels(&plane, 4, 6);
    assert_int_equal(view.offset, 7 + 70);
    assert_int_equal(view.channels, 6);
    assert_int_equal(view.width, 5);
    plane.channels = 8;
    assert_int_equal(tt_plane_slices(&plane), 2);
    plane = (tt_plane){.channels = UINT32_MAX, .batch = 1, .height = 65535, .width = 65535};
    assert_int_equal(tt_plane_slices(&plane), (uint32_t)1 << 30);
    assert_true(tt_plane_positions(&plane) == (size_t)65535 * 65535);
}

static void embedded_sources_are_found(void **state)
{
    (void)state;
    size_t n_bytes = 0;
    const char *text = tt_kernel_source_text("common.clh", &n_bytes);
    assert_non_null(text);
    assert_int_equal(strlen(text), n_bytes);
    assert_non_null(strstr(text, "tt_activate"));
    assert_null(tt_kernel_source_text("absent.cl", &n_bytes));
}

static void shape_sentence_names_everything(void **state)
{
    (void)state;
    tt_error err = {""};
    tt_plane plane = {.channels = 10, .batch = 2, .height = 3, .width = 5, .border = 1};
    assert_int_equal(tt_kernels_fail_shape(&err, "linear", "out has other positions than in", &plane),
                     TT_ERROR_INTERNAL);
    assert_non_null(strstr(err.text, "linear: out has other positions than in, found [batch 2, channels 10, height 3, "
                                     "width 5] with border 1"));
}

static void tensors_come_back(void **state)
{
    (void)state;
    const tt_kernels *forms = tt_test_forms();
    for (size_t i = 0; i < TT_TEST_N_FORMS; i++)
        for (uint32_t border = 0; border <= 1; border++) {
            tt_test_tensor tensor = tt_test_tensor_create(&forms[i], 6, 2, 3, 5, border);
            size_t n = tt_test_count(&tensor);
            assert_int_equal(n, 6 * 2 * 3 * 5);
            float *values = tt_test_random_new(n, 1);
            tt_test_round(&forms[i], values, n);
            tt_test_upload(&tensor, values);
            float *back = tt_test_download(&tensor);
            assert_memory_equal(back, values, n * sizeof(float));
            free(back);
            free(values);
            tt_test_tensor_release(&tensor);
        }
}

/* Channel 5 of image 1 at row 2, column 4 of a [2, 6, 3, 5] plane with border 1 lies at slice 1, lane 1. */
static void elements_lie_where_the_layout_says(void **state)
{
    (void)state;
    const tt_kernels *form = &tt_test_forms()[0];
    tt_test_tensor tensor = tt_test_tensor_create(form, 6, 2, 3, 5, 1);
    size_t n = tt_test_count(&tensor), index = ((1 * 6 + 5) * 3 + 2) * 5 + 4;
    float *values = calloc(n, sizeof(*values)), got;
    assert_non_null(values);
    values[index] = 42;
    tt_test_upload(&tensor, values);
    size_t unit = tensor.plane.offset + 1 * (2 * 5 * 7) + 1 * (5 * 7) + (2 + 1) * 7 + (4 + 1);
    tt_test_ok(tt_buffer_read(form->device, &tensor.buffer, (unit * 4 + 1) * 4, &got, 4, tt_test_error()));
    assert_true(got == 42);
    free(values);
    tt_test_tensor_release(&tensor);
}

static void rms_is_relative_to_the_spread(void **state)
{
    (void)state;
    const float want[] = {9, 11, 9, 11}, got[] = {9.5f, 11, 9, 11}, constant[] = {2, 2, 2, 2}, off[] = {2, 2, 2, 3};
    const float broken[] = {9, NAN, 9, 11}, infinite[] = {9, INFINITY, 9, 11}, zeros[] = {0, 0, 0, 0};
    assert_true(fabs(tt_test_rms(got, want, 4) - 0.25) < 1e-9);
    assert_true(tt_test_rms(want, want, 4) == 0);
    assert_true(fabs(tt_test_rms(off, constant, 4) - 0.25) < 1e-9);
    assert_true(isinf(tt_test_rms(broken, want, 4)));
    assert_true(isinf(tt_test_rms(infinite, want, 4)));
    assert_true(isinf(tt_test_rms(want, zeros, 4)));
    assert_true(tt_test_rms(broken, broken, 4) == 0);
    assert_true(tt_test_rms(infinite, infinite, 4) == 0);
}

static void random_values_are_spread_evenly(void **state)
{
    (void)state;
    enum { N = 100000 };
    float *values = tt_test_random_new(N, 7), *again = tt_test_random_new(N, 7), *other = tt_test_random_new(N, 8);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
    }
    assert_true(fabs(sum / N) < 0.02 && fabs(squares / N - 1) < 0.02);
    assert_memory_equal(values, again, N * sizeof(float));
    assert_memory_not_equal(values, other, 64 * sizeof(float));
    free(values);
    free(again);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geometry_follows_the_layout),        cmocka_unit_test(embedded_sources_are_found),
        cmocka_unit_test(shape_sentence_names_everything),    cmocka_unit_test(tensors_come_back),
        cmocka_unit_test(elements_lie_where_the_layout_says), cmocka_unit_test(rms_is_relative_to_the_spread),
        cmocka_unit_test(random_values_are_spread_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
