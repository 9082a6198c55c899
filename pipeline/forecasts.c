/* forecasts.c - plans graphs of a model's parts without touching their weights, once for each shape. */
#include "pipeline/forecasts.h"
#include "pipeline/model.h"

#include <stdlib.h>
#include <string.h>

typedef struct tt_known_forecast {
    tt_part part;
    tt_part_shape shape;
    tt_graph_forecast forecast;
} tt_known_forecast;

struct tt_forecasts {
    bool is_assumed, tiny_vae;
    tt_dtype type;                       /* assumed */
    tt_weight_store *stores[TT_N_PARTS]; /* plans */
    tt_known_forecast *items;
    size_t n_items;
};

void tt_forecasts_destroy(tt_forecasts *forecasts)
{
    if (!forecasts)
        return;
    for (int i = 0; i < TT_N_PARTS; i++)
        tt_weight_store_destroy(forecasts->stores[i]);
    free(forecasts->items);
    free(forecasts);
}

static tt_status create(tt_forecasts **forecasts, tt_error *err)
{
    *forecasts = calloc(1, sizeof **forecasts);
    return *forecasts ? TT_OK : tt_fail_memory(err, "forecasts", sizeof **forecasts);
}

tt_status tt_forecasts_create_assumed(tt_dtype type, bool tiny_vae, tt_forecasts **forecasts, tt_error *err)
{
    tt_status status = create(forecasts, err);
    if (status != TT_OK)
        return status;
    (*forecasts)->is_assumed = true;
    (*forecasts)->tiny_vae = tiny_vae;
    (*forecasts)->type = type;
    return TT_OK;
}

bool tt_model_has_part(const tt_model *model, tt_part part)
{
    switch (part) {
    case TT_PART_TEXT:
        return model->text[0].present;
    case TT_PART_TEXT_2:
        return model->text[1].present;
    case TT_PART_UNET:
        return model->has_unet;
    case TT_PART_ENCODER:
        return model->has_vae && model->vae_config.has_encoder;
    case TT_PART_DECODER:
        return model->has_vae && model->vae_config.has_decoder;
    case TT_N_PARTS:
        break;
    }
    return false;
}

/* TAESD as madebyollin released it, for the channels of this model's latents. */
static tt_vae_config taesd_config(const tt_model *model)
{
    tt_vae_config c = {.kind = TT_VAE_TINY,
                       .latent_channels = model->vae_config.latent_channels,
                       .factor = model->vae_config.factor,
                       .scaling_factor = 1.0,
                       .n_encoder_blocks = 4,
                       .n_decoder_blocks = 4,
                       .has_encoder = true,
                       .has_decoder = true};
    static const uint32_t encoder_layers[] = {1, 3, 3, 3}, decoder_layers[] = {3, 3, 3, 1};
    for (int i = 0; i < 4; i++) {
        c.encoder_channels[i] = c.decoder_channels[i] = 64;
        c.encoder_layers[i] = encoder_layers[i];
        c.decoder_layers[i] = decoder_layers[i];
    }
    return c;
}

static tt_weights *weights_of(const tt_model *model, tt_part part)
{
    switch (part) {
    case TT_PART_TEXT:
        return model->text[0].weights;
    case TT_PART_TEXT_2:
        return model->text[1].weights;
    case TT_PART_UNET:
        return model->unet_weights;
    case TT_PART_ENCODER:
        return model->vae_encoder_weights ? model->vae_encoder_weights : model->vae_weights;
    case TT_PART_DECODER:
    case TT_N_PARTS:
        break;
    }
    return model->vae_weights;
}

static tt_status forecast_vae(const tt_model *model, const tt_forecasts *f, const tt_kernels *kernels, tt_part part,
                              const tt_part_shape *shape, tt_weights *weights, tt_weight_store **store,
                              tt_graph_forecast *forecast, tt_error *err)
{
    tt_vae_config config = f->tiny_vae ? taesd_config(model) : model->vae_config;
    return tt_vae_forecast(kernels, &config, weights, part == TT_PART_DECODER, shape->height, shape->width, store,
                           forecast, err);
}

