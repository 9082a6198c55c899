/* test_graph_random.c - random graphs against the reference ops. */
#include "cl-kernels/reference/attention.h"
#include "cl-kernels/reference/conv3x3.h"
#include "cl-kernels/reference/elementwise.h"
#include "cl-kernels/reference/group-norm.h"
#include "cl-kernels/reference/layer-norm.h"
#include "cl-kernels/reference/linear.h"
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

/* ---- programs: a list of steps that both the graph and the reference understand */

typedef enum step_kind {
    INPUT,
    LINEAR,
    CONCAT_LINEAR,
    GEGLU,
    CONV,
    CONV_DOWN,
    CONV_DOWN_ASYM,
    CONV_UP,
    GROUP_NORM,
    LAYER_NORM,
    ATTENTION,
    ADD,
    SCALE,
    VIEW,
    N_KINDS
} step_kind;

enum { MAX_STEPS = 40, BATCH = 2 };

typedef struct step {
    step_kind kind;
    int a, b, c; /* operands, -1: none */
    uint32_t channels, height, width, first_channel;
    bool is_static, flag; /* flag: SiLU, causal, or odd upsampling */
    tt_activation activation;
    char layer[64];
    int root;             /* the step that owns the memory: of views, another one */
    bool bordered, plain; /* of roots: read by a convolution, which needs a border; by attention, which allows none */
    float *values;        /* the reference's result, NCHW */
    tt_value value;
} step;

typedef struct program {
    step steps[MAX_STEPS];
    int n;
    uint64_t random;
} program;

static uint32_t choose(program *p, uint32_t n)
{
    p->random = p->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(p->random >> 33) % n;
}

static size_t plane_of(const step *s)
{
    return (size_t)s->height * s->width;
}

static size_t count_of(const step *s)
{
    return BATCH * s->channels * plane_of(s);
}

/* A random earlier value with the positions of `like` (and its channels); -1 when the draw finds none. */
static int find_like(program *p, int like, bool same_channels)
{
    const step *a = &p->steps[like];
    for (int tries = 0; tries < 12; tries++) {
        int i = (int)choose(p, (uint32_t)p->n);
        const step *s = &p->steps[i];
        if (s->height == a->height && s->width == a->width && (!same_channels || s->channels == a->channels))
            return i;
    }
    return -1;
}

static step *push(program *p, step_kind kind, int a, uint32_t channels)
{
    step *s = &p->steps[p->n];
    *s = (step){.kind = kind, .a = a, .b = -1, .c = -1, .channels = channels, .value = TT_NONE, .root = p->n};
    if (a >= 0) {
        s->height = p->steps[a].height;
        s->width = p->steps[a].width;
        s->is_static = p->steps[a].is_static;
    }
    p->n++;
    return s;
}

static void push_input(program *p, bool is_static, uint32_t channels, uint32_t height, uint32_t width)
{
    step *s = push(p, INPUT, -1, channels);
    s->is_static = is_static;
    s->height = height;
    s->width = width;
    snprintf(s->layer, sizeof s->layer, "in%d", p->n - 1);
}

static step *root_of(program *p, int i)
{
    return &p->steps[p->steps[i].root];
}

static void push_conv(program *p, step_kind kind, int a, uint32_t n_in, uint32_t n_out)
{
    if (root_of(p, a)->plain)
        return;
    root_of(p, a)->bordered = true;
    step *s = push(p, kind, a, n_out);
    snprintf(s->layer, sizeof s->layer, "conv%u_%u", n_in, n_out);
    if (kind == CONV_DOWN) {
        s->height = (s->height + 1) / 2;
        s->width = (s->width + 1) / 2;
    } else if (kind == CONV_DOWN_ASYM) {
        s->height /= 2;
        s->width /= 2;
    } else if (kind == CONV_UP) {
        s->flag = choose(p, 2) == 1;
        s->height = 2 * s->height - (s->flag ? 1 : 0);
        s->width = 2 * s->width - (s->flag ? 1 : 0);
    } else {
        s->b = find_like(p, p->n - 1, true);
        s->b = s->b == p->n - 1 ? -1 : s->b;
        s->activation = TT_ACT_RELU;
    }
}

