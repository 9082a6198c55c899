/* load-checkpoint.c - bare single files: LDM/A1111 checkpoints, and autoencoders given alone. The architecture comes
 * from tensor names and shapes, unless the file's metadata or a JSON file beside it says more. */
#include "base/file.h"
#include "base/json.h"
#include "pipeline/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- configs that say more than the tensors: {"unet": {...}, "vae": {...}, "text_encoder": {...}, ...} in a JSON file
 * beside the checkpoint, or a diffusers folder of the same stem beside it, of which only the configs are read */

/* Text of one role; *text is new (free()) or NULL when nothing is said. */
static tt_status beside_text(const tt_model *model, const char *role, char **text, tt_error *err)
{
    *text = NULL;
    const char *config = tt_model_files_text(model->files, "config"), *path = tt_model_files_path(model->files);
    if (config) {
        json_t *root = NULL;
        tt_status status = tt_json_parse(config, strlen(config), "the JSON file beside the checkpoint", &root, err);
        if (status != TT_OK)
            return status;
        const json_t *part = json_object_get(root, role);
        if (json_is_object(part))
            *text = json_dumps(part, JSON_COMPACT);
        json_decref(root);
        if (*text)
            return TT_OK;
    }
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    int stem = (int)(dot && (!slash || dot > slash) ? (size_t)(dot - path) : strlen(path));
    char file[4096];
    bool is_scheduler = strcmp(role, "scheduler") == 0;
    int n = snprintf(file, sizeof file, "%.*s/%s/%s", stem, path, role,
                     is_scheduler ? "scheduler_config.json" : "config.json");
    size_t n_bytes = 0;
    if (n <= 0 || (size_t)n >= sizeof file || !tt_path_is_file(file))
        return TT_OK;
    return tt_file_read(file, 1 << 20, text, &n_bytes, err);
}

static bool has_prefix(const tt_model_files *files, const char *prefix)
{
    tt_tensor_file *const *list = NULL;
    size_t n = 0, length = strlen(prefix);
    const char *unused = "";
    tt_model_files_component(files, "", &list, &n, &unused);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < tt_tensor_file_count(list[i]); j++)
            if (strncmp(tt_tensor_file_at(list[i], j)->name, prefix, length) == 0)
                return true;
    return false;
}

/* ---- text encoders */

typedef struct tt_text_place {
    const char *prefix;
    tt_clip_layout_kind kind;
    bool short_names;
} tt_text_place;

static const tt_text_place sd1_places[] = {{"cond_stage_model.transformer.", TT_CLIP_HF, false},
                                           {"cond_stage_model.transformer.", TT_CLIP_HF, true}};
static const tt_text_place sd2_place = {"cond_stage_model.model.", TT_CLIP_OPEN_CLIP, false};
static const tt_text_place sdxl_places[] = {{"conditioner.embedders.0.transformer.", TT_CLIP_HF, false},
                                            {"conditioner.embedders.1.model.", TT_CLIP_OPEN_CLIP, false}};
static const tt_text_place renamed_places[] = {{"cond_stage_model.transformer.", TT_CLIP_HF, false},
                                               {"cond_stage_model.1.transformer.", TT_CLIP_RENAMED, false}};
static const tt_text_place renamed_sd2_place = {"cond_stage_model.transformer.", TT_CLIP_RENAMED, false};

enum { SD2_WIDTH = 1024, SDXL_POOLED = 1280 }; /* of OpenCLIP's text encoders ViT-H and ViT-bigG */

static tt_status take_text(tt_model *model, uint32_t index, const tt_text_place *place, tt_error *err)
{
    tt_text_part *part = &model->text[index];
    tt_weights *bare = NULL;
    char *config = NULL;
    tt_translate_fn translate = place->kind == TT_CLIP_OPEN_CLIP ? tt_clip_open_clip_name
                                : place->kind == TT_CLIP_RENAMED ? tt_clip_renamed_name
                                : place->short_names             ? tt_clip_short_name
                                                                 : NULL;
    tt_status status = beside_text(model, index ? "text_encoder_2" : "text_encoder", &config, err);
    if (status == TT_OK && config)
        status = tt_clip_config_parse(config, "the text encoder's config beside the checkpoint", &part->config, err);
    else if (status == TT_OK) {
        bool hf = place->kind == TT_CLIP_HF;
        status = tt_model_component(model->files, "", place->prefix, hf ? translate : NULL, NULL, &bare, err);
        if (status == TT_OK)
            status = tt_clip_config_derive(bare, place->kind, model->family == TT_FAMILY_SD2, index == 1, &part->config,
                                           err);
    }
    tt_weights_destroy(bare);
    free(config);
    if (status == TT_OK)
        status = tt_model_component(model->files, "", place->prefix, translate, NULL, &part->weights, err);
    part->present = status == TT_OK;
    return status;
}

