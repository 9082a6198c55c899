/* graph.h - one stage as a list of ops over C4 planes: built once per (model, size, batch), planned into one arena,
 * recorded, replayed.
 *
 * Builders call the op functions below; each appends an op and returns its value. The first failure is remembered and
 * makes every later op do nothing, so builders need no checks: tt_graph_compile reports it. A convolution's input gets
 * its zero border by itself: consuming a value with tt_graph_conv3x3 makes the producing op write the border.
 *
 * Inputs marked static (prompt embeddings) split the list in two: ops that depend on static inputs alone run once after
 * such an input was written (cross-attention keys and values), all others at every run. */
#ifndef TT_GRAPH_GRAPH_H
#define TT_GRAPH_GRAPH_H

#include "cl-kernels/conv3x3.h"
#include "cl-kernels/plane.h"
#include "graph/weight-store.h"

typedef struct tt_graph tt_graph;

/* A value of a graph; TT_NONE where an optional operand is absent. */
typedef int32_t tt_value;
enum { TT_NONE = -1 };

/* Makes an empty graph over a component's weights. `name` appears in sentences ("unet"). store may be NULL for graphs
 * without weights (tests). */
tt_status tt_graph_create(const tt_kernels *kernels, const char *name, tt_weight_store *store, tt_graph **graph,
                          tt_error *err);
void tt_graph_destroy(tt_graph *graph);

/* ---- operands */

/* Float array [batch][channels][height][width] written by tt_graph_write under `name`. */
tt_value tt_graph_input(tt_graph *graph, const char *name, bool is_static, uint32_t batch, uint32_t channels,
                        uint32_t height, uint32_t width);

/* Float array [batch][tokens][channels]; the value has height 1 and width = tokens. */
tt_value tt_graph_input_tokens(tt_graph *graph, const char *name, bool is_static, uint32_t batch, uint32_t tokens,
                               uint32_t channels);

/* Marks a value to be read back by tt_graph_read: [batch][channels][height][width], or [batch][positions][channels]. */
void tt_graph_output(tt_graph *graph, tt_value value, const char *name, bool channels_last);

/* ---- ops: weights are named by layer, ".weight" and ".bias" are added */

typedef struct tt_linear_op {
    const char *name;         /* one layer, or ... */
    const char *const *names; /* ... n_names layers stacked (QKV); then n_outs[] holds their outputs */
    const uint32_t *n_outs;
    uint32_t n_names;
    uint32_t n_out; /* of `name`; for geglu the stored 2 * inner width */
    bool no_bias, geglu;
    bool keep_float;  /* sensitive: multiplied in float whatever the arithmetic */
    bool extra_input; /* the input is the virtual concat of in and in2 */
    tt_value in2;     /* used when extra_input */
    bool add_residual;
    tt_value residual; /* used when add_residual */
    tt_activation activation;
    const char *slope; /* PReLU: full name of the tensor of slopes [n_out], or NULL: ... */
    float leak;        /* ... this is the slope of all outputs */
} tt_linear_op;

/* y = act(W x + b + residual) at every position. */
tt_value tt_graph_linear(tt_graph *graph, tt_value in, const tt_linear_op *op);

typedef struct tt_conv_op {
    const char *name;
    uint32_t n_out;
    tt_conv_mode mode;
    uint32_t out_height, out_width; /* TT_CONV_UP only: 0 = twice the input, else 2n or 2n - 1 */
    bool no_bias;
    bool keep_float; /* sensitive: multiplied in float whatever the arithmetic */
    bool keep_half;  /* less so: not multiplied in int8 */
    bool add_per_image;
    tt_value per_image_bias; /* used when add_per_image: [batch, n_out, 1, 1] */
    bool add_residual;
    tt_value residual;
    tt_activation activation;
    const char *slope; /* as in tt_linear_op */
    float leak;
} tt_conv_op;

/* 3x3 convolution. */
tt_value tt_graph_conv3x3(tt_graph *graph, tt_value in, const tt_conv_op *op);

/* Group norm of in (and in2 unless TT_NONE: virtual concat), then SiLU when asked. */
tt_value tt_graph_group_norm(tt_graph *graph, tt_value in, tt_value in2, const char *name, uint32_t n_groups, float eps,
                             bool silu);

tt_value tt_graph_layer_norm(tt_graph *graph, tt_value in, const char *name, float eps);

/* softmax(q k' / sqrt(head_dim)) v. */
tt_value tt_graph_attention(tt_graph *graph, tt_value q, tt_value k, tt_value v, uint32_t n_heads, bool causal);

/* act(a * scale + b * scale2 + offset); b may be TT_NONE. */
tt_value tt_graph_elementwise(tt_graph *graph, tt_value a, tt_value b, float scale, float scale2, float offset,
                              tt_activation activation);

/* Every second row and column, the first of each: [batch, channels, (height + 1) / 2, (width + 1) / 2]. */
tt_value tt_graph_every_second(tt_graph *graph, tt_value in);

/* [n, channels, 1, 1]: image i is the position of a row of positions (of all images, counted through) whose number is
 * element i of the array `name` [n], which tt_graph_write writes like an input. */
tt_value tt_graph_take(tt_graph *graph, tt_value in, const char *name, uint32_t n);

