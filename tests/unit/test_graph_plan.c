/* test_graph_plan.c - places of values in the arena: nothing that lives at the same time overlaps, views stay inside
 * their root, static results keep their memory, convolutions force borders. */
#include "graph/graph-private.h"
#include "tests/support/hostile-safetensors.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 256 };

/* ---- weights of zeros: plans do not look at them */

static const char header[] = "{\"c.weight\":{\"dtype\":\"F32\",\"shape\":[8,8,3,3],\"data_offsets\":[0,2304]},"
                             "\"c.bias\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[2304,2336]},"
                             "\"n.weight\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[2336,2368]},"
                             "\"n.bias\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[2368,2400]}}";

typedef struct bench {
    uint8_t *bytes;
    tt_tensor_file *file;
    tt_weights *weights;
    tt_weight_store *store;
    tt_graph *graph;
} bench;

static bench start(const tt_kernels *kernels)
{
    bench b;
    size_t n_bytes;
    b.bytes = safetensors_block(header, 2400, &n_bytes);
    assert_non_null(b.bytes);
    tt_test_ok(tt_tensor_file_open_memory(b.bytes, n_bytes, "zeros", &b.file, tt_test_error()));
    tt_test_ok(tt_weights_create(&b.file, 1, false, "", NULL, NULL, &b.weights, tt_test_error()));
    tt_test_ok(tt_weight_store_create(kernels, b.weights, &b.store, tt_test_error()));
    tt_test_ok(tt_graph_create(kernels, "plan", b.store, &b.graph, tt_test_error()));
    return b;
}

static void finish(bench *b)
{
    tt_graph_destroy(b->graph);
    tt_weight_store_destroy(b->store);
    tt_weights_destroy(b->weights);
    tt_tensor_file_close(b->file);
    free(b->bytes);
}

static tt_value conv(tt_graph *g, tt_value in)
{
    return tt_graph_conv3x3(g, in, &(tt_conv_op){.name = "c", .n_out = 8});
}

/* ---- what a plan must hold, computed from the ops alone */

typedef struct life {
    size_t first, last; /* SIZE_MAX, 0: never used */
} life;

static void extend(const tt_graph *g, tt_value value, size_t order, bool step_op, life *lives)
{
    if (value == TT_NONE)
        return;
    tt_value root = g->nodes[value].root;
    life *l = &lives[root];
    l->first = order < l->first ? order : l->first;
    l->last = order > l->last ? order : l->last;
    if (step_op && g->nodes[root].is_static)
        l->last = SIZE_MAX; /* the next run reads it again without making it anew */
}

static life *lives_of(const tt_graph *g)
{
    life *lives = malloc(g->n_nodes * sizeof *lives);
    assert_non_null(lives);
    for (size_t i = 0; i < g->n_nodes; i++)
        lives[i] = (life){SIZE_MAX, 0};
    size_t order = 0;
    for (int part = 0; part < 2; part++)
        for (size_t i = 0; i < g->n_ops; i++) {
            const tt_op *op = &g->ops[i];
            if (op->is_static != (part == 0))
                continue;
            const tt_value used[] = {op->in, op->in2, op->residual, op->per_image, op->out, op->scratch};
            for (size_t j = 0; j < sizeof used / sizeof *used; j++)
                extend(g, used[j], order, part == 1, lives);
            order++;
        }
    return lives;
}

static size_t bytes_of(const tt_graph *g, size_t i)
{
    return g->nodes[i].is_scratch ? g->nodes[i].n_bytes : tt_plane_bytes(&g->nodes[i].plane, g->kernels.storage);
}

static bool owns_memory(const tt_graph *g, const life *lives, size_t i)
{
    return g->nodes[i].root == (tt_value)i && lives[i].first != SIZE_MAX;
}

static void check_pair(const tt_graph *g, const life *lives, size_t i, size_t j)
{
    bool together = lives[i].first <= lives[j].last && lives[j].first <= lives[i].last;
    size_t a = g->nodes[i].offset, b = g->nodes[j].offset;
    if (together && a < b + bytes_of(g, j) && b < a + bytes_of(g, i))
        fail_msg("values %zu (%zu + %zu) and %zu (%zu + %zu) live together and overlap", i, a, bytes_of(g, i), j, b,
                 bytes_of(g, j));
}

static void check_views(const tt_graph *g, const life *lives)
{
    size_t unit = g->kernels.storage == TT_STORAGE_F16 ? 8 : 16;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const tt_node *node = &g->nodes[i], *root = &g->nodes[node->root];
        if (!owns_memory(g, lives, (size_t)node->root) || node->is_scratch)
            continue;
        size_t begin = node->plane.offset * unit, end = begin + tt_plane_bytes(&node->plane, g->kernels.storage);
        assert_int_equal(node->plane.border, root->plane.border);
        assert_int_equal(root->root, node->root); /* never a view of a view */
        assert_true(begin >= root->offset && end <= root->offset + bytes_of(g, (size_t)node->root));
        assert_int_equal(begin - root->offset, node->first_channel / 4 * tt_plane_slice_units(&node->plane) * unit);
    }
}

