/* test_layer_norm.c - layer normalisation against its reference: ragged channels and positions, borders, offsets. */
#include "cl-kernels/layer-norm.h"
#include "cl-kernels/reference/layer-norm.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct norm_case {
    const char *label;
    uint32_t channels, batch, height, width, in_border, out_border;
    float eps, deviation, offset;
    bool is_large;
} norm_case;

static const norm_case cases[] = {
    {"one position", 8, 1, 1, 1, 0, 0, 1e-5f, 1, 0, false},
    {"tokens, batch 2", 48, 2, 1, 7, 0, 0, 1e-5f, 1, 0, false},
    {"a vector and three", 20, 1, 1, 19, 0, 0, 1e-5f, 1, 0, false},
    {"channels 321, offset", 321, 1, 1, 3, 0, 0, 1e-5f, 0.3f, 20, false},
    {"channels 5", 5, 2, 1, 17, 0, 0, 1e-5f, 1, 1, false},
    {"channels 6", 6, 1, 3, 5, 0, 0, 1e-5f, 1, 1, false},
    {"tiny variance", 40, 1, 1, 3, 0, 0, 1e-5f, 2e-3f, 0, false},
    {"border in", 12, 2, 3, 9, 1, 0, 1e-5f, 1, 0, false},
    {"border out", 12, 2, 4, 6, 0, 1, 1e-5f, 1, 0, false},
    {"borders", 23, 1, 5, 18, 1, 1, 1e-5f, 1, 0, false},
    {"text encoder", 768, 2, 1, 77, 0, 0, 1e-5f, 1, 0, true},
    {"picture", 320, 1, 24, 40, 0, 0, 1e-5f, 1, 0, true},
};

static void run_op(const tt_kernels *form, const norm_case *c, const tt_test_tensor *in, const float *scale,
                   const float *shift, const tt_test_tensor *out)
{
    tt_vector scales, shifts;
    tt_test_ok(tt_vector_create(form, TT_F32, scale, c->channels, &scales, tt_test_error()));
    tt_test_ok(tt_vector_create(form, TT_F32, shift, c->channels, &shifts, tt_test_error()));
    tt_layer_norm_args args = {.in = in->plane, .scale = &scales, .shift = &shifts, .eps = c->eps, .out = out->plane};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_layer_norm_record(form, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    tt_vector_release(form->device, &scales);
    tt_vector_release(form->device, &shifts);
}

static void check_case(const tt_kernels *form, const norm_case *c)
{
    tt_test_tensor in = tt_test_tensor_create(form, c->channels, c->batch, c->height, c->width, c->in_border);
    tt_test_tensor out = tt_test_tensor_create(form, c->channels, c->batch, c->height, c->width, c->out_border);
    size_t n = tt_test_count(&in);
    float *x = tt_test_random_new(n, 21), *want = tt_test_random_new(n, 1);
    float *scale = tt_test_random_new(c->channels, 22), *shift = tt_test_random_new(c->channels, 23);
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] * c->deviation + c->offset;
    tt_test_round(form, x, n);
    tt_reference_layer_norm_args reference = {.batch = c->batch,
                                              .n_channels = c->channels,
                                              .n_positions = c->height * c->width,
                                              .in = x,
                                              .scale = scale,
                                              .shift = shift,
                                              .eps = (double)c->eps,
                                              .out = want};
    tt_reference_layer_norm(&reference);
    tt_test_upload(&in, x);
    run_op(form, c, &in, scale, shift, &out);
    char label[128];
    (void)snprintf(label, sizeof(label), "layer-norm %s: %s", tt_test_form_name(form), c->label);
    float *got = tt_test_download(&out);
    tt_test_close(got, want, n, tt_test_tolerance(form), label);
    float *arrays[] = {x, want, scale, shift, got};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
    tt_test_tensor_release(&in);
    tt_test_tensor_release(&out);
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            if (!cases[i].is_large || !tt_test_small())
                check_case(&tt_test_forms()[f], &cases[i]);
}

/* Arguments that do not fit together end in a sentence, not in a launch. */
static void test_refusals(void **state)
{
    (void)state;
    const tt_kernels *form = &tt_test_forms()[0];
    float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    tt_vector scale;
    tt_test_ok(tt_vector_create(form, TT_F32, ones, 8, &scale, tt_test_error()));
    tt_plane plane = {.channels = 8, .batch = 1, .height = 1, .width = 2};
    tt_layer_norm_args args = {.in = plane, .scale = &scale, .shift = &scale, .eps = 1e-5f, .out = plane};
    tt_recorder *recorder = tt_test_recorder();
    args.out.batch = 2;
    assert_int_equal(tt_layer_norm_record(form, &args, recorder, tt_test_error()), TT_ERROR_INTERNAL);
    args.out.batch = 1;
    args.in.channels = args.out.channels = 12;
    assert_int_equal(tt_layer_norm_record(form, &args, recorder, tt_test_error()), TT_ERROR_INTERNAL);
    assert_non_null(strstr(tt_test_error()->text, "scale"));
    assert_int_equal(tt_recorder_count(recorder), 0);
    tt_recorder_destroy(recorder);
    tt_vector_release(form->device, &scale);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
