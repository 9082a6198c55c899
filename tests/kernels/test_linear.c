/* test_linear.c - linear layers against their reference: ragged shapes, all inputs, endings and storage forms. */
#include "cl-kernels/dequantize.h"
#include "cl-kernels/linear.h"
#include "cl-kernels/reference/dot.h"
#include "cl-kernels/reference/linear.h"
#include "selftest/blocks.h"
#include "tests/support/test-device.h"
#include "tests/support/test-matrix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct linear_case {
    const char *label;
    uint32_t batch, height, width;
    uint32_t in_border, in2_border, residual_border, out_border;
    tt_test_matrix_spec matrix; /* n_taps and seed are set here */
    tt_activation activation;
    bool has_residual, is_large;
} linear_case;

static const linear_case cases[] = {
    {"one position, one input, one output", 1, 1, 1, 0, 0, 0, 0, {.n_out = 1, .n_in = 1}, TT_ACT_NONE, false, false},
    {"channels 3 to 5", 1, 1, 7, 0, 0, 0, 0, {.n_out = 5, .n_in = 3}, TT_ACT_NONE, true, false},
    {"a tile and one position", 1, 1, 14, 0, 0, 0, 0, {.n_out = 33, .n_in = 17}, TT_ACT_SILU, true, false},
    {"tokens, batch 2", 2, 1, 77, 0, 0, 0, 0, {.n_out = 40, .n_in = 36}, TT_ACT_QUICK_GELU, false, false},
    {"PReLU", 1, 3, 16, 0, 0, 0, 0, {.n_out = 64, .n_in = 12}, TT_ACT_PRELU, true, false},
    {"PReLU, three parts", 1, 1, 13, 0, 0, 0, 0, {.n_out = 39, .n_in = 6, .n_parts = 3}, TT_ACT_PRELU, false, false},
    {"F16 weights", 1, 1, 29, 0, 0, 0, 0, {.dtype = TT_F16, .n_out = 64, .n_in = 32}, TT_ACT_NONE, false, false},
    {"BF16 weights, no bias",
     1,
     1,
     5,
     0,
     0,
     0,
     0,
     {.dtype = TT_BF16, .n_out = 9, .n_in = 12, .no_bias = true},
     TT_ACT_RELU,
     false,
     false},
    {"picture, border in, batch 3", 3, 5, 6, 1, 0, 0, 0, {.n_out = 12, .n_in = 9}, TT_ACT_GELU, false, false},
    {"picture, borders everywhere", 2, 4, 7, 1, 1, 1, 1, {.n_out = 34, .n_in = 8}, TT_ACT_TANH3, true, false},
    {"border out only", 2, 3, 15, 0, 0, 1, 1, {.n_out = 4, .n_in = 20}, TT_ACT_NONE, true, false},
    {"two inputs", 1, 4, 4, 0, 1, 0, 0, {.n_out = 20, .n_in = 24, .split = 12}, TT_ACT_NONE, false, false},
    {"two inputs, both ragged", 2, 3, 9, 1, 0, 1, 1, {.n_out = 7, .n_in = 16, .split = 9}, TT_ACT_NONE, true, false},
    {"two inputs across blocks",
     1,
     6,
     7,
     1,
     1,
     0,
     0,
     {.n_out = 36, .n_in = 345, .split = 160},
     TT_ACT_NONE,
     false,
     false},
    {"GEGLU", 1, 1, 30, 0, 0, 0, 0, {.n_out = 96, .n_in = 20, .is_geglu = true}, TT_ACT_NONE, false, false},
    {"GEGLU, ragged inner width",
     2,
     1,
     9,
     0,
     0,
     0,
     1,
     {.n_out = 42, .n_in = 11, .is_geglu = true},
     TT_ACT_NONE,
     false,
     false},
    {"transposed part",
     1,
     1,
     6,
     0,
     0,
     0,
     0,
     {.dtype = TT_F16, .n_out = 37, .n_in = 45, .is_transposed = true},
     TT_ACT_NONE,
     false,
     false},
    {"three stacked parts", 1, 1, 13, 0, 0, 0, 0, {.n_out = 60, .n_in = 16, .n_parts = 3}, TT_ACT_NONE, false, false},
    {"many inputs", 1, 1, 40, 0, 0, 0, 0, {.n_out = 48, .n_in = 5120}, TT_ACT_NONE, true, true},
    {"many positions and outputs", 1, 24, 24, 0, 0, 0, 0, {.n_out = 320, .n_in = 320}, TT_ACT_NONE, true, true},
};

