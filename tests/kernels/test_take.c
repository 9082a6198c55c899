/* test_take.c - chosen positions against their reference: few and many slices, positions taken twice. */
#include "cl-kernels/reference/take.h"
#include "cl-kernels/take.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct take_case {
    uint32_t channels, batch, width, n;
    float index[4];
} take_case;

static const take_case cases[] = {
    {1, 1, 1, 1, {0}}, {6, 1, 32, 2, {31, 0}}, {130, 2, 5, 3, {9, 4, 9}}, {4100, 2, 3, 4, {5, 3, 1, 0}}};

static void check_case(const tt_kernels *form, const take_case *c)
{
    tt_test_tensor in = tt_test_tensor_create(form, c->channels, c->batch, 1, c->width, 0);
    tt_test_tensor out = tt_test_tensor_create(form, c->channels, c->n, 1, 1, 0);
    size_t n_in = tt_test_count(&in), n_out = tt_test_count(&out);
    float *x = tt_test_random_new(n_in, 5), *want = tt_test_random_new(n_out, 1);
    tt_test_round(form, x, n_in);
    tt_test_upload(&in, x);
    tt_test_array index = tt_test_array_create(c->index, c->n);
    tt_reference_take(&(tt_reference_take_args){c->channels, c->width, c->n, x, c->index, want});
    tt_take_args args = {.in = in.plane, .index = index.buffer.mem, .index_offset = index.first, .out = out.plane};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_take_record(form, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    char label[128];
    (void)snprintf(label, sizeof(label), "take %s: %u of [%u, %u, 1, %u]", tt_test_form_name(form), c->n, c->batch,
                   c->channels, c->width);
    float *got = tt_test_download(&out);
    tt_test_close(got, want, n_out, tt_test_tolerance(form), label);
    free(x);
    free(want);
    free(got);
    tt_test_array_release(&index);
    tt_test_tensor_release(&in);
    tt_test_tensor_release(&out);
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            check_case(&tt_test_forms()[f], &cases[i]);
}

/* Arguments that do not fit together end in a sentence, not in a launch. */
static void test_refusals(void **state)
{
    (void)state;
    const tt_kernels *form = &tt_test_forms()[0];
    tt_plane in = {.channels = 8, .batch = 1, .height = 1, .width = 4}, out = in;
    out.width = 1;
    tt_take_args args = {.in = in, .out = out};
    tt_recorder *recorder = tt_test_recorder();
    args.in.height = 2;
    assert_int_equal(tt_take_record(form, &args, recorder, tt_test_error()), TT_ERROR_INTERNAL);
    assert_non_null(strstr(tt_test_error()->text, "one row"));
    args.in = in;
    args.out.channels = 4;
    assert_int_equal(tt_take_record(form, &args, recorder, tt_test_error()), TT_ERROR_INTERNAL);
    assert_non_null(strstr(tt_test_error()->text, "one position"));
    assert_int_equal(tt_recorder_count(recorder), 0);
    tt_recorder_destroy(recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
