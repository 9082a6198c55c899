/* config-write.c - architectures as the JSON that diffusers and transformers keep them in. */
#include "pipeline/config-write.h"
#include "base/text.h"
#include "unet/unet-removed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest decimal text that reads back as this number; with a float's digits where it came from a float. */
static void add_number(tt_text *text, double value, bool is_float)
{
    char digits[40];
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        double back = strtod(digits, NULL);
        if (is_float ? (float)back == (float)value : !(back < value || back > value))
            break;
    }
    tt_text_add_string(text, digits);
    if (!strpbrk(digits, ".e"))
        tt_text_add_string(text, ".0");
}

static void add_key(tt_text *text, const char *key)
{
    tt_text_format(text, "%s\n  \"%s\": ", text->n_bytes > 1 ? "," : "", key);
}

static void add_u32(tt_text *text, const char *key, uint32_t value)
{
    add_key(text, key);
    tt_text_format(text, "%u", value);
}

static void add_bool(tt_text *text, const char *key, bool value)
{
    add_key(text, key);
    tt_text_add_string(text, value ? "true" : "false");
}

/* The text is one of this file's own: nothing in it needs escaping. */
static void add_word(tt_text *text, const char *key, const char *value)
{
    add_key(text, key);
    if (value)
        tt_text_format(text, "\"%s\"", value);
    else
        tt_text_add_string(text, "null");
}

static void add_f64(tt_text *text, const char *key, double value, bool is_float)
{
    add_key(text, key);
    add_number(text, value, is_float);
}

static void add_list(tt_text *text, const char *key, const uint32_t *values, uint32_t n)
{
    add_key(text, key);
    for (uint32_t i = 0; i < n; i++)
        tt_text_format(text, "%s%u", i ? ", " : "[", values[i]);
    tt_text_add_string(text, "]");
}

/* A list of n words: `with` where the flag is set, else `without`; flags may be NULL (all set). */
static void add_words(tt_text *text, const char *key, uint32_t n, const bool *flags, const char *with,
                      const char *without)
{
    add_key(text, key);
    for (uint32_t i = 0; i < n; i++)
        tt_text_format(text, "%s\"%s\"", i ? ", " : "[", !flags || flags[i] ? with : without);
    tt_text_add_string(text, "]");
}

/* Ends the object and hands its text out. */
static tt_status finish(tt_text *text, char **json, tt_error *err)
{
    tt_text_add_string(text, "\n}\n");
    tt_status status = tt_text_status(text, err);
    if (status != TT_OK)
        tt_text_free(text);
    *json = status == TT_OK ? text->bytes : NULL;
    return status;
}

static void add_name(tt_text *text, const tt_unet_config *c, const tt_unet_unit *unit, uint32_t *n)
{
    char name[TT_MAX_NAME];
    tt_unet_unit_name(c, unit, name);
    tt_text_format(text, "%s\"%s\"", (*n)++ ? ", " : "[", name);
}

/* Whole attention modules by their own name, else transformer blocks one by one. */
static void add_removed_transformers(tt_text *text, const tt_unet_config *c, uint32_t place, uint32_t *n)
{
    uint32_t n_layers = tt_unet_place_at(c, place).n_layers;
    if (n_layers > 0 && !tt_unet_has_attention(c, place)) {
        add_name(text, c, &(tt_unet_unit){.kind = TT_UNIT_ATTENTION, .place = place}, n);
        return;
    }
    for (uint32_t i = 0; i < n_layers; i++)
        if (!tt_unet_has_transformer(c, place, i))
            add_name(text, c, &(tt_unet_unit){.kind = TT_UNIT_TRANSFORMER, .place = place, .layer = i}, n);
}

static void add_removed(tt_text *text, const tt_unet_config *c)
{
    uint32_t n = 0, n_places = tt_unet_n_places(c);
    add_key(text, "removed_blocks");
    for (uint32_t i = 0; i < n_places; i++) {
        if (!tt_unet_has_residual(c, i))
            add_name(text, c, &(tt_unet_unit){.kind = TT_UNIT_RESIDUAL, .place = i}, &n);
        add_removed_transformers(text, c, i, &n);
    }
    tt_text_add_string(text, n ? "]" : "[]");
}

