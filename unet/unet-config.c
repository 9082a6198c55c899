/* unet-config.c - reads the architecture of a UNet from diffusers' config.json. */
#include "unet/unet-config.h"
#include "unet/unet-removed.h"

#include <stdio.h>
#include <string.h>

/* Fields that make another architecture when they are neither missing, null, false, nor the value given here. */
typedef struct tt_plain_field {
    const char *key;
    const char *text; /* the only accepted text, NULL: must be null or false */
} tt_plain_field;

static const tt_plain_field plain_fields[] = {
    {"class_embed_type", NULL},
    {"num_class_embeds", NULL},
    {"encoder_hid_dim_type", NULL},
    {"encoder_hid_dim", NULL},
    {"dual_cross_attention", NULL},
    {"cross_attention_norm", NULL},
    {"center_input_sample", NULL},
    {"resnet_skip_time_act", NULL},
    {"timestep_post_act", NULL},
    {"time_embedding_act_fn", NULL},
    {"only_cross_attention", NULL},
    {"mid_block_only_cross_attention", NULL},
    {"class_embeddings_concat", NULL},
    {"reverse_transformer_layers_per_block", NULL},
    {"time_embedding_type", "positional"},
    {"resnet_time_scale_shift", "default"},
    {"attention_type", "default"},
    {"act_fn", "silu"},
};

/* Numbers that every Stable Diffusion UNet leaves at these values. */
typedef struct tt_fixed_number {
    const char *key;
    double value;
} tt_fixed_number;

static const tt_fixed_number fixed_numbers[] = {
    {"downsample_padding", 1}, {"mid_block_scale_factor", 1}, {"resnet_out_scale_factor", 1},
    {"conv_in_kernel", 3},     {"conv_out_kernel", 3},
};

static tt_status check_fixed_numbers(const json_t *root, const char *what, tt_error *err)
{
    for (size_t i = 0; i < sizeof fixed_numbers / sizeof *fixed_numbers; i++) {
        double value = fixed_numbers[i].value;
        tt_status status = tt_json_get_f64(root, fixed_numbers[i].key, &value, err);
        if (status == TT_OK && value != fixed_numbers[i].value)
            status = tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: \"%s\" is %g; this version runs UNets with %g", what,
                             fixed_numbers[i].key, value, fixed_numbers[i].value);
        if (status != TT_OK)
            return status;
    }
    return TT_OK;
}

static tt_status check_plain_fields(const json_t *root, const char *what, tt_error *err)
{
    for (size_t i = 0; i < sizeof plain_fields / sizeof *plain_fields; i++) {
        const tt_plain_field *field = &plain_fields[i];
        const json_t *value = json_object_get(root, field->key);
        if (!value || json_is_null(value) || json_is_false(value))
            continue;
        if (field->text && json_is_string(value) && strcmp(json_string_value(value), field->text) == 0)
            continue;
        return tt_fail(
            err, TT_ERROR_UNSUPPORTED,
            "%s: this UNet sets \"%s\", which no Stable Diffusion 1, 2 or XL model does; this version cannot "
            "run it",
            what, field->key);
    }
    return TT_OK;
}

/* Reads "CrossAttnDownBlock2D"/"DownBlock2D" (or the Up forms) into flags. */
static tt_status read_block_types(const json_t *root, const char *key, const char *with, const char *without,
                                  uint32_t n_blocks, bool *attention, const char *what, tt_error *err)
{
    const json_t *list = json_object_get(root, key);
    if (!json_is_array(list) || json_array_size(list) != n_blocks)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: \"%s\" must list %u blocks, one for each of block_out_channels", what,
                       key, n_blocks);
    for (uint32_t i = 0; i < n_blocks; i++) {
        const char *type = json_string_value(json_array_get(list, i));
        if (type && strcmp(type, with) == 0)
            attention[i] = true;
        else if (type && strcmp(type, without) == 0)
            attention[i] = false;
        else
            return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: \"%s\" holds %s; this version knows %s and %s", what, key,
                           type ? type : "something that is no text", with, without);
    }
    return TT_OK;
}

