/* test-gpu-tile.c - see test-gpu-tile.h. */
#include "tests/support/test-gpu-tile.h"

#include "cl-kernels/gpu-tile.h"
#include "cl-kernels/reference/conv3x3.h"
#include "cl-kernels/reference/linear.h"
#include "tests/support/test-matrix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct tile_case {
    const char *label;
    uint32_t n_taps, batch, height, width, in_height, in_width;
    uint32_t n_in, split, n_out;
    tt_conv_mode mode;
    uint32_t in_border, out_border;
    bool is_geglu, has_image_bias, has_residual;
    tt_activation activation;
} tile_case;

static const tile_case cases[] = {
    {"pictures, borders", 1, 2, 5, 15, 5, 15, 33, 0, 34, TT_CONV_SAME, 1, 1, false, false, true, TT_ACT_SILU},
    {"two inputs, both ragged", 1, 1, 1, 131, 1, 131, 71, 25, 7, TT_CONV_SAME, 0, 0, false, false, false, TT_ACT_NONE},
    {"GEGLU, ragged", 1, 1, 1, 9, 1, 9, 40, 0, 42, TT_CONV_SAME, 0, 0, true, false, false, TT_ACT_NONE},
    {"smallest", 1, 1, 1, 1, 1, 1, 35, 0, 3, TT_CONV_SAME, 0, 1, false, false, false, TT_ACT_NONE},
    {"many inputs", 1, 1, 3, 3, 3, 3, 357, 0, 64, TT_CONV_SAME, 0, 0, false, false, true, TT_ACT_GELU},
    {"same, residual and bias", 9, 2, 7, 5, 7, 5, 37, 0, 34, TT_CONV_SAME, 1, 1, false, true, true, TT_ACT_RELU},
    {"same, several groups", 9, 1, 9, 17, 9, 17, 32, 0, 5, TT_CONV_SAME, 1, 0, false, false, false, TT_ACT_NONE},
    {"down", 9, 1, 4, 5, 7, 9, 33, 0, 36, TT_CONV_DOWN, 1, 0, false, true, true, TT_ACT_NONE},
    {"down right and bottom", 9, 1, 4, 2, 9, 5, 33, 0, 7, TT_CONV_DOWN_ASYM, 1, 0, false, false, false, TT_ACT_NONE},
    {"up, odd height", 9, 2, 7, 10, 4, 5, 34, 0, 33, TT_CONV_UP, 1, 1, false, false, true, TT_ACT_SILU},
    {"PReLU", 9, 1, 3, 7, 3, 7, 40, 0, 34, TT_CONV_SAME, 1, 0, false, false, false, TT_ACT_PRELU},
    {"same, PReLU", 9, 2, 7, 5, 7, 5, 36, 0, 37, TT_CONV_SAME, 1, 1, false, true, true, TT_ACT_PRELU},
};

enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };
_Static_assert((int)N_CASES == (int)TT_TEST_TILE_CASES, "the header tells how many there are");

/* Planes and arrays of one run. */
typedef struct tile_run {
    tt_kernels kernels;
    const tile_case *c;
    tt_test_matrix weights;
    tt_test_tensor in, in2, image_bias, residual, out;
    float *in_values, *image_bias_values, *residual_values, *want;
    uint32_t n_results;
} tile_run;

static float *whole_inputs(const tile_case *c)
{
    size_t positions = (size_t)c->in_height * c->in_width, n = c->batch * c->n_in * positions;
    float *values = tt_test_random_new(n, 71);
    for (size_t i = 0; i < n; i++) {
        bool is_largest = i / positions % c->n_in == i % positions % c->n_in;
        values[i] = is_largest ? -127.0f : rintf(values[i] * 60.0f);
    }
    return values;
}

