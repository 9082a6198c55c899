/* vae-names.c - names of VAE tensors in other layouts, and architectures from tensors. */
#include "model-file/rename.h"
#include "vae/vae.h"

#include <stdio.h>
#include <string.h>

static const tt_rename attention_names[] = {
    {"group_norm.", "norm."}, {"to_q.", "q."}, {"to_k.", "k."}, {"to_v.", "v."}, {"to_out.0.", "proj_out."},
};

static const tt_rename old_attention_names[] = {
    {"to_q.", "query."},
    {"to_k.", "key."},
    {"to_v.", "value."},
    {"to_out.0.", "proj_attn."},
};

static const tt_rename resnet_names[] = {{"conv_shortcut.", "nin_shortcut."}};

enum {
    N_ATTENTION_NAMES = sizeof attention_names / sizeof *attention_names,
    N_OLD_ATTENTION_NAMES = sizeof old_attention_names / sizeof *old_attention_names
};

/* Renames what the table knows and keeps the rest. */
static bool rename_or_keep(const tt_rename *table, size_t n, const char *stem, const char *tail, tt_tensor_place *place)
{
    return tt_rename_begin(table, n, stem, tail, place) || tt_rename_keep(stem, tail, place);
}

/* Tail of a residual block: only the shortcut is named differently. */
static bool rename_resnet(const char *stem, const char *tail, tt_tensor_place *place)
{
    return rename_or_keep(resnet_names, 1, stem, tail, place);
}

/* Names after "encoder." or "decoder."; half is that prefix. */
static bool half_name(const tt_vae_config *c, const char *half, const char *rest, tt_tensor_place *place)
{
    unsigned block, part;
    int n = 0;
    char stem[64];
    if (sscanf(rest, "down_blocks.%u.resnets.%u.%n", &block, &part, &n) == 2 && n > 0) {
        snprintf(stem, sizeof stem, "%sdown.%u.block.%u.", half, block, part);
        return rename_resnet(stem, rest + n, place);
    }
    if (sscanf(rest, "down_blocks.%u.downsamplers.0.%n", &block, &n) == 1 && n > 0) {
        snprintf(stem, sizeof stem, "%sdown.%u.downsample.", half, block);
        return tt_rename_keep(stem, rest + n, place);
    }
    if (sscanf(rest, "up_blocks.%u.resnets.%u.%n", &block, &part, &n) == 2 && n > 0 && block < c->n_decoder_blocks) {
        snprintf(stem, sizeof stem, "%sup.%u.block.%u.", half, c->n_decoder_blocks - 1 - block, part);
        return rename_resnet(stem, rest + n, place);
    }
    if (sscanf(rest, "up_blocks.%u.upsamplers.0.%n", &block, &n) == 1 && n > 0 && block < c->n_decoder_blocks) {
        snprintf(stem, sizeof stem, "%sup.%u.upsample.", half, c->n_decoder_blocks - 1 - block);
        return tt_rename_keep(stem, rest + n, place);
    }
    if (sscanf(rest, "mid_block.resnets.%u.%n", &part, &n) == 1 && n > 0) {
        snprintf(stem, sizeof stem, "%smid.block_%u.", half, part + 1);
        return rename_resnet(stem, rest + n, place);
    }
    if (sscanf(rest, "mid_block.attentions.%u.%n", &part, &n) == 1 && n > 0) {
        snprintf(stem, sizeof stem, "%smid.attn_%u.", half, part + 1);
        return rename_or_keep(attention_names, N_ATTENTION_NAMES, stem, rest + n, place);
    }
    if (strncmp(rest, "conv_norm_out.", 14) == 0) {
        snprintf(stem, sizeof stem, "%snorm_out.", half);
        return tt_rename_keep(stem, rest + 14, place);
    }
    return tt_rename_keep(half, rest, place);
}