/* Quantized weights: rows of several lengths, outputs in every order. Types of blocks of 256 leave out the rows that
 * are not whole blocks. */
static const linear_case quantized_cases[] = {
    {"tokens, batch 2", 2, 1, 9, 0, 0, 0, 0, {.n_out = 40, .n_in = 256}, TT_ACT_SILU, true, false},
    {"two inputs", 1, 2, 7, 0, 1, 0, 1, {.n_out = 33, .n_in = 512, .split = 132}, TT_ACT_NONE, true, false},
    {"GEGLU", 1, 1, 14, 0, 0, 0, 0, {.n_out = 42, .n_in = 256, .is_geglu = true}, TT_ACT_NONE, false, false},
    {"three stacked parts", 1, 1, 5, 0, 0, 0, 0, {.n_out = 63, .n_in = 768, .n_parts = 3}, TT_ACT_NONE, false, true},
    {"one block of 32", 1, 1, 3, 0, 0, 0, 0, {.n_out = 7, .n_in = 32}, TT_ACT_NONE, false, false},
    {"two inputs in blocks of 32",
     1,
     1,
     15,
     0,
     0,
     0,
     0,
     {.n_out = 36, .n_in = 352, .split = 20},
     TT_ACT_GELU,
     false,
     true},
    {"odd rows", 1, 1, 4, 0, 0, 0, 0, {.n_out = 35, .n_in = 147, .is_asymmetric = true}, TT_ACT_NONE, false, false},
    {"odd rows, two inputs", 1, 1, 4, 0, 0, 0, 0, {.n_out = 5, .n_in = 45, .split = 24}, TT_ACT_NONE, false, false},
};

/* Planes and arrays of one run. */
typedef struct linear_run {
    tt_test_matrix weights;
    tt_test_tensor in, in2, residual, out;
    float *in_values, *residual_values, *want;
    uint32_t n_results;
} linear_run;

/* Copies channels first .. first + n of every image. */
static float *take_channels(const float *nchw, uint32_t batch, uint32_t channels, uint32_t first, uint32_t n,
                            size_t positions)
{
    float *part = calloc((size_t)batch * n * positions + 1, sizeof(*part));
    assert_non_null(part);
    for (uint32_t image = 0; image < batch; image++)
        memcpy(part + image * n * positions, nchw + (image * channels + first) * positions,
               n * positions * sizeof(*part));
    return part;
}

static tt_test_tensor upload_channels(const tt_kernels *kernels, const linear_case *c, const float *nchw,
                                      uint32_t first, uint32_t n, uint32_t border)
{
    float *part = take_channels(nchw, c->batch, c->matrix.n_in, first, n, (size_t)c->height * c->width);
    tt_test_tensor tensor = tt_test_tensor_create(kernels, n, c->batch, c->height, c->width, border);
    tt_test_upload(&tensor, part);
    free(part);
    return tensor;
}

static void compute_reference(const linear_case *c, linear_run *run)
{
    uint32_t positions = c->height * c->width;
    run->want = calloc((size_t)c->batch * run->n_results * positions, sizeof(float));
    assert_non_null(run->want);
    tt_reference_linear_args args = {.batch = c->batch,
                                     .n_in = c->matrix.n_in,
                                     .n_out = c->matrix.n_out,
                                     .n_positions = positions,
                                     .in = run->in_values,
                                     .weights = run->weights.weights,
                                     .bias = run->weights.bias,
                                     .residual = c->has_residual ? run->residual_values : NULL,
                                     .activation = c->activation,
                                     .slopes = run->weights.slopes,
                                     .is_geglu = c->matrix.is_geglu,
                                     .out = run->want};
    tt_reference_linear(&args);
}