static void push_attention(program *p, int a, int b)
{
    step *q = root_of(p, a), *k = root_of(p, b);
    if (q->bordered || k->bordered)
        return;
    step *s = push(p, ATTENTION, a, p->steps[a].channels);
    s->b = s->c = b;
    s->flag = choose(p, 2) == 1;
    s->plain = q->plain = k->plain = true;
}

static void push_concat(program *p, step_kind kind, int a, int b, uint32_t n_out)
{
    uint32_t ca = p->steps[a].channels, cb = p->steps[b].channels;
    bool norm = kind == GROUP_NORM;
    step *s = push(p, kind, a, norm ? ca + cb : n_out);
    s->b = b;
    if (norm)
        snprintf(s->layer, sizeof s->layer, "norm%u", ca + cb);
    else
        snprintf(s->layer, sizeof s->layer, "cat%u_%u_%u", ca, cb, n_out);
}

/* A value of one of the three widths: sums of widths come only out of norms. */
static int choose_plain(program *p)
{
    for (;;) {
        int i = (int)choose(p, (uint32_t)p->n);
        uint32_t c = p->steps[i].channels;
        if (c == 8 || c == 12 || c == 20)
            return i;
    }
}

/* Appends one step of a random kind where its operands can be found. */
static void push_random(program *p)
{
    int a = choose_plain(p), b = find_like(p, a, false), same = find_like(p, a, true);
    uint32_t c = p->steps[a].channels, n_out = graph_widths[choose(p, N_GRAPH_WIDTHS)];
    bool small = p->steps[a].height<4, large = p->steps[a].height> 12;
    bool plain_b = b >= 0 && (p->steps[b].channels == 8 || p->steps[b].channels == 12 || p->steps[b].channels == 20);
    step *s;
    switch ((step_kind)(1 + choose(p, N_KINDS - 1))) {
    case LINEAR:
        s = push(p, LINEAR, a, n_out);
        snprintf(s->layer, sizeof s->layer, "lin%u_%u", c, n_out);
        s->activation = choose(p, 2) ? TT_ACT_SILU : TT_ACT_NONE;
        s->b = find_like(p, p->n - 1, true);
        s->b = s->b == p->n - 1 ? -1 : s->b;
        break;
    case CONCAT_LINEAR:
        if (plain_b)
            push_concat(p, CONCAT_LINEAR, a, b, n_out);
        break;
    case GEGLU:
        s = push(p, GEGLU, a, c);
        snprintf(s->layer, sizeof s->layer, "geglu%u", c);
        break;
    case CONV:
        push_conv(p, CONV, a, c, n_out);
        break;
    case CONV_DOWN:
    case CONV_DOWN_ASYM:
        if (!small)
            push_conv(p, choose(p, 2) ? CONV_DOWN : CONV_DOWN_ASYM, a, c, n_out);
        break;
    case CONV_UP:
        if (!large)
            push_conv(p, CONV_UP, a, c, n_out);
        break;
    case GROUP_NORM:
        if (plain_b)
            push_concat(p, GROUP_NORM, a, b, 0);
        break;
    case LAYER_NORM:
        s = push(p, LAYER_NORM, a, c);
        snprintf(s->layer, sizeof s->layer, "norm%u", c);
        break;
    case ATTENTION:
        push_attention(p, a, same < 0 ? a : same);
        break;
    case ADD:
        s = push(p, ADD, a, c);
        s->b = same < 0 ? a : same;
        break;
    case SCALE:
        push(p, SCALE, a, c)->activation = TT_ACT_TANH3;
        break;
    case VIEW:
        s = push(p, VIEW, a, c == 20 ? 12 : 8);
        s->first_channel = c - s->channels;
        s->root = p->steps[a].root;
        break;
    case INPUT:
    case N_KINDS:
        break;
    }
}

/* ---- the graph of a program */

