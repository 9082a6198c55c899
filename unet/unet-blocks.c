/* unet-blocks.c - residual and transformer blocks. */
#include "graph/layer-name.h"
#include "unet/unet-build.h"
#include "unet/unet-removed.h"

#include <stdio.h>

tt_value tt_unet_traced(const tt_unet_builder *b, tt_value value, const char *name, bool channels_last)
{
    if (b->shape->trace)
        tt_graph_output(b->graph, value, name, channels_last);
    return value;
}

/* What stands beside a residual block's convolutions: the input, or a 1x1 convolution of it where that has another
 * number of channels. */
static tt_value shortcut_of(tt_unet_builder *b, tt_value in, tt_value skip, uint32_t n_out, const char *name)
{
    if (skip == TT_NONE && tt_graph_shape(b->graph, in).channels == n_out)
        return in;
    return tt_graph_linear(b->graph, in,
                           &(tt_linear_op){.name = tt_layer_join(name, "conv_shortcut").text,
                                           .n_out = n_out,
                                           .extra_input = skip != TT_NONE,
                                           .in2 = skip});
}

tt_value tt_unet_residual_block(tt_unet_builder *b, tt_value in, tt_value skip, uint32_t index)
{
    tt_graph *g = b->graph;
    tt_unet_place place = tt_unet_place_at(b->config, index);
    uint32_t n_out = place.channels, projection = b->next_projection;
    char name[TT_MAX_NAME];
    tt_unet_unit_name(b->config, &(tt_unet_unit){.kind = TT_UNIT_RESIDUAL, .place = index}, name);
    b->next_projection += tt_unet_has_residual(b->stored, index) ? n_out : 0;
    tt_value shortcut = shortcut_of(b, in, skip, n_out, name);
    if (!tt_unet_has_residual(b->config, index))
        return shortcut;
    tt_value time = tt_graph_channels(g, b->time_projections, projection, n_out);
    tt_value h = tt_graph_group_norm(g, in, skip, tt_layer_join(name, "norm1").text, b->config->n_groups,
                                     b->config->norm_eps, true);
    h = tt_graph_conv3x3(
        g, h,
        &(tt_conv_op){
            .name = tt_layer_join(name, "conv1").text, .n_out = n_out, .add_per_image = true, .per_image_bias = time});
    h = tt_graph_group_norm(g, h, TT_NONE, tt_layer_join(name, "norm2").text, b->config->n_groups, b->config->norm_eps,
                            true);
    h = tt_graph_conv3x3(
        g, h,
        &(tt_conv_op){
            .name = tt_layer_join(name, "conv2").text, .n_out = n_out, .add_residual = true, .residual = shortcut});
    return tt_unet_traced(b, h, name, false);
}

/* Heads of an attention layer. */
typedef struct heads {
    uint32_t n, size;
} heads;

/* Self-attention with q, k, v as one stacked layer; x + to_out(attention(norm(x))). Fewer keys: every second row and
 * column of keys and values (ToDo: Smith et al., arXiv 2402.13573); choosing positions behind the projection gives what
 * choosing before it does, and weights stay stacked as they are. */
static tt_value self_attention(tt_unet_builder *b, tt_value x, heads h, bool fewer_keys, const char *block)
{
    tt_graph *g = b->graph;
    uint32_t n = h.n * h.size;
    tt_layer_name q = tt_layer_join(block, "attn1.to_q"), k = tt_layer_join(block, "attn1.to_k"),
                  v = tt_layer_join(block, "attn1.to_v");
    tt_value normed = tt_graph_layer_norm(g, x, tt_layer_join(block, "norm1").text, 1e-5f);
    tt_value qkv = tt_graph_linear(g, normed,
                                   &(tt_linear_op){.names = (const char *const[]){q.text, k.text, v.text},
                                                   .n_outs = (const uint32_t[]){n, n, n},
                                                   .n_names = 3,
                                                   .no_bias = true});
    tt_value kv = tt_graph_channels(g, qkv, n, 2 * n);
    if (fewer_keys)
        kv = tt_graph_every_second(g, kv);
    tt_value a = tt_graph_attention(g, tt_graph_channels(g, qkv, 0, n), tt_graph_channels(g, kv, 0, n),
                                    tt_graph_channels(g, kv, n, n), h.n, false);
    return tt_graph_linear(g, a,
                           &(tt_linear_op){.name = tt_layer_join(block, "attn1.to_out.0").text,
                                           .n_out = tt_graph_shape(g, x).channels,
                                           .add_residual = true,
                                           .residual = x});
}

