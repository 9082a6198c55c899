/* test_elementwise.c - sums, scales and activations against their reference, with all borders. */
#include "cl-kernels/elementwise.h"
#include "cl-kernels/reference/elementwise.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct elementwise_case {
    uint32_t channels, batch, height, width, a_border, b_border, out_border;
    float scale, scale2, offset;
    bool has_b;
    tt_activation activation;
} elementwise_case;

static const elementwise_case cases[] = {
    {1, 1, 1, 1, 0, 0, 0, 2, 0, 0.5f, false, TT_ACT_NONE},     {5, 2, 3, 7, 0, 0, 0, 1, 1, 0.25f, true, TT_ACT_NONE},
    {6, 1, 4, 9, 1, 0, 0, 0.5f, -2, 1, true, TT_ACT_SILU},     {7, 2, 5, 6, 0, 1, 1, 3, 0.1f, -1, true, TT_ACT_GELU},
    {4, 3, 2, 18, 1, 1, 1, 3, 0, 0, false, TT_ACT_QUICK_GELU}, {9, 1, 1, 77, 0, 0, 1, 1, 0, 0, false, TT_ACT_RELU},
    {3, 1, 8, 8, 0, 0, 1, 4, 0, 0, false, TT_ACT_TANH3},       {10, 2, 33, 35, 0, 0, 0, -1, 1, 0, true, TT_ACT_NONE},
};

static void check_case(const tt_kernels *form, const elementwise_case *c)
{
    tt_test_tensor a = tt_test_tensor_create(form, c->channels, c->batch, c->height, c->width, c->a_border);
    tt_test_tensor b = tt_test_tensor_create(form, c->channels, c->batch, c->height, c->width, c->b_border);
    tt_test_tensor out = tt_test_tensor_create(form, c->channels, c->batch, c->height, c->width, c->out_border);
    size_t n = tt_test_count(&a);
    float *x = tt_test_random_new(n, 71), *y = tt_test_random_new(n, 72), *want = tt_test_random_new(n, 1);
    tt_test_round(form, x, n);
    tt_test_round(form, y, n);
    tt_test_upload(&a, x);
    tt_test_upload(&b, y);
    tt_reference_elementwise_args reference = {.n = n,
                                               .a = x,
                                               .b = c->has_b ? y : NULL,
                                               .scale = (double)c->scale,
                                               .scale2 = (double)c->scale2,
                                               .offset = (double)c->offset,
                                               .activation = c->activation,
                                               .out = want};
    tt_reference_elementwise(&reference);
    tt_elementwise_args args = {.a = a.plane,
                                .b = c->has_b ? &b.plane : NULL,
                                .scale = c->scale,
                                .scale2 = c->scale2,
                                .offset = c->offset,
                                .activation = c->activation,
                                .out = out.plane};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_elementwise_record(form, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    char label[128];
    (void)snprintf(label, sizeof(label), "elementwise %s: activation %d, [%u, %u, %u, %u]", tt_test_form_name(form),
                   (int)c->activation, c->batch, c->channels, c->height, c->width);
    float *got = tt_test_download(&out);
    tt_test_close(got, want, n, tt_test_tolerance(form), label);
    free(x);
    free(y);
    free(want);
    free(got);
    tt_test_tensor_release(&a);
    tt_test_tensor_release(&b);
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
    tt_plane plane = {.channels = 8, .batch = 1, .height = 1, .width = 4}, other = plane;
    other.height = 2;
    tt_elementwise_args args = {.a = plane, .scale = 1, .out = other};
    tt_recorder *recorder = tt_test_recorder();
    assert_int_equal(tt_elementwise_record(form, &args, recorder, tt_test_error()), TT_ERROR_INTERNAL);
    args.out = plane;
    args.b = &other;
    assert_int_equal(tt_elementwise_record(form, &args, recorder, tt_test_error()), TT_ERROR_INTERNAL);
    assert_non_null(strstr(tt_test_error()->text, "second input"));
    assert_int_equal(tt_recorder_count(recorder), 0);
    tt_recorder_destroy(recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
