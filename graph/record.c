/* record.c - turns planned ops into recorded launches. */
#include "cl-kernels/tuning.h"
#include "graph/graph-private.h"

/* The planned plane of an operand; *plane is scratch space for it. NULL for TT_NONE. */
static const tt_plane *plane_of(const tt_graph *graph, tt_value value, tt_plane *plane)
{
    if (value == TT_NONE)
        return NULL;
    *plane = graph->nodes[value].plane;
    plane->mem = graph->arena.mem;
    return plane;
}

static tt_plane required(const tt_graph *graph, tt_value value)
{
    tt_plane plane = {0};
    plane_of(graph, value, &plane);
    return plane;
}

tt_group_norm_args tt_graph_group_norm_args(tt_graph *graph, const tt_op *op, tt_plane *second)
{
    tt_group_norm_args args = {.in = required(graph, op->in),
                               .in2 = plane_of(graph, op->in2, second),
                               .scale = op->scale,
                               .shift = op->shift,
                               .n_groups = op->n_groups,
                               .eps = op->eps,
                               .silu = op->silu,
                               .out = required(graph, op->out),
                               .scratch = graph->arena.mem};
    if (op->scratch != TT_NONE)
        args.scratch_offset = (uint32_t)(graph->nodes[op->scratch].offset / sizeof(float));
    return args;
}

size_t tt_graph_scratch_bytes(tt_graph *graph, const tt_op *op)
{
    tt_plane second;
    const tt_plane *out = &graph->nodes[op->out].plane;
    switch (op->kind) {
    case TT_OP_LINEAR:
        return tt_linear_scratch_bytes(&graph->kernels, op->matrix, out);
    case TT_OP_CONV3X3:
        return tt_conv3x3_scratch_bytes(&graph->kernels, op->matrix, &graph->nodes[op->in].plane, out);
    case TT_OP_GROUP_NORM: {
        tt_group_norm_args args = tt_graph_group_norm_args(graph, op, &second);
        return tt_group_norm_scratch_bytes(&graph->kernels, &args);
    }
    default:
        return 0;
    }
}

/* Memory of an op's own: NULL when it has none. */
static cl_mem scratch_of(const tt_graph *graph, const tt_op *op, size_t *offset)
{
    *offset = op->scratch == TT_NONE || graph->own_scratch.mem != NULL ? 0 : graph->nodes[op->scratch].offset;
    return graph->own_scratch.mem != NULL ? graph->own_scratch.mem : op->scratch == TT_NONE ? NULL : graph->arena.mem;
}

/* The op's matrix in its place: *copy with the slot's memory when it is streamed. */
static const tt_matrix *matrix_of(const tt_op *op, const tt_buffer *slot, tt_matrix *copy)
{
    if (slot->mem == NULL)
        return op->matrix;
    *copy = *op->matrix;
    copy->values.mem = slot->mem;
    return copy;
}

static tt_status record_linear(tt_graph *graph, const tt_op *op, const tt_buffer *slot, tt_recorder *list,
                               tt_error *err)
{
    tt_matrix copy;
    tt_plane in2, residual;
    tt_linear_args args = {.in = required(graph, op->in),
                           .in2 = plane_of(graph, op->in2, &in2),
                           .matrix = matrix_of(op, slot, &copy),
                           .residual = plane_of(graph, op->residual, &residual),
                           .activation = op->activation,
                           .out = required(graph, op->out)};
    args.scratch = scratch_of(graph, op, &args.scratch_offset);
    return tt_linear_record(&graph->kernels, &args, list, err);
}

static tt_status record_conv3x3(tt_graph *graph, const tt_op *op, const tt_buffer *slot, tt_recorder *list,
                                tt_error *err)
{
    tt_matrix copy;
    tt_plane per_image, residual;
    tt_conv3x3_args args = {.in = required(graph, op->in),
                            .matrix = matrix_of(op, slot, &copy),
                            .mode = op->mode,
                            .per_image_bias = plane_of(graph, op->per_image, &per_image),
                            .residual = plane_of(graph, op->residual, &residual),
                            .activation = op->activation,
                            .out = required(graph, op->out)};
    args.scratch = scratch_of(graph, op, &args.scratch_offset);
    return tt_conv3x3_record(&graph->kernels, &args, list, err);
}

static tt_status record_group_norm(tt_graph *graph, const tt_op *op, tt_recorder *list, tt_error *err)
{
    tt_plane second;
    tt_group_norm_args args = tt_graph_group_norm_args(graph, op, &second);
    return tt_group_norm_record(&graph->kernels, &args, list, err);
}

static tt_status record_layer_norm(tt_graph *graph, const tt_op *op, tt_recorder *list, tt_error *err)
{
    tt_layer_norm_args args = {.in = required(graph, op->in),
                               .scale = op->scale,
                               .shift = op->shift,
                               .eps = op->eps,
                               .out = required(graph, op->out)};
    return tt_layer_norm_record(&graph->kernels, &args, list, err);
}

