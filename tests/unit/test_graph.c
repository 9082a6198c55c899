/* test_graph.c - the op graph: static inputs, outputs, failures of building. */
#include "graph/graph.h"
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

/* ---- particular graphs */

typedef struct bench {
    tt_weight_store *store;
    tt_graph *graph;
} bench;

static bench start(const char *name)
{
    bench b;
    tt_test_ok(tt_weight_store_create(&tt_test_forms()[0], graph_weights(), &b.store, tt_test_error()));
    tt_test_ok(tt_graph_create(&tt_test_forms()[0], name, b.store, &b.graph, tt_test_error()));
    return b;
}

static void finish(bench *b)
{
    tt_graph_destroy(b->graph);
    tt_weight_store_destroy(b->store);
}

/* Launches of the step part, and what a second run does not do again. */
static void test_static_part_runs_once(void **state)
{
    (void)state;
    bench b = start("halves");
    tt_value in = tt_graph_input_tokens(b.graph, "context", true, 1, 3, 8);
    tt_value k = tt_graph_linear(b.graph, in, &(tt_linear_op){.name = "lin8_12", .n_out = 12});
    k = tt_graph_linear(b.graph, k, &(tt_linear_op){.name = "lin12_12", .n_out = 12});
    tt_value x = tt_graph_input_tokens(b.graph, "x", false, 1, 3, 12);
    tt_graph_output(b.graph, tt_graph_elementwise(b.graph, x, k, 1, 1, 0, TT_ACT_NONE), "y", true);
    tt_graph_output(b.graph, k, "k", true);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    assert_int_equal(tt_graph_launches(b.graph), 4); /* pack x, add, two unpacks; never the linear layers */
    float context[24], x_values[36], y[36], k_values[36];
    tt_test_random(context, 24, 1);
    tt_test_ok(tt_graph_write(b.graph, "context", context, 24, tt_test_error()));
    for (uint64_t i = 0; i < 5; i++) {
        tt_test_random(x_values, 36, 100 + i);
        tt_test_ok(tt_graph_write(b.graph, "x", x_values, 36, tt_test_error()));
        tt_test_ok(tt_graph_run(b.graph, tt_test_error()));
        tt_test_ok(tt_graph_read(b.graph, "y", y, 36, tt_test_error()));
        tt_test_ok(tt_graph_read(b.graph, "k", k_values, 36, tt_test_error()));
        for (int j = 0; j < 36; j++)
            assert_true(fabsf(y[j] - x_values[j] - k_values[j]) < 1e-6f);
    }
    finish(&b);
}

/* Both orders of arrays: [batch][channels][h][w] and [batch][positions][channels]. */
static void test_array_orders(void **state)
{
    (void)state;
    bench b = start("orders");
    tt_value image = tt_graph_input(b.graph, "image", false, 2, 5, 3, 2);
    tt_value tokens = tt_graph_input_tokens(b.graph, "tokens", false, 2, 6, 5);
    tt_graph_output(b.graph, image, "image_last", true);
    tt_graph_output(b.graph, tokens, "tokens_first", false);
    tt_plane shape = tt_graph_shape(b.graph, tokens);
    assert_int_equal(shape.height, 1);
    assert_int_equal(shape.width, 6);
    assert_int_equal(tt_graph_shape(b.graph, 99).channels, 0);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    float in[60], got[60];
    for (int i = 0; i < 60; i++)
        in[i] = (float)i;
    tt_test_ok(tt_graph_write(b.graph, "image", in, 60, tt_test_error()));
    tt_test_ok(tt_graph_write(b.graph, "tokens", in, 60, tt_test_error()));
    tt_test_ok(tt_graph_run(b.graph, tt_test_error()));
    tt_test_ok(tt_graph_read(b.graph, "image_last", got, 60, tt_test_error()));
    for (int n = 0; n < 2; n++)
        for (int p = 0; p < 6; p++)
            for (int c = 0; c < 5; c++)
                assert_true(got[(n * 6 + p) * 5 + c] == in[(n * 5 + c) * 6 + p]);
    tt_test_ok(tt_graph_read(b.graph, "tokens_first", got, 60, tt_test_error()));
    for (int n = 0; n < 2; n++)
        for (int p = 0; p < 6; p++)
            for (int c = 0; c < 5; c++)
                assert_true(got[(n * 5 + c) * 6 + p] == in[(n * 6 + p) * 5 + c]);
    finish(&b);
}

