/* build.c - the op functions: each checks its operands, finds its weights and appends one op. */
#include "graph/graph-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tt_value tt_graph_failed(tt_graph *graph, tt_status status)
{
    if (graph->status == TT_OK) {
        graph->status = status;
        tt_error_prefix(&graph->error, graph->name);
    }
    return TT_NONE;
}

static bool is_value(const tt_graph *graph, tt_value value)
{
    return value >= 0 && (size_t)value < graph->n_nodes;
}

/* True when building may go on and the operand is valid; notes a misuse otherwise. */
static bool can_use(tt_graph *graph, tt_value value)
{
    if (graph->status != TT_OK)
        return false;
    if (is_value(graph, value))
        return true;
    tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_INTERNAL, "an op uses a value that does not exist"));
    return false;
}

/* Grows an array of `size`-byte items by one. */
static bool grow(void **items, size_t *capacity, size_t n, size_t size)
{
    if (n < *capacity)
        return true;
    size_t wanted = *capacity ? *capacity * 2 : 64;
    void *larger = realloc(*items, wanted * size);
    if (!larger)
        return false;
    *items = larger;
    *capacity = wanted;
    return true;
}

static tt_value new_node(tt_graph *graph, uint32_t channels, uint32_t batch, uint32_t height, uint32_t width)
{
    if (graph->status != TT_OK)
        return TT_NONE;
    if (channels == 0 || batch == 0 || height == 0 || width == 0)
        return tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_INTERNAL, "a value of %u x %u x %u x %u is empty",
                                              batch, channels, height, width));
    if (!grow((void **)&graph->nodes, &graph->node_capacity, graph->n_nodes, sizeof *graph->nodes))
        return tt_graph_failed(graph, tt_fail_memory(&graph->error, "graph values", graph->node_capacity * 2));
    tt_node node = {.root = (tt_value)graph->n_nodes};
    node.plane = (tt_plane){.channels = channels, .batch = batch, .height = height, .width = width};
    graph->nodes[graph->n_nodes++] = node;
    return node.root;
}

/* A value with the positions of `like`. */
static tt_value new_like(tt_graph *graph, tt_value like, uint32_t channels)
{
    tt_plane p = graph->nodes[like].plane;
    return new_node(graph, channels, p.batch, p.height, p.width);
}

/* True when all operands of an op (TT_NONE where absent) are static. */
static bool all_static(const tt_graph *graph, const tt_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (values[i] != TT_NONE && !graph->nodes[values[i]].is_static)
            return false;
    return true;
}

static bool same_positions(const tt_graph *graph, tt_value a, tt_value b)
{
    const tt_plane *p = &graph->nodes[a].plane, *q = &graph->nodes[b].plane;
    return p->batch == q->batch && p->height == q->height && p->width == q->width;
}

/* Makes the value that an op writes a view of the room that it is aimed at; false after noting that it does not fit. */
static bool take_aim(tt_graph *graph, tt_value out)
{
    tt_value room = graph->aim;
    uint32_t first = graph->aim_channel;
    graph->aim = TT_NONE;
    if (room == TT_NONE || out == TT_NONE)
        return true;
    tt_node *node = &graph->nodes[out];
    const tt_node *to = &graph->nodes[room];
    if (!same_positions(graph, room, out) || first % 4 != 0 || node->plane.channels > to->plane.channels ||
        first > to->plane.channels - node->plane.channels) {
        tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_INTERNAL, "%u channels do not fit at %u of a room of %u",
                                       node->plane.channels, first, to->plane.channels));
        return false;
    }
    node->root = to->root;
    node->first_channel = to->first_channel + first;
    return true;
}