static void add_head_cuts(tt_text *text, const tt_unet_config *c)
{
    add_key(text, "attention_heads");
    tt_text_add_string(text, "{");
    for (uint32_t i = 0; i < c->removed.n_head_cuts; i++) {
        const tt_unet_head_cut *cut = &c->removed.head_cuts[i];
        char name[TT_MAX_NAME];
        tt_unet_unit_name(c, &(tt_unet_unit){TT_UNIT_HEADS, cut->place, cut->layer, cut->is_cross}, name);
        tt_text_format(text, "%s\"%s\": %u", i ? ", " : "", name, cut->n_kept);
    }
    tt_text_add_string(text, "}");
}

tt_status tt_config_write_unet(const tt_unet_config *c, char **json, tt_error *err)
{
    tt_text text = {0};
    tt_text_add_string(&text, "{");
    add_word(&text, "_class_name", "UNet2DConditionModel");
    add_u32(&text, "in_channels", c->in_channels);
    add_u32(&text, "out_channels", c->out_channels);
    add_list(&text, "block_out_channels", c->channels, c->n_blocks);
    add_words(&text, "down_block_types", c->n_blocks, c->down_attention, "CrossAttnDownBlock2D", "DownBlock2D");
    add_words(&text, "up_block_types", c->n_blocks, c->up_attention, "CrossAttnUpBlock2D", "UpBlock2D");
    add_word(&text, "mid_block_type", c->has_mid ? "UNetMidBlock2DCrossAttn" : NULL);
    add_u32(&text, "layers_per_block", c->layers_per_block);
    add_list(&text, "transformer_layers_per_block", c->transformer_layers, c->n_blocks);
    /* For historical reasons this field holds the number of heads. */
    add_list(&text, "attention_head_dim", c->n_heads, c->n_blocks);
    add_u32(&text, "cross_attention_dim", c->cross_attention_dim);
    add_bool(&text, "use_linear_projection", c->linear_projection);
    add_u32(&text, "norm_num_groups", c->n_groups);
    add_f64(&text, "norm_eps", (double)c->norm_eps, true);
    add_bool(&text, "flip_sin_to_cos", c->flip_sin_to_cos);
    add_f64(&text, "freq_shift", c->freq_shift, false);
    if (c->time_cond_dim > 0)
        add_u32(&text, "time_cond_proj_dim", c->time_cond_dim);
    if (c->addition_input_dim > 0) {
        add_word(&text, "addition_embed_type", "text_time");
        add_u32(&text, "addition_time_embed_dim", c->addition_time_dim);
        add_u32(&text, "projection_class_embeddings_input_dim", c->addition_input_dim);
    }
    if (tt_unet_is_pruned(c))
        add_removed(&text, c);
    if (c->removed.n_head_cuts > 0)
        add_head_cuts(&text, c);
    return finish(&text, json, err);
}

static void add_kl(tt_text *text, const tt_vae_config *c)
{
    uint32_t n = c->n_decoder_blocks;
    add_list(text, "block_out_channels", c->decoder_channels, n);
    add_words(text, "down_block_types", n, NULL, "DownEncoderBlock2D", "");
    add_words(text, "up_block_types", n, NULL, "UpDecoderBlock2D", "");
    add_u32(text, "layers_per_block", c->decoder_layers[0]);
    add_u32(text, "norm_num_groups", c->n_groups);
    add_bool(text, "mid_block_add_attention", c->mid_attention);
    add_bool(text, "use_quant_conv", c->has_quant_conv);
    add_bool(text, "use_post_quant_conv", c->has_post_quant_conv);
}

static void add_tiny(tt_text *text, const tt_vae_config *c)
{
    bool from_decoder = c->n_encoder_blocks == 0, from_encoder = c->n_decoder_blocks == 0;
    uint32_t n = from_decoder ? c->n_decoder_blocks : c->n_encoder_blocks, mirrored[TT_VAE_MAX_BLOCKS] = {0};
    const uint32_t *known = from_decoder ? c->decoder_layers : c->encoder_layers;
    for (uint32_t i = 0; i < n; i++)
        mirrored[i] = known[n - 1 - i];
    add_list(text, "encoder_block_out_channels", from_decoder ? c->decoder_channels : c->encoder_channels, n);
    add_list(text, "num_encoder_blocks", from_decoder ? mirrored : c->encoder_layers, n);
    add_list(text, "decoder_block_out_channels", from_encoder ? c->encoder_channels : c->decoder_channels, n);
    add_list(text, "num_decoder_blocks", from_encoder ? mirrored : c->decoder_layers, n);
    add_word(text, "act_fn", "relu");
    add_word(text, "upsample_fn", "nearest");
    add_u32(text, "upsampling_scaling_factor", 2);
}