static tt_status record_attention(tt_graph *graph, const tt_op *op, tt_recorder *list, tt_error *err)
{
    tt_attention_args args = {.q = required(graph, op->in),
                              .k = required(graph, op->in2),
                              .v = required(graph, op->residual),
                              .n_heads = op->n_heads,
                              .head_dim = graph->nodes[op->in].plane.channels / op->n_heads,
                              .causal = op->causal,
                              .out = required(graph, op->out)};
    return tt_attention_record(&graph->kernels, &args, list, err);
}

static tt_status record_elementwise(tt_graph *graph, const tt_op *op, tt_recorder *list, tt_error *err)
{
    tt_plane b;
    tt_elementwise_args args = {.a = required(graph, op->in),
                                .b = plane_of(graph, op->in2, &b),
                                .scale = op->a_scale,
                                .scale2 = op->b_scale,
                                .offset = op->offset,
                                .activation = op->activation,
                                .out = required(graph, op->out)};
    return tt_elementwise_record(&graph->kernels, &args, list, err);
}

static tt_status record_pack(tt_graph *graph, const tt_op *op, tt_recorder *list, tt_error *err)
{
    const tt_io *io = &graph->ios[op->io];
    bool is_input = op->kind == TT_OP_PACK;
    tt_pack_args args = {.array = io->buffer.mem,
                         .channels_last = io->channels_last,
                         .plane = required(graph, is_input ? op->out : op->in)};
    return is_input ? tt_pack_record(&graph->kernels, &args, list, err)
                    : tt_unpack_record(&graph->kernels, &args, list, err);
}

static tt_status record_take(tt_graph *graph, const tt_op *op, tt_recorder *list, tt_error *err)
{
    tt_take_args args = {
        .in = required(graph, op->in), .index = graph->ios[op->io].buffer.mem, .out = required(graph, op->out)};
    /* Without borders positions follow each other: one row of the input's, one image for each of the result's. */
    args.in.width *= args.in.height;
    args.in.height = 1;
    args.out.batch *= args.out.height * args.out.width;
    args.out.height = args.out.width = 1;
    return tt_take_record(&graph->kernels, &args, list, err);
}

/* slot: memory of a streamed matrix, else empty. */
static tt_status record_op(tt_graph *graph, const tt_op *op, const tt_buffer *slot, tt_recorder *list, tt_error *err)
{
    tt_tuning_end_op(graph->kernels.tuning);
    switch (op->kind) {
    case TT_OP_PACK:
    case TT_OP_UNPACK:
        return record_pack(graph, op, list, err);
    case TT_OP_LINEAR:
        return record_linear(graph, op, slot, list, err);
    case TT_OP_CONV3X3:
        return record_conv3x3(graph, op, slot, list, err);
    case TT_OP_GROUP_NORM:
        return record_group_norm(graph, op, list, err);
    case TT_OP_LAYER_NORM:
        return record_layer_norm(graph, op, list, err);
    case TT_OP_ATTENTION:
        return record_attention(graph, op, list, err);
    case TT_OP_ELEMENTWISE:
        return record_elementwise(graph, op, list, err);
    case TT_OP_TAKE:
        return record_take(graph, op, list, err);
    }
    return tt_fail(err, TT_ERROR_INTERNAL, "unknown op %d", (int)op->kind);
}

tt_status tt_graph_record_op(tt_graph *graph, const tt_op *op, tt_recorder *list, tt_error *err)
{
    const tt_buffer no_slot = {0};
    return record_op(graph, op, &no_slot, list, err);
}

static tt_status record_into(tt_graph *graph, const tt_op *op, tt_list list, tt_error *err)
{
    tt_buffer slot = {0};
    tt_recorder *recorder = graph->lists[list];
    if (!op->matrix || op->matrix->values.mem != NULL)
        return record_op(graph, op, &slot, recorder, err);
    tt_status status = tt_stream_begin_use(graph->stream, list, op->matrix, tt_recorder_count(recorder), &slot, err);
    if (status == TT_OK)
        status = record_op(graph, op, &slot, recorder, err);
    if (status == TT_OK)
        tt_stream_end_use(graph->stream, list, tt_recorder_count(recorder));
    return status;
}

tt_status tt_graph_record(tt_graph *graph, tt_error *err)
{
    tt_status status = TT_OK;
    for (size_t i = 0; i < graph->n_ops && status == TT_OK; i++) {
        const tt_op *op = &graph->ops[i];
        status = record_into(graph, op, op->is_static ? TT_LIST_STATIC : TT_LIST_STEP, err);
        if (status == TT_OK && graph->has_short && !op->is_static && !op->is_deep)
            status = record_into(graph, op, TT_LIST_SHORT, err);
    }
    return status;
}