static tt_status read_text(tt_model *model, tt_error *err)
{
    if (model->family == TT_FAMILY_SDXL) {
        const tt_text_place *places = has_prefix(model->files, renamed_places[1].prefix) ? renamed_places : sdxl_places;
        if (!has_prefix(model->files, "conditioner.") && places == sdxl_places)
            return TT_OK; /* a UNet alone */
        tt_status status = take_text(model, 0, &places[0], err);
        return status == TT_OK ? take_text(model, 1, &places[1], err) : status;
    }
    if (model->family == TT_FAMILY_SD2 && has_prefix(model->files, sd2_place.prefix))
        return take_text(model, 0, &sd2_place, err);
    if (model->family == TT_FAMILY_SD2 && has_prefix(model->files, renamed_sd2_place.prefix))
        return take_text(model, 0, &renamed_sd2_place, err);
    if (!has_prefix(model->files, "cond_stage_model.transformer."))
        return TT_OK; /* a UNet alone */
    bool is_short = !has_prefix(model->files, "cond_stage_model.transformer.text_model.");
    return take_text(model, 0, &sd1_places[is_short ? 1 : 0], err);
}

/* ---- UNet and VAE */

/* What stands before the UNet's tensors; files of a UNet alone may have nothing there. NULL when there is no UNet. */
static const char *unet_prefix(const tt_model_files *files)
{
    if (has_prefix(files, "model.diffusion_model."))
        return "model.diffusion_model.";
    bool is_bare = tt_model_file_has(files, "input_blocks.0.0.weight") && tt_model_file_has(files, "out.2.weight");
    return is_bare ? "" : NULL;
}

/* Some files store the projections of SD2 and SDXL as 1x1 convolutions, and thus do not tell that heads have 64
 * channels. */
static void set_heads(const tt_model *model, tt_unet_config *config)
{
    for (uint32_t i = 0; model->family != TT_FAMILY_SD1 && i < config->n_blocks; i++)
        config->n_heads[i] = config->channels[i] >= 64 ? config->channels[i] / 64 : 1;
}

static tt_status read_unet(tt_model *model, tt_error *err)
{
    const char *prefix = unet_prefix(model->files);
    bool is_alone = model->family == TT_FAMILY_SDXL && !model->text[1].present;
    uint32_t pooled_dim = is_alone ? SDXL_POOLED : model->text[1].config.projection_dim;
    tt_weights *bare = NULL;
    char *config = NULL;
    tt_status status = beside_text(model, "unet", &config, err);
    if (status == TT_OK && config)
        status = tt_unet_config_parse(config, "the UNet's config beside the checkpoint", &model->unet_config, err);
    else if (status == TT_OK) {
        status = tt_model_component(model->files, "", prefix, NULL, NULL, &bare, err);
        if (status == TT_OK)
            status = tt_unet_config_derive(bare, pooled_dim, &model->unet_config, err);
        if (status == TT_OK)
            set_heads(model, &model->unet_config);
    }
    tt_weights_destroy(bare);
    free(config);
    if (status == TT_OK)
        status = tt_model_component(model->files, "", prefix, tt_unet_ldm_name, &model->unet_config,
                                    &model->unet_weights, err);
    model->has_unet = status == TT_OK;
    return status;
}

/* A VAE in LDM names under a prefix. */
static tt_status take_ldm_vae(tt_model *model, const tt_model_files *files, const char *prefix, tt_error *err)
{
    tt_weights *bare = NULL, *weights = NULL;
    tt_vae_config derived;
    char *config = NULL;
    tt_status status = TT_OK;
    if (files == model->files)
        status = beside_text(model, "vae", &config, err);
    if (status == TT_OK)
        status = tt_model_component(files, "", prefix, NULL, NULL, &bare, err);
    if (status == TT_OK)
        status = tt_vae_config_derive(bare, model->family == TT_FAMILY_SDXL ? 0.13025 : 0.18215, &derived, err);
    if (status == TT_OK && config) {
        bool has_encoder = derived.has_encoder;
        status = tt_vae_config_parse(config, "the VAE's config beside the checkpoint", &derived, err);
        derived.has_encoder = has_encoder;
    }
    tt_weights_destroy(bare);
    free(config);
    if (status != TT_OK)
        return status;
    tt_weights_destroy(model->vae_weights);
    model->vae_weights = NULL;
    model->vae_config = derived;
    status = tt_model_component(files, "", prefix, tt_vae_ldm_name, &model->vae_config, &weights, err);
    model->vae_weights = weights;
    model->has_vae = status == TT_OK;
    return status;
}