static tt_value operand(const program *p, int i)
{
    return i < 0 ? TT_NONE : p->steps[i].value;
}

static tt_value build_step(tt_graph *g, program *p, const step *s)
{
    tt_value a = operand(p, s->a), b = operand(p, s->b);
    static const tt_conv_mode modes[] = {[CONV] = TT_CONV_SAME,
                                         [CONV_DOWN] = TT_CONV_DOWN,
                                         [CONV_DOWN_ASYM] = TT_CONV_DOWN_ASYM,
                                         [CONV_UP] = TT_CONV_UP};
    switch (s->kind) {
    case INPUT:
        return tt_graph_input(g, s->layer, s->is_static, BATCH, s->channels, s->height, s->width);
    case LINEAR:
        return tt_graph_linear(g, a,
                               &(tt_linear_op){.name = s->layer,
                                               .n_out = s->channels,
                                               .add_residual = s->b >= 0,
                                               .residual = b,
                                               .activation = s->activation});
    case CONCAT_LINEAR:
        return tt_graph_linear(g, a,
                               &(tt_linear_op){.name = s->layer, .n_out = s->channels, .extra_input = true, .in2 = b});
    case GEGLU:
        return tt_graph_linear(g, a, &(tt_linear_op){.name = s->layer, .n_out = 2 * s->channels, .geglu = true});
    case CONV:
    case CONV_DOWN:
    case CONV_DOWN_ASYM:
    case CONV_UP:
        return tt_graph_conv3x3(g, a,
                                &(tt_conv_op){.name = s->layer,
                                              .n_out = s->channels,
                                              .mode = modes[s->kind],
                                              .out_height = s->kind == CONV_UP ? s->height : 0,
                                              .out_width = s->kind == CONV_UP ? s->width : 0,
                                              .add_residual = s->b >= 0,
                                              .residual = b,
                                              .activation = s->activation});
    case GROUP_NORM:
        return tt_graph_group_norm(g, a, b, s->layer, 4, 1e-5f, true);
    case LAYER_NORM:
        return tt_graph_layer_norm(g, a, s->layer, 1e-5f);
    case ATTENTION:
        return tt_graph_attention(g, a, b, operand(p, s->c), 1, s->flag);
    case ADD:
        return tt_graph_elementwise(g, a, b, 0.5f, -0.75f, 0.125f, TT_ACT_NONE);
    case SCALE:
        return tt_graph_elementwise(g, a, TT_NONE, 1.5f, 0.0f, -0.25f, s->activation);
    case VIEW:
        return tt_graph_channels(g, a, s->first_channel, s->channels);
    case N_KINDS:
        break;
    }
    return TT_NONE;
}

/* ---- the reference of a program */

static float *joined(const step *a, const step *b)
{
    size_t plane = plane_of(a), n = a->channels + (b ? b->channels : 0);
    float *out = malloc(BATCH * n * plane * sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < BATCH; i++) {
        memcpy(out + i * n * plane, a->values + i * a->channels * plane, a->channels * plane * sizeof *out);
        if (b)
            memcpy(out + (i * n + a->channels) * plane, b->values + i * b->channels * plane,
                   b->channels * plane * sizeof *out);
    }
    return out;
}

static void reference_linear(const step *s, const step *a, const step *second, const step *residual)
{
    float *in = joined(a, second);
    tt_reference_linear(&(tt_reference_linear_args){.batch = BATCH,
                                                    .n_in = a->channels + (second ? second->channels : 0),
                                                    .n_out = s->kind == GEGLU ? 2 * s->channels : s->channels,
                                                    .n_positions = (uint32_t)plane_of(s),
                                                    .in = in,
                                                    .weights = graph_weight_of(s->layer, ".weight"),
                                                    .bias = graph_weight_of(s->layer, ".bias"),
                                                    .residual = residual ? residual->values : NULL,
                                                    .activation = s->activation,
                                                    .is_geglu = s->kind == GEGLU,
                                                    .out = s->values});
    free(in);
}

