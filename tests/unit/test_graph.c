/* test_graph.c - the op graph: random graphs against the reference ops, static inputs, outputs, failures of building.
 */
#include "cl-kernels/reference/attention.h"
#include "cl-kernels/reference/conv3x3.h"
#include "cl-kernels/reference/elementwise.h"
#include "cl-kernels/reference/group-norm.h"
#include "cl-kernels/reference/layer-norm.h"
#include "cl-kernels/reference/linear.h"
#include "graph/graph.h"
#include "tests/support/temp-folder.h"
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

/* ---- weights: every layer that a random graph may ask for, values made from the tensor's name */

enum { N_WIDTHS = 3, MAX_TENSORS = 192 };
static const uint32_t widths[N_WIDTHS] = {8, 12, 20};

typedef struct weight_set {
    tt_tensor tensors[MAX_TENSORS];
    char names[MAX_TENSORS][64];
    size_t n;
    temp_folder folder;
    tt_safetensors *file;
    tt_weights *weights;
} weight_set;

static weight_set set;

static uint64_t hash_of(const char *name)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 1099511628211u;
    return h;
}

static void add_tensor(const char *name, uint32_t n_dims, uint64_t a, uint64_t b, uint64_t side, double centre,
                       double scale)
{
    assert_true(set.n < MAX_TENSORS);
    tt_tensor *t = &set.tensors[set.n];
    size_t n = (size_t)(a * b * side * side);
    float *values = tt_test_random_new(n, hash_of(name));
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(centre + scale * (double)values[i]);
    snprintf(set.names[set.n], sizeof set.names[0], "%s", name);
    *t = (tt_tensor){.name = set.names[set.n], .dtype = TT_F32, .n_dims = n_dims, .data = values, .n_bytes = n * 4};
    t->dims[0] = a;
    t->dims[1] = b;
    t->dims[2] = t->dims[3] = side;
    set.n++;
}

static void add_layer(const char *name, uint32_t n_out, uint32_t n_in, uint32_t side)
{
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    add_tensor(full, side == 3 ? 4 : 2, n_out, n_in, side, 0.0, 1.0 / sqrt((double)n_in * side * side));
    snprintf(full, sizeof full, "%s.bias", name);
    add_tensor(full, 1, n_out, 1, 1, 0.0, 0.2);
}

static void add_norm(uint32_t n)
{
    char full[64];
    snprintf(full, sizeof full, "norm%u.weight", n);
    add_tensor(full, 1, n, 1, 1, 1.0, 0.2);
    snprintf(full, sizeof full, "norm%u.bias", n);
    add_tensor(full, 1, n, 1, 1, 0.0, 0.2);
}

static void add_width(uint32_t n_in)
{
    char name[64];
    for (size_t j = 0; j < N_WIDTHS; j++) {
        snprintf(name, sizeof name, "lin%u_%u", n_in, widths[j]);
        add_layer(name, widths[j], n_in, 1);
        snprintf(name, sizeof name, "conv%u_%u", n_in, widths[j]);
        add_layer(name, widths[j], n_in, 3);
        for (size_t k = 0; k < N_WIDTHS; k++) {
            snprintf(name, sizeof name, "cat%u_%u_%u", n_in, widths[j], widths[k]);
            add_layer(name, widths[k], n_in + widths[j], 1);
        }
    }
    snprintf(name, sizeof name, "geglu%u", n_in);
    add_layer(name, 2 * n_in, n_in, 1);
}

static int set_up(void **state)
{
    (void)state;
    static const uint32_t norms[] = {8, 12, 16, 20, 24, 28, 32, 40};
    char path[TT_TEMP_PATH];
    tt_error err = {""};
    for (size_t i = 0; i < N_WIDTHS; i++)
        add_width(widths[i]);
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
        add_norm(norms[i]);
    temp_folder_make(&set.folder);
    temp_folder_path(&set.folder, "w.safetensors", path);
    tt_test_ok(tt_safetensors_write(path, set.tensors, set.n, NULL, 0, tt_test_error()));
    tt_test_ok(tt_safetensors_open(path, &set.file, tt_test_error()));
    tt_test_ok(tt_weights_create(&set.file, 1, false, "", NULL, NULL, &set.weights, &err));
    return 0;
}

static int tear_down(void **state)
{
    tt_weights_destroy(set.weights);
    tt_safetensors_close(set.file);
    temp_folder_remove(&set.folder);
    for (size_t i = 0; i < set.n; i++)
        free((void *)(uintptr_t)set.tensors[i].data);
    return tt_test_device_close(state);
}

