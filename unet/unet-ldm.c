/* unet-ldm.c - single-file (LDM) checkpoints: names of the UNet's tensors, and its architecture from their shapes. */
#include "model-file/rename.h"
#include "unet/unet-config.h"

#include <stdio.h>
#include <string.h>

static const tt_rename top_names[] = {
    {"time_embedding.linear_1.", "time_embed.0."},
    {"time_embedding.linear_2.", "time_embed.2."},
    {"time_embedding.cond_proj.", "time_embed.cond_proj."},
    {"add_embedding.linear_1.", "label_emb.0.0."},
    {"add_embedding.linear_2.", "label_emb.0.2."},
    {"conv_in.", "input_blocks.0.0."},
    {"conv_norm_out.", "out.0."},
    {"conv_out.", "out.2."},
};

static const tt_rename resnet_names[] = {
    {"norm1.", "in_layers.0."},  {"conv1.", "in_layers.2."},  {"time_emb_proj.", "emb_layers.1."},
    {"norm2.", "out_layers.0."}, {"conv2.", "out_layers.3."}, {"conv_shortcut.", "skip_connection."},
};

/* Name of a part of one LDM block: `rest` is "resnets.J.TAIL" or "attentions.J.TAIL", already without its index. */
static bool rename_part(const char *stem, bool is_resnet, const char *tail, tt_tensor_place *place)
{
    if (is_resnet)
        return tt_rename_begin(resnet_names, sizeof resnet_names / sizeof *resnet_names, stem, tail, place);
    return tt_rename_keep(stem, tail, place);
}

static bool down_name(const tt_unet_config *c, const char *name, tt_tensor_place *place)
{
    unsigned block, part;
    int n = 0;
    char stem[64];
    unsigned step = c->layers_per_block + 1;
    if (sscanf(name, "down_blocks.%u.resnets.%u.%n", &block, &part, &n) == 2 && n > 0) {
        snprintf(stem, sizeof stem, "input_blocks.%u.0.", 1 + block * step + part);
        return rename_part(stem, true, name + n, place);
    }
    if (sscanf(name, "down_blocks.%u.attentions.%u.%n", &block, &part, &n) == 2 && n > 0) {
        snprintf(stem, sizeof stem, "input_blocks.%u.1.", 1 + block * step + part);
        return rename_part(stem, false, name + n, place);
    }
    if (sscanf(name, "down_blocks.%u.downsamplers.0.conv.%n", &block, &n) == 1 && n > 0) {
        snprintf(stem, sizeof stem, "input_blocks.%u.0.op.", 1 + block * step + c->layers_per_block);
        return rename_part(stem, false, name + n, place);
    }
    return false;
}

static bool up_name(const tt_unet_config *c, const char *name, tt_tensor_place *place)
{
    unsigned block, part;
    int n = 0;
    char stem[64];
    unsigned step = c->layers_per_block + 1;
    if (sscanf(name, "up_blocks.%u.resnets.%u.%n", &block, &part, &n) == 2 && n > 0) {
        snprintf(stem, sizeof stem, "output_blocks.%u.0.", block * step + part);
        return rename_part(stem, true, name + n, place);
    }
    if (sscanf(name, "up_blocks.%u.attentions.%u.%n", &block, &part, &n) == 2 && n > 0) {
        snprintf(stem, sizeof stem, "output_blocks.%u.1.", block * step + part);
        return rename_part(stem, false, name + n, place);
    }
    if (sscanf(name, "up_blocks.%u.upsamplers.0.conv.%n", &block, &n) == 1 && n > 0 && block < c->n_blocks) {
        snprintf(stem, sizeof stem, "output_blocks.%u.%u.conv.", block * step + c->layers_per_block,
                 c->up_attention[block] ? 2u : 1u);
        return rename_part(stem, false, name + n, place);
    }
    return false;
}

static bool mid_name(const char *name, tt_tensor_place *place)
{
    unsigned part;
    int n = 0;
    if (sscanf(name, "mid_block.resnets.%u.%n", &part, &n) == 1 && n > 0)
        return rename_part(part == 0 ? "middle_block.0." : "middle_block.2.", true, name + n, place);
    if (sscanf(name, "mid_block.attentions.%u.%n", &part, &n) == 1 && n > 0)
        return rename_part("middle_block.1.", false, name + n, place);
    return false;
}

bool tt_unet_ldm_name(const void *layout, const char *canonical, tt_tensor_place *place)
{
    const tt_unet_config *c = layout;
    *place = (tt_tensor_place){.n_slices = 1};
    if (strncmp(canonical, "down_blocks.", 12) == 0)
        return down_name(c, canonical, place);
    if (strncmp(canonical, "up_blocks.", 10) == 0)
        return up_name(c, canonical, place);
    if (strncmp(canonical, "mid_block.", 10) == 0)
        return mid_name(canonical, place);
    return tt_rename_begin(top_names, sizeof top_names / sizeof *top_names, "", canonical, place);
}

/* ---- architecture */

static bool peek(const tt_weights *weights, uint64_t *dims, uint32_t *n_dims, const char *format, unsigned a,
                 unsigned b)
{
    char name[TT_MAX_NAME];
    tt_weight weight;
    /* The formats are the literals of this file. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(name, sizeof name, format, a, b);
#pragma GCC diagnostic pop
    if (!tt_weights_peek(weights, name, &weight))
        return false;
    for (uint32_t i = 0; i < TT_MAX_DIMS; i++) {
        dims[i] = i < weight.tensor.n_dims ? weight.tensor.dims[i] : 1;
        dims[i] = dims[i] < UINT32_MAX ? dims[i] : UINT32_MAX; /* beyond any limit either way */
    }
    *n_dims = weight.tensor.n_dims;
    return true;
}

