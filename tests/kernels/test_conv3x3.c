/* test_conv3x3.c - 3x3 convolutions against their reference: all modes, ragged shapes, endings and storage forms. */
#include "cl-kernels/conv3x3-dot.h"
#include "cl-kernels/conv3x3-phases.h"
#include "cl-kernels/dequantize.h"
#include "cl-kernels/reference/conv3x3.h"
#include "cl-kernels/reference/dot.h"
#include "cl-kernels/winograd.h"
#include "selftest/blocks.h"
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
    {"PReLU, 34 outputs", 1, 5, 9, 5, 9, 6, 34, TT_CONV_SAME, 0, 1, false, false, TT_ACT_PRELU, false},
    {"PReLU, residual, rows of 16", 2, 4, 16, 4, 16, 8, 64, TT_CONV_SAME, 1, 0, true, true, TT_ACT_PRELU, false},
    {"PReLU, up", 1, 3, 5, 6, 10, 4, 12, TT_CONV_UP, 0, 0, false, false, TT_ACT_PRELU, false},
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
    {"PReLU", 1, 3, 4, 3, 4, 64, 36, TT_CONV_SAME, 0, 0, false, true, TT_ACT_PRELU, false},
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

static tt_reference_conv3x3_args reference_args(const conv_case *c, const conv_run *run)
{
    return (tt_reference_conv3x3_args){.batch = c->batch,
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
                                       .slopes = run->weights.slopes,
                                       .out = run->want};
}

static void compute_reference(const conv_case *c, conv_run *run)
{
    run->want = calloc((size_t)c->batch * c->n_out * c->out_height * c->out_width, sizeof(float));
    assert_non_null(run->want);
    tt_reference_conv3x3_args args = reference_args(c, run);
    tt_reference_conv3x3(&args);
}

