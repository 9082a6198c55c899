/* vae-tiny.c - AutoencoderTiny (TAESD) as graphs: plain convolutions and small residual blocks with ReLU. */
#include "graph/layer-name.h"
#include "vae/vae-build.h"

/* Layers are numbered through one half; activations and upsampling have numbers too. */
static tt_layer_name layer_name(const char *half, uint32_t index, const char *part)
{
    tt_layer_name layer = tt_layer_index(tt_layer_join(half, "layers").text, index);
    return part ? tt_layer_join(layer.text, part) : layer;
}

/* relu(conv(relu(conv(relu(conv(x))))) + x) */
static tt_value tiny_block(tt_graph *g, tt_value x, const char *half, uint32_t index)
{
    uint32_t n = tt_graph_shape(g, x).channels;
    tt_value h = tt_graph_conv3x3(
        g, x, &(tt_conv_op){.name = layer_name(half, index, "conv.0").text, .n_out = n, .activation = TT_ACT_RELU});
    h = tt_graph_conv3x3(
        g, h, &(tt_conv_op){.name = layer_name(half, index, "conv.2").text, .n_out = n, .activation = TT_ACT_RELU});
    return tt_graph_conv3x3(g, h,
                            &(tt_conv_op){.name = layer_name(half, index, "conv.4").text,
                                          .n_out = n,
                                          .add_residual = true,
                                          .residual = x,
                                          .activation = TT_ACT_RELU});
}

void tt_vae_build_tiny_decoder(tt_graph *g, const tt_vae_config *c, uint32_t height, uint32_t width)
{
    uint32_t layer = 2; /* conv_in and its activation */
    tt_value x = tt_graph_input(g, "latent", false, 1, c->latent_channels, height, width);
    x = tt_graph_elementwise(g, x, TT_NONE, 1.0f, 0.0f, 0.0f, TT_ACT_TANH3);
    x = tt_graph_conv3x3(
        g, x, &(tt_conv_op){.name = "decoder.layers.0", .n_out = c->decoder_channels[0], .activation = TT_ACT_RELU});
    for (uint32_t i = 0; i < c->n_decoder_blocks; i++) {
        bool is_last = i + 1 == c->n_decoder_blocks;
        for (uint32_t j = 0; j < c->decoder_layers[i]; j++)
            x = tiny_block(g, x, "decoder", layer++);
        if (!is_last)
            layer++; /* the upsampling, folded into the convolution */
        x = tt_graph_conv3x3(g, x,
                             &(tt_conv_op){.name = layer_name("decoder", layer++, NULL).text,
                                           .n_out = is_last ? 3 : c->decoder_channels[i],
                                           .mode = is_last ? TT_CONV_SAME : TT_CONV_UP,
                                           .no_bias = !is_last});
    }
    tt_graph_output(g, x, "image", false);
}

void tt_vae_build_tiny_encoder(tt_graph *g, const tt_vae_config *c, uint32_t height, uint32_t width)
{
    uint32_t layer = 0;
    tt_value x = tt_graph_input(g, "image", false, 1, 3, height, width);
    for (uint32_t i = 0; i < c->n_encoder_blocks; i++) {
        x = tt_graph_conv3x3(g, x,
                             &(tt_conv_op){.name = layer_name("encoder", layer++, NULL).text,
                                           .n_out = c->encoder_channels[i],
                                           .mode = i == 0 ? TT_CONV_SAME : TT_CONV_DOWN,
                                           .no_bias = i != 0});
        for (uint32_t j = 0; j < c->encoder_layers[i]; j++)
            x = tiny_block(g, x, "encoder", layer++);
    }
    x = tt_graph_conv3x3(g, x,
                         &(tt_conv_op){.name = layer_name("encoder", layer, NULL).text, .n_out = c->latent_channels});
    tt_graph_output(g, x, "latent", false);
}
