/* test_observe.c - observed runs give the same results and tell what each matrix reads; replaced weights are used, and
 * the file's come back. */
#include "graph/graph.h"
#include "graph/observe.h"
#include "tests/support/graph-weights.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, HEIGHT = 5, WIDTH = 3, POSITIONS = BATCH * HEIGHT * WIDTH, MAX_SEEN = 8 };

/* What the observer was told. */
typedef struct seen {
    char layers[MAX_SEEN][64];
    double sums[MAX_SEEN][64];
    size_t n_channels[MAX_SEEN];
    uint64_t n_positions[MAX_SEEN];
    size_t n, fail_at;
} seen;

static tt_status see(void *user, const char *layers, const double *sums, size_t n_channels, uint64_t n_positions,
                     tt_error *err)
{
    seen *s = user;
    assert_true(s->n < MAX_SEEN && n_channels <= 64);
    if (s->n == s->fail_at)
        return tt_fail(err, TT_ERROR_CANCELLED, "enough");
    snprintf(s->layers[s->n], sizeof s->layers[0], "%s", layers);
    memcpy(s->sums[s->n], sums, n_channels * sizeof *sums);
    s->n_channels[s->n] = n_channels;
    s->n_positions[s->n++] = n_positions;
    return TT_OK;
}

typedef struct bench {
    tt_weight_store *store;
    tt_graph *graph;
    char linear[16], conv[16], cat[16];
    uint32_t a, b, n;
    float *x, *y;
} bench;

/* y = cat(conv(linear(x)), s) with a static branch s = linear(k). */
static bench start(const tt_kernels *kernels)
{
    bench b = {.a = graph_widths[0], .b = graph_widths[1]};
    snprintf(b.linear, sizeof b.linear, "lin%u_%u", b.a, b.b);
    snprintf(b.conv, sizeof b.conv, "conv%u_%u", b.b, b.b);
    snprintf(b.cat, sizeof b.cat, "cat%u_%u_%u", b.b, b.b, b.a);
    tt_test_ok(tt_weight_store_create(kernels, graph_weights(), &b.store, tt_test_error()));
    tt_test_ok(tt_graph_create(kernels, "observed", b.store, &b.graph, tt_test_error()));
    tt_value x = tt_graph_input(b.graph, "x", false, BATCH, b.a, HEIGHT, WIDTH);
    tt_value k = tt_graph_input(b.graph, "k", true, BATCH, b.a, HEIGHT, WIDTH);
    tt_linear_op linear = {.name = b.linear, .n_out = b.b};
    tt_value fixed = tt_graph_linear(b.graph, k, &linear);
    tt_value h = tt_graph_linear(b.graph, x, &linear);
    h = tt_graph_conv3x3(b.graph, h, &(tt_conv_op){.name = b.conv, .n_out = b.b});
    tt_value y =
        tt_graph_linear(b.graph, h, &(tt_linear_op){.name = b.cat, .n_out = b.a, .extra_input = true, .in2 = fixed});
    tt_graph_output(b.graph, y, "y", false);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    b.n = POSITIONS * b.a;
    b.x = tt_test_random_new(b.n, 5);
    tt_test_round(kernels, b.x, b.n);
    b.y = malloc(b.n * sizeof *b.y);
    assert_non_null(b.y);
    return b;
}

static void finish(bench *b)
{
    tt_graph_destroy(b->graph);
    tt_weight_store_destroy(b->store);
    free(b->x);
    free(b->y);
}

static void run(bench *b, float *y)
{
    tt_test_ok(tt_graph_write(b->graph, "x", b->x, b->n, tt_test_error()));
    tt_test_ok(tt_graph_write(b->graph, "k", b->x, b->n, tt_test_error()));
    tt_test_ok(tt_graph_run(b->graph, tt_test_error()));
    tt_test_ok(tt_graph_read(b->graph, "y", y, b->n, tt_test_error()));
}

