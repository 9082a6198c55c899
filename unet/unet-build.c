/* unet-build.c - the whole UNet as a graph: embeddings, down path, mid block, up path. The first and last convolutions
 * and the time embedding keep float products: a small share of the work, whose errors reach everything. */
#include "unet/unet-build.h"
#include "unet/unet-removed.h"

#include <stdio.h>

enum { NAME_BYTES = 64 };

/* Timesteps whose embeddings are computed at once: all of a usual run. */
enum { MIN_SLOTS = 32 };

/* Skips: outputs of the down path, taken back by the up path in reverse. */
typedef struct tt_skips {
    tt_value values[TT_UNET_MAX_RESNETS + TT_UNET_MAX_BLOCKS + 1];
    uint32_t n;
} tt_skips;

/* The residual blocks in the order in which they are built. */
typedef struct tt_resnet_list {
    char names[TT_UNET_MAX_RESNETS][NAME_BYTES + 16];
    const char *pointers[TT_UNET_MAX_RESNETS];
    uint32_t n_out[TT_UNET_MAX_RESNETS];
    uint32_t n;
} tt_resnet_list;

static uint32_t up_channels(const tt_unet_config *c, uint32_t block)
{
    return c->channels[c->n_blocks - 1 - block];
}

static void list_resnets(const tt_unet_config *c, tt_resnet_list *list)
{
    uint32_t n_places = tt_unet_n_places(c);
    list->n = 0;
    for (uint32_t i = 0; i < n_places; i++) {
        tt_unet_place place = tt_unet_place_at(c, i);
        if (!tt_unet_has_residual(c, i))
            continue;
        char *name = list->names[list->n];
        snprintf(name, sizeof list->names[0], "%s.resnets.%u.time_emb_proj", place.path, place.index);
        list->pointers[list->n] = name;
        list->n_out[list->n++] = place.channels;
    }
}

tt_unet_times tt_unet_times_of(const tt_unet_config *c, uint32_t batch)
{
    bool differs = c->addition_input_dim > 0 || c->time_cond_dim > 0;
    return (tt_unet_times){.n_images = differs ? batch : 1, .n_slots = batch > MIN_SLOTS ? batch : MIN_SLOTS};
}

/* SDXL: MLP over pooled text and time ids, added to the time embedding; TT_NONE for other families. */
static tt_value added_embedding(tt_graph *g, const tt_unet_config *c, tt_unet_times times, uint32_t n_embed)
{
    if (c->addition_input_dim == 0)
        return TT_NONE;
    tt_value added = tt_graph_input_tokens(g, "added", true, times.n_images, times.n_slots, c->addition_input_dim);
    tt_value h = tt_graph_linear(
        g, added,
        &(tt_linear_op){
            .name = "add_embedding.linear_1", .n_out = n_embed, .keep_float = true, .activation = TT_ACT_SILU});
    return tt_graph_linear(g, h,
                           &(tt_linear_op){.name = "add_embedding.linear_2", .n_out = n_embed, .keep_float = true});
}

/* Time embedding MLP of many timesteps, then its projection for every residual block of `c` in one stacked layer: all
 * that happens before the first step. Each step takes its own. */
static tt_value time_projections(tt_graph *g, const tt_unet_config *c, uint32_t batch)
{
    uint32_t n_embed = 4 * c->channels[0];
    tt_unet_times times = tt_unet_times_of(c, batch);
    tt_value time = tt_graph_input_tokens(g, "time", true, times.n_images, times.n_slots, c->channels[0]);
    if (c->time_cond_dim > 0) {
        tt_value cond =
            tt_graph_input_tokens(g, "timestep_cond", true, times.n_images, times.n_slots, c->time_cond_dim);
        tt_value projected = tt_graph_linear(
            g, cond,
            &(tt_linear_op){
                .name = "time_embedding.cond_proj", .n_out = c->channels[0], .no_bias = true, .keep_float = true});
        time = tt_graph_elementwise(g, time, projected, 1.0f, 1.0f, 0.0f, TT_ACT_NONE);
    }
    tt_value added = added_embedding(g, c, times, n_embed);
    tt_value h = tt_graph_linear(
        g, time,
        &(tt_linear_op){
            .name = "time_embedding.linear_1", .n_out = n_embed, .keep_float = true, .activation = TT_ACT_SILU});
    /* Residual blocks see SiLU(embedding): applied once here. */
    h = tt_graph_linear(g, h,
                        &(tt_linear_op){.name = "time_embedding.linear_2",
                                        .n_out = n_embed,
                                        .keep_float = true,
                                        .add_residual = added != TT_NONE,
                                        .residual = added,
                                        .activation = TT_ACT_SILU});
    tt_resnet_list list;
    list_resnets(c, &list);
    h = tt_graph_linear(
        g, h, &(tt_linear_op){.names = list.pointers, .n_outs = list.n_out, .n_names = list.n, .keep_float = true});
    return tt_graph_take(g, h, "time_index", batch);
}