/* Appends an op whose operands and output are set; returns its output. */
static tt_value add_op(tt_graph *graph, tt_op op, bool source_is_static)
{
    if (graph->status != TT_OK || !take_aim(graph, op.out))
        return TT_NONE;
    bool is_aimed = op.out != TT_NONE && graph->nodes[op.out].root != op.out; /* other parts may not be static */
    op.is_static =
        source_is_static && !is_aimed && all_static(graph, (tt_value[]){op.in, op.in2, op.residual, op.per_image}, 4);
    if (!grow((void **)&graph->ops, &graph->op_capacity, graph->n_ops, sizeof *graph->ops))
        return tt_graph_failed(graph, tt_fail_memory(&graph->error, "graph ops", graph->op_capacity * 2));
    op.is_deep = graph->in_deep && !op.is_static;
    if (op.out != TT_NONE) {
        graph->nodes[op.out].is_static = op.is_static;
        graph->nodes[op.out].is_deep = op.is_deep;
        if (is_aimed && op.is_deep)
            graph->nodes[graph->nodes[op.out].root].is_deep = true;
    }
    graph->ops[graph->n_ops++] = op;
    return op.out;
}

static tt_op op_of(tt_op_kind kind, tt_value in, tt_value out)
{
    return (tt_op){.kind = kind,
                   .in = in,
                   .in2 = TT_NONE,
                   .residual = TT_NONE,
                   .per_image = TT_NONE,
                   .out = out,
                   .scratch = TT_NONE};
}

/* Adds a host array; its buffer is made at once. SIZE_MAX when building has failed. */
static size_t add_io(tt_graph *graph, const char *name, size_t n)
{
    if (graph->status != TT_OK)
        return SIZE_MAX;
    if (!grow((void **)&graph->ios, &graph->io_capacity, graph->n_ios, sizeof *graph->ios)) {
        tt_graph_failed(graph, tt_fail_memory(&graph->error, "graph inputs", graph->io_capacity * 2));
        return SIZE_MAX;
    }
    tt_io io = {.n = n};
    snprintf(io.name, sizeof io.name, "%s", name);
    tt_status status = TT_OK;
    if (graph->kernels.device) /* a graph without a device is planned, not run */
        status = tt_buffer_create(graph->kernels.device, n * sizeof(float), name, &io.buffer, &graph->error);
    if (status != TT_OK) {
        tt_graph_failed(graph, status);
        return SIZE_MAX;
    }
    graph->ios[graph->n_ios] = io;
    return graph->n_ios++;
}

static tt_value add_input(tt_graph *graph, const char *name, bool is_static, bool channels_last, tt_value out)
{
    if (out == TT_NONE)
        return TT_NONE;
    tt_plane p = graph->nodes[out].plane;
    size_t io = add_io(graph, name, tt_plane_positions(&p) * p.channels);
    if (io == SIZE_MAX)
        return TT_NONE;
    graph->ios[io].is_static = is_static;
    graph->ios[io].channels_last = channels_last;
    tt_op op = op_of(TT_OP_PACK, TT_NONE, out);
    op.io = io;
    return add_op(graph, op, is_static);
}

tt_value tt_graph_input(tt_graph *graph, const char *name, bool is_static, uint32_t batch, uint32_t channels,
                        uint32_t height, uint32_t width)
{
    return add_input(graph, name, is_static, false, new_node(graph, channels, batch, height, width));
}

tt_value tt_graph_input_tokens(tt_graph *graph, const char *name, bool is_static, uint32_t batch, uint32_t tokens,
                               uint32_t channels)
{
    return add_input(graph, name, is_static, true, new_node(graph, channels, batch, 1, tokens));
}

void tt_graph_output(tt_graph *graph, tt_value value, const char *name, bool channels_last)
{
    if (!can_use(graph, value))
        return;
    tt_plane p = graph->nodes[value].plane;
    size_t io = add_io(graph, name, tt_plane_positions(&p) * p.channels);
    if (io == SIZE_MAX)
        return;
    graph->ios[io].is_output = true;
    graph->ios[io].value = value;
    graph->ios[io].channels_last = channels_last;
    tt_op op = op_of(TT_OP_UNPACK, value, TT_NONE);
    op.io = io;
    add_op(graph, op, false);
}

/* Notes a failure unless b has the positions of a and, when channels > 0, that many channels. */
static bool fits(tt_graph *graph, tt_value a, tt_value b, uint32_t channels, const char *layer)
{
    const tt_plane *p = &graph->nodes[a].plane, *q = &graph->nodes[b].plane;
    if (same_positions(graph, a, b) && (channels == 0 || q->channels == channels))
        return true;
    tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_INTERNAL,
                                   "%s: operands of [%u,%u,%u,%u] and [%u,%u,%u,%u] do not fit", layer, p->batch,
                                   p->channels, p->height, p->width, q->batch, q->channels, q->height, q->width));
    return false;
}