tt_status tt_config_write_vae(const tt_vae_config *c, char **json, tt_error *err)
{
    tt_text text = {0};
    bool tiny = c->kind == TT_VAE_TINY;
    tt_text_add_string(&text, "{");
    add_word(&text, "_class_name", tiny ? "AutoencoderTiny" : "AutoencoderKL");
    add_u32(&text, "in_channels", 3);
    add_u32(&text, "out_channels", 3);
    add_u32(&text, "latent_channels", c->latent_channels);
    add_f64(&text, "scaling_factor", c->scaling_factor, false);
    add_f64(&text, "shift_factor", c->shift_factor, false);
    (tiny ? add_tiny : add_kl)(&text, c);
    return finish(&text, json, err);
}

tt_status tt_config_write_clip(const tt_clip_config *c, char **json, tt_error *err)
{
    tt_text text = {0};
    tt_text_add_string(&text, "{");
    add_words(&text, "architectures", 1, NULL, c->projection_dim ? "CLIPTextModelWithProjection" : "CLIPTextModel", "");
    add_word(&text, "model_type", "clip_text_model");
    add_u32(&text, "vocab_size", c->n_vocabulary);
    add_u32(&text, "hidden_size", c->hidden);
    add_u32(&text, "intermediate_size", c->intermediate);
    add_u32(&text, "num_hidden_layers", c->n_layers);
    add_u32(&text, "num_attention_heads", c->n_heads);
    add_u32(&text, "max_position_embeddings", c->n_positions);
    add_word(&text, "hidden_act", c->activation == TT_ACT_QUICK_GELU ? "quick_gelu" : "gelu");
    add_f64(&text, "layer_norm_eps", (double)c->layer_norm_eps, true);
    add_u32(&text, "eos_token_id", (uint32_t)c->eos_id);
    if (c->projection_dim > 0)
        add_u32(&text, "projection_dim", c->projection_dim);
    return finish(&text, json, err);
}

static void add_class(tt_text *text, const char *key, const char *library, const char *name)
{
    add_key(text, key);
    tt_text_format(text, "[\"%s\", \"%s\"]", library, name);
}

static const char *pipeline_class(const tt_model *model)
{
    if (model->unet_config.time_cond_dim > 0)
        return "LatentConsistencyModelPipeline";
    bool inpaint = model->has_unet && model->unet_config.in_channels > model->unet_config.out_channels;
    if (model->family == TT_FAMILY_SDXL)
        return inpaint ? "StableDiffusionXLInpaintPipeline" : "StableDiffusionXLPipeline";
    return inpaint ? "StableDiffusionInpaintPipeline" : "StableDiffusionPipeline";
}

tt_status tt_config_write_index(const tt_model *model, char **json, tt_error *err)
{
    static const char *const roles[] = {"text_encoder", "text_encoder_2"};
    static const char *const tokenizers[] = {"tokenizer", "tokenizer_2"};
    tt_text text = {0};
    tt_text_add_string(&text, "{");
    add_word(&text, "_class_name", pipeline_class(model));
    add_bool(&text, "force_zeros_for_empty_prompt", model->force_zeros);
    if (model->scheduler)
        add_class(&text, "scheduler", "diffusers", tt_scheduler_config_class(model->scheduler));
    for (int i = 0; i < TT_MAX_CLIPS; i++) {
        if (!model->text[i].present)
            continue;
        add_class(&text, roles[i], "transformers",
                  model->text[i].config.projection_dim ? "CLIPTextModelWithProjection" : "CLIPTextModel");
        add_class(&text, tokenizers[i], "transformers", "CLIPTokenizer");
    }
    if (model->has_unet)
        add_class(&text, "unet", "diffusers", "UNet2DConditionModel");
    if (model->has_vae)
        add_class(&text, "vae", "diffusers",
                  model->vae_config.kind == TT_VAE_TINY ? "AutoencoderTiny" : "AutoencoderKL");
    return finish(&text, json, err);
}