static conv_run set_up(const tt_kernels *kernels, const conv_case *c, tt_dtype dtype, bool is_asymmetric)
{
    conv_run run = {0};
    tt_test_matrix_spec spec = {.dtype = dtype,
                                .n_out = c->n_out,
                                .n_in = c->n_in,
                                .n_taps = 9,
                                .is_asymmetric = is_asymmetric,
                                .has_slopes = c->activation == TT_ACT_PRELU,
                                .seed = 21};
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

static tt_conv3x3_args make_args(const conv_case *c, const conv_run *run)
{
    return (tt_conv3x3_args){.in = run->in.plane,
                             .matrix = &run->weights.matrix,
                             .mode = c->mode,
                             .per_image_bias = c->has_image_bias ? &run->image_bias.plane : NULL,
                             .residual = c->has_residual ? &run->residual.plane : NULL,
                             .activation = c->activation,
                             .out = run->out.plane};
}

/* What the kernel stores; free(). */
static float *compute(const tt_kernels *kernels, const tt_conv3x3_args *args, conv_run *run)
{
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_conv3x3_record(kernels, args, recorder, tt_test_error()));
    tt_test_run(recorder);
    return tt_test_download(&run->out);
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
    tt_conv3x3_args args = make_args(c, &run);
    args.method = method;
    args.scratch = scratch.buffer.mem;
    args.scratch_offset = scratch.offset;
    float *got = compute(kernels, &args, &run);
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
    for (size_t t = 0; t < TT_N_SAMPLE_QUANT_TYPES; t++)
        for (size_t i = 0; i < sizeof(quantized_cases) / sizeof(quantized_cases[0]); i++) {
            const conv_case *c = &quantized_cases[i];
            tt_dtype dtype = tt_sample_quant_types[t];
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

/* ---- dot product forms ---- */

/* Shapes that the forms take (32 inputs or more): rows that are cut into vectors of 16 and rows that are not, odd and
 * even numbers of vectors, several rectangles, several images in a rectangle, blocks of channels filled in part. */
static const conv_case dot_cases[] = {
    {"one pixel", 1, 1, 1, 1, 1, 33, 9, TT_CONV_SAME, 0, 0, false, false, TT_ACT_NONE, false},
    {"PReLU, many inputs", 1, 5, 7, 5, 7, 256, 21, TT_CONV_SAME, 0, 1, false, false, TT_ACT_PRELU, false},
    {"rows of 5, batch 2, borders", 2, 7, 5, 7, 5, 70, 34, TT_CONV_SAME, 1, 1, true, true, TT_ACT_SILU, false},
    {"rows of 8, batch 3", 3, 8, 8, 8, 8, 64, 32, TT_CONV_SAME, 0, 1, true, true, TT_ACT_NONE, false},
    {"rows of 16", 1, 3, 16, 3, 16, 36, 5, TT_CONV_SAME, 1, 0, false, true, TT_ACT_RELU, false},
    {"rows of 32, batch 2", 2, 4, 32, 4, 32, 100, 66, TT_CONV_SAME, 0, 1, true, false, TT_ACT_NONE, false},
    {"rows of 23", 1, 9, 23, 9, 23, 40, 33, TT_CONV_SAME, 0, 0, false, true, TT_ACT_GELU, false},
    {"PReLU, rows of 16", 1, 3, 16, 3, 16, 36, 37, TT_CONV_SAME, 0, 1, false, false, TT_ACT_PRELU, false},
    {"PReLU, ragged", 2, 5, 7, 5, 7, 48, 12, TT_CONV_SAME, 0, 0, true, true, TT_ACT_PRELU, false},
    {"rows longer than a patch", 1, 3, 150, 3, 150, 32, 8, TT_CONV_SAME, 0, 1, false, false, TT_ACT_NONE, false},
    {"columns longer than a patch", 1, 300, 2, 300, 2, 32, 4, TT_CONV_SAME, 0, 0, false, false, TT_ACT_NONE, true},
    {"down, even", 2, 8, 6, 4, 3, 40, 12, TT_CONV_DOWN, 0, 1, false, true, TT_ACT_NONE, false},
    {"down, odd", 1, 7, 9, 4, 5, 65, 36, TT_CONV_DOWN, 0, 0, true, true, TT_ACT_NONE, false},
    {"down to rows of 16", 2, 6, 32, 3, 16, 48, 40, TT_CONV_DOWN, 1, 1, true, true, TT_ACT_SILU, false},
    {"down to one pixel", 1, 1, 2, 1, 1, 32, 4, TT_CONV_DOWN, 0, 0, false, false, TT_ACT_NONE, false},
    {"down right and bottom, even", 2, 6, 8, 3, 4, 36, 12, TT_CONV_DOWN_ASYM, 0, 1, false, false, TT_ACT_NONE, false},
    {"down right and bottom, odd", 1, 9, 5, 4, 2, 50, 7, TT_CONV_DOWN_ASYM, 0, 0, false, false, TT_ACT_NONE, false},
    {"down right and bottom, rows of 16", 1, 5, 33, 2, 16, 32, 33, TT_CONV_DOWN_ASYM, 0, 0, false, true, TT_ACT_NONE,
     false},
    {"up, even", 2, 4, 5, 8, 10, 40, 12, TT_CONV_UP, 0, 1, false, false, TT_ACT_NONE, false},
    {"up to rows of 32", 1, 3, 16, 6, 32, 70, 40, TT_CONV_UP, 1, 0, true, true, TT_ACT_SILU, false},
    {"up, odd both", 3, 3, 4, 5, 7, 34, 5, TT_CONV_UP, 0, 0, false, false, TT_ACT_NONE, false},
    {"up from one pixel to one", 1, 1, 1, 1, 1, 40, 4, TT_CONV_UP, 0, 0, false, false, TT_ACT_NONE, false},
    {"up, many positions", 1, 64, 65, 128, 130, 40, 35, TT_CONV_UP, 1, 1, true, true, TT_ACT_SILU, true},
    {"up to rows of 128, batch 2", 2, 66, 64, 132, 128, 33, 5, TT_CONV_UP, 0, 0, false, false, TT_ACT_NONE, true},
    {"many inputs", 1, 8, 8, 8, 8, 1280, 33, TT_CONV_SAME, 0, 0, true, true, TT_ACT_NONE, true},
    {"very many inputs", 1, 3, 4, 3, 4, 5300, 5, TT_CONV_SAME, 0, 0, false, false, TT_ACT_NONE, true},
    {"many positions and outputs", 2, 19, 48, 19, 48, 64, 200, TT_CONV_SAME, 0, 1, true, true, TT_ACT_NONE, true},
};

/* Bounds of rms error / std. Beside the twin: float sums of bfloat16 products are added in another order. Beside the
 * float reference: rounding of uniform inputs and weights to 8 bits. */
static const double twin_bounds[] = {0, 1e-5, 2e-6}, float_bounds[] = {0, 4e-3, 1.5e-2};

/* Rows (or columns) of the input that n outputs from `first` on read, and what is staged with them: from *start on. */
static uint32_t find_span(tt_conv_mode mode, uint32_t first, uint32_t n, uint32_t n_in, uint32_t n_out, uint32_t *start)
{
    int64_t begin = (int64_t)first - 1, end = (int64_t)first + n + 1;
    if (mode == TT_CONV_DOWN || mode == TT_CONV_DOWN_ASYM) {
        int64_t shift = mode == TT_CONV_DOWN ? -1 : 0;
        begin = 2 * (int64_t)first + shift;
        end = 2 * ((int64_t)first + n) + 2 + shift;
    } else if (mode == TT_CONV_UP) {
        begin = begin < 0 ? 0 : begin / 2;
        end = ((end < n_out ? end : n_out) + 1) / 2;
    }
    begin = begin < 0 ? 0 : begin;
    end = end < n_in ? end : n_in;
    *start = (uint32_t)begin;
    return (uint32_t)(end - begin);
}

/* Rounds what a rectangle of outputs reads, in place. */
static void round_patch(const conv_case *c, tt_arithmetic arithmetic, const tt_reference_rectangle *part, float *in)
{
    uint32_t x, y, width = find_span(c->mode, part->x, part->width, c->in_width, c->out_width, &x);
    uint32_t height = find_span(c->mode, part->y, part->height, c->in_height, c->out_height, &y);
    size_t n_rows = (size_t)part->n_images * c->n_in * height;
    float *patch = malloc(n_rows * width * sizeof(*patch));
    assert_non_null(patch);
    float *first = in + (size_t)part->image * c->n_in * c->in_height * c->in_width;
    for (size_t i = 0; i < n_rows; i++)
        memcpy(patch + i * width, first + (i / height * c->in_height + y + i % height) * c->in_width + x,
               width * sizeof(*patch));
    tt_reference_dot_round_patch(arithmetic, patch, n_rows * width);
    for (size_t i = 0; i < n_rows; i++)
        memcpy(first + (i / height * c->in_height + y + i % height) * c->in_width + x, patch + i * width,
               width * sizeof(*patch));
    free(patch);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The results of weights and inputs that were rounded as the form does, rectangle by rectangle. */
static void compute_twin(const tt_kernels *kernels, const conv_case *c, const tt_conv3x3_cut *cut, conv_run *run)
{
    size_t n = (size_t)c->batch * c->n_in * c->in_height * c->in_width;
    float *rounded = malloc(n * sizeof(*rounded));
    assert_non_null(rounded);
    tt_reference_dot_weights(kernels->arithmetic, run->weights.weights, c->n_out, (size_t)c->n_in * 9);
    tt_reference_conv3x3_args args = reference_args(c, run);
    args.in = rounded;
    for (uint32_t image = 0; image < c->batch; image += cut->images)
        for (uint32_t y = 0; y < c->out_height; y += cut->height)
            for (uint32_t x = 0; x < c->out_width; x += cut->width) {
                tt_reference_rectangle part = {.image = image,
                                               .y = y,
                                               .x = x,
                                               .n_images = smaller(cut->images, c->batch - image),
                                               .height = smaller(cut->height, c->out_height - y),
                                               .width = smaller(cut->width, c->out_width - x)};
                memcpy(rounded, run->in_values, n * sizeof(*rounded));
                round_patch(c, kernels->arithmetic, &part, rounded);
                tt_reference_conv3x3_part(&args, &part);
            }
    free(rounded);
}

/* A tap of three, as a row or column of a phase sees it: where taps read the same place twice, the first of them stands
 * for both. */
static uint32_t leading_tap(uint32_t is_odd, uint32_t tap)
{
    return is_odd ? (tap == 1 ? 0 : tap) : (tap == 2 ? 1 : tap);
}

/* 3x3 weights whose taps are summed as a phase has them, and rounded. */
static void sum_taps(const float *weights, uint32_t phase, float *summed)
{
    memset(summed, 0, 9 * sizeof(*summed));
    for (uint32_t tap = 0; tap < 9; tap++)
        summed[leading_tap(phase / 2, tap / 3) * 3 + leading_tap(phase % 2, tap % 3)] += weights[tap];
    tt_reference_dot_round(TT_ARITHMETIC_HALF, summed, 9, 1);
}

/* The same where a launch multiplies in phases: results of each phase from its own weights. */
static void compute_phased_twin(const tt_kernels *kernels, const conv_case *c, const tt_conv3x3_cut *cut, conv_run *run)
{
    size_t n_pairs = (size_t)c->n_out * c->n_in, n = (size_t)c->batch * c->n_out * c->out_height * c->out_width;
    float *all = malloc(n * sizeof(*all)), *weights = malloc(n_pairs * 9 * sizeof(*weights));
    assert_non_null(all);
    assert_non_null(weights);
    tt_reference_dot_weights(TT_ARITHMETIC_HALF, run->weights.weights, c->n_out, (size_t)c->n_in * 9);
    memcpy(weights, run->weights.weights, n_pairs * 9 * sizeof(*weights));
    for (uint32_t phase = 0; phase < TT_CONV_PHASES; phase++) {
        for (size_t i = 0; i < n_pairs; i++)
            sum_taps(weights + i * 9, phase, run->weights.weights + i * 9);
        compute_twin(kernels, c, cut, run);
        for (size_t i = 0; i < n; i++)
            if (i / c->out_width % c->out_height % 2 == phase / 2 && i % c->out_width % 2 == phase % 2)
                all[i] = run->want[i];
    }
    memcpy(run->want, all, n * sizeof(*all));
    free(weights);
    free(all);
}

static void check_dot_case(const tt_kernels *kernels, const conv_case *c, tt_dtype dtype)
{
    char label[160];
    conv_run run = set_up(kernels, c, dtype, false);
    assert_int_equal(run.weights.matrix.arithmetic, kernels->arithmetic);
    (void)snprintf(label, sizeof(label), "%s, %s", c->label, tt_test_form_name(kernels));
    tt_conv3x3_args args = make_args(c, &run);
    tt_test_scratch scratch =
        tt_test_scratch_create(tt_conv3x3_scratch_bytes(kernels, &run.weights.matrix, &run.in.plane, &run.out.plane));
    args.scratch = scratch.buffer.mem;
    args.scratch_offset = scratch.offset;
    tt_conv3x3_cut cut;
    tt_test_ok(tt_conv3x3_dot_cut(kernels, &args, &cut, tt_test_error()));
    float *got = compute(kernels, &args, &run);
    double storage = kernels->storage == TT_STORAGE_F16 ? tt_test_tolerance(kernels) : 0;
    tt_test_close(got, run.want, tt_test_count(&run.out), float_bounds[kernels->arithmetic] + storage, label);
    bool is_phased = tt_conv3x3_phases_pay(kernels, &run.weights.matrix, &run.in.plane, &run.out.plane);
    (is_phased ? compute_phased_twin : compute_twin)(kernels, c, &cut, &run);
    tt_test_close(got, run.want, tt_test_count(&run.out), twin_bounds[kernels->arithmetic] + storage, label);
    free(got);
    tt_test_scratch_release(&scratch);
    tear_down(kernels, &run);
}

static void test_dot(void **state)
{
    (void)state;
    size_t n_forms;
    const tt_kernels *forms = tt_test_dot_forms(&n_forms);
    for (size_t form = 0; form < n_forms; form++)
        for (size_t i = 0; i < sizeof(dot_cases) / sizeof(dot_cases[0]); i++)
            if (!dot_cases[i].is_large || !tt_test_small())
                check_dot_case(&forms[form], &dot_cases[i], i % 4 == 3 ? TT_F16 : TT_F32);
}

/* Answers the question number `turn` of a tuning: every name in turn. */
typedef struct answers {
    size_t turn, n_names;
} answers;

static size_t answer(void *user, const char *op, const char *key, const char *const *names, size_t n_names)
{
    answers *a = user;
    (void)key;
    (void)names;
    assert_string_equal(op, "conv3x3");
    if (n_names > a->n_names)
        a->n_names = n_names;
    return a->turn < n_names ? a->turn : SIZE_MAX;
}

/* All cuts that a tuning may choose from are right. */
static void test_dot_cuts(void **state)
{
    (void)state;
    size_t n_forms;
    const tt_kernels *forms = tt_test_dot_forms(&n_forms);
    tt_tuning *tuning;
    tt_test_ok(tt_tuning_create(&tuning, tt_test_error()));
    for (size_t form = 0; form < n_forms; form++) {
        tt_kernels kernels = forms[form];
        answers a = {.turn = 0};
        kernels.tuning = tuning;
        tt_tuning_watch(tuning, answer, &a);
        size_t n_tried = 0, n_cases = tt_test_small() ? 3 : sizeof(dot_cases) / sizeof(dot_cases[0]);
        for (size_t i = 0; i < n_cases; i++) {
            a.n_names = 0;
            for (a.turn = 0; !dot_cases[i].is_large && (a.turn == 0 || a.turn < a.n_names); a.turn++)
                check_dot_case(&kernels, &dot_cases[i], TT_F32);
            n_tried += a.n_names > 1;
        }
        assert_true(n_tried > 1);
    }
    tt_tuning_destroy(tuning);
}

/* So are the methods of float convolutions, which CPUs have; variants for GPUs have a test of their own. */
static void test_methods(void **state)
{
    (void)state;
    tt_tuning *tuning;
    tt_kernels kernels = tt_test_forms()[0];
    if (kernels.family != TT_FAMILY_CPU_TILE)
        return;
    tt_test_ok(tt_tuning_create(&tuning, tt_test_error()));
    answers a = {.turn = 0};
    kernels.tuning = tuning;
    tt_tuning_watch(tuning, answer, &a);
    for (; a.turn == 0 || a.turn < a.n_names; a.turn++)
        check_case(&kernels, &cases[0], TT_F32, false, TT_CONV_FASTEST);
    assert_true(a.n_names > 1);
    tt_tuning_destroy(tuning);
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
        tt_dtype dtype = tt_sample_quant_types[i % TT_N_SAMPLE_QUANT_TYPES];
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
        cmocka_unit_test(test_dot),
        cmocka_unit_test(test_dot_cuts),
        cmocka_unit_test(test_methods),
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