static linear_run set_up(const tt_kernels *kernels, const linear_case *c)
{
    linear_run run = {0};
    tt_test_matrix_spec spec = c->matrix;
    spec.dtype = spec.dtype == TT_F64 ? TT_F32 : spec.dtype; /* unset in the table */
    spec.n_taps = 1;
    spec.has_slopes = c->activation == TT_ACT_PRELU;
    spec.seed = 11;
    run.weights = tt_test_matrix_create(kernels, &spec);
    run.n_results = spec.is_geglu ? spec.n_out / 2 : spec.n_out;

    size_t positions = (size_t)c->batch * c->height * c->width;
    run.in_values = tt_test_random_new(positions * spec.n_in, 12);
    run.residual_values = tt_test_random_new(positions * run.n_results, 13);
    tt_test_round(kernels, run.in_values, positions * spec.n_in);
    tt_test_round(kernels, run.residual_values, positions * run.n_results);

    uint32_t split = spec.split == 0 ? spec.n_in : spec.split;
    run.in = upload_channels(kernels, c, run.in_values, 0, split, c->in_border);
    if (split < spec.n_in)
        run.in2 = upload_channels(kernels, c, run.in_values, split, spec.n_in - split, c->in2_border);
    run.residual = tt_test_tensor_create(kernels, run.n_results, c->batch, c->height, c->width, c->residual_border);
    tt_test_upload(&run.residual, run.residual_values);
    run.out = tt_test_tensor_create(kernels, run.n_results, c->batch, c->height, c->width, c->out_border);
    compute_reference(c, &run);
    return run;
}

static void tear_down(const tt_kernels *kernels, linear_run *run)
{
    tt_test_matrix_release(kernels, &run->weights);
    tt_test_tensor_release(&run->in);
    if (run->in2.plane.mem != NULL)
        tt_test_tensor_release(&run->in2);
    tt_test_tensor_release(&run->residual);
    tt_test_tensor_release(&run->out);
    free(run->in_values);
    free(run->residual_values);
    free(run->want);
}

/* with_scratch: weights are widened into scratch first, as they are for many positions. */
static void check_case(const tt_kernels *kernels, const linear_case *c, bool with_scratch)
{
    char label[160];
    linear_run run = set_up(kernels, c);
    (void)snprintf(label, sizeof(label), "%s, %s weights%s, %s", c->label, tt_dtype_name(run.weights.matrix.dtype),
                   with_scratch ? " widened" : "", tt_test_form_name(kernels));
    tt_test_scratch scratch =
        tt_test_scratch_create(with_scratch ? tt_dequantize_bytes(kernels, &run.weights.matrix) : 0);
    tt_linear_args args = {.in = run.in.plane,
                           .in2 = c->matrix.split != 0 ? &run.in2.plane : NULL,
                           .matrix = &run.weights.matrix,
                           .residual = c->has_residual ? &run.residual.plane : NULL,
                           .activation = c->activation,
                           .out = run.out.plane,
                           .scratch = scratch.buffer.mem,
                           .scratch_offset = scratch.offset};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_linear_record(kernels, &args, recorder, tt_test_error()));
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
            check_case(kernels, &cases[i], false);
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
            linear_case c = quantized_cases[i];
            c.matrix.dtype = tt_sample_quant_types[t];
            if (c.matrix.n_in % tt_dtype_block(c.matrix.dtype) == 0 && (!c.is_large || !tt_test_small()))
                check_case(kernels, &c, with_scratch);
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

/* Shapes that the forms take (32 inputs or more), around blocks of 32 and 64 channels, vectors of 16 positions and
 * steps of three, two and one of them. */