/* All promises of one plan; returns the peak of bytes that live at the same time. */
static size_t check_plan(tt_graph *g, size_t n_bytes)
{
    life *lives = lives_of(g);
    size_t sum = 0, peak = 0, n_ops = g->n_ops;
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (!owns_memory(g, lives, i))
            continue;
        assert_int_equal(g->nodes[i].offset % ALIGNMENT, 0);
        assert_true(g->nodes[i].offset + bytes_of(g, i) <= n_bytes);
        sum += (bytes_of(g, i) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        for (size_t j = 0; j < i; j++)
            if (owns_memory(g, lives, j))
                check_pair(g, lives, i, j);
    }
    for (size_t order = 0; order < n_ops; order++) {
        size_t now = 0;
        for (size_t i = 0; i < g->n_nodes; i++)
            if (owns_memory(g, lives, i) && lives[i].first <= order && order <= lives[i].last)
                now += bytes_of(g, i);
        peak = now > peak ? now : peak;
    }
    assert_true(n_bytes <= sum);
    assert_true(n_bytes >= peak);
    check_views(g, lives);
    free(lives);
    return peak;
}

static size_t plan(tt_graph *g)
{
    size_t n_bytes = 0;
    if (g->status != TT_OK)
        fail_msg("%s", g->error.text);
    tt_test_ok(tt_graph_plan(g, &n_bytes, tt_test_error()));
    return n_bytes;
}

/* ---- random graphs */

static uint32_t draw(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

/* An op of eight channels on a random value; sizes differ between the `n_sizes` families of values. */
static tt_value random_op(tt_graph *g, uint64_t *random, const tt_value *values, size_t n)
{
    tt_value a = values[draw(random, (uint32_t)n)], b = values[draw(random, (uint32_t)n)];
    tt_plane p = tt_graph_shape(g, a), q = tt_graph_shape(g, b);
    bool alike = p.height == q.height && p.width == q.width && p.channels == q.channels && p.batch == q.batch;
    switch (draw(random, 6)) {
    case 0:
        return p.channels == 8 ? conv(g, a) : TT_NONE;
    case 1:
        return p.channels == 8 ? tt_graph_group_norm(g, a, TT_NONE, "n", 4, 1e-5f, true) : TT_NONE;
    case 2:
        return p.channels == 8 ? tt_graph_channels(g, a, 4, 4) : TT_NONE;
    case 3:
        return alike ? tt_graph_attention(g, a, b, b, 1, false) : TT_NONE;
    case 4:
        return alike ? tt_graph_elementwise(g, a, b, 1, 1, 0, TT_ACT_NONE) : TT_NONE;
    default:
        return tt_graph_elementwise(g, a, TT_NONE, 2, 0, 0, TT_ACT_SILU);
    }
}

static void check_random(const tt_kernels *kernels, uint64_t seed)
{
    enum { MAX = 64 };
    bench b = start(kernels);
    uint64_t random = seed;
    tt_value values[MAX];
    size_t n = 0;
    for (; n < 6; n++) { /* two sizes, static and not */
        char name[8] = {'i', (char)('0' + n), 0};
        uint32_t side = n < 3 ? 3 + draw(&random, 6) : tt_graph_shape(b.graph, values[n - 3]).width;
        values[n] = tt_graph_input(b.graph, name, n % 2 == 1, 1 + (n % 3 == 2), 8, side, side);
    }
    while (n < MAX) {
        tt_value made = random_op(b.graph, &random, values, n);
        if (made != TT_NONE)
            values[n++] = made;
    }
    for (size_t i = 0; i < 4; i++)
        tt_graph_output(b.graph, values[MAX - 1 - i * 3], (char[]){'o', (char)('0' + i), 0}, false);
    size_t n_bytes = plan(b.graph);
    size_t peak = check_plan(b.graph, n_bytes);
    assert_true(n_bytes <= 2 * peak + MAX * ALIGNMENT); /* greedy by size wastes little */
    assert_int_equal(plan(b.graph), n_bytes);           /* and is reproducible */
    finish(&b);
}

static void test_random_plans(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++)
        check_random(&tt_test_forms()[seed % 2], seed);
}

/* ---- particular plans */

/* A chain needs two buffers, whatever its length. */
static void test_chain(void **state)
{
    (void)state;
    bench b = start(&tt_test_forms()[0]);
    tt_value x = tt_graph_input(b.graph, "x", false, 1, 8, 16, 16);
    for (int i = 0; i < 50; i++)
        x = tt_graph_elementwise(b.graph, x, TT_NONE, 1, 0, 0, TT_ACT_RELU);
    tt_graph_output(b.graph, x, "y", false);
    size_t n_bytes = plan(b.graph), one = 8 * 16 * 16 * 4;
    check_plan(b.graph, n_bytes);
    assert_int_equal(n_bytes, 2 * one);
    finish(&b);
}