/* Runs a compiled graph from x to y. */
static void run_graph(tt_graph *graph, const float *x, size_t n_x, const char *name, float *y, size_t n_y)
{
    tt_test_ok(tt_graph_write(graph, "x", x, n_x, tt_test_error()));
    tt_test_ok(tt_graph_run(graph, tt_test_error()));
    tt_test_ok(tt_graph_read(graph, name, y, n_y, tt_test_error()));
}

/* Results side by side in one room are what they are alone, and a convolution over them sees them with their borders.
 */
static void test_room(void **state)
{
    enum { H = 3, W = 5, N = H * W };
    (void)state;
    bench b = start("room"), alone = start("alone");
    tt_value x = tt_graph_input(b.graph, "x", false, 1, 8, H, W), room = tt_graph_room(b.graph, x, 20);
    tt_graph_aim(b.graph, room, 0);
    tt_value copy = tt_graph_elementwise(b.graph, x, TT_NONE, 1, 0, 0, TT_ACT_NONE);
    tt_graph_aim(b.graph, room, 8);
    (void)tt_graph_conv3x3(b.graph, copy, &(tt_conv_op){.name = "conv8_12", .n_out = 12});
    tt_value all = tt_graph_channels(b.graph, room, 0, 20);
    tt_graph_output(b.graph, all, "all", false);
    tt_graph_output(b.graph, tt_graph_conv3x3(b.graph, all, &(tt_conv_op){.name = "conv20_8", .n_out = 8}), "y", false);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    x = tt_graph_input(alone.graph, "x", false, 1, 20, H, W);
    tt_value first = tt_graph_channels(alone.graph, x, 0, 8);
    tt_graph_output(alone.graph, tt_graph_conv3x3(alone.graph, first, &(tt_conv_op){.name = "conv8_12", .n_out = 12}),
                    "middle", false);
    tt_graph_output(alone.graph, tt_graph_conv3x3(alone.graph, x, &(tt_conv_op){.name = "conv20_8", .n_out = 8}), "y",
                    false);
    tt_test_ok(tt_graph_compile(alone.graph, tt_test_error()));
    float in[8 * N], seen[20 * N], got[8 * N], middle[12 * N], want[8 * N];
    tt_test_random(in, 8 * N, 7);
    for (int turn = 0; turn < 2; turn++) {
        run_graph(b.graph, in, 8 * N, "all", seen, 20 * N);
        tt_test_ok(tt_graph_read(b.graph, "y", got, 8 * N, tt_test_error()));
        assert_memory_equal(seen, in, sizeof in);
        run_graph(alone.graph, seen, 20 * N, "middle", middle, 12 * N);
        tt_test_ok(tt_graph_read(alone.graph, "y", want, 8 * N, tt_test_error()));
        tt_test_close(seen + 8 * N, middle, 12 * N, 1e-6, "part of a room");
        tt_test_close(got, want, 8 * N, 1e-6, "convolution over a room");
        in[3] += 1.0f;
    }
    finish(&b);
    finish(&alone);
}

/* ---- failures */

static void expect(tt_status got, tt_status want, const char *first, const char *second)
{
    const char *text = tt_test_error()->text;
    if (got != want || !strstr(text, first) || !strstr(text, second))
        fail_msg("status %d, wanted %d with \"%s\" and \"%s\": %s", (int)got, (int)want, first, second, text);
}