/* A tensor of some channels of the input. */
static tt_test_tensor upload_channels(const tile_run *run, uint32_t first, uint32_t n)
{
    const tile_case *c = run->c;
    size_t positions = (size_t)c->in_height * c->in_width;
    float *part = calloc((size_t)c->batch * n * positions, sizeof(*part));
    assert_non_null(part);
    for (uint32_t image = 0; image < c->batch; image++)
        memcpy(part + image * n * positions, run->in_values + (image * c->n_in + first) * positions,
               n * positions * sizeof(*part));
    tt_test_tensor tensor =
        tt_test_tensor_create(&run->kernels, n, c->batch, c->in_height, c->in_width, first == 0 ? c->in_border : 1);
    tt_test_upload(&tensor, part);
    free(part);
    return tensor;
}

static tt_test_tensor random_tensor(const tile_run *run, uint32_t height, uint32_t width, uint32_t border,
                                    uint64_t seed, float **values)
{
    size_t n = (size_t)run->n_results * run->c->batch * height * width;
    *values = tt_test_random_new(n, seed);
    tt_test_round(&run->kernels, *values, n);
    tt_test_tensor tensor = tt_test_tensor_create(&run->kernels, run->n_results, run->c->batch, height, width, border);
    tt_test_upload(&tensor, *values);
    return tensor;
}

static void compute_linear(tile_run *run)
{
    const tile_case *c = run->c;
    tt_reference_linear_args args = {.batch = c->batch,
                                     .n_in = c->n_in,
                                     .n_out = c->n_out,
                                     .n_positions = c->height * c->width,
                                     .in = run->in_values,
                                     .weights = run->weights.weights,
                                     .bias = run->weights.bias,
                                     .residual = c->has_residual ? run->residual_values : NULL,
                                     .activation = c->activation,
                                     .slopes = run->weights.slopes,
                                     .is_geglu = c->is_geglu,
                                     .out = run->want};
    tt_reference_linear(&args);
}

static void compute_conv3x3(tile_run *run)
{
    const tile_case *c = run->c;
    tt_reference_conv3x3_args args = {.batch = c->batch,
                                      .n_in = c->n_in,
                                      .n_out = c->n_out,
                                      .in_height = c->in_height,
                                      .in_width = c->in_width,
                                      .out_height = c->height,
                                      .out_width = c->width,
                                      .mode = c->mode,
                                      .in = run->in_values,
                                      .weights = run->weights.weights,
                                      .bias = run->weights.bias,
                                      .image_bias = c->has_image_bias ? run->image_bias_values : NULL,
                                      .residual = c->has_residual ? run->residual_values : NULL,
                                      .activation = c->activation,
                                      .slopes = run->weights.slopes,
                                      .out = run->want};
    tt_reference_conv3x3(&args);
}

static tile_run set_up(const tt_kernels *storage, const tt_test_tile_form *form, const tile_case *c, tt_dtype dtype)
{
    tile_run run = {.kernels = *storage, .c = c, .n_results = c->is_geglu ? c->n_out / 2 : c->n_out};
    run.kernels.arithmetic = form->arithmetic;
    run.kernels.dot = form->dot;
    tt_test_matrix_spec spec = {.dtype = dtype,
                                .n_out = c->n_out,
                                .n_in = c->n_in,
                                .n_taps = c->n_taps,
                                .split = c->split,
                                .is_geglu = c->is_geglu,
                                .has_slopes = c->activation == TT_ACT_PRELU,
                                .seed = 72};
    run.weights = tt_test_matrix_create(&run.kernels, &spec);
    assert_int_equal(run.weights.matrix.arithmetic, form->arithmetic);
    size_t n_in = (size_t)c->batch * c->n_in * c->in_height * c->in_width;
    run.in_values = form->has_whole_inputs ? whole_inputs(c) : tt_test_random_new(n_in, 73);
    tt_test_round(&run.kernels, run.in_values, n_in);
    run.in = upload_channels(&run, 0, c->split == 0 ? c->n_in : c->split);
    if (c->split != 0)
        run.in2 = upload_channels(&run, c->split, c->n_in - c->split);
    run.image_bias = random_tensor(&run, 1, 1, 0, 74, &run.image_bias_values);
    run.residual = random_tensor(&run, c->height, c->width, c->out_border, 75, &run.residual_values);
    run.out = tt_test_tensor_create(&run.kernels, run.n_results, c->batch, c->height, c->width, c->out_border);
    run.want = calloc(tt_test_count(&run.out), sizeof(float));
    assert_non_null(run.want);
    if (c->n_taps == 1)
        compute_linear(&run);
    else
        compute_conv3x3(&run);
    return run;
}