static const linear_case dot_cases[] = {
    {"one position", 1, 1, 1, 0, 0, 0, 0, {.n_out = 1, .n_in = 33}, TT_ACT_NONE, false, false},
    {"whole blocks and vectors", 1, 1, 48, 0, 0, 0, 0, {.n_out = 64, .n_in = 128}, TT_ACT_NONE, true, false},
    {"a vector and one position", 1, 1, 17, 0, 0, 0, 0, {.n_out = 33, .n_in = 65}, TT_ACT_SILU, true, false},
    {"tokens, batch 2", 2, 1, 77, 0, 0, 0, 0, {.n_out = 40, .n_in = 36}, TT_ACT_QUICK_GELU, false, false},
    {"PReLU", 1, 1, 37, 0, 0, 0, 0, {.n_out = 36, .n_in = 64}, TT_ACT_PRELU, true, false},
    {"F16 weights", 1, 1, 93, 0, 0, 0, 0, {.dtype = TT_F16, .n_out = 96, .n_in = 100}, TT_ACT_NONE, false, false},
    {"no bias",
     1,
     1,
     5,
     0,
     0,
     0,
     0,
     {.dtype = TT_BF16, .n_out = 9, .n_in = 63, .no_bias = true},
     TT_ACT_RELU,
     false,
     false},
    {"picture, border in, batch 3", 3, 5, 6, 1, 0, 0, 0, {.n_out = 12, .n_in = 39}, TT_ACT_GELU, false, false},
    {"picture, borders everywhere", 2, 4, 7, 1, 1, 1, 1, {.n_out = 34, .n_in = 40}, TT_ACT_TANH3, true, false},
    {"border out, rows of 16", 2, 3, 16, 0, 0, 0, 1, {.n_out = 6, .n_in = 34}, TT_ACT_NONE, true, false},
    {"border beside, rows of 8", 2, 8, 8, 0, 0, 1, 0, {.n_out = 6, .n_in = 34}, TT_ACT_NONE, true, false},
    {"two inputs", 1, 4, 4, 0, 1, 0, 0, {.n_out = 20, .n_in = 48, .split = 12}, TT_ACT_NONE, false, false},
    {"two inputs, both ragged", 2, 3, 9, 1, 0, 1, 1, {.n_out = 7, .n_in = 102, .split = 65}, TT_ACT_NONE, true, false},
    {"GEGLU", 1, 1, 40, 0, 0, 0, 0, {.n_out = 96, .n_in = 40, .is_geglu = true}, TT_ACT_NONE, false, false},
    {"GEGLU, ragged", 2, 1, 9, 0, 0, 0, 1, {.n_out = 42, .n_in = 71, .is_geglu = true}, TT_ACT_NONE, false, false},
    {"transposed part",
     1,
     1,
     6,
     0,
     0,
     0,
     0,
     {.dtype = TT_F16, .n_out = 37, .n_in = 45, .is_transposed = true},
     TT_ACT_NONE,
     false,
     false},
    {"three stacked parts", 1, 1, 13, 0, 0, 0, 0, {.n_out = 60, .n_in = 50, .n_parts = 3}, TT_ACT_NONE, false, false},
    {"Q8_0", 1, 1, 20, 0, 0, 0, 0, {.dtype = TT_Q8_0, .n_out = 40, .n_in = 96}, TT_ACT_NONE, false, false},
    {"Q4_K", 1, 1, 20, 0, 0, 0, 0, {.dtype = TT_Q4_K, .n_out = 40, .n_in = 256}, TT_ACT_NONE, true, false},
    {"w8c with offsets",
     1,
     1,
     20,
     0,
     0,
     0,
     0,
     {.dtype = TT_I8, .n_out = 40, .n_in = 90, .is_asymmetric = true},
     TT_ACT_NONE,
     false,
     false},
    {"many inputs", 1, 1, 150, 0, 0, 0, 0, {.n_out = 48, .n_in = 5120}, TT_ACT_NONE, true, true},
    {"very many inputs", 1, 1, 40, 0, 0, 0, 0, {.n_out = 33, .n_in = 16380}, TT_ACT_NONE, false, true},
    {"many positions and outputs", 1, 24, 24, 0, 0, 0, 0, {.n_out = 320, .n_in = 320}, TT_ACT_NONE, true, true},
};