/* Compiling after one bad op: `tail` ops after it must do nothing and the first sentence must stay. */
static void expect_compile(bench *b, tt_value bad, tt_status want, const char *first, const char *second)
{
    assert_int_equal(bad, TT_NONE);
    assert_int_equal(tt_graph_input(b->graph, "late", false, 1, 4, 2, 2), TT_NONE);
    assert_int_equal(tt_graph_linear(b->graph, bad, &(tt_linear_op){.name = "never", .n_out = 4}), TT_NONE);
    tt_graph_output(b->graph, bad, "never", false);
    tt_test_error()->text[0] = '\0';
    expect(tt_graph_compile(b->graph, tt_test_error()), want, first, second);
    assert_int_equal(tt_graph_compile(b->graph, NULL), want);
    assert_int_equal(tt_graph_run(b->graph, tt_test_error()), TT_ERROR_INTERNAL);
    finish(b);
}

static void test_bad_weights(void **state)
{
    (void)state;
    bench b = start("unet");
    tt_value x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    expect_compile(&b, tt_graph_linear(b.graph, x, &(tt_linear_op){.name = "blocks.7.proj", .n_out = 8}),
                   TT_ERROR_FORMAT, "unet: ", "blocks.7.proj.weight");
    b = start("unet");
    x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    expect_compile(&b, tt_graph_linear(b.graph, x, &(tt_linear_op){.name = "lin8_12", .n_out = 16}), TT_ERROR_FORMAT,
                   "unet: ", "lin8_12.weight");
    b = start("decoder");
    x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    expect_compile(&b, tt_graph_conv3x3(b.graph, x, &(tt_conv_op){.name = "lin8_12", .n_out = 12}), TT_ERROR_FORMAT,
                   "decoder: ", "lin8_12.weight");
    b = start("decoder");
    x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    expect_compile(&b, tt_graph_group_norm(b.graph, x, TT_NONE, "gone", 4, 1e-5f, true), TT_ERROR_FORMAT,
                   "decoder: ", "gone.weight");
    b = start("text");
    x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    expect_compile(&b, tt_graph_layer_norm(b.graph, x, "norm12", 1e-5f), TT_ERROR_FORMAT, "text: ", "norm12.weight");
    b = start("text");
    tt_graph_table(b.graph, "tokens", 10, 8);
    expect_compile(&b, TT_NONE, TT_ERROR_FORMAT, "text: ", "tokens");
}

static void test_bad_operands(void **state)
{
    (void)state;
    bench b = start("net");
    tt_value x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4), y = tt_graph_input(b.graph, "y", false, 1, 8, 4, 5);
    expect_compile(&b, tt_graph_elementwise(b.graph, x, y, 1, 1, 0, TT_ACT_NONE), TT_ERROR_INTERNAL,
                   "net: ", "do not fit");
    b = start("net");
    x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    expect_compile(&b, tt_graph_elementwise(b.graph, x, 55, 1, 1, 0, TT_ACT_NONE), TT_ERROR_INTERNAL,
                   "net: ", "does not exist");
    b = start("net");
    x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    y = tt_graph_input(b.graph, "y", false, 1, 12, 4, 4);
    expect_compile(
        &b,
        tt_graph_linear(b.graph, x, &(tt_linear_op){.name = "lin8_8", .n_out = 8, .add_residual = true, .residual = y}),
        TT_ERROR_INTERNAL, "net: ", "lin8_8");
    b = start("net");
    x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    expect_compile(&b, tt_graph_group_norm(b.graph, x, TT_NONE, "norm8", 3, 1e-5f, false), TT_ERROR_UNSUPPORTED,
                   "net: norm8", "3 groups");
    b = start("net");
    x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    expect_compile(&b, tt_graph_group_norm(b.graph, x, TT_NONE, "norm8", 0, 1e-5f, false), TT_ERROR_UNSUPPORTED,
                   "net: norm8", "0 groups");
    b = start("net");
    x = tt_graph_input(b.graph, "x", false, 1, 12, 4, 4);
    expect_compile(&b, tt_graph_attention(b.graph, x, x, x, 2, false), TT_ERROR_UNSUPPORTED, "net: ", "multiple of 4");
    b = start("net");
    x = tt_graph_input(b.graph, "x", false, 1, 12, 4, 4);
    y = tt_graph_input(b.graph, "y", false, 1, 8, 4, 4);
    expect_compile(&b, tt_graph_attention(b.graph, x, y, x, 1, false), TT_ERROR_INTERNAL, "net: ", "attention");
}

