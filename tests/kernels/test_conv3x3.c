/* test_conv3x3.c - 3x3 convolutions against their reference: all modes, ragged shapes, endings and storage forms. */
#include "cl-kernels/conv3x3.h"
#include "cl-kernels/dequantize.h"
#include "cl-kernels/reference/conv3x3.h"
#include "cl-kernels/winograd.h"
#include "tests/support/test-blocks.h"
#include "tests/support/test-device.h"
#include "tests/support/test-matrix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct conv_case {
    const char *label;
    uint32_t batch, in_height, in_width, out_height, out_width, n_in, n_out;
    tt_conv_mode mode;
    uint32_t residual_border, out_border;
    bool has_image_bias, has_residual;
    tt_activation activation;
    bool is_large;
} conv_case;

static const conv_case cases[] = {
    {"one pixel, 1 to 9 channels", 1, 1, 1, 1, 1, 1, 9, TT_CONV_SAME, 0, 0, false, false, TT_ACT_NONE, false},
    {"latent in, 4 to 33", 1, 5, 6, 5, 6, 4, 33, TT_CONV_SAME, 0, 0, false, false, TT_ACT_NONE, false},
    {"9 to 3 channels, border out", 2, 4, 3, 4, 3, 9, 3, TT_CONV_SAME, 0, 1, false, false, TT_ACT_NONE, false},
    {"time embedding, SiLU", 3, 3, 14, 3, 14, 8, 20, TT_CONV_SAME, 0, 0, true, false, TT_ACT_SILU, false},
    {"residual and bias, borders", 2, 7, 5, 7, 5, 17, 34, TT_CONV_SAME, 1, 1, true, true, TT_ACT_RELU, false},
    {"rows of 13", 1, 3, 13, 3, 13, 12, 16, TT_CONV_SAME, 0, 0, false, true, TT_ACT_NONE, false},
    {"rows longer than a tile", 1, 2, 40, 2, 40, 20, 4, TT_CONV_SAME, 0, 1, false, false, TT_ACT_NONE, false},
    {"down, even", 2, 8, 6, 4, 3, 8, 12, TT_CONV_DOWN, 0, 1, false, false, TT_ACT_NONE, false},
    {"down, odd", 1, 7, 9, 4, 5, 6, 36, TT_CONV_DOWN, 0, 0, true, true, TT_ACT_NONE, false},
    {"down to one pixel", 1, 1, 2, 1, 1, 4, 4, TT_CONV_DOWN, 0, 0, false, false, TT_ACT_NONE, false},
    {"down right and bottom, even", 2, 6, 8, 3, 4, 8, 12, TT_CONV_DOWN_ASYM, 0, 1, false, false, TT_ACT_NONE, false},
    {"down right and bottom, odd", 1, 9, 5, 4, 2, 5, 7, TT_CONV_DOWN_ASYM, 0, 0, false, false, TT_ACT_NONE, false},
    {"up, even", 2, 4, 5, 8, 10, 8, 12, TT_CONV_UP, 0, 1, false, false, TT_ACT_NONE, false},
    {"up, odd height", 1, 4, 5, 7, 10, 6, 33, TT_CONV_UP, 1, 1, true, true, TT_ACT_SILU, false},
    {"up, odd both", 3, 3, 4, 5, 7, 4, 5, TT_CONV_UP, 0, 0, false, false, TT_ACT_NONE, false},
    {"up from one pixel to one", 1, 1, 1, 1, 1, 4, 4, TT_CONV_UP, 0, 0, false, false, TT_ACT_NONE, false},
    {"many inputs", 1, 8, 8, 8, 8, 1280, 33, TT_CONV_SAME, 0, 0, true, true, TT_ACT_NONE, true},
    {"many positions and outputs", 2, 19, 23, 19, 23, 64, 200, TT_CONV_SAME, 0, 1, true, true, TT_ACT_NONE, true},
    {"up, larger", 1, 17, 15, 34, 30, 40, 64, TT_CONV_UP, 0, 0, false, false, TT_ACT_NONE, true},
};