/* Cross-attention; keys and values depend on the prompt alone and are computed once per prompt. */
static tt_value cross_attention(tt_unet_builder *b, tt_value x, heads h, const char *block)
{
    tt_graph *g = b->graph;
    uint32_t n = h.n * h.size;
    tt_layer_name k = tt_layer_join(block, "attn2.to_k"), v = tt_layer_join(block, "attn2.to_v");
    tt_value normed = tt_graph_layer_norm(g, x, tt_layer_join(block, "norm2").text, 1e-5f);
    tt_value q = tt_graph_linear(
        g, normed, &(tt_linear_op){.name = tt_layer_join(block, "attn2.to_q").text, .n_out = n, .no_bias = true});
    tt_value kv = tt_graph_linear(g, b->context,
                                  &(tt_linear_op){.names = (const char *const[]){k.text, v.text},
                                                  .n_outs = (const uint32_t[]){n, n},
                                                  .n_names = 2,
                                                  .no_bias = true});
    tt_value a = tt_graph_attention(g, q, tt_graph_channels(g, kv, 0, n), tt_graph_channels(g, kv, n, n), h.n, false);
    return tt_graph_linear(g, a,
                           &(tt_linear_op){.name = tt_layer_join(block, "attn2.to_out.0").text,
                                           .n_out = tt_graph_shape(g, x).channels,
                                           .add_residual = true,
                                           .residual = x});
}

static tt_value feed_forward(tt_unet_builder *b, tt_value x, const char *block)
{
    tt_graph *g = b->graph;
    uint32_t n = tt_graph_shape(g, x).channels;
    tt_value normed = tt_graph_layer_norm(g, x, tt_layer_join(block, "norm3").text, 1e-5f);
    tt_value wide = tt_graph_linear(
        g, normed, &(tt_linear_op){.name = tt_layer_join(block, "ff.net.0.proj").text, .n_out = 8 * n, .geglu = true});
    return tt_graph_linear(
        g, wide,
        &(tt_linear_op){
            .name = tt_layer_join(block, "ff.net.2").text, .n_out = n, .add_residual = true, .residual = x});
}

static tt_value transformer_block(tt_unet_builder *b, tt_value x, uint32_t index, uint32_t layer)
{
    tt_unet_place place = tt_unet_place_at(b->config, index);
    const tt_unet_unit unit = {.kind = TT_UNIT_TRANSFORMER, .place = index, .layer = layer};
    uint32_t size = place.channels / place.n_heads;
    char block[TT_MAX_NAME];
    tt_unet_unit_name(b->config, &unit, block);
    x = self_attention(b, x, (heads){tt_unet_heads_left(b->config, index, layer, false), size},
                       tt_unet_is_fine(b->config, index, b->shape->kv_downsample), block);
    x = cross_attention(b, x, (heads){tt_unet_heads_left(b->config, index, layer, true), size}, block);
    return tt_unet_traced(b, feed_forward(b, x, block), block, true);
}

tt_value tt_unet_transformer(tt_unet_builder *b, tt_value in, uint32_t index)
{
    tt_graph *g = b->graph;
    tt_unet_place place = tt_unet_place_at(b->config, index);
    char name[TT_MAX_NAME];
    if (!tt_unet_has_attention(b->config, index))
        return in;
    tt_unet_unit_name(b->config, &(tt_unet_unit){.kind = TT_UNIT_ATTENTION, .place = index}, name);
    /* This norm's epsilon is 1e-6 in all families, whatever norm_eps says. */
    tt_value x =
        tt_graph_group_norm(g, in, TT_NONE, tt_layer_join(name, "norm").text, b->config->n_groups, 1e-6f, false);
    x = tt_graph_linear(g, x, &(tt_linear_op){.name = tt_layer_join(name, "proj_in").text, .n_out = place.channels});
    for (uint32_t i = 0; i < place.n_layers; i++)
        if (tt_unet_has_transformer(b->config, index, i))
            x = transformer_block(b, x, index, i);
    x = tt_graph_linear(g, x,
                        &(tt_linear_op){.name = tt_layer_join(name, "proj_out").text,
                                        .n_out = place.channels,
                                        .add_residual = true,
                                        .residual = in});
    return tt_unet_traced(b, x, name, false);
}
