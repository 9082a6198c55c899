/* vae-config.c - architectures of AutoencoderKL and AutoencoderTiny from diffusers' config.json. */
#include "base/json.h"
#include "vae/vae.h"

#include <stdio.h>
#include <string.h>

static tt_status read_kl_fields(const json_t *root, const char *what, tt_vae_config *c, tt_error *err)
{
    uint32_t layers = 1;
    tt_status status = tt_json_get_u32_list(root, "block_out_channels", 4, 16384, c->decoder_channels,
                                            TT_VAE_MAX_BLOCKS, &c->n_decoder_blocks, err);
    if (status == TT_OK && c->n_decoder_blocks == 0)
        status =
            tt_fail(err, TT_ERROR_FORMAT, "%s: \"block_out_channels\" is missing; is it the config of a VAE?", what);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "layers_per_block", 1, 8, &layers, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "norm_num_groups", 1, 1024, &c->n_groups, err);
    if (status == TT_OK)
        status = tt_json_get_bool(root, "mid_block_add_attention", &c->mid_attention, err);
    if (status == TT_OK)
        status = tt_json_get_bool(root, "use_quant_conv", &c->has_quant_conv, err);
    if (status == TT_OK)
        status = tt_json_get_bool(root, "use_post_quant_conv", &c->has_post_quant_conv, err);
    c->n_encoder_blocks = c->n_decoder_blocks;
    for (uint32_t i = 0; i < c->n_decoder_blocks; i++) {
        c->encoder_channels[i] = c->decoder_channels[i];
        c->encoder_layers[i] = layers;
        c->decoder_layers[i] = layers;
    }
    return status;
}

static tt_status check_kl(const tt_vae_config *c, const char *what, tt_error *err)
{
    for (uint32_t i = 0; i < c->n_decoder_blocks; i++)
        if (c->decoder_channels[i] % 4 != 0 || c->decoder_channels[i] % c->n_groups != 0)
            return tt_fail(err, TT_ERROR_UNSUPPORTED,
                           "%s: block %u has %u channels; they must be a multiple of 4 and of norm_num_groups %u", what,
                           i, c->decoder_channels[i], c->n_groups);
    return TT_OK;
}

static tt_status read_tiny_half(const json_t *root, const char *channels, const char *blocks, const char *what,
                                uint32_t *out_channels, uint32_t *out_blocks, uint32_t *n, tt_error *err)
{
    uint32_t n_blocks = *n;
    tt_status status = tt_json_get_u32_list(root, channels, 4, 4096, out_channels, TT_VAE_MAX_BLOCKS, n, err);
    if (status == TT_OK)
        status = tt_json_get_u32_list(root, blocks, 0, 64, out_blocks, TT_VAE_MAX_BLOCKS, &n_blocks, err);
    if (status == TT_OK && *n != n_blocks)
        status = tt_fail(err, TT_ERROR_FORMAT, "%s: \"%s\" and \"%s\" must be lists of the same length", what, channels,
                         blocks);
    for (uint32_t i = 0; status == TT_OK && i < *n; i++)
        if (out_channels[i] % 4 != 0 || out_channels[i] != out_channels[0])
            status =
                tt_fail(err, TT_ERROR_UNSUPPORTED,
                        "%s: \"%s\" must hold one multiple of 4 for all blocks, as every TAESD does", what, channels);
    return status;
}

static tt_status read_tiny_fields(const json_t *root, const char *what, tt_vae_config *c, tt_error *err)
{
    const char *act = "relu", *upsample = "nearest";
    uint32_t factor = 2;
    tt_status status = tt_json_get_text(root, "act_fn", &act, err);
    if (status == TT_OK)
        status = tt_json_get_text(root, "upsample_fn", &upsample, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "upsampling_scaling_factor", 1, 16, &factor, err);
    if (status == TT_OK && (strcmp(act, "relu") != 0 || strcmp(upsample, "nearest") != 0 || factor != 2))
        status =
            tt_fail(err, TT_ERROR_UNSUPPORTED,
                    "%s: this AutoencoderTiny has act_fn %s, upsample_fn %s, factor %u; relu, nearest and 2 are known",
                    what, act, upsample, factor);
    if (status == TT_OK)
        status = read_tiny_half(root, "encoder_block_out_channels", "num_encoder_blocks", what, c->encoder_channels,
                                c->encoder_layers, &c->n_encoder_blocks, err);
    if (status == TT_OK)
        status = read_tiny_half(root, "decoder_block_out_channels", "num_decoder_blocks", what, c->decoder_channels,
                                c->decoder_layers, &c->n_decoder_blocks, err);
    if (status == TT_OK && c->n_encoder_blocks != c->n_decoder_blocks)
        status = tt_fail(err, TT_ERROR_UNSUPPORTED,
                         "%s: the encoder has %u blocks and the decoder %u; both halves must change the size alike",
                         what, c->n_encoder_blocks, c->n_decoder_blocks);
    return status;
}