/* Bounds of rms error / std. Beside the twin: float sums of bfloat16 products are added in another order. Beside the
 * float reference: rounding of uniform inputs and weights to 8 bits. */
static const double twin_bounds[] = {0, 1e-5, 2e-6}, float_bounds[] = {0, 4e-3, 1.5e-2};

/* The results of a matrix and inputs that were rounded as the form does. */
static void compute_twin(const tt_kernels *kernels, const linear_case *c, linear_run *run)
{
    free(run->want);
    tt_reference_dot_weights(kernels->arithmetic, run->weights.weights, c->matrix.n_out, c->matrix.n_in);
    tt_reference_dot_inputs(kernels->arithmetic, run->in_values, c->batch, c->matrix.n_in,
                            (size_t)c->height * c->width);
    compute_reference(c, run);
}

static void check_dot_case(const tt_kernels *kernels, const linear_case *c)
{
    char label[160];
    linear_run run = set_up(kernels, c);
    assert_int_equal(run.weights.matrix.arithmetic, kernels->arithmetic);
    (void)snprintf(label, sizeof(label), "%s, %s", c->label, tt_test_form_name(kernels));
    tt_linear_args args = {.in = run.in.plane,
                           .in2 = c->matrix.split != 0 ? &run.in2.plane : NULL,
                           .matrix = &run.weights.matrix,
                           .residual = c->has_residual ? &run.residual.plane : NULL,
                           .activation = c->activation,
                           .out = run.out.plane};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_linear_record(kernels, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    float *got = tt_test_download(&run.out);
    double storage = kernels->storage == TT_STORAGE_F16 ? tt_test_tolerance(kernels) : 0;
    tt_test_close(got, run.want, tt_test_count(&run.out), float_bounds[kernels->arithmetic] + storage, label);
    compute_twin(kernels, c, &run);
    tt_test_close(got, run.want, tt_test_count(&run.out), twin_bounds[kernels->arithmetic] + storage, label);
    free(got);
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
                check_dot_case(&forms[form], &dot_cases[i]);
}

/* w8c without offsets keeps its codes: what is left is the rounding of the inputs alone. */
static void test_dot_keeps_codes(void **state)
{
    (void)state;
    size_t n_forms;
    const tt_kernels *forms = tt_test_dot_forms(&n_forms);
    linear_case c = {.label = "w8c", .batch = 1, .height = 1, .width = 19, .matrix = {.n_out = 40, .n_in = 90}};
    c.matrix.dtype = TT_I8;
    for (size_t form = 0; form < n_forms; form++) {
        if (forms[form].arithmetic != TT_ARITHMETIC_INT8 || forms[form].storage != TT_STORAGE_F32)
            continue;
        linear_run run = set_up(&forms[form], &c);
        free(run.want);
        tt_reference_dot_inputs(TT_ARITHMETIC_INT8, run.in_values, 1, c.matrix.n_in, c.width);
        compute_reference(&c, &run);
        tt_linear_args args = {.in = run.in.plane, .matrix = &run.weights.matrix, .out = run.out.plane};
        tt_recorder *recorder = tt_test_recorder();
        tt_test_ok(tt_linear_record(&forms[form], &args, recorder, tt_test_error()));
        tt_test_run(recorder);
        float *got = tt_test_download(&run.out);
        tt_test_close(got, run.want, tt_test_count(&run.out), twin_bounds[TT_ARITHMETIC_INT8],
                      tt_test_form_name(&forms[form]));
        free(got);
        tear_down(&forms[form], &run);
    }
}

/* Results may go to a range of channels of a larger tensor; its other channels stay as they are. */
static void test_channel_view(void **state)
{
    (void)state;
    const tt_kernels *kernels = &tt_test_forms()[0];
    tt_test_matrix weights = tt_test_matrix_create(
        kernels, &(tt_test_matrix_spec){.dtype = TT_F32, .n_out = 8, .n_in = 8, .n_taps = 1, .seed = 3});
    float *values = tt_test_random_new(8 * 6, 4);
    tt_test_tensor in = tt_test_tensor_create(kernels, 8, 1, 1, 6, 0);
    tt_test_tensor out = tt_test_tensor_create(kernels, 16, 1, 1, 6, 0);
    tt_test_upload(&in, values);
    tt_linear_args args = {.in = in.plane, .matrix = &weights.matrix, .out = tt_plane_channels(&out.plane, 4, 8)};
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_linear_record(kernels, &args, recorder, tt_test_error()));
    tt_test_run(recorder);
    float want[8 * 6], *got = tt_test_download_part(&out);
    tt_reference_linear(&(tt_reference_linear_args){.batch = 1,
                                                    .n_in = 8,
                                                    .n_out = 8,
                                                    .n_positions = 6,
                                                    .in = values,
                                                    .weights = weights.weights,
                                                    .bias = weights.bias,
                                                    .out = want});
    tt_test_close(got + 4 * 6, want, 8 * 6, tt_test_tolerance(kernels), "view of channels");
    for (size_t i = 0; i < 4 * 6; i++) {
        assert_true(got[i] != got[i]); /* still poisoned */
        assert_true(got[12 * 6 + i] != got[12 * 6 + i]);
    }
    free(got);
    free(values);
    tt_test_tensor_release(&in);
    tt_test_tensor_release(&out);
    tt_test_matrix_release(kernels, &weights);
}