/* Reads a number for all blocks or a list with one for each. */
static tt_status read_per_block(const json_t *root, const char *key, uint32_t max, uint32_t n_blocks, uint32_t *items,
                                const char *what, tt_error *err)
{
    uint32_t n = 0, values[TT_UNET_MAX_BLOCKS];
    tt_status status = tt_json_get_u32_list(root, key, 1, max, values, TT_UNET_MAX_BLOCKS, &n, err);
    if (status != TT_OK || n == 0)
        return status;
    if (n != 1 && n != n_blocks)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: \"%s\" has %u entries for %u blocks", what, key, n, n_blocks);
    for (uint32_t i = 0; i < n_blocks; i++)
        items[i] = values[n == 1 ? 0 : i];
    return TT_OK;
}

static tt_status read_heads(const json_t *root, const char *what, tt_unet_config *c, tt_error *err)
{
    for (uint32_t i = 0; i < c->n_blocks; i++) {
        c->n_heads[i] = 8;
        c->transformer_layers[i] = 1;
    }
    /* attention_head_dim is, for historical reasons, the number of heads; num_attention_heads wins where it is set. */
    tt_status status = read_per_block(root, "attention_head_dim", 1024, c->n_blocks, c->n_heads, what, err);
    if (status == TT_OK)
        status = read_per_block(root, "num_attention_heads", 1024, c->n_blocks, c->n_heads, what, err);
    if (status == TT_OK)
        status = read_per_block(root, "transformer_layers_per_block", TT_UNET_MAX_LAYERS, c->n_blocks,
                                c->transformer_layers, what, err);
    return status;
}

static tt_status read_mid(const json_t *root, const char *what, tt_unet_config *c, tt_error *err)
{
    const json_t *mid = json_object_get(root, "mid_block_type");
    c->has_mid = !mid || !json_is_null(mid);
    if (mid && c->has_mid && (!json_is_string(mid) || strcmp(json_string_value(mid), "UNetMidBlock2DCrossAttn") != 0))
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "%s: \"mid_block_type\" is not UNetMidBlock2DCrossAttn or null; this version cannot run it",
                       what);
    return TT_OK;
}

static tt_status read_addition(const json_t *root, const char *what, tt_unet_config *c, tt_error *err)
{
    const char *type = NULL;
    tt_status status = tt_json_get_text(root, "addition_embed_type", &type, err);
    if (status != TT_OK || !type)
        return status;
    if (strcmp(type, "text_time") != 0)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: \"addition_embed_type\" %s is not known; SDXL has text_time",
                       what, type);
    status = tt_json_get_u32(root, "addition_time_embed_dim", 2, 4096, &c->addition_time_dim, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "projection_class_embeddings_input_dim", 1, 65536, &c->addition_input_dim, err);
    if (status == TT_OK && (c->addition_time_dim == 0 || c->addition_input_dim <= 6 * c->addition_time_dim))
        return tt_fail(
            err, TT_ERROR_UNSUPPORTED,
            "%s: the added embedding takes %u inputs with %u per time id; SDXL base has six time ids (refiner "
            "models are not supported)",
            what, c->addition_input_dim, c->addition_time_dim);
    return status;
}

tt_status tt_unet_config_check(const tt_unet_config *c, const char *what, tt_error *err)
{
    for (uint32_t i = 0; i < c->n_blocks; i++) {
        if (c->channels[i] == 0 || c->channels[i] > 16384 || c->channels[i] % 4 != 0 ||
            c->channels[i] % c->n_groups != 0)
            return tt_fail(err, TT_ERROR_UNSUPPORTED,
                           "%s: block %u has %u channels; they must be a multiple of 4 and of norm_num_groups %u, at "
                           "most 16384",
                           what, i, c->channels[i], c->n_groups);
        bool has_attention =
            c->down_attention[i] || c->up_attention[c->n_blocks - 1 - i] || (c->has_mid && i == c->n_blocks - 1);
        if (has_attention && (c->channels[i] % c->n_heads[i] != 0 || c->channels[i] / c->n_heads[i] % 4 != 0))
            return tt_fail(err, TT_ERROR_UNSUPPORTED,
                           "%s: block %u has %u channels in %u attention heads; the head size must be a multiple of 4",
                           what, i, c->channels[i], c->n_heads[i]);
    }
    if (c->channels[0] % 2 != 0 || (c->layers_per_block * 2 + 1) * c->n_blocks + 2 > TT_UNET_MAX_RESNETS)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: %u blocks of %u layers are more than this version handles", what,
                       c->n_blocks, c->layers_per_block);
    return TT_OK;
}

