/* clip.c - CLIP's text transformer as a graph, its runs, and the pooled output. */
#include "text-encoder/clip.h"
#include "graph/graph.h"
#include "graph/layer-name.h"
#include "text-encoder/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char token_table[] = "text_model.embeddings.token_embedding.weight",
                  position_table[] = "text_model.embeddings.position_embedding.weight";

struct tt_clip {
    tt_kernels kernels;
    tt_clip_config config;
    tt_weights *weights;
    uint64_t resident_bytes; /* limit of the store */
    uint32_t n_slots;
    tt_weight_store *store;
    tt_graph *graph;
    uint32_t batch, n_tokens, clip_skip; /* of graph */
};

tt_status tt_clip_create(const tt_kernels *kernels, const tt_clip_config *config, tt_weights *weights, tt_clip **clip,
                         tt_error *err)
{
    tt_clip *c = calloc(1, sizeof *c);
    if (!c)
        return tt_fail_memory(err, "a text encoder", sizeof *c);
    c->kernels = *kernels;
    c->config = *config;
    c->weights = weights;
    c->resident_bytes = UINT64_MAX;
    c->n_slots = 2;
    *clip = c;
    return TT_OK;
}

void tt_clip_release_device(tt_clip *clip)
{
    tt_graph_destroy(clip->graph);
    clip->graph = NULL;
    tt_weight_store_destroy(clip->store);
    clip->store = NULL;
}

void tt_clip_set_weight_limit(tt_clip *clip, uint64_t resident_bytes, uint32_t n_slots)
{
    if (clip->resident_bytes == resident_bytes && clip->n_slots == n_slots)
        return;
    tt_clip_release_device(clip);
    clip->resident_bytes = resident_bytes;
    clip->n_slots = n_slots;
}

void tt_clip_destroy(tt_clip *clip)
{
    if (!clip)
        return;
    tt_clip_release_device(clip);
    free(clip);
}

uint64_t tt_clip_weight_bytes(const tt_clip *clip)
{
    return clip->store ? tt_weight_store_bytes(clip->store) : 0;
}

/* x + out_proj(causal attention(norm(x))), then x + fc2(act(fc1(norm(x)))). */
static tt_value add_layer(tt_graph *g, const tt_clip_config *c, tt_value x, uint32_t layer)
{
    uint32_t n = c->hidden;
    const tt_layer_name path = tt_layer_index("text_model.encoder.layers", layer);
    const char *block = path.text;
    tt_layer_name q = tt_layer_join(block, "self_attn.q_proj"), k = tt_layer_join(block, "self_attn.k_proj"),
                  v = tt_layer_join(block, "self_attn.v_proj");
    tt_value h = tt_graph_layer_norm(g, x, tt_layer_join(block, "layer_norm1").text, c->layer_norm_eps);
    tt_value qkv = tt_graph_linear(g, h,
                                   &(tt_linear_op){.names = (const char *const[]){q.text, k.text, v.text},
                                                   .n_outs = (const uint32_t[]){n, n, n},
                                                   .n_names = 3});
    h = tt_graph_attention(g, tt_graph_channels(g, qkv, 0, n), tt_graph_channels(g, qkv, n, n),
                           tt_graph_channels(g, qkv, 2 * n, n), c->n_heads, true);
    x = tt_graph_linear(
        g, h,
        &(tt_linear_op){
            .name = tt_layer_join(block, "self_attn.out_proj").text, .n_out = n, .add_residual = true, .residual = x});
    h = tt_graph_layer_norm(g, x, tt_layer_join(block, "layer_norm2").text, c->layer_norm_eps);
    h = tt_graph_linear(g, h,
                        &(tt_linear_op){.name = tt_layer_join(block, "mlp.fc1").text,
                                        .n_out = c->intermediate,
                                        .activation = c->activation});
    return tt_graph_linear(
        g, h,
        &(tt_linear_op){.name = tt_layer_join(block, "mlp.fc2").text, .n_out = n, .add_residual = true, .residual = x});
}

static void build(tt_graph *g, const tt_clip_config *c, uint32_t batch, uint32_t n_tokens, uint32_t clip_skip)
{
    const char final_norm[] = "text_model.final_layer_norm";
    tt_graph_table(g, token_table, c->n_vocabulary, c->hidden);
    tt_graph_table(g, position_table, c->n_positions, c->hidden);
    tt_value x = tt_graph_input_tokens(g, "embedded", false, batch, n_tokens, c->hidden);
    for (uint32_t i = 0; i < c->n_layers; i++) {
        x = add_layer(g, c, x, i);
        if (i + clip_skip != c->n_layers)
            continue;
        tt_graph_output(g, x, "skipped", true);
        tt_graph_output(g, tt_graph_layer_norm(g, x, final_norm, c->layer_norm_eps), "skipped_normed", true);
    }
    tt_graph_output(g, tt_graph_layer_norm(g, x, final_norm, c->layer_norm_eps), "last_hidden", true);
}

