/* check-matrix.c - ops with weights: two sources, residual, activation, GEGLU, all modes of the convolution. */
#include "selftest/checks.h"

#include "cl-kernels/conv3x3.h"
#include "cl-kernels/dequantize.h"
#include "cl-kernels/linear.h"
#include "cl-kernels/reference/conv3x3.h"
#include "cl-kernels/reference/linear.h"

/* Inputs of a row: whole blocks of every type. */
enum { N_IN = 256, BATCH = 2, POSITIONS = 15 };

/* widens: weights are widened into scratch first. */
static void check_linear(tt_bench *bench, bool is_geglu, bool widens)
{
    uint32_t n_out = 42, n_results = is_geglu ? n_out / 2 : n_out;
    tt_sample in = tt_bench_input(bench, N_IN, BATCH, 1, POSITIONS, 0);
    tt_sample residual = tt_bench_input(bench, n_results, BATCH, 1, POSITIONS, 0);
    tt_sample out = tt_bench_output(bench, n_results, BATCH, 1, POSITIONS, 1);
    if (!tt_bench_is_good(bench))
        return;
    tt_buffer scratch =
        tt_bench_scratch(bench, widens ? tt_dequantize_bytes(&bench->kernels, &bench->matrix)
                                       : tt_linear_scratch_bytes(&bench->kernels, &bench->matrix, &out.plane));
    tt_linear_args args = {.in = in.plane,
                           .matrix = &bench->matrix,
                           .residual = is_geglu ? NULL : &residual.plane,
                           .activation = is_geglu ? TT_ACT_NONE : TT_ACT_SILU,
                           .out = out.plane,
                           .scratch = scratch.mem};
    float *want = tt_bench_floats(bench, out.n);
    if (!tt_bench_is_good(bench))
        return;
    tt_reference_linear(&(tt_reference_linear_args){.batch = BATCH,
                                                    .n_in = N_IN,
                                                    .n_out = n_out,
                                                    .n_positions = POSITIONS,
                                                    .in = in.values,
                                                    .weights = bench->matrix_values,
                                                    .bias = bench->matrix_bias,
                                                    .residual = is_geglu ? NULL : residual.values,
                                                    .activation = args.activation,
                                                    .is_geglu = is_geglu,
                                                    .out = want});
    tt_bench_add(bench, tt_linear_record(&bench->kernels, &args, bench->recorder, bench->err));
    tt_bench_run(bench);
    tt_bench_compare(bench, &out, want);
}

void tt_check_linear(tt_bench *bench)
{
    tt_bench_matrix(bench, 42, N_IN, 1, 0, false);
    check_linear(bench, false, false);
    tt_bench_matrix(bench, 42, N_IN, 1, 0, true);
    check_linear(bench, true, false);
}

void tt_check_dequantize(tt_bench *bench)
{
    tt_bench_matrix(bench, 42, N_IN, 1, 0, false);
    check_linear(bench, false, true);
}

static void check_mode(tt_bench *bench, tt_conv_mode mode, uint32_t out_height, uint32_t out_width,
                       tt_activation activation)
{
    uint32_t n_out = bench->matrix.n_out, height = 5, width = 7;
    tt_sample in = tt_bench_input(bench, N_IN, 1, height, width, 1);
    tt_sample out = tt_bench_output(bench, n_out, 1, out_height, out_width, 1);
    if (!tt_bench_is_good(bench))
        return;
    tt_buffer scratch =
        tt_bench_scratch(bench, tt_conv3x3_scratch_bytes(&bench->kernels, &bench->matrix, &in.plane, &out.plane));
    tt_conv3x3_args args = {.in = in.plane,
                            .matrix = &bench->matrix,
                            .mode = mode,
                            .activation = activation,
                            .out = out.plane,
                            .scratch = scratch.mem};
    float *want = tt_bench_floats(bench, out.n);
    if (!tt_bench_is_good(bench))
        return;
    tt_reference_conv3x3(&(tt_reference_conv3x3_args){.batch = 1,
                                                      .n_in = N_IN,
                                                      .n_out = n_out,
                                                      .in_height = height,
                                                      .in_width = width,
                                                      .out_height = out_height,
                                                      .out_width = out_width,
                                                      .mode = mode,
                                                      .in = in.values,
                                                      .weights = bench->matrix_values,
                                                      .bias = bench->matrix_bias,
                                                      .activation = activation,
                                                      .slopes = bench->matrix_bias,
                                                      .out = want});
    tt_bench_add(bench, tt_conv3x3_record(&bench->kernels, &args, bench->recorder, bench->err));
    tt_bench_run(bench);
    tt_bench_compare(bench, &out, want);
}

void tt_check_conv3x3(tt_bench *bench)
{
    tt_bench_matrix(bench, 21, N_IN, 9, 0, false);
    if (!tt_bench_is_good(bench))
        return;
    check_mode(bench, TT_CONV_SAME, 5, 7, TT_ACT_SILU);
    check_mode(bench, TT_CONV_SAME, 5, 7, TT_ACT_PRELU);
    check_mode(bench, TT_CONV_DOWN, 3, 4, TT_ACT_SILU);
    check_mode(bench, TT_CONV_UP, 10, 13, TT_ACT_SILU);
}