/* One half of an original TAESD, named by bare layer numbers. */
static tt_status take_taesd_half(tt_model *model, const tt_model_files *files, bool is_decoder, tt_error *err)
{
    tt_weights *bare = NULL, *weights = NULL;
    tt_vae_config derived;
    model->taesd_is_decoder[0] = true;
    tt_status status = tt_model_component(files, "", "", NULL, NULL, &bare, err);
    if (status == TT_OK)
        status = tt_vae_tiny_derive(bare, true, is_decoder, &derived, err);
    tt_weights_destroy(bare);
    if (status == TT_OK)
        status = tt_model_component(files, "", "", tt_vae_taesd_name, &model->taesd_is_decoder[is_decoder ? 0 : 1],
                                    &weights, err);
    if (status != TT_OK)
        return status;
    tt_weights_destroy(model->vae_weights);
    model->vae_weights = weights;
    model->vae_config = derived;
    model->has_vae = true;
    return TT_OK;
}

/* A file that is a VAE alone: LDM names, diffusers names of AutoencoderTiny, or original TAESD. */
static tt_status take_vae_file(tt_model *model, const tt_model_files *files, tt_error *err)
{
    if (tt_model_file_has(files, "first_stage_model.decoder.conv_in.weight"))
        return take_ldm_vae(model, files, "first_stage_model.", err);
    if (tt_model_file_has(files, "decoder.up.0.block.0.conv2.weight"))
        return take_ldm_vae(model, files, "", err);
    if (tt_model_file_has(files, "decoder.layers.0.weight") || tt_model_file_has(files, "encoder.layers.0.weight")) {
        tt_weights *weights = NULL;
        tt_status status = tt_model_component(files, "", "", NULL, NULL, &weights, err);
        if (status == TT_OK)
            status = tt_vae_tiny_derive(weights, false, false, &model->vae_config, err);
        if (status != TT_OK) {
            tt_weights_destroy(weights);
            return status;
        }
        tt_weights_destroy(model->vae_weights);
        model->vae_weights = weights;
        model->has_vae = true;
        return TT_OK;
    }
    if (tt_model_file_has(files, "1.weight") && tt_model_file_has(files, "3.conv.0.weight"))
        return take_taesd_half(model, files, true, err);
    if (tt_model_file_has(files, "0.weight") && tt_model_file_has(files, "1.conv.0.weight"))
        return take_taesd_half(model, files, false, err);
    return tt_fail(err, TT_ERROR_UNSUPPORTED,
                   "%s is neither a Stable Diffusion checkpoint (model.diffusion_model.*) nor an autoencoder; for a "
                   "component give its folder with config.json",
                   tt_model_files_path(files));
}

tt_status tt_model_read_vae(tt_model *model, const char *path, tt_error *err)
{
    uint32_t latent = model->has_vae ? model->vae_config.latent_channels : model->unet_config.out_channels;
    tt_status status = tt_model_files_open(path, &model->vae_files, err);
    if (status != TT_OK)
        return status;
    const tt_model_files *files = model->vae_files;
    const char *config = tt_model_files_text(files, "config"), *vae = tt_model_files_text(files, "vae");
    if (tt_model_files_layout(files) == TT_LAYOUT_COMPONENT && config)
        status = tt_model_take_vae(model, files, config, "", err);
    else if (vae)
        status = tt_model_take_vae(model, files, vae, "vae", err);
    else
        status = take_vae_file(model, files, err);
    if (status == TT_OK && model->has_unet && model->vae_config.latent_channels != latent)
        status = tt_fail(err, TT_ERROR_ARGUMENT, "%s has %u latent channels, but the model has %u", path,
                         model->vae_config.latent_channels, latent);
    return status;
}

/* ---- scheduler and prediction type */

static const char *prediction_of(const tt_model *model)
{
    const char *said = tt_model_files_metadata(model->files, "modelspec.predict_key");
    if (!said)
        said = tt_model_files_metadata(model->files, "modelspec.prediction_type");
    if (said)
        return said[0] == 'v' ? "v_prediction" : "epsilon";
    if (tt_model_file_has(model->files, "v_pred"))
        return "v_prediction";
    /* Of SD2's two lines the 768-pixel models, which are in use, predict v. */
    return model->family == TT_FAMILY_SD2 ? "v_prediction" : "epsilon";
}

