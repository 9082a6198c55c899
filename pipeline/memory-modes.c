/* memory-modes.c - brings a model into a mode for a run and back. */
#include "pipeline/memory.h"
#include "base/system-memory.h"

void tt_memory_free_text(tt_model *model, uint32_t index)
{
    if (model->text[index].clip)
        tt_clip_release_device(model->text[index].clip);
}

/* Frees everything of the model on the device. */
static void free_parts(tt_model *model)
{
    for (uint32_t i = 0; i < TT_MAX_CLIPS; i++)
        tt_memory_free_text(model, i);
    if (model->unet)
        tt_unet_release_device(model->unet);
    if (model->vae)
        tt_vae_release_device(model->vae);
    tt_heap_trim();
}

/* Limits of all parts; NULL: none. Objects are made for it, their weights are not. */
static tt_status set_limits(tt_model *model, const tt_memory_choice *choice, tt_error *err)
{
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < TT_MAX_CLIPS && status == TT_OK; i++) {
        if (!model->text[i].present)
            continue;
        status = tt_model_need_text(model, i, err);
        if (status == TT_OK)
            tt_clip_set_weight_limit(model->text[i].clip, choice->limits[TT_PART_TEXT + i], TT_STREAM_SLOTS);
    }
    if (status == TT_OK)
        status = tt_model_need_unet(model, err);
    if (status == TT_OK)
        tt_unet_set_weight_limit(model->unet, choice->limits[TT_PART_UNET], TT_STREAM_SLOTS);
    if (status == TT_OK)
        status = tt_model_need_vae(model, err);
    if (status == TT_OK)
        tt_vae_set_tiles(model->vae, choice->decoder_tile, choice->encoder_tile);
    return status;
}