/* A value kept for later (a skip connection) survives everything between. */
static void test_skip(void **state)
{
    (void)state;
    bench b = start(&tt_test_forms()[0]);
    tt_value first = tt_graph_input(b.graph, "x", false, 1, 8, 16, 16), x = first;
    for (int i = 0; i < 10; i++)
        x = tt_graph_elementwise(b.graph, x, TT_NONE, 1, 0, 0, TT_ACT_RELU);
    x = tt_graph_elementwise(b.graph, x, first, 1, 1, 0, TT_ACT_NONE);
    tt_graph_output(b.graph, x, "y", false);
    size_t n_bytes = plan(b.graph);
    assert_int_equal(check_plan(b.graph, n_bytes), 3 * 8 * 16 * 16 * 4);
    assert_int_equal(b.graph->nodes[first].last, b.graph->ops[b.graph->n_ops - 2].order);
    finish(&b);
}

/* A convolution's input has a border from its producer on, also when it reads a view of it. */
static void test_borders(void **state)
{
    (void)state;
    bench b = start(&tt_test_forms()[0]);
    tt_value wide = tt_graph_input(b.graph, "wide", false, 1, 16, 5, 5);
    tt_value view = tt_graph_channels(b.graph, tt_graph_channels(b.graph, wide, 4, 12), 4, 8);
    tt_value y = conv(b.graph, view), z = conv(b.graph, y);
    tt_graph_output(b.graph, z, "z", false);
    assert_int_equal(b.graph->nodes[view].first_channel, 8);
    size_t n_bytes = plan(b.graph);
    check_plan(b.graph, n_bytes);
    assert_int_equal(b.graph->nodes[wide].plane.border, 1);
    assert_int_equal(b.graph->nodes[view].plane.border, 1);
    assert_int_equal(b.graph->nodes[y].plane.border, 1);
    assert_int_equal(b.graph->nodes[z].plane.border, 0);
    assert_int_equal(b.graph->nodes[wide].n_bytes, 16 * 7 * 7 * 4);
    assert_int_equal(b.graph->nodes[view].plane.offset - b.graph->nodes[wide].plane.offset, 2 * 7 * 7);
    finish(&b);
}

/* Static ops run first though they were appended last, and what they leave for the steps is never given away. */
static void test_static_values(void **state)
{
    (void)state;
    bench b = start(&tt_test_forms()[0]);
    tt_graph *g = b.graph;
    tt_value x = tt_graph_input(g, "x", false, 1, 8, 8, 8);
    x = tt_graph_elementwise(g, x, TT_NONE, 1, 0, 0, TT_ACT_RELU);
    tt_value s = tt_graph_input(g, "s", true, 1, 8, 8, 8);
    tt_value t = tt_graph_elementwise(g, s, TT_NONE, 1, 0, 0, TT_ACT_RELU);
    tt_value kept = tt_graph_channels(g, tt_graph_elementwise(g, t, TT_NONE, 1, 0, 0, TT_ACT_RELU), 0, 8);
    x = tt_graph_elementwise(g, x, kept, 1, 1, 0, TT_ACT_NONE);
    for (int i = 0; i < 8; i++)
        x = tt_graph_elementwise(g, x, TT_NONE, 1, 0, 0, TT_ACT_RELU);
    tt_graph_output(g, x, "y", false);
    check_plan(g, plan(g));
    assert_true(g->nodes[s].is_static && g->nodes[t].is_static && g->nodes[kept].is_static);
    assert_false(g->nodes[x].is_static);
    assert_int_equal(g->nodes[g->nodes[kept].root].last, UINT32_MAX);
    assert_true(g->nodes[t].last < UINT32_MAX);
    for (size_t i = 0; i < g->n_ops; i++)
        for (size_t j = 0; j < g->n_ops; j++)
            if (g->ops[i].is_static && !g->ops[j].is_static)
                assert_true(g->ops[i].order < g->ops[j].order);
    finish(&b);
}

/* A value that nobody reads, and a graph without ops. */
static void test_nothing_to_do(void **state)
{
    (void)state;
    bench b = start(&tt_test_forms()[0]);
    assert_int_equal(plan(b.graph), 0);
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    tt_test_ok(tt_graph_run(b.graph, tt_test_error()));
    finish(&b);
    b = start(&tt_test_forms()[0]);
    tt_graph_input(b.graph, "x", false, 1, 8, 3, 3);
    check_plan(b.graph, plan(b.graph));
    tt_test_ok(tt_graph_compile(b.graph, tt_test_error()));
    tt_test_ok(tt_graph_run(b.graph, tt_test_error()));
    assert_true(tt_graph_arena_bytes(b.graph) >= 8 * 9 * 4);
    assert_int_equal(tt_recorder_count(tt_graph_recorder(b.graph)), 1);
    finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_plans), cmocka_unit_test(test_chain),         cmocka_unit_test(test_skip),
        cmocka_unit_test(test_borders),      cmocka_unit_test(test_static_values), cmocka_unit_test(test_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