static void reference_conv(const step *s, const step *a, const step *residual)
{
    static const tt_conv_mode modes[] = {[CONV] = TT_CONV_SAME,
                                         [CONV_DOWN] = TT_CONV_DOWN,
                                         [CONV_DOWN_ASYM] = TT_CONV_DOWN_ASYM,
                                         [CONV_UP] = TT_CONV_UP};
    tt_reference_conv3x3(&(tt_reference_conv3x3_args){.batch = BATCH,
                                                      .n_in = a->channels,
                                                      .n_out = s->channels,
                                                      .in_height = a->height,
                                                      .in_width = a->width,
                                                      .out_height = s->height,
                                                      .out_width = s->width,
                                                      .mode = modes[s->kind],
                                                      .in = a->values,
                                                      .weights = graph_weight_of(s->layer, ".weight"),
                                                      .bias = graph_weight_of(s->layer, ".bias"),
                                                      .residual = residual ? residual->values : NULL,
                                                      .activation = s->activation,
                                                      .out = s->values});
}

static void reference_group_norm(const step *s, const step *a, const step *b)
{
    float *in = joined(a, b);
    tt_reference_group_norm(&(tt_reference_group_norm_args){.batch = BATCH,
                                                            .n_channels = s->channels,
                                                            .n_positions = (uint32_t)plane_of(s),
                                                            .n_groups = 4,
                                                            .in = in,
                                                            .scale = graph_weight_of(s->layer, ".weight"),
                                                            .shift = graph_weight_of(s->layer, ".bias"),
                                                            .eps = 1e-5,
                                                            .silu = true,
                                                            .out = s->values});
    free(in);
}

static void reference_view(const step *s, const step *a)
{
    size_t plane = plane_of(s);
    for (size_t i = 0; i < BATCH; i++)
        memcpy(s->values + i * s->channels * plane, a->values + (i * a->channels + s->first_channel) * plane,
               s->channels * plane * sizeof(float));
}

static void evaluate(program *p, step *s)
{
    const step *a = s->a < 0 ? NULL : &p->steps[s->a], *b = s->b < 0 ? NULL : &p->steps[s->b];
    uint32_t positions = (uint32_t)plane_of(s);
    switch (s->kind) {
    case LINEAR:
    case GEGLU:
        reference_linear(s, a, NULL, b);
        break;
    case CONCAT_LINEAR:
        reference_linear(s, a, b, NULL);
        break;
    case CONV:
    case CONV_DOWN:
    case CONV_DOWN_ASYM:
    case CONV_UP:
        reference_conv(s, a, b);
        break;
    case GROUP_NORM:
        reference_group_norm(s, a, b);
        break;
    case LAYER_NORM:
        tt_reference_layer_norm(&(tt_reference_layer_norm_args){.batch = BATCH,
                                                                .n_channels = s->channels,
                                                                .n_positions = positions,
                                                                .in = a->values,
                                                                .scale = graph_weight_of(s->layer, ".weight"),
                                                                .shift = graph_weight_of(s->layer, ".bias"),
                                                                .eps = 1e-5,
                                                                .out = s->values});
        break;
    case ATTENTION:
        tt_test_ok(tt_reference_attention(&(tt_reference_attention_args){.batch = BATCH,
                                                                         .n_heads = 1,
                                                                         .head_dim = s->channels,
                                                                         .n_queries = positions,
                                                                         .n_keys = positions,
                                                                         .q = a->values,
                                                                         .k = b->values,
                                                                         .v = b->values,
                                                                         .causal = s->flag,
                                                                         .out = s->values}));
        break;
    case ADD:
        tt_reference_elementwise(&(tt_reference_elementwise_args){.n = count_of(s),
                                                                  .a = a->values,
                                                                  .b = b->values,
                                                                  .scale = 0.5,
                                                                  .scale2 = -0.75,
                                                                  .offset = 0.125,
                                                                  .out = s->values});
        break;
    case SCALE:
        tt_reference_elementwise(&(tt_reference_elementwise_args){.n = count_of(s),
                                                                  .a = a->values,
                                                                  .scale = 1.5,
                                                                  .offset = -0.25,
                                                                  .activation = s->activation,
                                                                  .out = s->values});
        break;
    case VIEW:
        reference_view(s, a);
        break;
    case INPUT:
    case N_KINDS:
        break;
    }
}