/* Notes that the host reads rows of a table [n_rows][width] (full tensor name) for this graph, as a text encoder does
 * with its embeddings: the shape is checked and a plan lists the tensor. No op, no memory. */
void tt_graph_table(tt_graph *graph, const char *name, uint32_t n_rows, uint32_t width);

/* View of n_channels channels from first_channel (a multiple of 4): no work, no memory. */
tt_value tt_graph_channels(tt_graph *graph, tt_value value, uint32_t first_channel, uint32_t n_channels);

/* Memory for n_channels channels with the positions of `like`, written part by part by the ops that tt_graph_aim is
 * called for: a concatenation without copies. What is read of it must have been written. */
tt_value tt_graph_room(tt_graph *graph, tt_value like, uint32_t n_channels);

/* The next op writes its result to the n channels of a room from first_channel (a multiple of 4) on, n being what it
 * makes, instead of to memory of its own; its value is that view. */
void tt_graph_aim(tt_graph *graph, tt_value room, uint32_t first_channel);

/* Ops appended while this is on are deep: left out of short runs (tt_graph_run_short). Off at first. Static ops are
 * never left out. */
void tt_graph_set_deep(tt_graph *graph, bool is_deep);

/* The value stays what the last whole run made of it, so that short runs can read it: it has memory of its own. What
 * else short runs read must be made by ops that are not deep; tt_graph_compile checks it. */
void tt_graph_keep(tt_graph *graph, tt_value value);

/* Geometry of a value (channels, batch, height, width); zeros for an invalid one. */
tt_plane tt_graph_shape(const tt_graph *graph, tt_value value);

/* ---- life */

/* Plans the arena (greedy by size), packs weights, allocates arena and ring, records all launches. Reports the first
 * failure of building. */
tt_status tt_graph_compile(tt_graph *graph, tt_error *err);

/* The first half of it, up to the allocation: other threads pack weights until tt_graph_compile waits for them. */
tt_status tt_graph_begin_compile(tt_graph *graph, tt_error *err);

/* What a run does without the static part. */
typedef struct tt_graph_work {
    double flops;                                        /* multiplications and additions of matrix and attention ops */
    double bytes;                                        /* weights and activations that a run moves */
    double linear_flops, conv3x3_flops, attention_flops; /* shares of flops */
    double other_bytes;                                  /* share of bytes of ops that are none of these three */
    double weight_bytes;                                 /* share of bytes of matrices */
    size_t n_ops;
} tt_graph_work;

/* What a graph will need and do, known without a device. */
typedef struct tt_graph_forecast {
    size_t arena_bytes, io_bytes; /* activations; arrays that the host reads and writes */
    double static_flops;          /* multiplications and additions of the static part */
    tt_graph_work step;           /* of a whole run */
    tt_graph_work short_step;     /* of a short run; zeros where nothing is kept */
} tt_graph_forecast;

/* What builds a graph over its store: a component's build function with its configuration and shape. */
typedef void (*tt_graph_build_fn)(tt_graph *graph, const void *user);

/* Builds over a new plan store and forecasts, all without a device. kernels->device is ignored. *store (may be NULL
 * when nobody wants it) holds the bytes and names of the weights; to be destroyed by the caller. When *store is not
 * NULL on entry, it is used and added to (encoder and decoder of one component). */
tt_status tt_graph_forecast_of(const tt_kernels *kernels, const char *name, tt_weights *weights,
                               tt_graph_build_fn build, const void *user, tt_weight_store **store,
                               tt_graph_forecast *forecast, tt_error *err);

/* Plans the graph instead of compiling it. The graph may have been made over a plan store and without a device; it
 * cannot be run afterwards. Reports the first failure of building. */
tt_status tt_graph_make_forecast(tt_graph *graph, tt_graph_forecast *forecast, tt_error *err);

/* Replays: the static part when a static input changed, then the rest. Enqueues without waiting, unless the store
 * streams: then it returns when the last launch is enqueued, most of the run later. */
tt_status tt_graph_run(tt_graph *graph, tt_error *err);

/* The same without the deep ops; what they would give is taken from the last whole run, which must have been. Fails
 * where the graph keeps nothing. */
tt_status tt_graph_run_short(tt_graph *graph, tt_error *err);

/* Blocking copies; n is checked against the declared shape. */
tt_status tt_graph_write(tt_graph *graph, const char *name, const float *values, size_t n, tt_error *err);

/* Writes without waiting: the values must stay as they are until the next tt_graph_read of this graph has returned. */
tt_status tt_graph_write_later(tt_graph *graph, const char *name, const float *values, size_t n, tt_error *err);
tt_status tt_graph_read(tt_graph *graph, const char *name, float *values, size_t n, tt_error *err);

/* Outputs in the order in which they were marked; false past the last. *shape is the value's geometry. */
bool tt_graph_output_at(const tt_graph *graph, size_t index, const char **name, tt_plane *shape, bool *channels_last);

/* Planned bytes of activations, and launches of one run without the static part. */
size_t tt_graph_arena_bytes(const tt_graph *graph);
size_t tt_graph_launches(const tt_graph *graph);

/* The step list, for profiles; NULL when weights pass through, for then launches mean nothing without their fills. */
tt_recorder *tt_graph_recorder(tt_graph *graph);

#endif