static const tt_matrix *find_matrix(tt_graph *graph, const tt_matrix_request *request)
{
    const tt_matrix *matrix = NULL;
    if (!graph->store) {
        tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_INTERNAL, "the graph has no weights"));
        return NULL;
    }
    tt_status status = tt_weight_store_matrix(graph->store, request, &matrix, &graph->error);
    if (status != TT_OK)
        tt_graph_failed(graph, status);
    return matrix;
}

/* Gives an op memory of its own in the arena, unless it needs none; false after noting a failure. */
static bool add_scratch(tt_graph *graph, tt_op *op)
{
    size_t n_bytes = tt_graph_scratch_bytes(graph, op);
    if (n_bytes == 0)
        return true;
    op->scratch = new_node(graph, 4, 1, 1, 1);
    if (op->scratch == TT_NONE)
        return false;
    graph->nodes[op->scratch].is_scratch = true;
    graph->nodes[op->scratch].n_bytes = n_bytes;
    return true;
}

tt_value tt_graph_linear(tt_graph *graph, tt_value in, const tt_linear_op *o)
{
    if (!can_use(graph, in) || (o->extra_input && !can_use(graph, o->in2)) ||
        (o->add_residual && !can_use(graph, o->residual)))
        return TT_NONE;
    const tt_value operands[] = {in, o->extra_input ? o->in2 : TT_NONE, o->add_residual ? o->residual : TT_NONE};
    const char *layer = o->n_names ? o->names[0] : o->name;
    uint32_t n_in = graph->nodes[in].plane.channels, split = 0;
    if (o->extra_input) {
        if (!fits(graph, in, o->in2, 0, layer))
            return TT_NONE;
        split = n_in;
        n_in += graph->nodes[o->in2].plane.channels;
    }
    tt_matrix_request request = {.names = o->n_names ? o->names : &o->name,
                                 .n_out = o->n_names ? o->n_outs : &o->n_out,
                                 .n_parts = o->n_names ? o->n_names : 1,
                                 .n_in = n_in,
                                 .n_taps = 1,
                                 .split = split,
                                 .geglu = o->geglu,
                                 .has_bias = !o->no_bias,
                                 .slope = o->slope,
                                 .leak = o->leak,
                                 .keep_float = o->keep_float,
                                 .is_static = all_static(graph, operands, 3)};
    const tt_matrix *matrix = find_matrix(graph, &request);
    if (!matrix)
        return TT_NONE;
    tt_op op = op_of(TT_OP_LINEAR, in, new_like(graph, in, o->geglu ? matrix->n_out / 2 : matrix->n_out));
    if (op.out == TT_NONE || (o->add_residual && !fits(graph, op.out, o->residual, matrix->n_out, layer)))
        return TT_NONE;
    op.in2 = o->extra_input ? o->in2 : TT_NONE;
    op.residual = o->add_residual ? o->residual : TT_NONE;
    op.activation = o->activation;
    op.matrix = matrix;
    if (!add_scratch(graph, &op))
        return TT_NONE;
    return add_op(graph, op, true);
}

/* Size of one side after a convolution. */
static uint32_t conv_size(tt_conv_mode mode, uint32_t n, uint32_t wanted)
{
    switch (mode) {
    case TT_CONV_DOWN:
        return (n + 1) / 2;
    case TT_CONV_DOWN_ASYM:
        return n / 2;
    case TT_CONV_UP:
        return wanted ? wanted : 2 * n;
    case TT_CONV_SAME:
        break;
    }
    return n;
}