static void tear_down(tile_run *run)
{
    tt_test_matrix_release(&run->kernels, &run->weights);
    tt_test_tensor_release(&run->in);
    if (run->in2.plane.mem != NULL)
        tt_test_tensor_release(&run->in2);
    tt_test_tensor_release(&run->image_bias);
    tt_test_tensor_release(&run->residual);
    tt_test_tensor_release(&run->out);
    free(run->in_values);
    free(run->image_bias_values);
    free(run->residual_values);
    free(run->want);
}

static tt_gpu_tile_args make_args(const tile_run *run, const tt_test_scratch *scratch)
{
    const tile_case *c = run->c;
    const tt_matrix *matrix = &run->weights.matrix;
    return (tt_gpu_tile_args){.in = run->in.plane,
                              .in2 = c->split != 0 ? &run->in2.plane : NULL,
                              .matrix = matrix,
                              .weights = {.mem = matrix->values.mem, .dtype = matrix->dtype},
                              .mode = c->mode,
                              .per_image_bias = c->has_image_bias ? &run->image_bias.plane : NULL,
                              .residual = c->has_residual ? &run->residual.plane : NULL,
                              .activation = c->activation,
                              .out = run->out.plane,
                              .scratch = scratch->buffer.mem,
                              .scratch_offset = scratch->offset};
}

static void check_variant(tile_run *run, const tt_test_tile_form *form, tt_gpu_tile_args args,
                          const tt_gpu_variant *variant)
{
    static const char *const arithmetics[] = {"float", "half", "int8"};
    char label[160];
    (void)snprintf(label, sizeof(label), "%s, %s, %s, dot %d, %s", run->c->label, variant->name,
                   arithmetics[form->arithmetic], (int)form->dot.int8, tt_test_form_name(&run->kernels));
    print_message("%s\n", label);
    const tile_case *c = run->c;
    tt_test_tensor_release(&run->out);
    run->out = tt_test_tensor_create(&run->kernels, run->n_results, c->batch, c->height, c->width, c->out_border);
    args.out = run->out.plane;
    tt_recorder *recorder = tt_test_recorder();
    tt_test_ok(tt_gpu_tile_record(&run->kernels, &args, variant, recorder, tt_test_error()));
    tt_test_run(recorder);
    float *got = tt_test_download(&run->out);
    double tolerance = run->kernels.storage == TT_STORAGE_F16 ? 4e-4 : 0;
    tt_test_close(got, run->want, tt_test_count(&run->out), tolerance + form->tolerance, label);
    free(got);
}

/* CPUs compile for seconds: there a case runs one variant, the next case the next one. GPUs run all of them. */
size_t tt_test_gpu_tile(const tt_kernels *storage, const tt_test_tile_form *form, size_t index, tt_dtype dtype)
{
    const tt_gpu_variant *variants[TT_GPU_MAX_VARIANTS];
    tile_run run = set_up(storage, form, &cases[index], dtype);
    tt_test_scratch scratch = tt_test_scratch_create(tt_gpu_tile_scratch_bytes(&run.weights.matrix, &run.in.plane));
    tt_gpu_tile_args args = make_args(&run, &scratch);
    size_t n = tt_gpu_tile_variants(&run.kernels, &args, variants), n_checked = 0;
    bool runs_one = tt_device_caps(tt_test_device())->is_cpu || tt_test_small();
    for (size_t i = 0; i < n; i++)
        if (!runs_one || i == index % n) {
            check_variant(&run, form, args, variants[i]);
            n_checked++;
        }
    tt_test_scratch_release(&scratch);
    tear_down(&run);
    return n_checked;
}