/* Quantized weights in all modes; types of blocks of 256 leave out the rows that are not whole blocks. */
static const conv_case quantized_cases[] = {
    {"two pixels", 1, 1, 2, 1, 2, 256, 5, TT_CONV_SAME, 0, 0, true, false, TT_ACT_NONE, false},
    {"same, residual and bias", 2, 3, 5, 3, 5, 256, 34, TT_CONV_SAME, 1, 1, true, true, TT_ACT_SILU, true},
    {"down, odd", 1, 5, 7, 3, 4, 256, 5, TT_CONV_DOWN, 0, 0, false, false, TT_ACT_NONE, true},
    {"down right and bottom", 1, 4, 6, 2, 3, 32, 40, TT_CONV_DOWN_ASYM, 0, 1, false, false, TT_ACT_NONE, false},
    {"up, odd", 1, 2, 3, 3, 6, 96, 33, TT_CONV_UP, 0, 0, false, true, TT_ACT_NONE, true},
    {"up, two panels", 1, 3, 3, 6, 6, 512, 33, TT_CONV_UP, 0, 1, false, false, TT_ACT_NONE, true},
    {"odd rows", 1, 3, 4, 3, 4, 7, 9, TT_CONV_SAME, 0, 0, false, false, TT_ACT_NONE, false},
    {"odd rows across blocks", 1, 3, 4, 3, 4, 41, 35, TT_CONV_SAME, 0, 0, false, false, TT_ACT_NONE, false},
};

typedef struct conv_run {
    tt_test_matrix weights;
    tt_test_tensor in, image_bias, residual, out;
    float *in_values, *image_bias_values, *residual_values, *want;
} conv_run;

/* A tensor of random values that the form can store. */
static tt_test_tensor random_tensor(const tt_kernels *kernels, uint32_t channels, uint32_t batch, uint32_t height,
                                    uint32_t width, uint32_t border, uint64_t seed, float **values)
{
    size_t n = (size_t)channels * batch * height * width;
    *values = tt_test_random_new(n, seed);
    tt_test_round(kernels, *values, n);
    tt_test_tensor tensor = tt_test_tensor_create(kernels, channels, batch, height, width, border);
    tt_test_upload(&tensor, *values);
    return tensor;
}

static void compute_reference(const conv_case *c, conv_run *run)
{
    run->want = calloc((size_t)c->batch * c->n_out * c->out_height * c->out_width, sizeof(float));
    assert_non_null(run->want);
    tt_reference_conv3x3_args args = {.batch = c->batch,
                                      .n_in = c->n_in,
                                      .n_out = c->n_out,
                                      .in_height = c->in_height,
                                      .in_width = c->in_width,
                                      .out_height = c->out_height,
                                      .out_width = c->out_width,
                                      .mode = c->mode,
                                      .in = run->in_values,
                                      .weights = run->weights.weights,
                                      .bias = run->weights.bias,
                                      .image_bias = c->has_image_bias ? run->image_bias_values : NULL,
                                      .residual = c->has_residual ? run->residual_values : NULL,
                                      .activation = c->activation,
                                      .out = run->want};
    tt_reference_conv3x3(&args);
}

static conv_run set_up(const tt_kernels *kernels, const conv_case *c, tt_dtype dtype, bool is_asymmetric)
{
    conv_run run = {0};
    tt_test_matrix_spec spec = {
        .dtype = dtype, .n_out = c->n_out, .n_in = c->n_in, .n_taps = 9, .is_asymmetric = is_asymmetric, .seed = 21};
    run.weights = tt_test_matrix_create(kernels, &spec);
    run.in = random_tensor(kernels, c->n_in, c->batch, c->in_height, c->in_width, 1, 22, &run.in_values);
    run.image_bias = random_tensor(kernels, c->n_out, c->batch, 1, 1, 0, 23, &run.image_bias_values);
    run.residual = random_tensor(kernels, c->n_out, c->batch, c->out_height, c->out_width, c->residual_border, 24,
                                 &run.residual_values);
    run.out = tt_test_tensor_create(kernels, c->n_out, c->batch, c->out_height, c->out_width, c->out_border);
    compute_reference(c, &run);
    return run;
}