typedef struct tt_clip_request {
    const tt_clip_config *config;
    uint32_t batch, n_tokens;
} tt_clip_request;

static void build_requested(tt_graph *graph, const void *user)
{
    const tt_clip_request *request = user;
    build(graph, request->config, request->batch, request->n_tokens, 1);
}

tt_status tt_clip_forecast(const tt_kernels *kernels, const tt_clip_config *config, tt_weights *weights, uint32_t batch,
                           uint32_t n_tokens, tt_weight_store **store, tt_graph_forecast *forecast, tt_error *err)
{
    tt_clip_request request = {config, batch, n_tokens};
    return tt_graph_forecast_of(kernels, "text encoder", weights, build_requested, &request, store, forecast, err);
}

/* Makes the store when there is none. */
static tt_status need_store(tt_clip *clip, tt_error *err)
{
    if (clip->store)
        return TT_OK;
    tt_status status = tt_weight_store_create(&clip->kernels, clip->weights, &clip->store, err);
    if (status == TT_OK)
        tt_weight_store_set_limit(clip->store, clip->resident_bytes, clip->n_slots);
    return status;
}

/* Builds (or keeps) the graph of a shape. */
static tt_status prepare(tt_clip *clip, uint32_t batch, uint32_t n_tokens, uint32_t clip_skip, tt_error *err)
{
    if (clip->graph && clip->batch == batch && clip->n_tokens == n_tokens && clip->clip_skip == clip_skip)
        return TT_OK;
    tt_graph_destroy(clip->graph);
    clip->graph = NULL;
    tt_status status = need_store(clip, err);
    if (status == TT_OK)
        status = tt_graph_create(&clip->kernels, "text encoder", clip->store, &clip->graph, err);
    if (status != TT_OK)
        return status;
    build(clip->graph, &clip->config, batch, n_tokens, clip_skip);
    status = tt_graph_compile(clip->graph, err);
    if (status != TT_OK) {
        tt_graph_destroy(clip->graph);
        clip->graph = NULL;
    }
    clip->batch = batch;
    clip->n_tokens = n_tokens;
    clip->clip_skip = clip_skip;
    return status;
}

tt_status tt_clip_tune(tt_clip *clip, uint32_t batch, uint32_t n_tokens, tt_tuner *tuner, tt_error *err)
{
    tt_status status = prepare(clip, batch, n_tokens, 1, err);
    if (status == TT_OK)
        status = tt_graph_tune(clip->graph, tuner, err);
    tt_graph_destroy(clip->graph);
    clip->graph = NULL;
    return status;
}

static tt_status check_request(const tt_clip_config *c, const int32_t *ids, uint32_t batch, uint32_t n_tokens,
                               uint32_t clip_skip, tt_error *err)
{
    if (batch == 0 || batch > 256 || n_tokens == 0 || n_tokens > c->n_positions)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the text encoder takes 1..256 sequences of 1..%u tokens, not %u of %u",
                       c->n_positions, batch, n_tokens);
    if (clip_skip == 0 || clip_skip > c->n_layers)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "clip skip %u is out of range: this text encoder has %u layers (1 = last)", clip_skip,
                       c->n_layers);
    for (size_t i = 0; i < (size_t)batch * n_tokens; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= c->n_vocabulary)
            return tt_fail(err, TT_ERROR_ARGUMENT, "token id %d at place %zu is out of the vocabulary of %u", ids[i], i,
                           c->n_vocabulary);
    return TT_OK;
}

/* Position of the row that stands for the whole text. */
static uint32_t pooled_position(const tt_clip_config *c, const int32_t *ids, uint32_t n_tokens)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < n_tokens; i++) {
        if (c->eos_id != 2 && ids[i] == c->eos_id)
            return i;
        if (c->eos_id == 2 && ids[i] > ids[best])
            best = i;
    }
    return best;
}

/* out[projection_dim] = text_projection times row, on the host: once per prompt. */
static tt_status project(tt_clip *clip, const float *row, float *out, tt_error *err)
{
    const tt_clip_config *c = &clip->config;
    uint64_t dims[2] = {c->projection_dim, c->hidden};
    tt_weight weight;
    tt_status status = tt_weights_get(clip->weights, "text_projection.weight", 2, dims, &weight, err);
    return status == TT_OK ? tt_rows_multiply(&weight, row, out, err) : status;
}

