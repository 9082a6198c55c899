/* check-norm.c - group norms over one source and two, layer norms. */
#include "selftest/checks.h"

#include "cl-kernels/group-norm.h"
#include "cl-kernels/layer-norm.h"
#include "cl-kernels/reference/group-norm.h"
#include "cl-kernels/reference/layer-norm.h"

enum { CHANNELS = 48, BATCH = 2, HEIGHT = 5, WIDTH = 7 };
static const float eps = 1e-5f;

void tt_check_group_norm(tt_bench *bench)
{
    enum { GROUPS = 8 };
    float *scale = NULL, *shift = NULL;
    tt_sample in = tt_bench_input(bench, CHANNELS, BATCH, HEIGHT, WIDTH, 0);
    tt_sample out = tt_bench_output(bench, CHANNELS, BATCH, HEIGHT, WIDTH, 1);
    float *want = tt_bench_floats(bench, out.n);
    tt_bench_vectors(bench, CHANNELS, &scale, &shift);
    tt_group_norm_args args = {.in = in.plane,
                               .scale = &bench->vectors[0],
                               .shift = &bench->vectors[1],
                               .n_groups = GROUPS,
                               .eps = eps,
                               .silu = true,
                               .out = out.plane};
    tt_buffer scratch = tt_bench_scratch(bench, tt_group_norm_scratch_bytes(&bench->kernels, &args));
    args.scratch = scratch.mem;
    if (!tt_bench_is_good(bench))
        return;
    tt_reference_group_norm(&(tt_reference_group_norm_args){.batch = BATCH,
                                                            .n_channels = CHANNELS,
                                                            .n_positions = HEIGHT * WIDTH,
                                                            .n_groups = GROUPS,
                                                            .in = in.values,
                                                            .scale = scale,
                                                            .shift = shift,
                                                            .eps = (double)eps,
                                                            .silu = true,
                                                            .out = want});
    tt_bench_add(bench, tt_group_norm_record(&bench->kernels, &args, bench->recorder, bench->err));
    tt_bench_run(bench);
    tt_bench_compare(bench, &out, want);
}

void tt_check_layer_norm(tt_bench *bench)
{
    float *scale = NULL, *shift = NULL;
    tt_sample in = tt_bench_input(bench, CHANNELS - 1, BATCH, 1, HEIGHT * WIDTH, 0);
    tt_sample out = tt_bench_output(bench, CHANNELS - 1, BATCH, 1, HEIGHT * WIDTH, 0);
    float *want = tt_bench_floats(bench, out.n);
    tt_bench_vectors(bench, CHANNELS - 1, &scale, &shift);
    tt_layer_norm_args args = {
        .in = in.plane, .scale = &bench->vectors[0], .shift = &bench->vectors[1], .eps = eps, .out = out.plane};
    if (!tt_bench_is_good(bench))
        return;
    tt_reference_layer_norm(&(tt_reference_layer_norm_args){.batch = BATCH,
                                                            .n_channels = CHANNELS - 1,
                                                            .n_positions = HEIGHT * WIDTH,
                                                            .in = in.values,
                                                            .scale = scale,
                                                            .shift = shift,
                                                            .eps = (double)eps,
                                                            .out = want});
    tt_bench_add(bench, tt_layer_norm_record(&bench->kernels, &args, bench->recorder, bench->err));
    tt_bench_run(bench);
    tt_bench_compare(bench, &out, want);
}
