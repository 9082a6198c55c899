/* test_graph_short.c - short runs that leave deep ops out and read what was kept; positions of every second row and
 * column. */
#include "graph/graph.h"
#include "tests/support/graph-weights.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const tt_kernels *form(size_t index)
{
    return &tt_test_forms()[index];
}

typedef struct bench {
    tt_weight_store *store;
    tt_graph *graph;
} bench;

static bench start(const tt_kernels *kernels, uint64_t resident_bytes)
{
    bench b;
    tt_test_ok(tt_weight_store_create(kernels, graph_weights(), &b.store, tt_test_error()));
    tt_weight_store_set_limit(b.store, resident_bytes, 2);
    tt_test_ok(tt_graph_create(kernels, "unet", b.store, &b.graph, tt_test_error()));
    return b;
}

static void finish(bench *b)
{
    tt_graph_destroy(b->graph);
    tt_weight_store_destroy(b->store);
}

enum { N = 8 * 6 * 4, N_OUT = 12 * 6 * 4 };

/* y = f(x) + d(x), where d is deep: several ops with norms in place, so that its values share memory with those of f.
 */
static void build(tt_graph *g)
{
    tt_value x = tt_graph_input(g, "x", false, 1, 8, 6, 4);
    tt_value f = tt_graph_linear(g, x, &(tt_linear_op){.name = "lin8_12", .n_out = 12});
    tt_graph_set_deep(g, true);
    tt_value d = tt_graph_conv3x3(g, x, &(tt_conv_op){.name = "conv8_12", .n_out = 12});
    d = tt_graph_group_norm(g, d, TT_NONE, "norm12", 4, 1e-5f, true);
    d = tt_graph_conv3x3(g, d, &(tt_conv_op){.name = "conv12_12", .n_out = 12});
    tt_graph_keep(g, d);
    tt_graph_set_deep(g, false);
    f = tt_graph_group_norm(g, f, TT_NONE, "norm12", 4, 1e-5f, true);
    f = tt_graph_conv3x3(g, f, &(tt_conv_op){.name = "conv12_12", .n_out = 12});
    tt_graph_output(g, f, "f", false);
    tt_graph_output(g, d, "d", false);
    tt_graph_output(g, tt_graph_elementwise(g, f, d, 1, 1, 0, TT_ACT_NONE), "y", false);
}

typedef struct result {
    float f[N_OUT], d[N_OUT], y[N_OUT];
} result;

static void run(tt_graph *g, uint64_t seed, bool is_short, result *r)
{
    float x[N];
    tt_test_random(x, N, seed);
    tt_test_ok(tt_graph_write(g, "x", x, N, tt_test_error()));
    tt_test_ok(is_short ? tt_graph_run_short(g, tt_test_error()) : tt_graph_run(g, tt_test_error()));
    tt_test_ok(tt_graph_read(g, "f", r->f, N_OUT, tt_test_error()));
    tt_test_ok(tt_graph_read(g, "d", r->d, N_OUT, tt_test_error()));
    tt_test_ok(tt_graph_read(g, "y", r->y, N_OUT, tt_test_error()));
}

/* A short run has its own f and the last whole run's d; on the whole run's input it gives the same bits. */
static void check_short(const tt_kernels *kernels, uint64_t resident_bytes)
{
    bench b = start(kernels, resident_bytes);
    result whole[2], now, mixed;
    build(b.graph);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    assert_int_equal(tt_graph_run_short(b.graph, tt_test_error()), TT_ERROR_INTERNAL);
    assert_non_null(strstr(tt_test_error()->text, "a short run needs a whole run before it"));
    run(b.graph, 1, false, &whole[0]);
    run(b.graph, 1, true, &now);
    assert_memory_equal(&now, &whole[0], sizeof now);
    run(b.graph, 2, true, &mixed);
    run(b.graph, 2, false, &whole[1]);
    assert_memory_equal(mixed.f, whole[1].f, sizeof mixed.f);
    assert_memory_equal(mixed.d, whole[0].d, sizeof mixed.d);
    assert_memory_not_equal(whole[0].d, whole[1].d, sizeof mixed.d);
    for (int i = 0; i < N_OUT; i++)
        assert_true(fabsf(mixed.y[i] - mixed.f[i] - mixed.d[i]) <= 2e-3f * (1.0f + fabsf(mixed.y[i])));
    for (uint64_t seed = 3; seed < 8; seed++) { /* what is kept outlives any number of short runs */
        run(b.graph, seed, true, &now);
        assert_memory_equal(now.d, whole[1].d, sizeof now.d);
    }
    run(b.graph, 2, true, &now);
    assert_memory_equal(&now, &whole[1], sizeof now);
    finish(&b);
}

static void test_short_runs(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_TEST_N_FORMS; i++) {
        check_short(form(i), UINT64_MAX);
        check_short(form(i), 0); /* all matrices pass through the ring */
    }
}

