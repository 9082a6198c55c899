/* load-folder.c - models that bring their configs: diffusers folders, tintype files, folders of one component. */
#include "base/json.h"
#include "pipeline/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const tt_tensor *tt_model_file_tensor(const tt_model_files *files, const char *name)
{
    tt_tensor_file *const *list = NULL;
    size_t n = 0;
    const char *prefix = "";
    tt_model_files_component(files, "", &list, &n, &prefix);
    const tt_tensor *tensor = NULL;
    for (size_t i = 0; i < n && !tensor; i++)
        tensor = tt_tensor_file_find(list[i], name);
    return tensor;
}

bool tt_model_file_has(const tt_model_files *files, const char *name)
{
    return tt_model_file_tensor(files, name) != NULL;
}

tt_status tt_model_component(const tt_model_files *files, const char *role, const char *extra_prefix,
                             tt_translate_fn translate, const void *layout, tt_weights **weights, tt_error *err)
{
    tt_tensor_file *const *list = NULL;
    size_t n = 0;
    const char *prefix = "";
    char full[TT_MAX_NAME];
    tt_model_files_component(files, role, &list, &n, &prefix);
    if (n == 0)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the weights of %s are missing", tt_model_files_path(files), role);
    snprintf(full, sizeof full, "%s%s", prefix, extra_prefix);
    return tt_weights_create(list, n, false, full, translate, layout, weights, err);
}

/* Opens one text encoder of a folder; both spellings of its tensor names are in use. */
static tt_status take_text(tt_model *model, uint32_t index, const char *role, const char *config, tt_error *err)
{
    tt_text_part *part = &model->text[index];
    char what[64];
    snprintf(what, sizeof what, "%s/config.json", role[0] ? role : "text encoder");
    tt_status status = tt_clip_config_parse(config, what, &part->config, err);
    if (status == TT_OK)
        status = tt_model_component(model->files, role, "", NULL, NULL, &part->weights, err);
    if (status == TT_OK && !tt_weights_has(part->weights, "text_model.embeddings.token_embedding.weight")) {
        tt_weights_destroy(part->weights);
        part->weights = NULL;
        status = tt_model_component(model->files, role, "", tt_clip_short_name, NULL, &part->weights, err);
    }
    part->present = status == TT_OK;
    return status;
}

static tt_status take_unet(tt_model *model, const char *role, const char *config, tt_error *err)
{
    tt_status status = tt_unet_config_parse(config, "unet/config.json", &model->unet_config, err);
    if (status == TT_OK)
        status = tt_model_component(model->files, role, "", NULL, NULL, &model->unet_weights, err);
    model->has_unet = status == TT_OK;
    return status;
}

/* A VAE folder may lack one half (tiny autoencoders): look at what is stored. */
static void look_at_halves(tt_vae_config *config, const tt_weights *weights)
{
    bool tiny = config->kind == TT_VAE_TINY;
    config->has_encoder = tt_weights_has(weights, tiny ? "encoder.layers.0.weight" : "encoder.conv_in.weight");
    config->has_decoder = tt_weights_has(weights, tiny ? "decoder.layers.0.weight" : "decoder.conv_in.weight");
}

tt_status tt_model_take_vae(tt_model *model, const tt_model_files *files, const char *config, const char *role,
                            tt_error *err)
{
    tt_weights *weights = NULL;
    tt_vae_config parsed;
    tt_status status = tt_vae_config_parse(config, "vae/config.json", &parsed, err);
    if (status == TT_OK)
        status = tt_model_component(files, role, "", NULL, NULL, &weights, err);
    bool old_names = status == TT_OK && tt_weights_has(weights, "decoder.mid_block.attentions.0.query.weight");
    if (old_names) {
        tt_weights_destroy(weights);
        weights = NULL;
        status = tt_model_component(files, role, "", tt_vae_old_attention_name, NULL, &weights, err);
    }
    if (status != TT_OK)
        return status;
    look_at_halves(&parsed, weights);
    tt_weights_destroy(model->vae_weights);
    model->vae_weights = weights;
    model->vae_config = parsed;
    model->has_vae = true;
    return TT_OK;
}

/* What the file says, if it is one of our own; else SDXL has two encoders or added embeddings, SD2 a gelu text encoder.
 */
static tt_family_kind family_of(const tt_model *model)
{
    static const char *const names[] = {"sd1", "sd2", "sdxl"};
    const char *said = tt_model_files_metadata(model->files, "tintype.family");
    for (int i = 0; said && i < 3; i++)
        if (strcmp(said, names[i]) == 0)
            return (tt_family_kind)i;
    if (model->text[1].present || model->unet_config.addition_input_dim > 0)
        return TT_FAMILY_SDXL;
    if (model->text[0].present && model->text[0].config.activation == TT_ACT_GELU)
        return TT_FAMILY_SD2;
    return TT_FAMILY_SD1;
}