/* The output value of a convolution, TT_NONE after noting an impossible size. */
static tt_value conv_output(tt_graph *graph, tt_value in, const tt_conv_op *o)
{
    tt_plane p = graph->nodes[in].plane;
    uint32_t height = conv_size(o->mode, p.height, o->out_height), width = conv_size(o->mode, p.width, o->out_width);
    bool bad_up = o->mode == TT_CONV_UP && (height > 2 * p.height || height + 1 < 2 * p.height || width > 2 * p.width ||
                                            width + 1 < 2 * p.width);
    if (bad_up || height == 0 || width == 0)
        return tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_INTERNAL, "%s: cannot make %u x %u from %u x %u",
                                              o->name, width, height, p.width, p.height));
    return new_node(graph, o->n_out, p.batch, height, width);
}

/* Checks the optional operands of a convolution. */
static bool conv_operands_fit(tt_graph *graph, tt_value out, const tt_conv_op *o)
{
    if (o->add_residual && !fits(graph, out, o->residual, o->n_out, o->name))
        return false;
    if (!o->add_per_image)
        return true;
    tt_plane p = graph->nodes[o->per_image_bias].plane;
    if (p.batch == graph->nodes[out].plane.batch && p.channels == o->n_out && p.height == 1 && p.width == 1)
        return true;
    tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_INTERNAL, "%s: per-image bias of [%u,%u,%u,%u] does not fit",
                                   o->name, p.batch, p.channels, p.height, p.width));
    return false;
}

tt_value tt_graph_conv3x3(tt_graph *graph, tt_value in, const tt_conv_op *o)
{
    if (!can_use(graph, in) || (o->add_residual && !can_use(graph, o->residual)) ||
        (o->add_per_image && !can_use(graph, o->per_image_bias)))
        return TT_NONE;
    const tt_value operands[] = {in, o->add_residual ? o->residual : TT_NONE,
                                 o->add_per_image ? o->per_image_bias : TT_NONE};
    tt_matrix_request request = {.names = &o->name,
                                 .n_out = &o->n_out,
                                 .n_parts = 1,
                                 .n_in = graph->nodes[in].plane.channels,
                                 .n_taps = 9,
                                 .has_bias = !o->no_bias,
                                 .slope = o->slope,
                                 .leak = o->leak,
                                 .keep_float = o->keep_float,
                                 .keep_half = o->keep_half,
                                 .is_static = all_static(graph, operands, 3)};
    const tt_matrix *matrix = find_matrix(graph, &request);
    tt_value out = matrix ? conv_output(graph, in, o) : TT_NONE;
    if (out == TT_NONE || !conv_operands_fit(graph, out, o))
        return TT_NONE;
    graph->nodes[graph->nodes[in].root].plane.border = 1;
    tt_op op = op_of(TT_OP_CONV3X3, in, out);
    op.residual = o->add_residual ? o->residual : TT_NONE;
    op.per_image = o->add_per_image ? o->per_image_bias : TT_NONE;
    op.activation = o->activation;
    op.mode = o->mode;
    op.matrix = matrix;
    if (!add_scratch(graph, &op))
        return TT_NONE;
    return add_op(graph, op, true);
}

/* Finds NAME.weight and NAME.bias of a norm. */
static bool norm_weights(tt_graph *graph, const char *name, uint32_t n, tt_op *op)
{
    char full[TT_MAX_NAME];
    if (!graph->store) {
        tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_INTERNAL, "the graph has no weights"));
        return false;
    }
    snprintf(full, sizeof full, "%s.weight", name);
    tt_status status = tt_weight_store_vector(graph->store, full, n, &op->scale, &graph->error);
    if (status == TT_OK) {
        snprintf(full, sizeof full, "%s.bias", name);
        status = tt_weight_store_vector(graph->store, full, n, &op->shift, &graph->error);
    }
    if (status != TT_OK)
        tt_graph_failed(graph, status);
    return status == TT_OK;
}