static tt_status read_common(const json_t *root, const char *what, tt_vae_config *c, tt_error *err)
{
    uint32_t in_channels = 3, out_channels = 3;
    tt_status status = tt_json_get_u32(root, "latent_channels", 1, 64, &c->latent_channels, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "in_channels", 1, 64, &in_channels, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "out_channels", 1, 64, &out_channels, err);
    if (status == TT_OK && (in_channels != 3 || out_channels != 3))
        status = tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: this VAE has %u picture channels; RGB is known", what,
                         in_channels == 3 ? out_channels : in_channels);
    if (status == TT_OK)
        status = tt_json_get_f64(root, "scaling_factor", &c->scaling_factor, err);
    if (status == TT_OK)
        status = tt_json_get_f64(root, "shift_factor", &c->shift_factor, err);
    if (status == TT_OK && !(c->scaling_factor > 1e-6 && c->scaling_factor < 1e6))
        status = tt_fail(err, TT_ERROR_FORMAT, "%s: \"scaling_factor\" is %g; SD has 0.18215", what, c->scaling_factor);
    if (status == TT_OK && !(c->shift_factor > -1e6 && c->shift_factor < 1e6))
        status = tt_fail(err, TT_ERROR_FORMAT, "%s: \"shift_factor\" is %g; SD has none", what, c->shift_factor);
    return status;
}

/* Decides between the two classes by _class_name, or by the fields that only AutoencoderTiny has. */
static tt_status read_kind(const json_t *root, const char *what, tt_vae_kind *kind, tt_error *err)
{
    const char *name = NULL;
    tt_status status = tt_json_get_text(root, "_class_name", &name, err);
    if (status != TT_OK)
        return status;
    bool looks_tiny = json_object_get(root, "decoder_block_out_channels") != NULL;
    if (!name)
        *kind = looks_tiny ? TT_VAE_TINY : TT_VAE_KL;
    else if (strcmp(name, "AutoencoderKL") == 0)
        *kind = TT_VAE_KL;
    else if (strcmp(name, "AutoencoderTiny") == 0)
        *kind = TT_VAE_TINY;
    else
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "%s: the class %s is not known; AutoencoderKL and AutoencoderTiny are", what, name);
    return TT_OK;
}

static tt_status read_all(const json_t *root, const char *what, tt_vae_config *c, tt_error *err)
{
    tt_status status = read_kind(root, what, &c->kind, err);
    if (status != TT_OK)
        return status;
    if (c->kind == TT_VAE_TINY) {
        c->scaling_factor = 1.0;
        c->n_encoder_blocks = c->n_decoder_blocks = 4;
    }
    status = read_common(root, what, c, err);
    if (status == TT_OK && c->kind == TT_VAE_KL) {
        status = read_kl_fields(root, what, c, err);
        if (status == TT_OK)
            status = check_kl(c, what, err);
    } else if (status == TT_OK)
        status = read_tiny_fields(root, what, c, err);
    c->factor = c->n_decoder_blocks ? 1u << (c->n_decoder_blocks - 1) : 1;
    return status;
}

tt_status tt_vae_config_parse(const char *json, const char *what, tt_vae_config *config, tt_error *err)
{
    json_t *root = NULL;
    tt_status status = tt_json_parse(json, strlen(json), what, &root, err);
    if (status != TT_OK)
        return status;
    *config = (tt_vae_config){.latent_channels = 4,
                              .scaling_factor = 0.18215,
                              .n_groups = 32,
                              .mid_attention = true,
                              .has_quant_conv = true,
                              .has_post_quant_conv = true,
                              .has_encoder = true,
                              .has_decoder = true};
    /* AutoencoderTiny's defaults of diffusers; overwritten by what the config says. */
    for (uint32_t i = 0; i < 4; i++) {
        config->encoder_channels[i] = config->decoder_channels[i] = 64;
        config->encoder_layers[i] = i == 0 ? 1 : 3;
        config->decoder_layers[i] = i == 3 ? 1 : 3;
    }
    status = read_all(root, what, config, err);
    json_decref(root);
    return status;
}