bool tt_vae_ldm_name(const void *layout, const char *canonical, tt_tensor_place *place)
{
    *place = (tt_tensor_place){.n_slices = 1};
    if (strncmp(canonical, "encoder.", 8) == 0)
        return half_name(layout, "encoder.", canonical + 8, place);
    if (strncmp(canonical, "decoder.", 8) == 0)
        return half_name(layout, "decoder.", canonical + 8, place);
    return tt_rename_keep("", canonical, place);
}

bool tt_vae_old_attention_name(const void *layout, const char *canonical, tt_tensor_place *place)
{
    (void)layout;
    *place = (tt_tensor_place){.n_slices = 1};
    const char *attention = strstr(canonical, ".attentions.0.");
    if (!attention)
        return tt_rename_keep("", canonical, place);
    char stem[TT_MAX_NAME];
    size_t length = (size_t)(attention - canonical) + strlen(".attentions.0.");
    snprintf(stem, sizeof stem, "%.*s", (int)length, canonical);
    return rename_or_keep(old_attention_names, N_OLD_ATTENTION_NAMES, stem, canonical + length, place);
}

bool tt_vae_taesd_name(const void *layout, const char *canonical, tt_tensor_place *place)
{
    bool is_decoder = *(const bool *)layout;
    unsigned layer;
    int n = 0;
    *place = (tt_tensor_place){.n_slices = 1};
    if (sscanf(canonical, is_decoder ? "decoder.layers.%u%n" : "encoder.layers.%u%n", &layer, &n) != 1 || n == 0)
        return false;
    char stem[16];
    /* The original decoder counts its clamp as layer 0. */
    snprintf(stem, sizeof stem, "%u", is_decoder ? layer + 1 : layer);
    return tt_rename_keep(stem, canonical + n, place);
}

/* ---- architectures from tensors */

static bool peek_dims(const tt_weights *weights, const char *name, uint32_t *n_out, uint32_t *n_in)
{
    tt_weight weight;
    if (!tt_weights_peek(weights, name, &weight) || weight.tensor.n_dims < 2 || weight.tensor.dims[0] > UINT32_MAX ||
        weight.tensor.dims[1] > UINT32_MAX)
        return false;
    *n_out = (uint32_t)weight.tensor.dims[0];
    *n_in = (uint32_t)weight.tensor.dims[1];
    return true;
}

tt_status tt_vae_config_derive(const tt_weights *weights, double scaling_factor, tt_vae_config *config, tt_error *err)
{
    uint32_t n_out, n_in;
    char name[TT_MAX_NAME];
    *config = (tt_vae_config){.kind = TT_VAE_KL, .scaling_factor = scaling_factor, .n_groups = 32};
    tt_vae_config *c = config;
    for (c->n_decoder_blocks = 0; c->n_decoder_blocks < TT_VAE_MAX_BLOCKS; c->n_decoder_blocks++) {
        uint32_t i = c->n_decoder_blocks, layers = 0;
        snprintf(name, sizeof name, "decoder.up.%u.block.0.conv2.weight", i);
        if (!peek_dims(weights, name, &c->decoder_channels[i], &n_in))
            break;
        do
            snprintf(name, sizeof name, "decoder.up.%u.block.%u.conv2.weight", i, ++layers);
        while (layers < 16 && peek_dims(weights, name, &n_out, &n_in));
        /* An up block has one residual block more than layers_per_block. */
        c->decoder_layers[i] = c->encoder_layers[i] = layers - 1;
        c->encoder_channels[i] = c->decoder_channels[i];
    }
    if (c->n_decoder_blocks == 0 || c->decoder_layers[0] == 0 ||
        !peek_dims(weights, "decoder.conv_in.weight", &n_out, &c->latent_channels))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "the checkpoint has no first_stage_model.decoder.* of an AutoencoderKL; give a VAE of its own");
    c->n_encoder_blocks = c->n_decoder_blocks;
    c->factor = 1u << (c->n_decoder_blocks - 1);
    c->mid_attention = peek_dims(weights, "decoder.mid.attn_1.q.weight", &n_out, &n_in);
    c->has_quant_conv = peek_dims(weights, "quant_conv.weight", &n_out, &n_in);
    c->has_post_quant_conv = peek_dims(weights, "post_quant_conv.weight", &n_out, &n_in);
    c->has_encoder = peek_dims(weights, "encoder.conv_in.weight", &n_out, &n_in);
    c->has_decoder = true;
    return TT_OK;
}