tt_value tt_graph_group_norm(tt_graph *graph, tt_value in, tt_value in2, const char *name, uint32_t n_groups, float eps,
                             bool silu)
{
    if (!can_use(graph, in) || (in2 != TT_NONE && (!can_use(graph, in2) || !fits(graph, in, in2, 0, name))))
        return TT_NONE;
    uint32_t channels = graph->nodes[in].plane.channels + (in2 == TT_NONE ? 0 : graph->nodes[in2].plane.channels);
    if (n_groups == 0 || channels % n_groups != 0 || (in2 != TT_NONE && graph->nodes[in].plane.channels % 4 != 0))
        return tt_graph_failed(graph,
                               tt_fail(&graph->error, TT_ERROR_UNSUPPORTED,
                                       "%s: %u channels cannot be normalised in %u groups", name, channels, n_groups));
    tt_op op = op_of(TT_OP_GROUP_NORM, in, new_like(graph, in, channels));
    if (!norm_weights(graph, name, channels, &op))
        return TT_NONE;
    op.in2 = in2;
    op.n_groups = n_groups;
    op.eps = eps;
    op.silu = silu;
    if (!add_scratch(graph, &op))
        return TT_NONE;
    return add_op(graph, op, true);
}

tt_value tt_graph_layer_norm(tt_graph *graph, tt_value in, const char *name, float eps)
{
    if (!can_use(graph, in))
        return TT_NONE;
    tt_op op = op_of(TT_OP_LAYER_NORM, in, new_like(graph, in, graph->nodes[in].plane.channels));
    if (op.out == TT_NONE || !norm_weights(graph, name, graph->nodes[in].plane.channels, &op))
        return TT_NONE;
    op.eps = eps;
    return add_op(graph, op, true);
}

tt_value tt_graph_attention(tt_graph *graph, tt_value q, tt_value k, tt_value v, uint32_t n_heads, bool causal)
{
    if (!can_use(graph, q) || !can_use(graph, k) || !can_use(graph, v))
        return TT_NONE;
    uint32_t channels = graph->nodes[q].plane.channels;
    if (n_heads == 0 || channels % n_heads != 0 || (channels / n_heads) % 4 != 0)
        return tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_UNSUPPORTED,
                                              "attention of %u channels in %u heads: the head size must be a multiple "
                                              "of 4",
                                              channels, n_heads));
    if (!fits(graph, v, k, channels, "attention") || !fits(graph, k, v, channels, "attention"))
        return TT_NONE;
    tt_op op = op_of(TT_OP_ATTENTION, q, new_like(graph, q, channels));
    op.in2 = k;
    op.residual = v;
    op.n_heads = n_heads;
    op.causal = causal;
    return op.out == TT_NONE ? TT_NONE : add_op(graph, op, true);
}

tt_value tt_graph_elementwise(tt_graph *graph, tt_value a, tt_value b, float scale, float scale2, float offset,
                              tt_activation activation)
{
    if (!can_use(graph, a))
        return TT_NONE;
    uint32_t channels = graph->nodes[a].plane.channels;
    if (b != TT_NONE && (!can_use(graph, b) || !fits(graph, a, b, channels, "elementwise")))
        return TT_NONE;
    tt_op op = op_of(TT_OP_ELEMENTWISE, a, new_like(graph, a, channels));
    op.in2 = b;
    op.a_scale = scale;
    op.b_scale = scale2;
    op.offset = offset;
    op.activation = activation;
    return op.out == TT_NONE ? TT_NONE : add_op(graph, op, true);
}

tt_value tt_graph_take(tt_graph *graph, tt_value in, const char *name, uint32_t n)
{
    if (!can_use(graph, in))
        return TT_NONE;
    tt_plane p = graph->nodes[in].plane;
    if (p.height != 1)
        return tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_INTERNAL,
                                              "positions can be taken from one row only, found %u", p.height));
    tt_op op = op_of(TT_OP_TAKE, in, new_node(graph, p.channels, n, 1, 1));
    op.io = add_io(graph, name, n);
    return op.io == SIZE_MAX ? TT_NONE : add_op(graph, op, false);
}

/* Makes the positions that tt_graph_every_second takes of all images of p, counted through. */
static float *every_second_position(const tt_plane *p, size_t n)
{
    float *positions = malloc(n * sizeof *positions);
    size_t i = 0;
    for (uint32_t image = 0; positions && image < p->batch; image++)
        for (uint32_t y = 0; y < p->height; y += 2)
            for (uint32_t x = 0; x < p->width; x += 2)
                positions[i++] = (float)(((size_t)image * p->height + y) * p->width + x);
    return positions;
}