/* Shapes that do not fit are refused with a sentence, before anything is recorded. */
static void test_refuses(void **state)
{
    (void)state;
    const tt_kernels *kernels = &tt_test_forms()[0];
    tt_test_matrix weights = tt_test_matrix_create(
        kernels, &(tt_test_matrix_spec){.dtype = TT_F32, .n_out = 8, .n_in = 8, .n_taps = 1, .seed = 3});
    tt_test_matrix gated = tt_test_matrix_create(
        kernels,
        &(tt_test_matrix_spec){.dtype = TT_F32, .n_out = 8, .n_in = 8, .n_taps = 1, .is_geglu = true, .seed = 3});
    tt_test_tensor a = tt_test_tensor_create(kernels, 8, 1, 2, 3, 0);
    tt_plane fewer = a.plane, taller = a.plane, half = a.plane;
    fewer.channels = 7;
    taller.height = 3;
    half.channels = 4;
    const tt_linear_args wrong[] = {
        {.in = fewer, .matrix = &weights.matrix, .out = a.plane},
        {.in = a.plane, .matrix = &weights.matrix, .out = fewer},
        {.in = a.plane, .matrix = &weights.matrix, .out = taller},
        {.in = a.plane, .in2 = &a.plane, .matrix = &weights.matrix, .out = a.plane},
        {.in = a.plane, .matrix = &weights.matrix, .residual = &taller, .out = a.plane},
        {.in = a.plane, .matrix = &gated.matrix, .out = a.plane},
        {.in = a.plane, .matrix = &gated.matrix, .residual = &half, .out = half},
    };
    tt_recorder *recorder = tt_test_recorder();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        tt_error err = {""};
        assert_int_equal(tt_linear_record(kernels, &wrong[i], recorder, &err), TT_ERROR_INTERNAL);
        assert_non_null(strstr(err.text, "linear"));
    }
    assert_int_equal(tt_recorder_count(recorder), 0);
    tt_recorder_destroy(recorder);
    tt_test_tensor_release(&a);
    tt_test_matrix_release(kernels, &weights);
    tt_test_matrix_release(kernels, &gated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tile_f32),
        cmocka_unit_test(test_tile_f16),
        cmocka_unit_test(test_plain_f32),
        cmocka_unit_test(test_plain_f16),
        cmocka_unit_test(test_dot),
        cmocka_unit_test(test_dot_keeps_codes),
        cmocka_unit_test(test_channel_view),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_quantized_tile_f32),
        cmocka_unit_test(test_quantized_tile_f16),
        cmocka_unit_test(test_quantized_plain_f32),
        cmocka_unit_test(test_quantized_plain_f16),
    };
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
