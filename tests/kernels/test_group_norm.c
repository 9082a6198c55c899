/* test_group_norm.c - group normalisation against its reference: groups that straddle slices, two sources, borders,
 * large offsets and tiny variances. */
#include "cl-kernels/group-norm.h"
#include "cl-kernels/reference/group-norm.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct norm_case {
    const char *label;
    uint32_t channels, second, batch, height, width, n_groups; /* second: channels of in2 */
    uint32_t in_border, in2_border, out_border;
    float eps, deviation, offset;
    bool silu, is_large;
} norm_case;

static const norm_case cases[] = {
    {"a channel a group", 32, 0, 1, 3, 5, 32, 0, 0, 0, 1e-5f, 1, 0, false, false},
    {"one position", 8, 0, 1, 1, 1, 2, 0, 0, 0, 1e-5f, 1, 0, false, false},
    {"two channels a group, borders", 64, 0, 2, 5, 7, 32, 1, 0, 1, 1e-5f, 1, 0, true, false},
    {"ten channels a group", 40, 0, 1, 4, 9, 4, 0, 0, 1, 1e-6f, 1, 0, true, false},
    {"three channels a group", 15, 0, 2, 6, 5, 5, 1, 0, 0, 1e-5f, 1, 0, false, false},
    {"one group of five channels", 5, 0, 1, 3, 3, 1, 0, 0, 1, 1e-5f, 1, 0, false, false},
    {"two sources", 8, 12, 2, 5, 6, 4, 0, 1, 1, 1e-5f, 1, 0, true, false},
    {"two sources, group across both", 12, 18, 1, 7, 3, 3, 1, 0, 0, 1e-5f, 1, 0, false, false},
    {"tiny variance", 12, 0, 1, 4, 5, 6, 0, 0, 0, 1e-6f, 1e-3f, 0, false, false},
    {"offset", 12, 0, 1, 9, 8, 3, 0, 0, 1, 1e-6f, 0.5f, 30, false, false},
    {"large values", 12, 0, 1, 8, 8, 3, 0, 0, 0, 1e-5f, 2000, 0, true, false},
    {"320 channels, many chunks", 320, 0, 2, 33, 64, 32, 1, 0, 1, 1e-5f, 1, 0, true, true},
    {"wide sequence", 64, 0, 1, 1, 5003, 32, 0, 0, 0, 1e-6f, 1, 3, false, true},
    {"two wide sources", 640, 320, 1, 16, 24, 32, 0, 1, 1, 1e-5f, 1, 0, true, true},
};

static float *make_values(const tt_kernels *form, const tt_test_tensor *tensor, const norm_case *c, uint64_t seed)
{
    size_t n = tt_test_count(tensor);
    float *values = tt_test_random_new(n, seed);
    for (size_t i = 0; i < n; i++)
        values[i] = values[i] * c->deviation + c->offset;
    tt_test_round(form, values, n);
    return values;
}

/* The two sources as one NCHW array. */
static float *join(const norm_case *c, const float *a, const float *b)
{
    size_t positions = (size_t)c->height * c->width, first = c->channels * positions, second = c->second * positions;
    float *joined = tt_test_random_new(c->batch * (first + second), 1);
    for (uint32_t i = 0; i < c->batch; i++) {
        memcpy(joined + i * (first + second), a + i * first, first * sizeof(float));
        if (second != 0)
            memcpy(joined + i * (first + second) + first, b + i * second, second * sizeof(float));
    }
    return joined;
}

