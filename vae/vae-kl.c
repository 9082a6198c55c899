/* vae-kl.c - AutoencoderKL as graphs. All its norms have epsilon 1e-6.
 *
 * Layers that no residual goes around are not multiplied in int8: their rounding would reach the picture undamped. */
#include "graph/layer-name.h"
#include "vae/vae-build.h"

#include <stdio.h>

static const float norm_eps = 1e-6f;

static tt_value residual_block(tt_graph *g, const tt_vae_config *c, tt_value in, uint32_t n_out, const char *name)
{
    tt_value shortcut = in;
    if (tt_graph_shape(g, in).channels != n_out)
        shortcut =
            tt_graph_linear(g, in, &(tt_linear_op){.name = tt_layer_join(name, "conv_shortcut").text, .n_out = n_out});
    tt_value h = tt_graph_group_norm(g, in, TT_NONE, tt_layer_join(name, "norm1").text, c->n_groups, norm_eps, true);
    h = tt_graph_conv3x3(g, h, &(tt_conv_op){.name = tt_layer_join(name, "conv1").text, .n_out = n_out});
    h = tt_graph_group_norm(g, h, TT_NONE, tt_layer_join(name, "norm2").text, c->n_groups, norm_eps, true);
    return tt_graph_conv3x3(
        g, h,
        &(tt_conv_op){
            .name = tt_layer_join(name, "conv2").text, .n_out = n_out, .add_residual = true, .residual = shortcut});
}

/* Single-head attention over all positions. */
static tt_value attention_block(tt_graph *g, const tt_vae_config *c, tt_value in, const char *name)
{
    uint32_t n = tt_graph_shape(g, in).channels;
    tt_layer_name q = tt_layer_join(name, "to_q"), k = tt_layer_join(name, "to_k"), v = tt_layer_join(name, "to_v");
    tt_value h =
        tt_graph_group_norm(g, in, TT_NONE, tt_layer_join(name, "group_norm").text, c->n_groups, norm_eps, false);
    tt_value qkv = tt_graph_linear(g, h,
                                   &(tt_linear_op){.names = (const char *const[]){q.text, k.text, v.text},
                                                   .n_outs = (const uint32_t[]){n, n, n},
                                                   .n_names = 3});
    h = tt_graph_attention(g, tt_graph_channels(g, qkv, 0, n), tt_graph_channels(g, qkv, n, n),
                           tt_graph_channels(g, qkv, 2 * n, n), 1, false);
    return tt_graph_linear(
        g, h,
        &(tt_linear_op){
            .name = tt_layer_join(name, "to_out.0").text, .n_out = n, .add_residual = true, .residual = in});
}

static tt_value mid_block(tt_graph *g, const tt_vae_config *c, tt_value x, const char *half)
{
    uint32_t n = tt_graph_shape(g, x).channels;
    x = residual_block(g, c, x, n, tt_layer_join(half, "mid_block.resnets.0").text);
    if (c->mid_attention)
        x = attention_block(g, c, x, tt_layer_join(half, "mid_block.attentions.0").text);
    return residual_block(g, c, x, n, tt_layer_join(half, "mid_block.resnets.1").text);
}

void tt_vae_build_kl_decoder(tt_graph *g, const tt_vae_config *c, uint32_t height, uint32_t width)
{
    char name[TT_MAX_NAME];
    uint32_t last = c->n_decoder_blocks - 1;
    tt_value x = tt_graph_input(g, "latent", false, 1, c->latent_channels, height, width);
    if (c->has_post_quant_conv)
        x = tt_graph_linear(g, x, &(tt_linear_op){.name = "post_quant_conv", .n_out = c->latent_channels});
    x = tt_graph_conv3x3(g, x, &(tt_conv_op){.name = "decoder.conv_in", .n_out = c->decoder_channels[last]});
    x = mid_block(g, c, x, "decoder");
    for (uint32_t i = 0; i <= last; i++) {
        uint32_t n = c->decoder_channels[last - i];
        for (uint32_t j = 0; j <= c->decoder_layers[i]; j++) {
            snprintf(name, sizeof name, "decoder.up_blocks.%u.resnets.%u", i, j);
            x = residual_block(g, c, x, n, name);
        }
        snprintf(name, sizeof name, "decoder.up_blocks.%u.upsamplers.0.conv", i);
        if (i < last)
            x = tt_graph_conv3x3(g, x, &(tt_conv_op){.name = name, .n_out = n, .mode = TT_CONV_UP, .keep_half = true});
    }
    x = tt_graph_group_norm(g, x, TT_NONE, "decoder.conv_norm_out", c->n_groups, norm_eps, true);
    x = tt_graph_conv3x3(g, x, &(tt_conv_op){.name = "decoder.conv_out", .n_out = 3, .keep_half = true});
    tt_graph_output(g, x, "image", false);
}

void tt_vae_build_kl_encoder(tt_graph *g, const tt_vae_config *c, uint32_t height, uint32_t width)
{
    char name[TT_MAX_NAME];
    uint32_t last = c->n_encoder_blocks - 1;
    tt_value x = tt_graph_input(g, "image", false, 1, 3, height, width);
    x = tt_graph_conv3x3(g, x, &(tt_conv_op){.name = "encoder.conv_in", .n_out = c->encoder_channels[0]});
    for (uint32_t i = 0; i <= last; i++) {
        for (uint32_t j = 0; j < c->encoder_layers[i]; j++) {
            snprintf(name, sizeof name, "encoder.down_blocks.%u.resnets.%u", i, j);
            x = residual_block(g, c, x, c->encoder_channels[i], name);
        }
        snprintf(name, sizeof name, "encoder.down_blocks.%u.downsamplers.0.conv", i);
        if (i < last)
            x = tt_graph_conv3x3(
                g, x, &(tt_conv_op){.name = name, .n_out = c->encoder_channels[i], .mode = TT_CONV_DOWN_ASYM});
    }
    x = mid_block(g, c, x, "encoder");
    x = tt_graph_group_norm(g, x, TT_NONE, "encoder.conv_norm_out", c->n_groups, norm_eps, true);
    x = tt_graph_conv3x3(g, x, &(tt_conv_op){.name = "encoder.conv_out", .n_out = 2 * c->latent_channels});
    if (c->has_quant_conv)
        x = tt_graph_linear(g, x, &(tt_linear_op){.name = "quant_conv", .n_out = 2 * c->latent_channels});
    tt_graph_output(g, x, "latent", false);
}