static tt_status read_fields(const json_t *root, const char *what, tt_unet_config *c, tt_error *err)
{
    double eps = 1e-5;
    tt_status status =
        tt_json_get_u32_list(root, "block_out_channels", 4, 16384, c->channels, TT_UNET_MAX_BLOCKS, &c->n_blocks, err);
    if (status == TT_OK && c->n_blocks == 0)
        status =
            tt_fail(err, TT_ERROR_FORMAT, "%s: \"block_out_channels\" is missing; is it the config of a UNet?", what);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "in_channels", 1, 64, &c->in_channels, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "out_channels", 1, 64, &c->out_channels, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "layers_per_block", 1, 8, &c->layers_per_block, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "cross_attention_dim", 1, 16384, &c->cross_attention_dim, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "norm_num_groups", 1, 1024, &c->n_groups, err);
    if (status == TT_OK)
        status = tt_json_get_f64(root, "norm_eps", &eps, err);
    if (status == TT_OK)
        status = tt_json_get_bool(root, "flip_sin_to_cos", &c->flip_sin_to_cos, err);
    if (status == TT_OK)
        status = tt_json_get_f64(root, "freq_shift", &c->freq_shift, err);
    if (status == TT_OK)
        status = tt_json_get_bool(root, "use_linear_projection", &c->linear_projection, err);
    if (status == TT_OK)
        status = tt_json_get_u32(root, "time_cond_proj_dim", 1, 16384, &c->time_cond_dim, err);
    if (status == TT_OK && !(eps > 0.0 && eps < 1.0))
        status = tt_fail(err, TT_ERROR_FORMAT, "%s: \"norm_eps\" is %g; it must be above 0 and below 1", what, eps);
    if (status == TT_OK && !(c->freq_shift >= 0.0 && c->freq_shift <= 1.0))
        status = tt_fail(err, TT_ERROR_FORMAT, "%s: \"freq_shift\" is %g; it must be from 0 to 1", what, c->freq_shift);
    c->norm_eps = (float)eps;
    return status;
}

static tt_status read_all(const json_t *root, const char *what, tt_unet_config *c, tt_error *err)
{
    tt_status status = check_plain_fields(root, what, err);
    if (status == TT_OK)
        status = check_fixed_numbers(root, what, err);
    if (status == TT_OK)
        status = read_fields(root, what, c, err);
    if (status == TT_OK)
        status = read_block_types(root, "down_block_types", "CrossAttnDownBlock2D", "DownBlock2D", c->n_blocks,
                                  c->down_attention, what, err);
    if (status == TT_OK)
        status = read_block_types(root, "up_block_types", "CrossAttnUpBlock2D", "UpBlock2D", c->n_blocks,
                                  c->up_attention, what, err);
    if (status == TT_OK)
        status = read_heads(root, what, c, err);
    if (status == TT_OK)
        status = read_mid(root, what, c, err);
    if (status == TT_OK)
        status = read_addition(root, what, c, err);
    if (status == TT_OK)
        status = tt_unet_config_check(c, what, err);
    if (status == TT_OK)
        status = tt_unet_removed_read(root, what, c, err);
    return status;
}

tt_status tt_unet_config_parse(const char *json, const char *what, tt_unet_config *config, tt_error *err)
{
    json_t *root = NULL;
    tt_status status = tt_json_parse(json, strlen(json), what, &root, err);
    if (status != TT_OK)
        return status;
    *config = (tt_unet_config){.in_channels = 4,
                               .out_channels = 4,
                               .layers_per_block = 2,
                               .cross_attention_dim = 1280,
                               .n_groups = 32,
                               .flip_sin_to_cos = true};
    status = read_all(root, what, config, err);
    json_decref(root);
    return status;
}