static tt_status read_pooled(tt_clip *clip, const int32_t *ids, const float *hidden, float *pooled, tt_error *err)
{
    const tt_clip_config *c = &clip->config;
    tt_status status = TT_OK;
    for (uint32_t b = 0; b < clip->batch && status == TT_OK; b++) {
        uint32_t position = pooled_position(c, ids + (size_t)b * clip->n_tokens, clip->n_tokens);
        const float *row = hidden + ((size_t)b * clip->n_tokens + position) * c->hidden;
        if (c->projection_dim == 0)
            memcpy(pooled + (size_t)b * c->hidden, row, c->hidden * sizeof *row);
        else
            status = project(clip, row, pooled + (size_t)b * c->projection_dim, err);
    }
    return status;
}

static tt_status read_outputs(tt_clip *clip, const int32_t *ids, const tt_clip_output *output, tt_error *err)
{
    size_t n = (size_t)clip->batch * clip->n_tokens * clip->config.hidden;
    float *hidden = output->last_hidden;
    if (!hidden && output->pooled && !(hidden = malloc(n * sizeof *hidden)))
        return tt_fail_memory(err, "text embeddings", n * sizeof *hidden);
    tt_status status = TT_OK;
    if (hidden)
        status = tt_graph_read(clip->graph, "last_hidden", hidden, n, err);
    if (status == TT_OK && output->skipped)
        status = tt_graph_read(clip->graph, "skipped", output->skipped, n, err);
    if (status == TT_OK && output->skipped_normed)
        status = tt_graph_read(clip->graph, "skipped_normed", output->skipped_normed, n, err);
    if (status == TT_OK && output->pooled)
        status = read_pooled(clip, ids, hidden, output->pooled, err);
    if (hidden != output->last_hidden)
        free(hidden);
    return status;
}

/* Token rows plus position rows, written as the graph's input: a few rows are read from the file instead of whole
 * tables going to the device. */
static tt_status write_embedded(tt_clip *clip, const int32_t *ids, tt_error *err)
{
    const tt_clip_config *c = &clip->config;
    uint64_t token_dims[2] = {c->n_vocabulary, c->hidden}, position_dims[2] = {c->n_positions, c->hidden};
    size_t n_rows = (size_t)clip->batch * clip->n_tokens, n = n_rows * c->hidden;
    tt_weight tokens, positions;
    tt_status status = tt_weights_get(clip->weights, token_table, 2, token_dims, &tokens, err);
    if (status == TT_OK)
        status = tt_weights_get(clip->weights, position_table, 2, position_dims, &positions, err);
    if (status != TT_OK)
        return status;
    float *embedded = calloc(n, sizeof *embedded);
    if (!embedded)
        return tt_fail_memory(err, "embedded tokens", n * sizeof *embedded);
    for (size_t i = 0; i < n_rows && status == TT_OK; i++) {
        float *row = embedded + i * c->hidden;
        status = tt_rows_add(&tokens, (uint32_t)ids[i], row, err);
        if (status == TT_OK)
            status = tt_rows_add(&positions, (uint32_t)(i % clip->n_tokens), row, err);
    }
    if (status == TT_OK)
        status = tt_graph_write(clip->graph, "embedded", embedded, n, err);
    free(embedded);
    return status;
}

tt_status tt_clip_encode(tt_clip *clip, const int32_t *ids, uint32_t batch, uint32_t n_tokens, uint32_t clip_skip,
                         const tt_clip_output *output, tt_error *err)
{
    tt_status status = check_request(&clip->config, ids, batch, n_tokens, clip_skip, err);
    if (status == TT_OK)
        status = prepare(clip, batch, n_tokens, clip_skip, err);
    if (status == TT_OK)
        status = write_embedded(clip, ids, err);
    if (status == TT_OK)
        status = tt_graph_run(clip->graph, err);
    return status == TT_OK ? read_outputs(clip, ids, output, err) : status;
}

tt_status tt_clip_store(tt_clip *clip, tt_weight_store **store, tt_error *err)
{
    tt_status status = need_store(clip, err);
    *store = clip->store;
    return status;
}

tt_recorder *tt_clip_recorder(tt_clip *clip)
{
    return clip->graph ? tt_graph_recorder(clip->graph) : NULL;
}

size_t tt_clip_arena_bytes(const tt_clip *clip)
{
    return clip->graph ? tt_graph_arena_bytes(clip->graph) : 0;
}