/* What only the launchers can see is reported when compiling, with the graph's name too. */
static void test_bad_launch(void **state)
{
    (void)state;
    bench b = start("net");
    tt_value x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    tt_value y = tt_graph_conv3x3(b.graph, x, &(tt_conv_op){.name = "conv8_8", .n_out = 8});
    tt_graph_output(b.graph, y, "y", false);
    tt_graph_output(b.graph, tt_graph_attention(b.graph, x, x, x, 1, false), "z", false);
    expect(tt_graph_compile(b.graph, tt_test_error()), TT_ERROR_INTERNAL, "net: attention", "border");
    expect(tt_graph_run(b.graph, tt_test_error()), TT_ERROR_INTERNAL, "net: ", "not compiled");
    finish(&b);
}

static void test_bad_shapes(void **state)
{
    (void)state;
    bench b = start("net");
    expect_compile(&b, tt_graph_input(b.graph, "x", false, 1, 8, 0, 4), TT_ERROR_INTERNAL, "net: ", "empty");
    b = start("net");
    tt_value x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    expect_compile(
        &b,
        tt_graph_conv3x3(
            b.graph, x,
            &(tt_conv_op){.name = "conv8_8", .n_out = 8, .mode = TT_CONV_UP, .out_height = 9, .out_width = 8}),
        TT_ERROR_INTERNAL, "net: conv8_8", "8 x 9 from 4 x 4");
    b = start("net");
    x = tt_graph_input(b.graph, "x", false, 1, 8, 1, 4);
    expect_compile(
        &b, tt_graph_conv3x3(b.graph, x, &(tt_conv_op){.name = "conv8_8", .n_out = 8, .mode = TT_CONV_DOWN_ASYM}),
        TT_ERROR_INTERNAL, "net: conv8_8", "from 4 x 1");
    b = start("net");
    x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
    tt_value y = tt_graph_input(b.graph, "y", false, 1, 12, 1, 1);
    expect_compile(
        &b,
        tt_graph_conv3x3(b.graph, x,
                         &(tt_conv_op){.name = "conv8_8", .n_out = 8, .add_per_image = true, .per_image_bias = y}),
        TT_ERROR_INTERNAL, "net: conv8_8", "per-image bias");
    static const uint32_t views[][2] = {{2, 4}, {4, 8}, {0, 0}, {8, 4}, {4, 0xfffffffc}};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        b = start("net");
        x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
        expect_compile(&b, tt_graph_channels(b.graph, x, views[i][0], views[i][1]), TT_ERROR_UNSUPPORTED,
                       "net: ", "of 8 cannot be viewed");
    }
}

/* A room must have the place that an op is aimed at. */
static void test_bad_aim(void **state)
{
    static const uint32_t rooms[][4] = {{16, 2, 4, 4}, {16, 12, 4, 4}, {4, 0, 4, 4}, {16, 0, 2, 2}}; /* n, at, h, w */
    (void)state;
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        bench b = start("net");
        tt_value x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
        tt_value like = tt_graph_input(b.graph, "like", false, 1, 8, rooms[i][2], rooms[i][3]);
        tt_graph_aim(b.graph, tt_graph_room(b.graph, like, rooms[i][0]), rooms[i][1]);
        expect_compile(&b, tt_graph_elementwise(b.graph, x, TT_NONE, 1, 0, 0, TT_ACT_NONE), TT_ERROR_INTERNAL,
                       "net: ", "channels do not fit");
    }
}