/* New random values into the inputs of one kind, on both sides. */
static void write_inputs(program *p, tt_graph *g, bool is_static, uint64_t seed)
{
    for (int i = 0; i < p->n; i++) {
        step *s = &p->steps[i];
        if (s->kind != INPUT || s->is_static != is_static)
            continue;
        tt_test_random(s->values, count_of(s), seed + (uint64_t)i);
        tt_test_ok(tt_graph_write(g, s->layer, s->values, count_of(s), tt_test_error()));
    }
}

static void compare_outputs(const program *p, tt_graph *g, const char *when)
{
    for (int i = 0; i < p->n; i++) {
        const step *s = &p->steps[i];
        char name[32], label[96];
        if (i % 3 != 0 && i != p->n - 1)
            continue;
        snprintf(name, sizeof name, "out%d", i);
        snprintf(label, sizeof label, "%s, step %d of kind %d", when, i, (int)s->kind);
        float *got = malloc(count_of(s) * sizeof *got);
        assert_non_null(got);
        for (int twice = 0; twice < 2; twice++) {
            memset(got, 0xff, count_of(s) * sizeof *got);
            tt_test_ok(tt_graph_read(g, name, got, count_of(s), tt_test_error()));
            tt_test_close(got, s->values, count_of(s), 2e-5, label);
        }
        free(got);
    }
}

static void run_program(program *p, tt_graph *g, const char *when)
{
    for (int i = 0; i < p->n; i++)
        evaluate(p, &p->steps[i]);
    tt_test_ok(tt_graph_run(g, tt_test_error()));
    compare_outputs(p, g, when);
}

static void check_random_graph(const tt_kernels *kernels, uint64_t seed)
{
    program *p = calloc(1, sizeof *p);
    assert_non_null(p);
    tt_weight_store *store;
    tt_graph *g;
    p->random = seed;
    push_input(p, false, 8, 6 + choose(p, 5), 5 + choose(p, 6));
    push_input(p, true, 12, p->steps[0].height, p->steps[0].width);
    push_input(p, false, 20, p->steps[0].height, p->steps[0].width);
    while (p->n < MAX_STEPS - 4)
        push_random(p);
    tt_test_ok(tt_weight_store_create(kernels, graph_weights(), &store, tt_test_error()));
    tt_test_ok(tt_graph_create(kernels, "random", store, &g, tt_test_error()));
    for (int i = 0; i < p->n; i++) {
        step *s = &p->steps[i];
        char name[32];
        s->values = calloc(count_of(s), sizeof *s->values);
        assert_non_null(s->values);
        s->value = build_step(g, p, s);
        snprintf(name, sizeof name, "out%d", i);
        if (i % 3 == 0 || i == p->n - 1)
            tt_graph_output(g, s->value, name, false);
    }
    tt_test_ok(tt_graph_compile(g, tt_test_error()));
    write_inputs(p, g, true, seed);
    for (uint64_t run = 0; run < 3; run++) { /* static results must survive the steps */
        write_inputs(p, g, false, seed + 1000 * (run + 1));
        run_program(p, g, "a step");
    }
    write_inputs(p, g, true, seed + 77);
    run_program(p, g, "a new static input");
    tt_graph_destroy(g);
    tt_weight_store_destroy(store);
    for (int i = 0; i < p->n; i++)
        free(p->steps[i].values);
    free(p);
}

static void test_random_graphs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++)
        check_random_graph(&tt_test_forms()[0], seed * 7919);
    check_random_graph(&tt_test_forms()[2], 42); /* the other family */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_graphs)};
    return cmocka_run_group_tests_name("random graphs", tests, graph_weights_set_up, graph_weights_tear_down);
}