static tt_status read_scheduler(tt_model *model, tt_error *err)
{
    char *beside = NULL, made[512];
    tt_status status = beside_text(model, "scheduler", &beside, err);
    if (status != TT_OK)
        return status;
    const char *class_name = model->unet_config.time_cond_dim > 0 ? "LCMScheduler"
                             : model->family == TT_FAMILY_SDXL    ? "EulerDiscreteScheduler"
                             : model->family == TT_FAMILY_SD2     ? "DDIMScheduler"
                                                                  : "PNDMScheduler";
    snprintf(made, sizeof made,
             "{\"_class_name\": \"%s\", \"num_train_timesteps\": 1000, \"beta_start\": 0.00085, \"beta_end\": 0.012, "
             "\"beta_schedule\": \"scaled_linear\", \"clip_sample\": false, \"set_alpha_to_one\": false, "
             "\"skip_prk_steps\": true, \"steps_offset\": 1, \"timestep_spacing\": \"leading\", \"prediction_type\": "
             "\"%s\"}",
             class_name, prediction_of(model));
    const char *text = beside ? beside : made;
    status = tt_scheduler_config_parse(text, strlen(text), &model->scheduler, err);
    free(beside);
    return status;
}

/* Tensors that no stage will ask for: EMA copies, loss weights, position ids, ... */
static uint64_t count_ignored(const tt_model *model)
{
    static const char *const used[] = {"model.diffusion_model.", "first_stage_model.", "cond_stage_model.",
                                       "conditioner.embedders."};
    static const char *const used_bare[] = {"input_blocks.", "middle_block.",   "output_blocks.", "out.",
                                            "time_embed.",   "time_embedding.", "label_emb."};
    bool is_bare = unet_prefix(model->files)[0] == '\0';
    const char *const *known = is_bare ? used_bare : used;
    size_t n_known = is_bare ? sizeof used_bare / sizeof *used_bare : sizeof used / sizeof *used;
    tt_tensor_file *const *list = NULL;
    size_t n = 0;
    uint64_t ignored = 0;
    const char *unused = "";
    bool vae_is_short = !has_prefix(model->files, "first_stage_model.") && has_prefix(model->files, "vae.decoder.");
    tt_model_files_component(model->files, "", &list, &n, &unused);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < tt_tensor_file_count(list[i]); j++) {
            const char *name = tt_tensor_file_at(list[i], j)->name;
            bool is_used = vae_is_short && strncmp(name, "vae.", 4) == 0;
            for (size_t k = 0; k < n_known; k++)
                is_used = is_used || strncmp(name, known[k], strlen(known[k])) == 0;
            ignored += is_used && !strstr(name, "position_ids") ? 0 : 1;
        }
    return ignored;
}

/* The number at `dim` of a tensor's shape in canonical order, 0 when the file lacks it. */
static uint64_t width_of(const tt_model *model, const char *name, uint32_t dim)
{
    const tt_tensor *tensor = tt_model_file_tensor(model->files, name);
    return tensor && dim < tensor->n_dims ? tensor->dims[dim] : 0;
}

static tt_status find_family(tt_model *model, tt_error *err)
{
    const tt_model_files *files = model->files;
    const char *unet = unet_prefix(files);
    char key[128];
    if (has_prefix(files, "conditioner.embedders.1.") || has_prefix(files, renamed_places[1].prefix))
        model->family = TT_FAMILY_SDXL;
    else if (has_prefix(files, "conditioner.embedders.0."))
        return tt_fail(
            err, TT_ERROR_UNSUPPORTED,
            "%s has one text encoder of SDXL only: it is a refiner, which this version cannot run; use the base "
            "model",
            tt_model_files_path(files));
    else if (has_prefix(files, "cond_stage_model.model.") ||
             width_of(model, "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", 1) ==
                 SD2_WIDTH)
        model->family = TT_FAMILY_SD2;
    else if (!has_prefix(files, "cond_stage_model.")) { /* a UNet alone */
        snprintf(key, sizeof key, "%slabel_emb.0.0.weight", unet);
        bool is_sdxl = width_of(model, key, 1) > 0;
        snprintf(key, sizeof key, "%sinput_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", unet);
        bool is_sd2 = width_of(model, key, 1) == SD2_WIDTH;
        model->family = is_sdxl ? TT_FAMILY_SDXL : is_sd2 ? TT_FAMILY_SD2 : TT_FAMILY_SD1;
    }
    return TT_OK;
}

tt_status tt_model_read_checkpoint(tt_model *model, tt_error *err)
{
    const tt_model_files *files = model->files;
    if (!unet_prefix(files))
        return take_vae_file(model, files, err);
    tt_status status = find_family(model, err);
    if (status == TT_OK)
        status = read_text(model, err);
    if (status == TT_OK)
        status = read_unet(model, err);
    if (status == TT_OK && has_prefix(files, "first_stage_model."))
        status = take_ldm_vae(model, files, "first_stage_model.", err);
    else if (status == TT_OK && has_prefix(files, "vae.decoder."))
        status = take_ldm_vae(model, files, "vae.", err);
    if (status == TT_OK)
        status = read_scheduler(model, err);
    if (status == TT_OK)
        status = tt_model_check_fit(model, err);
    model->n_ignored = count_ignored(model);
    return status;
}
