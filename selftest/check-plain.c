/* check-plain.c - element-wise work and the way between arrays and planes. */
#include "selftest/checks.h"

#include "base/numbers.h"
#include "cl-kernels/elementwise.h"
#include "cl-kernels/pack.h"
#include "cl-kernels/reference/elementwise.h"
#include "cl-kernels/reference/pack.h"

#include <stdlib.h>

enum { CHANNELS = 13, BATCH = 2, HEIGHT = 5, WIDTH = 7, N = CHANNELS * BATCH * HEIGHT * WIDTH };

void tt_check_elementwise(tt_bench *bench)
{
    tt_sample a = tt_bench_input(bench, CHANNELS, BATCH, HEIGHT, WIDTH, 1);
    tt_sample b = tt_bench_input(bench, CHANNELS, BATCH, HEIGHT, WIDTH, 0);
    tt_sample out = tt_bench_output(bench, CHANNELS, BATCH, HEIGHT, WIDTH, 1);
    tt_elementwise_args args = {.a = a.plane,
                                .b = &b.plane,
                                .scale = 0.5f,
                                .scale2 = 2.0f,
                                .offset = 0.25f,
                                .activation = TT_ACT_GELU,
                                .out = out.plane};
    float *want = tt_bench_floats(bench, N);
    if (!tt_bench_is_good(bench))
        return;
    tt_reference_elementwise(&(tt_reference_elementwise_args){.n = N,
                                                              .a = a.values,
                                                              .b = b.values,
                                                              .scale = 0.5,
                                                              .scale2 = 2.0,
                                                              .offset = 0.25,
                                                              .activation = TT_ACT_GELU,
                                                              .out = want});
    tt_bench_add(bench, tt_elementwise_record(&bench->kernels, &args, bench->recorder, bench->err));
    tt_bench_run(bench);
    tt_bench_compare(bench, &out, want);
}

static void check_pack(tt_bench *bench, bool channels_last)
{
    float *array = tt_bench_floats(bench, N), *want = tt_bench_floats(bench, N), *back = tt_bench_floats(bench, N);
    if (!tt_bench_is_good(bench))
        return;
    tt_numbers_uniform(array, N, 31);
    for (size_t i = 0; bench->kernels.storage == TT_STORAGE_F16 && i < N; i++)
        array[i] = tt_half_to_float(tt_float_to_half(array[i]));
    tt_buffer from = tt_bench_array(bench, array, N), to = tt_bench_array(bench, NULL, N);
    tt_sample out = tt_bench_output(bench, CHANNELS, BATCH, HEIGHT, WIDTH, 1);
    tt_pack_args args = {.array = from.mem, .channels_last = channels_last, .plane = out.plane};
    tt_reference_pack(array, channels_last, BATCH, CHANNELS, HEIGHT * WIDTH, want);
    if (tt_bench_is_good(bench))
        tt_bench_add(bench, tt_pack_record(&bench->kernels, &args, bench->recorder, bench->err));
    args.array = to.mem;
    if (tt_bench_is_good(bench))
        tt_bench_add(bench, tt_unpack_record(&bench->kernels, &args, bench->recorder, bench->err));
    tt_bench_run(bench);
    tt_bench_compare(bench, &out, want);
    if (tt_bench_is_good(bench))
        tt_bench_add(bench, tt_buffer_read(bench->kernels.device, &to, 0, back, N * sizeof(float), bench->err));
    double error = tt_bench_is_good(bench) ? tt_numbers_difference(back, array, N) : 0;
    bench->error = error > bench->error ? error : bench->error;
}

void tt_check_pack(tt_bench *bench)
{
    check_pack(bench, false);
    check_pack(bench, true);
}