/* A plan knows what a short run does, and that what is kept takes memory. */
static void test_forecast(void **state)
{
    (void)state;
    bench b = start(form(0), UINT64_MAX);
    tt_graph_forecast f;
    build(b.graph);
    tt_test_ok(tt_graph_make_forecast(b.graph, &f, tt_test_error()));
    double conv = 2.0 * 24 * 9 * 12, deep = conv * 8 + conv * 12;
    assert_true(f.step.flops - f.short_step.flops == deep);
    assert_true(f.step.conv3x3_flops - f.short_step.conv3x3_flops == deep);
    assert_int_equal(f.step.n_ops - f.short_step.n_ops, 3);
    assert_true(f.short_step.weight_bytes > 0 && f.short_step.weight_bytes < f.step.weight_bytes);
    assert_true(f.short_step.bytes < f.step.bytes && f.short_step.other_bytes < f.step.other_bytes);
    finish(&b);
}

static void test_misuse(void **state)
{
    (void)state;
    bench b = start(form(0), UINT64_MAX);
    tt_value x = tt_graph_input(b.graph, "x", false, 1, 8, 6, 4);
    tt_graph_set_deep(b.graph, true);
    tt_value first = tt_graph_linear(b.graph, x, &(tt_linear_op){.name = "lin8_12", .n_out = 12});
    tt_value second = tt_graph_linear(b.graph, first, &(tt_linear_op){.name = "lin12_12", .n_out = 12});
    tt_graph_keep(b.graph, second);
    tt_graph_set_deep(b.graph, false);
    /* A view of what is not kept. */
    tt_graph_output(b.graph, tt_graph_channels(b.graph, first, 4, 4), "y", false);
    assert_int_equal(tt_graph_compile(b.graph, tt_test_error()), TT_ERROR_INTERNAL);
    assert_non_null(strstr(tt_test_error()->text, "reads what short runs leave out"));
    finish(&b);
    b = start(form(0), UINT64_MAX);
    x = tt_graph_input(b.graph, "x", false, 1, 8, 6, 4);
    tt_graph_output(b.graph, x, "y", false);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    float values[N] = {0};
    tt_test_ok(tt_graph_write(b.graph, "x", values, N, tt_test_error()));
    tt_test_ok(tt_graph_run(b.graph, tt_test_error()));
    assert_int_equal(tt_graph_run_short(b.graph, tt_test_error()), TT_ERROR_INTERNAL);
    assert_non_null(strstr(tt_test_error()->text, "keeps nothing"));
    finish(&b);
}

/* ---- every second row and column */

static void check_every_second(const tt_kernels *kernels, uint32_t height, uint32_t width)
{
    enum { BATCH = 2, CHANNELS = 13, FIRST = 4, TAKEN = 9 };
    uint32_t rows = (height + 1) / 2, columns = (width + 1) / 2;
    size_t n = (size_t)BATCH * CHANNELS * height * width, n_out = (size_t)BATCH * TAKEN * rows * columns;
    float *in = malloc(n * sizeof *in), *out = malloc(n_out * sizeof *out), *again = malloc(n_out * sizeof *again);
    bench b = start(kernels, UINT64_MAX);
    assert_true(in && out && again);
    tt_value x = tt_graph_input(b.graph, "x", false, BATCH, CHANNELS, height, width);
    tt_value view = tt_graph_channels(b.graph, x, FIRST, TAKEN);
    tt_value y = tt_graph_every_second(b.graph, view), z = tt_graph_every_second(b.graph, view);
    assert_int_equal(tt_graph_shape(b.graph, y).height, rows);
    assert_int_equal(tt_graph_shape(b.graph, y).width, columns);
    tt_graph_output(b.graph, y, "y", false);
    tt_graph_output(b.graph, z, "z", false);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    for (size_t i = 0; i < n; i++)
        in[i] = (float)(i % 2048); /* exact in half */
    tt_test_ok(tt_graph_write(b.graph, "x", in, n, tt_test_error()));
    tt_test_ok(tt_graph_run(b.graph, tt_test_error()));
    tt_test_ok(tt_graph_read(b.graph, "y", out, n_out, tt_test_error()));
    tt_test_ok(tt_graph_read(b.graph, "z", again, n_out, tt_test_error()));
    assert_memory_equal(out, again, n_out * sizeof *out);
    size_t at = 0;
    for (uint32_t image = 0; image < BATCH; image++)
        for (uint32_t c = 0; c < TAKEN; c++)
            for (uint32_t r = 0; r < rows; r++)
                for (uint32_t k = 0; k < columns; k++, at++) {
                    size_t from = (((size_t)image * CHANNELS + FIRST + c) * height + 2 * r) * width + 2 * k;
                    assert_true(out[at] == in[from]);
                }
    finish(&b);
    free(in);
    free(out);
    free(again);
}

static void test_every_second(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{1, 1}, {2, 2}, {3, 2}, {4, 7}, {1, 9}, {9, 1}, {8, 8}, {33, 5}};
    for (size_t i = 0; i < TT_TEST_N_FORMS; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
            check_every_second(form(i), sizes[j][0], sizes[j][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_runs),
        cmocka_unit_test(test_forecast),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_every_second),
    };
    return cmocka_run_group_tests(tests, graph_weights_set_up, graph_weights_tear_down);
}
