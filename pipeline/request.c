/* request.c - checks of a tt_generate_params, its scheduler, its conditions, its sizes. */
#include "pipeline/request.h"

#include <string.h>

static tt_status check_image(const tt_image *image, uint32_t n_channels, const tt_generate_params *p, const char *what,
                             tt_error *err)
{
    if (!image)
        return TT_OK;
    if (image->n_channels == n_channels && image->width == p->width && image->height == p->height && image->pixels)
        return TT_OK;
    return tt_fail(err, TT_ERROR_ARGUMENT, "the %s is %u x %u with %u channels, but %u x %u with %u are needed", what,
                   image->width, image->height, image->n_channels, p->width, p->height, n_channels);
}

static tt_status check_size(const tt_model *model, const tt_generate_params *p, tt_error *err)
{
    uint32_t f = model->vae_config.factor;
    if (p->width < f || p->height < f || p->width > 16384 || p->height > 16384)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a picture of %u x %u is out of range: sides go from %u to 16384 pixels",
                       p->width, p->height, f);
    if (p->width % f || p->height % f)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "a picture of %u x %u cannot be made: both sides must be multiples of %u; %u x %u is near",
                       p->width, p->height, f, p->width / f * f, p->height / f * f);
    return TT_OK;
}

tt_status tt_request_check(const tt_model *model, const tt_generate_params *p, tt_error *err)
{
    if (!model->has_unet || !model->has_vae || !model->text[0].present || !model->scheduler)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s lacks a %s; give a whole model",
                       tt_model_files_path(model->files),
                       !model->has_unet          ? "UNet"
                       : !model->has_vae         ? "VAE (give one with --vae or --taesd)"
                       : !model->text[0].present ? "text encoder"
                                                 : "scheduler");
    if (p->n_steps == 0 || p->n_steps > 1000)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%u steps are out of range: 1 to 1000; 20 is usual", p->n_steps);
    if (p->first_image > 1000000000)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the first image %u is out of range: 0 to 1000000000", p->first_image);
    if (p->n_images == 0 || p->n_images > 10000)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%u images are out of range: 1 to 10000", p->n_images);
    if (!(p->cfg_scale >= 0.0f && p->cfg_scale <= 1000.0f))
        return tt_fail(err, TT_ERROR_ARGUMENT, "the cfg scale %g is out of range: 0 to 1000; 7 is usual",
                       (double)p->cfg_scale);
    if (p->init_image && !(p->strength > 0.0f && p->strength <= 1.0f))
        return tt_fail(err, TT_ERROR_ARGUMENT, "the strength %g is out of range: above 0, at most 1",
                       (double)p->strength);
    tt_status status = tt_savers_check(&p->savers, &model->unet_config, err);
    if (status == TT_OK)
        status = check_size(model, p, err);
    if (status == TT_OK)
        status = check_image(p->init_image, 3, p, "picture to start from", err);
    return status == TT_OK ? check_image(p->mask, 1, p, "mask", err) : status;
}

tt_status tt_request_scheduler(const tt_model *model, const tt_generate_params *p, tt_scheduler_config **owned,
                               const tt_scheduler_config **used, tt_error *err)
{
    tt_status status = TT_OK;
    *owned = NULL;
    if (p->scheduler_config)
        status = tt_scheduler_config_parse(p->scheduler_config, strlen(p->scheduler_config), owned, err);
    else if (p->sampler || p->schedule)
        status = tt_scheduler_config_derive(model->scheduler, p->sampler, p->schedule, owned, err);
    *used = *owned ? *owned : model->scheduler;
    return status;
}

tt_call_plan tt_request_calls(const tt_model *model, const tt_generate_params *p)
{
    return tt_call_plan_make(&p->savers, &model->unet_config, tt_request_condition(model, p).guided);
}

tt_condition_request tt_request_condition(const tt_model *model, const tt_generate_params *p)
{
    return (tt_condition_request){
        .prompt = p->prompt ? p->prompt : "",
        .negative = p->negative_prompt,
        .grammar = true,
        .guided = p->cfg_scale > 1.0f && model->unet_config.time_cond_dim == 0,
        .clip_skip = p->clip_skip,
        .skip_negative = true,
        .cfg_scale = p->cfg_scale,
        .time_ids = {(float)p->height, (float)p->width, 0, 0, (float)p->height, (float)p->width}};
}

/* Number of UNet calls for one picture. */
static tt_status count_calls(const tt_model *model, const tt_generate_params *p, uint32_t *n_calls, tt_error *err)
{
    tt_scheduler_config *owned = NULL;
    const tt_scheduler_config *used = NULL;
    tt_scheduler *scheduler = NULL;
    tt_status status = tt_request_scheduler(model, p, &owned, &used, err);
    if (status == TT_OK)
        status = tt_scheduler_create(used, p->n_steps, p->init_image ? p->strength : 1.0f, p->eta, 1, &scheduler, err);
    if (status == TT_OK)
        *n_calls = tt_scheduler_n_calls(scheduler);
    tt_scheduler_destroy(scheduler);
    tt_scheduler_config_free(owned);
    return status;
}

/* The mode that the caller wants, if any. */
static tt_status take_mode(const tt_generate_params *p, tt_memory_request *request, tt_error *err)
{
    if (!p->memory_mode || strcmp(p->memory_mode, "auto") == 0)
        return TT_OK;
    request->has_mode = true;
    for (int mode = TT_MEMORY_RESIDENT; mode <= TT_MEMORY_STREAMED; mode++)
        if (strcmp(p->memory_mode, tt_memory_mode_name((tt_memory_mode)mode)) == 0) {
            request->mode = (tt_memory_mode)mode;
            return TT_OK;
        }
    return tt_fail(err, TT_ERROR_ARGUMENT,
                   "there is no memory mode \"%s\"; the modes are auto, resident, sequential and streamed",
                   p->memory_mode);
}

tt_status tt_request_sizes(tt_model *model, const tt_generate_params *p, tt_memory_request *request, tt_error *err)
{
    tt_condition_request condition = tt_request_condition(model, p);
    tt_vae_tile usual = {TT_USUAL_TILE, TT_USUAL_TILE};
    *request = (tt_memory_request){.width = p->width,
                                   .height = p->height,
                                   .n_images = p->n_images,
                                   .n_chunks = 1,
                                   .n_texts = condition.guided ? 2 : 1,
                                   .calls = tt_request_calls(model, p),
                                   .has_image = p->init_image != NULL,
                                   .has_mask = p->mask != NULL,
                                   .preview = p->preview && !model->preview_projection};
    if (model->vae_tiling)
        request->forced_tile = usual;
    tt_status status = take_mode(p, request, err);
    if (status == TT_OK)
        status = count_calls(model, p, &request->n_calls, err);
    if (status == TT_OK && p->prompt)
        status = tt_condition_chunks(model, &condition, &request->n_chunks, err);
    return status;
}