/* The array of these positions, shared by all ops that take the same ones; SIZE_MAX when building has failed. */
static size_t positions_io(tt_graph *graph, const tt_plane *p, size_t n)
{
    enum { MAX_EXACT = 1 << 24 }; /* whole numbers of a float */
    char name[64];
    (void)snprintf(name, sizeof name, "every second of %u x %u x %u", p->batch, p->height, p->width);
    for (size_t i = 0; i < graph->n_ios; i++)
        if (strcmp(graph->ios[i].name, name) == 0)
            return i;
    if (tt_plane_positions(p) > MAX_EXACT) {
        tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_UNSUPPORTED, "%s: only %d positions can be counted",
                                       name, (int)MAX_EXACT));
        return SIZE_MAX;
    }
    size_t io = add_io(graph, name, n);
    if (io == SIZE_MAX || !graph->kernels.device)
        return io;
    float *positions = every_second_position(p, n);
    tt_status status = positions ? tt_buffer_write(graph->kernels.device, &graph->ios[io].buffer, 0, positions,
                                                   n * sizeof *positions, &graph->error)
                                 : tt_fail_memory(&graph->error, name, n * sizeof *positions);
    free(positions);
    if (status != TT_OK)
        tt_graph_failed(graph, status);
    return status == TT_OK ? io : SIZE_MAX;
}

tt_value tt_graph_every_second(tt_graph *graph, tt_value in)
{
    if (!can_use(graph, in))
        return TT_NONE;
    tt_plane p = graph->nodes[in].plane;
    uint32_t height = (p.height + 1) / 2, width = (p.width + 1) / 2;
    tt_op op = op_of(TT_OP_TAKE, in, new_node(graph, p.channels, p.batch, height, width));
    op.io = positions_io(graph, &p, (size_t)p.batch * height * width);
    return op.io == SIZE_MAX ? TT_NONE : add_op(graph, op, false);
}

tt_value tt_graph_room(tt_graph *graph, tt_value like, uint32_t n_channels)
{
    return can_use(graph, like) ? new_like(graph, like, n_channels) : TT_NONE;
}

void tt_graph_aim(tt_graph *graph, tt_value room, uint32_t first_channel)
{
    if (!can_use(graph, room))
        return;
    graph->aim = room;
    graph->aim_channel = first_channel;
}

void tt_graph_set_deep(tt_graph *graph, bool is_deep)
{
    graph->in_deep = is_deep;
}

void tt_graph_keep(tt_graph *graph, tt_value value)
{
    if (!can_use(graph, value))
        return;
    graph->nodes[graph->nodes[value].root].is_kept = true;
    graph->has_short = true;
}

void tt_graph_table(tt_graph *graph, const char *name, uint32_t n_rows, uint32_t width)
{
    if (graph->status != TT_OK)
        return;
    tt_weight table;
    tt_status status = graph->store ? tt_weight_store_table(graph->store, name, n_rows, width, &table, &graph->error)
                                    : tt_fail(&graph->error, TT_ERROR_INTERNAL, "the graph has no weights");
    if (status != TT_OK)
        tt_graph_failed(graph, status);
}

tt_value tt_graph_channels(tt_graph *graph, tt_value value, uint32_t first_channel, uint32_t n_channels)
{
    if (!can_use(graph, value))
        return TT_NONE;
    tt_node node = graph->nodes[value];
    if (first_channel % 4 != 0 || n_channels == 0 || n_channels > node.plane.channels ||
        first_channel > node.plane.channels - n_channels)
        return tt_graph_failed(graph, tt_fail(&graph->error, TT_ERROR_UNSUPPORTED,
                                              "channels %u..%u of %u cannot be viewed alone", first_channel,
                                              first_channel + n_channels, node.plane.channels));
    tt_value view = new_like(graph, value, n_channels);
    if (view == TT_NONE)
        return TT_NONE;
    graph->nodes[view].root = node.root;
    graph->nodes[view].first_channel = node.first_channel + first_channel;
    graph->nodes[view].is_static = node.is_static;
    graph->nodes[view].is_deep = node.is_deep;
    return view;
}

tt_plane tt_graph_shape(const tt_graph *graph, tt_value value)
{
    return is_value(graph, value) ? graph->nodes[value].plane : (tt_plane){0};
}