static tt_status make(tt_model *model, tt_forecasts *f, tt_part part, const tt_part_shape *shape,
                      tt_graph_forecast *forecast, tt_error *err)
{
    tt_kernels kernels;
    bool is_vae = part == TT_PART_ENCODER || part == TT_PART_DECODER;
    bool is_half = is_vae && !f->tiny_vae ? tt_model_vae_is_half(model) : model->is_half;
    bool is_assumed = f->is_assumed && (is_vae || !f->tiny_vae);
    if (is_assumed)
        is_half = is_half || tt_dtype_is_block(f->type);
    tt_weights *weights = is_assumed ? NULL : weights_of(model, part);
    tt_weight_store **store = &f->stores[part];
    tt_status status = tt_model_kernels(model, is_half, is_vae || part == TT_PART_UNET, &kernels, err);
    if (status == TT_OK && is_assumed && !*store)
        status = tt_weight_store_create_assumed(&kernels, f->type, store, err);
    if (status != TT_OK)
        return status;
    const tt_unet_shape unet = tt_part_unet_shape(shape);
    switch (part) {
    case TT_PART_TEXT:
    case TT_PART_TEXT_2:
        return tt_clip_forecast(&kernels, &model->text[part == TT_PART_TEXT_2].config, weights, shape->batch,
                                shape->n_tokens, store, forecast, err);
    case TT_PART_UNET:
        return tt_unet_forecast(&kernels, &model->unet_config, weights, &unet, store, forecast, err);
    case TT_PART_ENCODER:
    case TT_PART_DECODER:
    case TT_N_PARTS:
        break;
    }
    return forecast_vae(model, f, &kernels, part, shape, weights, store, forecast, err);
}

tt_unet_shape tt_part_unet_shape(const tt_part_shape *shape)
{
    return (tt_unet_shape){.batch = shape->batch,
                           .height = shape->height,
                           .width = shape->width,
                           .n_tokens = shape->n_tokens,
                           .reuse_depth = shape->reuse_depth,
                           .kv_downsample = shape->kv_downsample};
}

static const tt_graph_forecast *find(const tt_forecasts *f, tt_part part, const tt_part_shape *shape)
{
    for (size_t i = 0; i < f->n_items; i++)
        if (f->items[i].part == part && memcmp(&f->items[i].shape, shape, sizeof *shape) == 0)
            return &f->items[i].forecast;
    return NULL;
}

tt_status tt_model_forecast(tt_model *model, tt_forecasts *forecasts, tt_part part, const tt_part_shape *shape,
                            const tt_graph_forecast **forecast, tt_error *err)
{
    tt_status status = TT_OK;
    tt_graph_forecast made;
    if (!forecasts && !model->forecasts)
        status = create(&model->forecasts, err);
    tt_forecasts *f = forecasts ? forecasts : model->forecasts;
    if (status != TT_OK || (*forecast = find(f, part, shape)) != NULL)
        return status;
    status = make(model, f, part, shape, &made, err);
    if (status != TT_OK)
        return status;
    tt_known_forecast *items = realloc(f->items, (f->n_items + 1) * sizeof *items);
    if (!items)
        return tt_fail_memory(err, "forecasts", (f->n_items + 1) * sizeof *items);
    f->items = items;
    items[f->n_items] = (tt_known_forecast){part, *shape, made};
    *forecast = &items[f->n_items++].forecast;
    return TT_OK;
}

tt_weight_sizes tt_model_part_sizes(tt_model *model, tt_forecasts *forecasts, tt_part part, uint64_t resident_bytes,
                                    uint32_t n_slots)
{
    const tt_forecasts *f = forecasts ? forecasts : model->forecasts;
    if (!f || !f->stores[part])
        return (tt_weight_sizes){0};
    tt_weight_store_set_limit(f->stores[part], resident_bytes, n_slots);
    return tt_weight_store_sizes(f->stores[part]);
}