/* Reads layers 0, 1, ... of one half of an AutoencoderTiny: a layer is a block (conv.0), a plain convolution, or has no
 * tensors (activation, upsampling). */
static tt_status derive_tiny_half(const tt_weights *weights, const char *format, uint32_t shift, bool is_decoder,
                                  tt_vae_config *c, tt_error *err)
{
    uint32_t n_out = 0, n_in = 0, n_blocks = 0, layers = 0, first = 0;
    uint32_t *counts = is_decoder ? c->decoder_layers : c->encoder_layers;
    uint32_t *channels = is_decoder ? c->decoder_channels : c->encoder_channels;
    for (uint32_t i = 0; i < 256 && n_blocks < TT_VAE_MAX_BLOCKS; i++) {
        char stem[64], name[TT_MAX_NAME];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(stem, sizeof stem, format, i + shift); /* a literal of the caller below */
#pragma GCC diagnostic pop
        snprintf(name, sizeof name, "%s.pool.0.weight", stem);
        if (peek_dims(weights, name, &n_out, &n_in))
            return tt_fail(err, TT_ERROR_UNSUPPORTED,
                           "the tiny autoencoder has pooling blocks (%s); TAESD for SD and "
                           "SDXL is supported",
                           name);
        snprintf(name, sizeof name, "%s.conv.0.weight", stem);
        if (peek_dims(weights, name, &n_out, &n_in)) {
            layers++;
            continue;
        }
        snprintf(name, sizeof name, "%s.weight", stem);
        if (!peek_dims(weights, name, &n_out, &n_in))
            continue;
        if (first++ == 0) {
            channels[0] = n_out;
            if (is_decoder)
                c->latent_channels = n_in;
            continue;
        }
        counts[n_blocks] = layers;
        channels[n_blocks++] = channels[0];
        layers = 0;
    }
    if (is_decoder)
        c->n_decoder_blocks = n_blocks;
    else {
        c->n_encoder_blocks = n_blocks;
        c->latent_channels = n_out;
    }
    if (n_blocks == 0 || channels[0] == 0 || channels[0] % 4 != 0 || channels[0] > 4096)
        return tt_fail(err, TT_ERROR_FORMAT, "the tensors are not those of a tiny autoencoder's %s",
                       is_decoder ? "decoder" : "encoder");
    return TT_OK;
}

tt_status tt_vae_tiny_derive(const tt_weights *weights, bool original, bool is_decoder, tt_vae_config *config,
                             tt_error *err)
{
    uint32_t n_out, n_in;
    tt_status status = TT_OK;
    *config = (tt_vae_config){.kind = TT_VAE_TINY, .scaling_factor = 1.0};
    config->has_decoder = original ? is_decoder : peek_dims(weights, "decoder.layers.0.weight", &n_out, &n_in);
    config->has_encoder = original ? !is_decoder : peek_dims(weights, "encoder.layers.0.weight", &n_out, &n_in);
    if (config->has_encoder)
        status = derive_tiny_half(weights, original ? "%u" : "encoder.layers.%u", 0, false, config, err);
    if (status == TT_OK && config->has_decoder)
        status = derive_tiny_half(weights, original ? "%u" : "decoder.layers.%u", original ? 1 : 0, true, config, err);
    uint32_t n = config->has_decoder ? config->n_decoder_blocks : config->n_encoder_blocks;
    if (status == TT_OK && config->has_encoder && config->has_decoder && config->n_encoder_blocks != n)
        status = tt_fail(err, TT_ERROR_FORMAT, "the tiny autoencoder's halves have %u and %u blocks",
                         config->n_encoder_blocks, n);
    if (status == TT_OK && n == 0)
        status = tt_fail(err, TT_ERROR_FORMAT, "the file holds neither half of a tiny autoencoder");
    config->factor = n ? 1u << (n - 1) : 1;
    return status;
}