/* Without a store, weights cannot be asked for; without compiling, nothing runs; names and lengths are checked. */
static void test_misuse(void **state)
{
    (void)state;
    bench b = {0};
    float values[4] = {0};
    tt_error *err = tt_test_error();
    tt_test_ok(tt_graph_create(&tt_test_forms()[0], "bare", NULL, &b.graph, err));
    tt_value x = tt_graph_input(b.graph, "x", false, 1, 4, 1, 1);
    expect_compile(&b, tt_graph_linear(b.graph, x, &(tt_linear_op){.name = "lin", .n_out = 4}), TT_ERROR_INTERNAL,
                   "bare: ", "no weights");
    tt_test_ok(tt_graph_create(&tt_test_forms()[0], "bare", NULL, &b.graph, err));
    x = tt_graph_input(b.graph, "x", false, 1, 4, 1, 1);
    expect_compile(&b, tt_graph_layer_norm(b.graph, x, "n", 1e-5f), TT_ERROR_INTERNAL, "bare: ", "no weights");
    tt_test_ok(tt_graph_create(&tt_test_forms()[0], "bare", NULL, &b.graph, err));
    tt_graph_table(b.graph, "tokens", 10, 8);
    expect_compile(&b, TT_NONE, TT_ERROR_INTERNAL, "bare: ", "no weights");

    tt_test_ok(tt_graph_create(&tt_test_forms()[0], "bare", NULL, &b.graph, err));
    x = tt_graph_input(b.graph, "x", false, 1, 4, 1, 1);
    tt_graph_output(b.graph, x, "y", false);
    expect(tt_graph_run(b.graph, err), TT_ERROR_INTERNAL, "bare: ", "not compiled");
    assert_int_equal(tt_graph_launches(b.graph), 0);
    tt_test_ok(tt_graph_compile(b.graph, err));
    expect(tt_graph_write(b.graph, "z", values, 4, err), TT_ERROR_INTERNAL, "bare: ", "no array z");
    expect(tt_graph_write(b.graph, "x", values, 3, err), TT_ERROR_INTERNAL, "bare: ", "4 elements, not 3");
    expect(tt_graph_write(b.graph, "y", values, 4, err), TT_ERROR_INTERNAL, "bare: ", "no array y");
    expect(tt_graph_read(b.graph, "x", values, 4, err), TT_ERROR_INTERNAL, "bare: ", "no array x");
    expect(tt_graph_read(b.graph, "y", values, 5, err), TT_ERROR_INTERNAL, "bare: ", "4 elements, not 5");
    tt_graph_destroy(b.graph);
    tt_graph_destroy(NULL);
}

/* Activations that no device can hold are a sentence that names the graph, not a crash: first as the arena, then as an
 * output. */
static void test_too_large(void **state)
{
    (void)state;
    for (int with_output = 0; with_output < 2; with_output++) {
        bench b = start("giant");
        tt_value x = tt_graph_input(b.graph, "x", false, 1, 8, 4, 4);
        for (int i = 0; i < 16; i++)
            x = tt_graph_conv3x3(b.graph, x, &(tt_conv_op){.name = "conv8_8", .n_out = 8, .mode = TT_CONV_UP});
        if (with_output)
            tt_graph_output(b.graph, x, "y", false);
        tt_test_error()->text[0] = '\0';
        expect(tt_graph_compile(b.graph, tt_test_error()), TT_ERROR_MEMORY, "giant", "");
        expect(tt_graph_run(b.graph, tt_test_error()), TT_ERROR_INTERNAL, "giant", "not compiled");
        finish(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static_part_runs_once),
        cmocka_unit_test(test_array_orders),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_bad_aim),
        cmocka_unit_test(test_bad_weights),
        cmocka_unit_test(test_bad_operands),
        cmocka_unit_test(test_bad_shapes),
        cmocka_unit_test(test_bad_launch),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, graph_weights_set_up, graph_weights_tear_down);
}
