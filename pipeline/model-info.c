/* model-info.c - what a model says of itself and of its files. */
#include "pipeline/model.h"

#include <stdio.h>
#include <string.h>

/* Adds a file's tensors to the types of the info, which are in the order in which they are met. */
static void count_file(const tt_tensor_file *file, tt_model_info *info)
{
    for (size_t i = 0; i < tt_tensor_file_count(file); i++) {
        const tt_tensor *tensor = tt_tensor_file_at(file, i);
        const char *name = tt_dtype_name(tensor->dtype);
        uint32_t at = 0;
        while (at < info->n_types && strcmp(info->types[at].name, name) != 0)
            at++;
        if (at == TT_MAX_STORED_TYPES)
            continue; /* there are fewer types than places */
        if (at == info->n_types)
            snprintf(info->types[info->n_types++].name, sizeof info->types[at].name, "%s", name);
        info->types[at].n_tensors++;
        info->types[at].n_bytes += tensor->n_bytes;
        info->n_bytes += tensor->n_bytes;
    }
}

/* Every open file of the model once: the single file, or the folders of the parts. */
static void count_files(const tt_model_files *files, tt_model_info *info)
{
    static const char *const roles[] = {"unet", "vae", "text_encoder", "text_encoder_2", ""};
    bool is_folder = tt_model_files_layout(files) == TT_LAYOUT_DIFFUSERS;
    for (size_t i = is_folder ? 0 : 4; i < 5; i++) {
        tt_tensor_file *const *list = NULL;
        size_t n_list = 0;
        const char *prefix;
        tt_model_files_component(files, roles[i], &list, &n_list, &prefix);
        for (size_t j = 0; j < n_list; j++) {
            count_file(list[j], info);
            snprintf(info->container, sizeof info->container, "%s",
                     tt_tensor_file_is_gguf(list[j]) ? "GGUF" : "safetensors");
        }
    }
}

static uint64_t count_parameters(const tt_model *model)
{
    uint64_t n = 0;
    for (int i = 0; i < TT_MAX_CLIPS; i++)
        n += model->text[i].weights ? tt_weights_elements(model->text[i].weights) : 0;
    n += model->unet_weights ? tt_weights_elements(model->unet_weights) : 0;
    n += model->vae_weights ? tt_weights_elements(model->vae_weights) : 0;
    return n;
}

tt_status tt_model_get_info(tt_model *model, tt_model_info *info)
{
    tt_context_begin(model->context);
    *info = (tt_model_info){.latent_channels = model->has_vae ? model->vae_config.latent_channels : 4,
                            .vae_factor = model->has_vae ? model->vae_config.factor : 8,
                            .unet_in_channels = model->has_unet ? model->unet_config.in_channels : 0,
                            .default_width = model->default_width,
                            .default_height = model->default_height,
                            .default_steps = model->default_steps,
                            .default_cfg_scale = model->default_cfg_scale,
                            .n_parameters = count_parameters(model),
                            .n_ignored_tensors = model->n_ignored,
                            .has_vae_encoder = model->has_vae && model->vae_config.has_encoder,
                            .precision = tt_model_precision(model)};
    count_files(model->files, info);
    snprintf(info->name, sizeof info->name, "%s", model->name);
    snprintf(info->family, sizeof info->family, "%s", tt_model_family_name(model));
    const tt_weights *main_weights = tt_model_main_weights(model);
    snprintf(info->weights, sizeof info->weights, "%s", main_weights ? tt_weights_type(main_weights) : "");
    if (model->scheduler) {
        tt_prediction prediction = tt_scheduler_config_prediction(model->scheduler);
        snprintf(info->prediction_type, sizeof info->prediction_type, "%s",
                 prediction == TT_PREDICT_V        ? "v_prediction"
                 : prediction == TT_PREDICT_SAMPLE ? "sample"
                                                   : "epsilon");
        snprintf(info->scheduler, sizeof info->scheduler, "%s", tt_scheduler_config_class(model->scheduler));
    }
    return TT_OK;
}
