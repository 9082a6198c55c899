/* graph-private.h - what the files of this room share: values, ops and host-visible arrays of a graph. */
#ifndef TT_GRAPH_GRAPH_PRIVATE_H
#define TT_GRAPH_GRAPH_PRIVATE_H

#include "cl-kernels/attention.h"
#include "cl-kernels/elementwise.h"
#include "cl-kernels/group-norm.h"
#include "cl-kernels/layer-norm.h"
#include "cl-kernels/linear.h"
#include "cl-kernels/pack.h"
#include "cl-kernels/take.h"
#include "graph/graph.h"
#include "graph/stream-private.h"

typedef enum tt_op_kind {
    TT_OP_PACK,
    TT_OP_UNPACK,
    TT_OP_LINEAR,
    TT_OP_CONV3X3,
    TT_OP_GROUP_NORM,
    TT_OP_LAYER_NORM,
    TT_OP_ATTENTION,
    TT_OP_ELEMENTWISE,
    TT_OP_TAKE
} tt_op_kind;

/* A value: memory of its own (root == itself) or a channel view of another. */
typedef struct tt_node {
    tt_plane plane; /* geometry; mem and offset are set once planned; border only in roots until then */
    tt_value root;
    uint32_t first_channel; /* of the view inside its root */
    bool is_static;
    bool is_scratch;        /* plain bytes used inside one op */
    bool is_deep;           /* made by a deep op */
    bool is_kept;           /* roots: from run to run */
    uint32_t first, last;   /* life in execution order, both inclusive */
    size_t n_bytes, offset; /* place in the arena */
} tt_node;

/* An array that the host writes or reads. */
typedef struct tt_io {
    char name[64];
    tt_buffer buffer;
    size_t n;       /* floats */
    tt_value value; /* of outputs */
    bool is_static, is_output, channels_last;
} tt_io;

typedef struct tt_op {
    tt_op_kind kind;
    tt_value in, in2, residual, per_image; /* TT_NONE where absent; attention: q, k, v in the first three */
    tt_value out;
    tt_value scratch;
    bool is_static, is_deep;
    uint32_t order; /* place in the execution: static ops first */
    size_t io;      /* pack, unpack, take */
    const tt_matrix *matrix;
    const tt_vector *scale, *shift;
    tt_activation activation;
    tt_conv_mode mode;
    uint32_t n_groups, n_heads;
    float eps, a_scale, b_scale, offset;
    bool silu, causal;
} tt_op;

struct tt_graph {
    tt_kernels kernels;
    tt_weight_store *store;
    char name[64];
    tt_node *nodes;
    size_t n_nodes, node_capacity;
    tt_op *ops;
    size_t n_ops, op_capacity;
    tt_io *ios;
    size_t n_ios, io_capacity;
    tt_status status; /* first failure of building */
    tt_error error;
    tt_buffer arena;
    tt_buffer own_scratch; /* while a variant is tried that needs more than was planned: used instead; else empty */
    tt_stream *stream;     /* NULL: all weights stay on the device */
    tt_recorder *lists[TT_N_LISTS]; /* of those that the graph has */
    tt_value aim;                   /* room that the next op writes to, or TT_NONE */
    uint32_t aim_channel;
    bool in_deep;      /* ops that are appended are deep */
    bool has_short;    /* something is kept */
    bool kept_is_made; /* by a whole run */
    bool has_memory;   /* compiling was begun */
    bool compiled, static_is_stale;
};

/* The node of a value; the value must be valid. */
static inline tt_node *tt_graph_node(tt_graph *graph, tt_value value)
{
    return &graph->nodes[value];
}

/* Remembers the first failure of building. Returns TT_NONE. */
tt_value tt_graph_failed(tt_graph *graph, tt_status status);

/* plan.c: execution order, lives, places of all values; n_bytes of the arena. */
tt_status tt_graph_plan(tt_graph *graph, size_t *n_bytes, tt_error *err);

/* record.c: launches of all ops into the two lists. The arena exists and all planes have their place. */
tt_status tt_graph_record(tt_graph *graph, tt_error *err);

/* record.c: launches of one op, whose matrix is on the device. */
tt_status tt_graph_record_op(tt_graph *graph, const tt_op *op, tt_recorder *list, tt_error *err);

/* observe.c: a run of a compiled graph, short or whole, op by op, whose store has an observer. */
tt_status tt_graph_run_observed(tt_graph *graph, bool is_short, tt_error *err);

/* record.c: bytes that an op with all its operands needs for itself, with the variant that would be chosen now. */
size_t tt_graph_scratch_bytes(tt_graph *graph, const tt_op *op);

/* observe.c: a plane of the arena as it lies there, with border and padding, as floats (free()). */
tt_status tt_graph_read_plane(tt_graph *graph, const tt_plane *plane, float **values, tt_error *err);

/* record.c: arguments of a group norm, also used to size its scratch before planes have places. */
tt_group_norm_args tt_graph_group_norm_args(tt_graph *graph, const tt_op *op, tt_plane *second);

#endif
