/* compare-model.c - whether a model can be compared with the reference, what its files hold, its accuracies. */
#include "base/file.h"
#include "base/json.h"
#include "pipeline/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- fit */

static tt_status check_whole(const tt_model *model, tt_error *err)
{
    const tt_unet_config *u = &model->unet_config;
    const char *lacking = !model->has_unet          ? "UNet"
                          : !model->has_vae         ? "VAE"
                          : !model->text[0].present ? "text encoder"
                          : !model->scheduler       ? "scheduler"
                                                    : NULL;
    if (lacking)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s lacks a %s; whole models are compared",
                       tt_model_files_path(model->files), lacking);
    if (u->in_channels != u->out_channels)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "%s is an inpainting model (%u channels in, %u out); comparing paints from prompts alone",
                       tt_model_files_path(model->files), u->in_channels, u->out_channels);
    return TT_OK;
}

/* One property that both must share. */
static tt_status same(const tt_comparing *c, const char *what, uint32_t reference, uint32_t found, tt_error *err)
{
    if (reference == found)
        return TT_OK;
    return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s and %s cannot be compared: %s of the first is %u, of the second %u",
                   c->result->models[0].path, tt_comparing_model(c)->path, what, reference, found);
}

static const char *const families[] = {"SD1", "SD2", "SDXL"};
static const char *const predictions[] = {"noise", "velocity", "the sample"};

static tt_status fail_kind(const tt_comparing *c, const char *form, const char *reference, const char *found,
                           tt_error *err)
{
    return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s and %s cannot be compared: the first %s %s, the second %s",
                   c->result->models[0].path, tt_comparing_model(c)->path, form, reference, found);
}

static tt_status check_shapes(const tt_comparing *c, tt_error *err)
{
    const tt_model *m = c->model;
    uint32_t prediction = (uint32_t)tt_scheduler_config_prediction(m->scheduler);
    if (c->family != (uint32_t)m->family)
        return fail_kind(c, "is of the family", families[c->family], families[m->family], err);
    if (c->prediction != prediction)
        return fail_kind(c, "predicts", predictions[c->prediction], predictions[prediction], err);
    tt_status status = same(c, "the latent's channels", c->latent_channels, m->vae_config.latent_channels, err);
    if (status == TT_OK)
        status = same(c, "the pixels per latent position", c->vae_factor, m->vae_config.factor, err);
    if (status == TT_OK)
        status = same(c, "the UNet's channels", c->unet_in_channels, m->unet_config.in_channels, err);
    if (status == TT_OK)
        status =
            same(c, "the width of the prompt's embeddings", c->context_width, m->unet_config.cross_attention_dim, err);
    return status;
}

static tt_status tokens_of(const tt_comparing *c, uint32_t encoder, size_t prompt, int32_t **ids, size_t *n_ids)
{
    return tt_tokenize(c->model, encoder + 1, c->result->prompts[prompt], 0, ids, n_ids);
}

/* Both text encoders must see the same tokens, or their errors say nothing. */
static tt_status check_tokens(const tt_comparing *c, uint32_t encoder, tt_error *err)
{
    tt_status status = TT_OK;
    for (size_t i = 0; i < c->result->n_prompts && status == TT_OK; i++) {
        const tt_reference_run *run = &c->runs[i];
        int32_t *ids = NULL;
        size_t n = 0;
        status = tokens_of(c, encoder, i, &ids, &n);
        if (status == TT_OK && (n != run->n_ids[encoder] || memcmp(ids, run->ids[encoder], n * sizeof *ids) != 0))
            status = tt_fail(err, TT_ERROR_UNSUPPORTED,
                             "%s and %s cannot be compared: their tokenizers split \"%.60s\" into different tokens",
                             c->result->models[0].path, tt_comparing_model(c)->path, c->result->prompts[i]);
        free(ids);
    }
    return status;
}

static tt_status keep_tokens(const tt_comparing *c, uint32_t encoder)
{
    tt_status status = TT_OK;
    for (size_t i = 0; i < c->result->n_prompts && status == TT_OK; i++)
        status = tokens_of(c, encoder, i, &c->runs[i].ids[encoder], &c->runs[i].n_ids[encoder]);
    return status;
}

/* The reference decides on everything that the caller left open. */
static tt_status take_reference(tt_comparing *c, tt_error *err)
{
    const tt_compare_params *p = c->params;
    const tt_model *m = c->model;
    tt_comparison *r = c->result;
    r->width = p->width ? p->width : m->default_width;
    r->height = p->height ? p->height : m->default_height;
    if (r->width > 16384 || r->height > 16384)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a picture of %u x %u is out of range: sides go up to 16384 pixels",
                       r->width, r->height);
    r->n_steps = p->n_steps ? p->n_steps : m->default_steps;
    r->cfg_scale = p->cfg_scale < 0.0f ? m->default_cfg_scale : p->cfg_scale;
    c->family = (uint32_t)m->family;
    c->prediction = (uint32_t)tt_scheduler_config_prediction(m->scheduler);
    c->latent_channels = m->vae_config.latent_channels;
    c->vae_factor = m->vae_config.factor;
    c->unet_in_channels = m->unet_config.in_channels;
    c->context_width = m->unet_config.cross_attention_dim;
    c->n_image = (size_t)3 * r->width * r->height;
    c->n_latent = (size_t)c->latent_channels * (r->width / c->vae_factor) * (r->height / c->vae_factor);
    tt_status status = TT_OK;
    if (p->sampler || p->schedule)
        status = tt_scheduler_config_derive(m->scheduler, p->sampler, p->schedule, &c->scheduler, err);
    else {
        c->scheduler = m->scheduler;
        c->model->scheduler = NULL;
    }
    if (status != TT_OK)
        return status;
    snprintf(r->scheduler, sizeof r->scheduler, "%s", tt_scheduler_config_display_name(c->scheduler));
    snprintf(r->schedule, sizeof r->schedule, "%s", tt_scheduler_config_schedule_name(c->scheduler));
    return status;
}