/* Number of transformer blocks in the attention of input block i, 0 when it has none. */
static uint32_t transformer_depth(const tt_weights *weights, unsigned i)
{
    uint64_t dims[TT_MAX_DIMS];
    uint32_t n_dims, depth = 0;
    while (depth < 64 && peek(weights, dims, &n_dims, "input_blocks.%u.1.transformer_blocks.%u.norm1.weight", i, depth))
        depth++;
    return depth;
}

/* Walks the input blocks: one level of residual blocks after the other, divided by downsampling convolutions. */
static tt_status walk_input_blocks(const tt_weights *weights, tt_unet_config *c, tt_error *err)
{
    uint64_t dims[TT_MAX_DIMS];
    uint32_t n_dims, layers = 0;
    c->n_blocks = 1;
    for (unsigned i = 1; i < 64; i++) {
        uint32_t level = c->n_blocks - 1;
        if (peek(weights, dims, &n_dims, "input_blocks.%u.0.op.weight", i, 0)) {
            if (c->n_blocks == TT_UNET_MAX_BLOCKS)
                break;
            c->n_blocks++;
            layers = 0;
        } else if (peek(weights, dims, &n_dims, "input_blocks.%u.0.out_layers.3.weight", i, 0)) {
            c->channels[level] = (uint32_t)dims[0];
            uint32_t depth = transformer_depth(weights, i);
            c->down_attention[level] = depth > 0;
            c->transformer_layers[level] = depth ? depth : 1;
            layers++;
            if (level == 0)
                c->layers_per_block = layers;
        } else
            break;
    }
    if (c->layers_per_block == 0 || c->channels[c->n_blocks - 1] == 0)
        return tt_fail(
            err, TT_ERROR_FORMAT,
            "the checkpoint's model.diffusion_model.input_blocks.* are not those of a Stable Diffusion UNet");
    return TT_OK;
}

/* Attention of the up blocks, cross-attention width and kind of projection. */
static void look_at_attention(const tt_weights *weights, tt_unet_config *c)
{
    uint64_t dims[TT_MAX_DIMS];
    uint32_t n_dims, step = c->layers_per_block + 1;
    for (uint32_t i = 0; i < c->n_blocks; i++)
        c->up_attention[i] = peek(weights, dims, &n_dims, "output_blocks.%u.1.proj_in.weight", i * step, 0);
    for (unsigned i = 1; i < 64; i++) {
        if (peek(weights, dims, &n_dims, "input_blocks.%u.1.transformer_blocks.0.attn2.to_k.weight", i, 0))
            c->cross_attention_dim = (uint32_t)dims[1];
        if (peek(weights, dims, &n_dims, "input_blocks.%u.1.proj_in.weight", i, 0))
            c->linear_projection = n_dims == 2;
    }
    c->has_mid = peek(weights, dims, &n_dims, "middle_block.0.in_layers.0.weight", 0, 0);
    /* SDXL's last block has attention in the mid block of the same depth. */
    uint32_t depth = 0;
    while (depth < 64 && peek(weights, dims, &n_dims, "middle_block.1.transformer_blocks.%u.norm1.weight", depth, 0))
        depth++;
    if (depth > 0)
        c->transformer_layers[c->n_blocks - 1] = depth;
}

static void look_at_embeddings(const tt_weights *weights, tt_unet_config *c)
{
    uint64_t dims[TT_MAX_DIMS];
    uint32_t n_dims;
    if (peek(weights, dims, &n_dims, "input_blocks.0.0.weight", 0, 0))
        c->in_channels = (uint32_t)dims[1];
    if (peek(weights, dims, &n_dims, "out.2.weight", 0, 0))
        c->out_channels = (uint32_t)dims[0];
    if (peek(weights, dims, &n_dims, "time_embed.cond_proj.weight", 0, 0))
        c->time_cond_dim = (uint32_t)dims[1];
    if (peek(weights, dims, &n_dims, "label_emb.0.0.weight", 0, 0))
        c->addition_input_dim = (uint32_t)dims[1];
}

tt_status tt_unet_config_derive(const tt_weights *weights, uint32_t pooled_dim, tt_unet_config *config, tt_error *err)
{
    *config = (tt_unet_config){.n_groups = 32, .norm_eps = 1e-5f, .flip_sin_to_cos = true};
    tt_status status = walk_input_blocks(weights, config, err);
    if (status != TT_OK)
        return status;
    look_at_attention(weights, config);
    look_at_embeddings(weights, config);
    /* SDXL base: the pooled text embedding and six time ids, each as addition_time_dim sinusoids. */
    uint32_t inputs = config->addition_input_dim;
    if (inputs > 0 && (pooled_dim == 0 || inputs <= pooled_dim || (inputs - pooled_dim) % 6 != 0))
        return tt_fail(
            err, TT_ERROR_UNSUPPORTED,
            "the checkpoint's label_emb takes %u inputs where SDXL base takes the pooled text (%u) and six time "
            "ids; refiner and other variants are not supported",
            inputs, pooled_dim);
    if (inputs > 0)
        config->addition_time_dim = (inputs - pooled_dim) / 6;
    for (uint32_t i = 0; i < config->n_blocks; i++) {
        uint32_t by_size = config->channels[i] >= 64 ? config->channels[i] / 64 : 1;
        config->n_heads[i] = config->linear_projection ? by_size : 8;
    }
    if (config->cross_attention_dim == 0)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "the checkpoint's UNet has no cross-attention; it is no text-to-image model");
    return tt_unet_config_check(config, "the checkpoint's UNet", err);
}