static tt_status read_index(tt_model *model, tt_error *err)
{
    json_t *root = NULL;
    const char *text = tt_model_files_text(model->files, "model_index"), *name = NULL;
    if (!text)
        return TT_OK;
    tt_status status = tt_json_parse(text, strlen(text), "model_index.json", &root, err);
    if (status != TT_OK)
        return status;
    status = tt_json_get_bool(root, "force_zeros_for_empty_prompt", &model->force_zeros, err);
    if (status == TT_OK)
        status = tt_json_get_text(root, "_class_name", &name, err);
    const char *const known[] = {"StableDiffusion", "LatentConsistencyModel"};
    bool is_known = !name;
    for (size_t i = 0; name && i < sizeof known / sizeof *known; i++)
        is_known = is_known || strncmp(name, known[i], strlen(known[i])) == 0;
    if (status == TT_OK && (!is_known || (name && strncmp(name, "StableDiffusion3", 16) == 0)))
        status =
            tt_fail(err, TT_ERROR_UNSUPPORTED,
                    "model_index.json: the pipeline %s is not supported; Stable Diffusion 1, 2, XL and LCM are", name);
    json_decref(root);
    return status;
}

tt_status tt_model_check_fit(const tt_model *model, tt_error *err)
{
    if (!model->has_unet)
        return TT_OK;
    uint32_t width = 0, pooled = model->text[1].config.projection_dim;
    for (int i = 0; i < TT_MAX_CLIPS; i++)
        width += model->text[i].present ? model->text[i].config.hidden : 0;
    if (width != 0 && width != model->unet_config.cross_attention_dim)
        return tt_fail(err, TT_ERROR_FORMAT, "the text encoder gives %u values a token, but the UNet takes %u", width,
                       model->unet_config.cross_attention_dim);
    uint32_t wanted = model->unet_config.addition_input_dim
                          ? model->unet_config.addition_input_dim - 6 * model->unet_config.addition_time_dim
                          : 0;
    if (model->text[1].present && wanted != pooled)
        return tt_fail(err, TT_ERROR_FORMAT, "the second text encoder gives %u pooled values, but the UNet takes %u",
                       pooled, wanted);
    uint32_t latent = model->has_vae ? model->vae_config.latent_channels : model->unet_config.out_channels;
    uint32_t in = model->unet_config.in_channels;
    if (latent != model->unet_config.out_channels || (in != latent && in != 2 * latent + 1))
        return tt_fail(err, TT_ERROR_FORMAT, "the UNet maps %u to %u channels, but the VAE has %u latent channels", in,
                       model->unet_config.out_channels, latent);
    return TT_OK;
}

static tt_status read_parts(tt_model *model, tt_error *err)
{
    static const char *const text_roles[] = {"text_encoder", "text_encoder_2"};
    const tt_model_files *files = model->files;
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < TT_MAX_CLIPS && status == TT_OK; i++) {
        const char *config = tt_model_files_text(files, text_roles[i]);
        if (config)
            status = take_text(model, i, text_roles[i], config, err);
    }
    const char *unet = tt_model_files_text(files, "unet"), *vae = tt_model_files_text(files, "vae");
    if (status == TT_OK && unet)
        status = take_unet(model, "unet", unet, err);
    if (status == TT_OK && vae)
        status = tt_model_take_vae(model, files, vae, "vae", err);
    const char *scheduler = tt_model_files_text(files, "scheduler");
    if (status == TT_OK && scheduler)
        status = tt_scheduler_config_parse(scheduler, strlen(scheduler), &model->scheduler, err);
    return status;
}

tt_status tt_model_read_folder(tt_model *model, tt_error *err)
{
    tt_status status = read_index(model, err);
    if (status == TT_OK)
        status = read_parts(model, err);
    if (status == TT_OK)
        status = tt_model_check_fit(model, err);
    model->family = family_of(model);
    return status;
}

tt_status tt_model_read_component(tt_model *model, tt_error *err)
{
    const char *config = tt_model_files_text(model->files, "config"), *name = NULL;
    json_t *root = NULL;
    if (!config)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: config.json is missing", tt_model_files_path(model->files));
    tt_status status = tt_json_parse(config, strlen(config), "config.json", &root, err);
    if (status != TT_OK)
        return status;
    status = tt_json_get_text(root, "_class_name", &name, err);
    bool is_clip = json_object_get(root, "hidden_size") != NULL;
    if (status == TT_OK && is_clip)
        status = take_text(model, 0, "", config, err);
    else if (status == TT_OK && name && strcmp(name, "UNet2DConditionModel") == 0)
        status = take_unet(model, "", config, err);
    else if (status == TT_OK && name && strncmp(name, "Autoencoder", 11) == 0)
        status = tt_model_take_vae(model, model->files, config, "", err);
    else if (status == TT_OK)
        status =
            tt_fail(err, TT_ERROR_UNSUPPORTED,
                    "%s: the class %s is not known; a UNet2DConditionModel, AutoencoderKL, AutoencoderTiny or CLIP "
                    "text model is",
                    tt_model_files_path(model->files), name ? name : "(none)");
    json_decref(root);
    model->family = family_of(model);
    return status;
}