static void run_op(const tt_kernels *form, tt_group_norm_form launches, const norm_case *c, const tt_test_tensor *in,
                   const tt_test_tensor *in2, const float *scale, const float *shift, const tt_test_tensor *out)
{
    uint32_t n = c->channels + c->second;
    tt_vector scales, shifts;
    tt_test_ok(tt_vector_create(form, TT_F32, scale, n, &scales, tt_test_error()));
    tt_test_ok(tt_vector_create(form, TT_F32, shift, n, &shifts, tt_test_error()));
    tt_group_norm_args args = {.in = in->plane,
                               .in2 = c->second != 0 ? &in2->plane : NULL,
                               .scale = &scales,
                               .shift = &shifts,
                               .n_groups = c->n_groups,
                               .eps = c->eps,
                               .silu = c->silu,
                               .form = launches,
                               .out = out->plane};
    size_t n_scratch = tt_group_norm_scratch_bytes(form, &args) / sizeof(float);
    assert_int_equal(n_scratch != 0, launches == TT_NORM_CHUNKS);
    n_scratch += 1; /* an array is never empty */
    tt_test_array scratch = tt_test_array_create(NULL, n_scratch);
    args.scratch = scratch.buffer.mem;
    args.scratch_offset = scratch.first;
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_group_norm_record(form, &args, recorder, tt_test_error()));
    assert_int_equal(tt_recorder_count(recorder), launches == TT_NORM_CHUNKS ? 3 : 1);
    tt_test_run(recorder);
    float *bytes = tt_test_random_new(n_scratch, 1);
    tt_test_array_read(&scratch, bytes);
    free(bytes);
    tt_test_array_release(&scratch);
    tt_vector_release(form->device, &scales);
    tt_vector_release(form->device, &shifts);
}

static void check_case(const tt_kernels *form, tt_group_norm_form launches, const norm_case *c)
{
    uint32_t n = c->channels + c->second, second = c->second != 0 ? c->second : 4;
    tt_test_tensor in = tt_test_tensor_create(form, c->channels, c->batch, c->height, c->width, c->in_border);
    tt_test_tensor in2 = tt_test_tensor_create(form, second, c->batch, c->height, c->width, c->in2_border);
    tt_test_tensor out = tt_test_tensor_create(form, n, c->batch, c->height, c->width, c->out_border);
    float *a = make_values(form, &in, c, 11), *b = make_values(form, &in2, c, 12), *x = join(c, a, b);
    float *scale = tt_test_random_new(n, 13), *shift = tt_test_random_new(n, 14);
    float *want = tt_test_random_new(tt_test_count(&out), 1);
    tt_reference_group_norm_args reference = {.batch = c->batch,
                                              .n_channels = n,
                                              .n_positions = c->height * c->width,
                                              .n_groups = c->n_groups,
                                              .in = x,
                                              .scale = scale,
                                              .shift = shift,
                                              .eps = (double)c->eps,
                                              .silu = c->silu,
                                              .out = want};
    tt_reference_group_norm(&reference);
    tt_test_upload(&in, a);
    tt_test_upload(&in2, b);
    run_op(form, launches, c, &in, &in2, scale, shift, &out);
    char label[128];
    (void)snprintf(label, sizeof(label), "group-norm in %s %s: %s", launches == TT_NORM_WHOLE ? "one" : "three",
                   tt_test_form_name(form), c->label);
    float *got = tt_test_download(&out);
    tt_test_close(got, want, tt_test_count(&out), tt_test_tolerance(form), label);
    float *arrays[] = {a, b, x, scale, shift, want, got};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
    tt_test_tensor_release(&in);
    tt_test_tensor_release(&in2);
    tt_test_tensor_release(&out);
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            if (!cases[i].is_large || !tt_test_small()) {
                check_case(&tt_test_forms()[f], TT_NORM_WHOLE, &cases[i]);
                check_case(&tt_test_forms()[f], TT_NORM_CHUNKS, &cases[i]);
            }
}

/* Arguments that do not fit together end in a sentence, not in a launch. */
static void test_refusals(void **state)
{
    (void)state;
    const tt_kernels *form = &tt_test_forms()[0];
    float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    tt_vector scale;
    tt_test_ok(tt_vector_create(form, TT_F32, ones, 8, &scale, tt_test_error()));
    tt_plane plane = {.channels = 8, .batch = 1, .height = 2, .width = 2};
    tt_group_norm_args args = {
        .in = plane, .scale = &scale, .shift = &scale, .n_groups = 3, .eps = 1e-5f, .out = plane};
    tt_recorder *recorder = tt_test_recorder();
    assert_int_equal(tt_group_norm_record(form, &args, recorder, tt_test_error()), TT_ERROR_INTERNAL);
    assert_non_null(strstr(tt_test_error()->text, "groups"));
    args.n_groups = 2;
    args.out.width = 3;
    assert_int_equal(tt_group_norm_record(form, &args, recorder, tt_test_error()), TT_ERROR_INTERNAL);
    args.out = plane;
    args.in.channels = args.out.channels = 4;
    assert_int_equal(tt_group_norm_record(form, &args, recorder, tt_test_error()), TT_ERROR_INTERNAL);
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