static void tear_down(const tt_kernels *kernels, conv_run *run)
{
    tt_test_matrix_release(kernels, &run->weights);
    tt_test_tensor_release(&run->in);
    tt_test_tensor_release(&run->image_bias);
    tt_test_tensor_release(&run->residual);
    tt_test_tensor_release(&run->out);
    free(run->in_values);
    free(run->image_bias_values);
    free(run->residual_values);
    free(run->want);
}

/* with_scratch: weights are widened into scratch first, as they are for many positions. */
static void check_case(const tt_kernels *kernels, const conv_case *c, tt_dtype dtype, bool with_scratch,
                       tt_conv_method method)
{
    static const char *const methods[] = {"", ", direct", ", Winograd 2", ", Winograd 4"};
    char label[160];
    conv_run run = set_up(kernels, c, dtype, c->n_in % 2 == 1);
    (void)snprintf(label, sizeof(label), "%s, %s weights%s%s, %s", c->label, tt_dtype_name(run.weights.matrix.dtype),
                   with_scratch ? " widened" : "", methods[method], tt_test_form_name(kernels));
    tt_test_scratch scratch =
        tt_test_scratch_create(with_scratch ? tt_dequantize_bytes(kernels, &run.weights.matrix) : 0);
    tt_conv3x3_args args = {.in = run.in.plane,
                            .matrix = &run.weights.matrix,
                            .mode = c->mode,
                            .method = method,
                            .per_image_bias = c->has_image_bias ? &run.image_bias.plane : NULL,
                            .residual = c->has_residual ? &run.residual.plane : NULL,
                            .activation = c->activation,
                            .out = run.out.plane,
                            .scratch = scratch.buffer.mem,
                            .scratch_offset = scratch.offset};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_conv3x3_record(kernels, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    float *got = tt_test_download(&run.out);
    tt_test_close(got, run.want, tt_test_count(&run.out), tt_test_tolerance(kernels) * (with_scratch ? 2 : 1), label);
    free(got);
    tt_test_scratch_release(&scratch);
    tear_down(kernels, &run);
}

static void check_form(size_t form)
{
    const tt_kernels *kernels = &tt_test_forms()[form];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (!cases[i].is_large || !tt_test_small())
            check_case(kernels, &cases[i], i % 4 == 3 ? TT_F16 : TT_F32, false, TT_CONV_DIRECT);
}

static void test_tile_f32(void **state)
{
    (void)state;
    check_form(0);
}

static void test_tile_f16(void **state)
{
    (void)state;
    check_form(1);
}

static void test_plain_f32(void **state)
{
    (void)state;
    check_form(2);
}

static void test_plain_f16(void **state)
{
    (void)state;
    check_form(3);
}

/* All quantized types over the rows that have whole blocks of them. */
static void check_quantized(size_t form, bool with_scratch)
{
    const tt_kernels *kernels = &tt_test_forms()[form];
    for (size_t t = 0; t < TT_TEST_N_QUANT_TYPES; t++)
        for (size_t i = 0; i < sizeof(quantized_cases) / sizeof(quantized_cases[0]); i++) {
            const conv_case *c = &quantized_cases[i];
            tt_dtype dtype = tt_test_quant_types[t];
            if (c->n_in * 9 % tt_dtype_block(dtype) == 0 && (!c->is_large || !tt_test_small()))
                check_case(kernels, c, dtype, with_scratch, TT_CONV_DIRECT);
        }
}

static void test_quantized_tile_f32(void **state)
{
    (void)state;
    check_quantized(0, false);
}

static void test_quantized_tile_f16(void **state)
{
    (void)state;
    check_quantized(1, false);
}

static void test_quantized_plain_f32(void **state)
{
    (void)state;
    check_quantized(2, false);
    check_quantized(2, true);
}

static void test_quantized_plain_f16(void **state)
{
    (void)state;
    check_quantized(3, false);
    check_quantized(3, true);
}

/* Winograd's methods in the modes that they have, from floats, halves and quantized weights. */
static void check_winograd(size_t form, tt_conv_method method)
{
    const tt_kernels *kernels = &tt_test_forms()[form];
    uint32_t side = method == TT_CONV_WINOGRAD2 ? 2 : 4;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (tt_winograd_can(kernels, cases[i].mode, side) && (!cases[i].is_large || !tt_test_small()))
            check_case(kernels, &cases[i], i % 4 == 3 ? TT_F16 : TT_F32, false, method);
    for (size_t i = 0; i < sizeof(quantized_cases) / sizeof(quantized_cases[0]); i++) {
        const conv_case *c = &quantized_cases[i];
        tt_dtype dtype = tt_test_quant_types[i % TT_TEST_N_QUANT_TYPES];
        if (tt_winograd_can(kernels, c->mode, side) && c->n_in * 9 % tt_dtype_block(dtype) == 0 &&
            (!c->is_large || !tt_test_small()))
            check_case(kernels, c, dtype, false, method);
    }
}

static void test_winograd2_f32(void **state)
{
    (void)state;
    check_winograd(0, TT_CONV_WINOGRAD2);
}

static void test_winograd2_f16(void **state)
{
    (void)state;
    check_winograd(1, TT_CONV_WINOGRAD2);
}

static void test_winograd4_f32(void **state)
{
    (void)state;
    check_winograd(0, TT_CONV_WINOGRAD4);
}

static void test_winograd4_f16(void **state)
{
    (void)state;
    check_winograd(1, TT_CONV_WINOGRAD4);
}

/* Shapes that do not fit are refused with a sentence, before anything is recorded. */
static void test_refuses(void **state)
{
    (void)state;
    const tt_kernels *kernels = &tt_test_forms()[0];
    tt_test_matrix weights = tt_test_matrix_create(
        kernels, &(tt_test_matrix_spec){.dtype = TT_F32, .n_out = 8, .n_in = 8, .n_taps = 9, .seed = 3});
    tt_test_tensor a = tt_test_tensor_create(kernels, 8, 1, 4, 6, 1);
    tt_plane bare = a.plane, fewer = a.plane, half = a.plane, vector = a.plane;
    bare.border = 0;
    fewer.channels = 7;
    half.height = 2;
    half.width = 3;
    vector.height = 1;
    const tt_conv3x3_args wrong[] = {
        {.in = bare, .matrix = &weights.matrix, .out = a.plane},
        {.in = fewer, .matrix = &weights.matrix, .out = a.plane},
        {.in = a.plane, .matrix = &weights.matrix, .out = fewer},
        {.in = a.plane, .matrix = &weights.matrix, .out = half},
        {.in = a.plane, .matrix = &weights.matrix, .mode = TT_CONV_DOWN, .out = a.plane},
        {.in = half, .matrix = &weights.matrix, .mode = TT_CONV_UP, .out = half},
        {.in = a.plane, .matrix = &weights.matrix, .residual = &half, .out = a.plane},
        {.in = a.plane, .matrix = &weights.matrix, .per_image_bias = &vector, .out = a.plane},
    };
    tt_recorder *recorder = tt_test_recorder();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        tt_error err = {""};
        assert_int_equal(tt_conv3x3_record(kernels, &wrong[i], recorder, &err), TT_ERROR_INTERNAL);
        assert_non_null(strstr(err.text, "conv3x3"));
    }
    assert_int_equal(tt_recorder_count(recorder), 0);
    tt_recorder_destroy(recorder);
    tt_test_tensor_release(&a);
    tt_test_matrix_release(kernels, &weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tile_f32),
        cmocka_unit_test(test_tile_f16),
        cmocka_unit_test(test_plain_f32),
        cmocka_unit_test(test_plain_f16),
        cmocka_unit_test(test_winograd2_f32),
        cmocka_unit_test(test_winograd2_f16),
        cmocka_unit_test(test_winograd4_f32),
        cmocka_unit_test(test_winograd4_f16),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_quantized_tile_f32),
        cmocka_unit_test(test_quantized_tile_f16),
        cmocka_unit_test(test_quantized_plain_f32),
        cmocka_unit_test(test_quantized_plain_f16),
    };
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