static const float *weight_of(const char *layer, const char *suffix)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", layer, suffix);
    for (size_t i = 0; i < set.n; i++)
        if (strcmp(set.names[i], full) == 0)
            return set.tensors[i].data;
    fail_msg("no tensor %s", full);
    return NULL;
}

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
    uint32_t c = p->steps[a].channels, n_out = widths[choose(p, N_WIDTHS)];
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
                                                    .weights = weight_of(s->layer, ".weight"),
                                                    .bias = weight_of(s->layer, ".bias"),
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
                                                      .weights = weight_of(s->layer, ".weight"),
                                                      .bias = weight_of(s->layer, ".bias"),
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
                                                            .scale = weight_of(s->layer, ".weight"),
                                                            .shift = weight_of(s->layer, ".bias"),
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
                                                                .scale = weight_of(s->layer, ".weight"),
                                                                .shift = weight_of(s->layer, ".bias"),
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
    tt_test_ok(tt_weight_store_create(kernels, set.weights, &store, tt_test_error()));
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

/* ---- particular graphs */

typedef struct bench {
    tt_weight_store *store;
    tt_graph *graph;
} bench;

static bench start(const char *name)
{
    bench b;
    tt_test_ok(tt_weight_store_create(&tt_test_forms()[0], set.weights, &b.store, tt_test_error()));
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
    expect_compile(&b, tt_graph_embedding(b.graph, "ids", 1, 3, "tokens", 10, "positions", 3, 8), TT_ERROR_FORMAT,
                   "text: ", "tokens");
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

/* Without a store, weights cannot be asked for; without compiling, nothing runs; names and lengths are checked. */
static void test_misuse(void **state)
{
    (void)state;
    bench b = {0};
    float values[4] = {0};
    int32_t ids[4] = {0};
    tt_error *err = tt_test_error();
    tt_test_ok(tt_graph_create(&tt_test_forms()[0], "bare", NULL, &b.graph, err));
    tt_value x = tt_graph_input(b.graph, "x", false, 1, 4, 1, 1);
    expect_compile(&b, tt_graph_linear(b.graph, x, &(tt_linear_op){.name = "lin", .n_out = 4}), TT_ERROR_INTERNAL,
                   "bare: ", "no weights");
    tt_test_ok(tt_graph_create(&tt_test_forms()[0], "bare", NULL, &b.graph, err));
    x = tt_graph_input(b.graph, "x", false, 1, 4, 1, 1);
    expect_compile(&b, tt_graph_layer_norm(b.graph, x, "n", 1e-5f), TT_ERROR_INTERNAL, "bare: ", "no weights");
    tt_test_ok(tt_graph_create(&tt_test_forms()[0], "bare", NULL, &b.graph, err));
    expect_compile(&b, tt_graph_embedding(b.graph, "ids", 1, 3, "tokens", 10, "positions", 3, 8), TT_ERROR_INTERNAL,
                   "bare: ", "no weights");

    tt_test_ok(tt_graph_create(&tt_test_forms()[0], "bare", NULL, &b.graph, err));
    x = tt_graph_input(b.graph, "x", false, 1, 4, 1, 1);
    tt_graph_output(b.graph, x, "y", false);
    expect(tt_graph_run(b.graph, err), TT_ERROR_INTERNAL, "bare: ", "not compiled");
    assert_int_equal(tt_graph_launches(b.graph), 0);
    tt_test_ok(tt_graph_compile(b.graph, err));
    expect(tt_graph_write(b.graph, "z", values, 4, err), TT_ERROR_INTERNAL, "bare: ", "no array z");
    expect(tt_graph_write(b.graph, "x", values, 3, err), TT_ERROR_INTERNAL, "bare: ", "4 elements, not 3");
    expect(tt_graph_write(b.graph, "y", values, 4, err), TT_ERROR_INTERNAL, "bare: ", "no array y");
    expect(tt_graph_write_ids(b.graph, "x", ids, 4, err), TT_ERROR_INTERNAL, "bare: ", "no array x");
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
        cmocka_unit_test(test_random_graphs), cmocka_unit_test(test_static_part_runs_once),
        cmocka_unit_test(test_array_orders),  cmocka_unit_test(test_bad_weights),
        cmocka_unit_test(test_bad_operands),  cmocka_unit_test(test_bad_shapes),
        cmocka_unit_test(test_bad_launch),    cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
