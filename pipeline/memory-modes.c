/* memory-modes.c - brings a model into a mode for a run and back. */
#include "base/system-memory.h"
#include "pipeline/memory.h"

/* Frees everything of the model on the device. */
static void free_parts(tt_model *model)
{
    for (uint32_t i = 0; i < TT_MAX_CLIPS; i++)
        if (model->text[i].clip)
            tt_clip_release_device(model->text[i].clip);
    if (model->unet)
        tt_unet_release_device(model->unet);
    if (model->vae)
        tt_vae_release_device(model->vae);
    tt_heap_trim();
}

static void limit_text(tt_model *model, uint64_t limits[TT_MAX_CLIPS])
{
    for (uint32_t i = 0; i < TT_MAX_CLIPS; i++)
        if (model->text[i].clip)
            tt_clip_set_weight_limit(model->text[i].clip, limits[i], TT_STREAM_SLOTS);
}

/* Makes the objects of all parts, without weights, so that limits can be set. */
static tt_status need_parts(tt_model *model, tt_error *err)
{
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < TT_MAX_CLIPS && status == TT_OK; i++)
        status = model->text[i].present ? tt_model_need_text(model, i, err) : TT_OK;
    if (status == TT_OK)
        status = tt_model_need_unet(model, err);
    return status == TT_OK ? tt_model_need_vae(model, err) : status;
}

tt_status tt_memory_enter(tt_model *model, const tt_memory_choice *choice, tt_error *err)
{
    uint64_t text[TT_MAX_CLIPS] = {choice->limits[TT_PART_TEXT], choice->limits[TT_PART_TEXT_2]};
    tt_status status = need_parts(model, err);
    if (status != TT_OK)
        return status;
    if (choice->mode != TT_MEMORY_RESIDENT)
        free_parts(model);
    limit_text(model, text);
    tt_unet_set_weight_limit(model->unet, choice->limits[TT_PART_UNET], TT_STREAM_SLOTS);
    tt_vae_set_weight_limit(model->vae, choice->limits[TT_PART_DECODER], TT_STREAM_SLOTS);
    tt_vae_set_tiles(model->vae, choice->decoder_tile, choice->encoder_tile);
    model->decoder_tile = choice->decoder_tile;
    model->encoder_tile = choice->encoder_tile;
    return TT_OK;
}

void tt_memory_leave(tt_model *model, const tt_memory_choice *choice)
{
    uint64_t text[TT_MAX_CLIPS] = {UINT64_MAX, UINT64_MAX};
    tt_vae_tile usual = {model->vae_tiling ? TT_USUAL_TILE : 0, model->vae_tiling ? TT_USUAL_TILE : 0};
    if (choice->mode != TT_MEMORY_RESIDENT)
        free_parts(model);
    limit_text(model, text);
    if (model->unet)
        tt_unet_set_weight_limit(model->unet, UINT64_MAX, TT_STREAM_SLOTS);
    if (model->vae) {
        tt_vae_release_graph(model->vae);
        tt_vae_set_weight_limit(model->vae, UINT64_MAX, TT_STREAM_SLOTS);
        tt_vae_set_tiles(model->vae, usual, (tt_vae_tile){0, 0});
    }
    tt_heap_trim();
}

/* ---- the peak of a run */

void tt_memory_watch_begin(tt_memory_watch *watch, tt_model *model)
{
    tt_process_memory now = tt_process_memory_now();
    *watch = (tt_memory_watch){.model = model, .peak_before = now.peak, .highest = now.resident};
    if (model->context->device)
        tt_device_restart_peak(model->context->device);
}

void tt_memory_watch_look(tt_memory_watch *watch)
{
    uint64_t resident = tt_process_memory_now().resident;
    watch->highest = resident > watch->highest ? resident : watch->highest;
}

uint64_t tt_memory_watch_end(tt_memory_watch *watch)
{
    const tt_device *device = watch->model->context->device;
    tt_process_memory now = tt_process_memory_now();
    tt_memory_watch_look(watch);
    uint64_t process = now.peak > watch->peak_before || watch->highest == 0 ? now.peak : watch->highest;
    return process + (device && !tt_device_shares_memory(device) ? tt_device_peak_bytes(device) : 0);
}