static void test_observed(void **state)
{
    (void)state;
    const tt_kernels *forms = tt_test_forms();
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++) {
        bench b = start(&forms[f]);
        seen s = {.fail_at = SIZE_MAX};
        float *plain = malloc(b.n * sizeof *plain);
        assert_non_null(plain);
        run(&b, plain);
        tt_weight_store_observe(b.store, &(tt_graph_observer){see, &s});
        run(&b, b.y);
        assert_memory_equal(plain, b.y, b.n * sizeof *plain);
        assert_int_equal(s.n, 4);
        assert_string_equal(s.layers[0], b.linear); /* the static branch comes first */
        assert_string_equal(s.layers[1], b.linear);
        assert_string_equal(s.layers[2], b.conv);
        assert_string_equal(s.layers[3], b.cat);
        assert_int_equal(s.n_channels[3], 2 * b.b); /* both sources */
        assert_int_equal(s.n_positions[2], POSITIONS);
        for (uint32_t c = 0; c < b.a; c++) {
            double want = 0.0;
            for (uint32_t i = 0; i < POSITIONS; i++) {
                double v = (double)b.x[(i / (HEIGHT * WIDTH) * b.a + c) * HEIGHT * WIDTH + i % (HEIGHT * WIDTH)];
                want += v * v;
            }
            assert_true(fabs(s.sums[1][c] - want) <= 1e-6 * want);
        }
        /* A second run without a new static input leaves the static branch out; without observer nothing is told. */
        tt_test_ok(tt_graph_run(b.graph, tt_test_error()));
        assert_int_equal(s.n, 7);
        tt_weight_store_observe(b.store, NULL);
        run(&b, b.y);
        assert_int_equal(s.n, 7);
        assert_memory_equal(plain, b.y, b.n * sizeof *plain);
        /* An observer that fails ends the run. */
        s = (seen){.fail_at = 1};
        tt_weight_store_observe(b.store, &(tt_graph_observer){see, &s});
        tt_error err = {""};
        assert_int_equal(tt_graph_run(b.graph, &err), TT_ERROR_CANCELLED);
        free(plain);
        finish(&b);
    }
}

static void test_replaced(void **state)
{
    (void)state;
    const tt_kernels *forms = tt_test_forms();
    for (size_t f = 0; f < TT_TEST_N_FORMS; f++) {
        bench b = start(&forms[f]);
        size_t n_weights = (size_t)b.b * b.a;
        float *plain = malloc(b.n * sizeof *plain), *weights = malloc(n_weights * sizeof *weights);
        const float *stored = graph_weight_of(b.linear, ".weight");
        assert_true(plain && weights);
        run(&b, plain);
        for (size_t i = 0; i < n_weights; i++)
            weights[i] = 0.5f * stored[i];
        tt_test_ok(tt_weight_store_replace(b.store, b.linear, weights, tt_test_error()));
        run(&b, b.y);
        assert_true(tt_test_rms(b.y, plain, b.n) > 1e-2);
        /* The very values that are stored give the very result. */
        tt_test_ok(tt_weight_store_replace(b.store, b.linear, stored, tt_test_error()));
        run(&b, b.y);
        assert_memory_equal(plain, b.y, b.n * sizeof *plain);
        tt_test_ok(tt_weight_store_replace(b.store, b.linear, weights, tt_test_error()));
        tt_test_ok(tt_weight_store_replace(b.store, b.linear, NULL, tt_test_error()));
        run(&b, b.y);
        assert_memory_equal(plain, b.y, b.n * sizeof *plain);
        tt_error err = {""};
        assert_int_equal(tt_weight_store_replace(b.store, "nowhere", weights, &err), TT_ERROR_INTERNAL);
        assert_non_null(strstr(err.text, "nowhere"));
        free(plain);
        free(weights);
        finish(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_observed),
        cmocka_unit_test(test_replaced),
    };
    return cmocka_run_group_tests(tests, graph_weights_set_up, graph_weights_tear_down);
}