/* Notes an output of the down path. Behind the last skip that short passes make everything is deep. */
static void add_skip(tt_unet_builder *b, tt_skips *skips, tt_value x)
{
    skips->values[skips->n++] = x;
    if (skips->n == b->shape->reuse_depth)
        tt_graph_set_deep(b->graph, true);
}

/* Takes the last skip back; x goes into the same block. Where short passes have that skip they need x from before. */
static tt_value take_skip(tt_unet_builder *b, tt_skips *skips, tt_value x)
{
    if (skips->n == b->shape->reuse_depth) {
        tt_graph_keep(b->graph, x);
        tt_graph_set_deep(b->graph, false);
    }
    return skips->values[--skips->n];
}

/* A residual block and, where there is one, the attention module behind it. */
static tt_value pass_place(tt_unet_builder *b, tt_value x, tt_value skip, uint32_t place)
{
    return tt_unet_transformer(b, tt_unet_residual_block(b, x, skip, place), place);
}

static tt_value down_path(tt_unet_builder *b, tt_value x, tt_skips *skips)
{
    const tt_unet_config *c = b->config;
    char name[NAME_BYTES];
    add_skip(b, skips, x);
    for (uint32_t i = 0; i < c->n_blocks; i++) {
        for (uint32_t j = 0; j < c->layers_per_block; j++) {
            x = pass_place(b, x, TT_NONE, tt_unet_down_place(c, i, j));
            add_skip(b, skips, x);
        }
        if (i + 1 == c->n_blocks)
            break;
        snprintf(name, sizeof name, "down_blocks.%u.downsamplers.0.conv", i);
        x = tt_graph_conv3x3(b->graph, x, &(tt_conv_op){.name = name, .n_out = c->channels[i], .mode = TT_CONV_DOWN});
        add_skip(b, skips, x);
    }
    return x;
}

static tt_value mid_block(tt_unet_builder *b, tt_value x)
{
    const tt_unet_config *c = b->config;
    for (uint32_t j = 0; c->has_mid && j < 2; j++)
        x = pass_place(b, x, TT_NONE, tt_unet_mid_place(c, j));
    return x;
}

/* Doubles the picture to the size of the next skip, which is odd where the down path rounded up. */
static tt_value upsample(tt_unet_builder *b, tt_value x, tt_value next_skip, uint32_t block)
{
    char name[NAME_BYTES];
    tt_plane size = tt_graph_shape(b->graph, next_skip);
    snprintf(name, sizeof name, "up_blocks.%u.upsamplers.0.conv", block);
    return tt_graph_conv3x3(b->graph, x,
                            &(tt_conv_op){.name = name,
                                          .n_out = up_channels(b->config, block),
                                          .mode = TT_CONV_UP,
                                          .out_height = size.height,
                                          .out_width = size.width});
}

static tt_value up_path(tt_unet_builder *b, tt_value x, tt_skips *skips)
{
    const tt_unet_config *c = b->config;
    for (uint32_t i = 0; i < c->n_blocks; i++) {
        for (uint32_t j = 0; j <= c->layers_per_block; j++) {
            tt_value skip = take_skip(b, skips, x);
            x = pass_place(b, x, skip, tt_unet_up_place(c, i, j));
        }
        if (i + 1 < c->n_blocks)
            x = upsample(b, x, skips->values[skips->n - 1], i);
    }
    return x;
}

uint32_t tt_unet_n_up(const tt_unet_config *c)
{
    return c->n_blocks * (c->layers_per_block + 1);
}

void tt_unet_build(tt_graph *graph, const tt_unet_config *stored, const tt_unet_config *config,
                   const tt_unet_shape *shape)
{
    tt_unet_builder b = {.graph = graph, .stored = stored, .config = config, .shape = shape};
    tt_skips skips = {.n = 0};
    tt_value sample =
        tt_graph_input(graph, "sample", false, shape->batch, config->in_channels, shape->height, shape->width);
    b.context =
        tt_graph_input_tokens(graph, "context", true, shape->batch, shape->n_tokens, config->cross_attention_dim);
    b.time_projections = time_projections(graph, stored, shape->batch);
    tt_value x = tt_graph_conv3x3(graph, sample,
                                  &(tt_conv_op){.name = "conv_in", .n_out = config->channels[0], .keep_float = true});
    tt_unet_traced(&b, x, "conv_in", false);
    x = down_path(&b, x, &skips);
    x = mid_block(&b, x);
    x = up_path(&b, x, &skips);
    x = tt_graph_group_norm(graph, x, TT_NONE, "conv_norm_out", config->n_groups, config->norm_eps, true);
    x = tt_graph_conv3x3(graph, x,
                         &(tt_conv_op){.name = "conv_out", .n_out = config->out_channels, .keep_float = true});
    tt_graph_output(graph, x, "out", false);
}