tt_status tt_compare_fit(tt_comparing *c, tt_error *err)
{
    tt_status status = check_whole(c->model, err);
    if (status == TT_OK)
        status = tt_comparing_reference(c) ? take_reference(c, err) : check_shapes(c, err);
    for (uint32_t e = 0; e < TT_MAX_CLIPS && status == TT_OK; e++)
        if (c->model->text[e].present)
            status = tt_comparing_reference(c) ? keep_tokens(c, e) : check_tokens(c, e, err);
    if (status != TT_OK)
        return status;
    tt_scheduler_config_free(c->model->scheduler);
    c->model->scheduler = c->scheduler;
    return TT_OK;
}

/* ---- files */

static uint64_t size_of_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && info.st_size > 0 ? (uint64_t)info.st_size : 0;
}

/* Bytes of the weight files of one set: a single file, or those of a folder's parts. */
static uint64_t size_of_files(const tt_model_files *files)
{
    static const char *const roles[] = {"text_encoder", "text_encoder_2", "unet", "vae", ""};
    uint64_t sum = 0;
    if (!files)
        return 0;
    if (!tt_path_is_folder(tt_model_files_path(files)))
        return size_of_file(tt_model_files_path(files));
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        tt_tensor_file *const *list = NULL;
        const char *prefix = NULL;
        size_t n = 0;
        tt_model_files_component(files, roles[i], &list, &n, &prefix);
        for (size_t j = 0; j < n; j++)
            sum += size_of_file(tt_tensor_file_path(list[j]));
    }
    return sum;
}

static void add_part(tt_comparison_part *part, const tt_weights *weights)
{
    if (!weights)
        return;
    part->bytes += tt_weights_bytes(weights);
    part->n_parameters += tt_weights_elements(weights);
    part->bits_per_weight = part->n_parameters ? 8.0 * (double)part->bytes / (double)part->n_parameters : 0.0;
}

tt_status tt_compare_describe(tt_comparing *c, tt_error *err)
{
    const tt_model *model = c->model;
    tt_comparison_model *m = tt_comparing_model(c);
    tt_status status = tt_model_get_info(c->model, &m->info);
    (void)err;
    if (status != TT_OK)
        return status;
    m->file_bytes = size_of_files(model->files) + size_of_files(model->vae_files) + size_of_files(model->encoder_files);
    for (int i = 0; i < TT_MAX_CLIPS; i++)
        add_part(&m->text, model->text[i].weights);
    add_part(&m->unet, model->unet_weights);
    add_part(&m->vae, model->vae_weights);
    if (model->vae_encoder_weights != model->vae_weights)
        add_part(&m->vae, model->vae_encoder_weights);
    uint64_t bytes = m->text.bytes + m->unet.bytes + m->vae.bytes;
    uint64_t n = m->text.n_parameters + m->unet.n_parameters + m->vae.n_parameters;
    m->bits_per_weight = n ? 8.0 * (double)bytes / (double)n : 0.0;
    return TT_OK;
}

/* ---- accuracies */

static tt_status take_shares(const json_t *groups, tt_comparison_model *m, tt_error *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(groups))
        return tt_fail(err, TT_ERROR_FORMAT, "the accuracies of %s must be an object of groups and shares",
                       m->file_name);
    m->accuracies = calloc(json_object_size(groups) + 1, sizeof *m->accuracies);
    if (!m->accuracies)
        return tt_fail_memory(err, "accuracies", json_object_size(groups) * sizeof *m->accuracies);
    json_object_foreach((json_t *)(uintptr_t)groups, name, value)
    {
        double share = json_is_number(value) ? json_number_value(value) : -1.0;
        if (!(share >= 0.0 && share <= 1.0))
            return tt_fail(err, TT_ERROR_FORMAT, "the accuracy \"%.60s\" of %s must be a number from 0 to 1", name,
                           m->file_name);
        tt_comparison_accuracy *to = &m->accuracies[m->n_accuracies++];
        snprintf(to->group, sizeof to->group, "%s", name);
        to->share = share;
    }
    return TT_OK;
}

tt_status tt_compare_accuracy(const tt_comparing *c, tt_error *err)
{
    json_t *root = NULL;
    tt_comparison_model *m = tt_comparing_model(c);
    if (!c->params->accuracy)
        return TT_OK;
    tt_status status =
        tt_json_parse(c->params->accuracy, strlen(c->params->accuracy), "the file of accuracies", &root, err);
    if (status != TT_OK)
        return status;
    const json_t *groups = json_object_get(root, m->file_name);
    if (groups)
        status = take_shares(groups, m, err);
    json_decref(root);
    return status;
}
