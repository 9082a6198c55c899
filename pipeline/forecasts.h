/* forecasts.h - what the parts of a model need and do at the sizes that were asked for, kept so that repeated requests
 * cost little; used inside this room. */
#ifndef TT_PIPELINE_FORECASTS_H
#define TT_PIPELINE_FORECASTS_H

#include "unet/unet.h"

struct tt_model;

/* The parts of a model that have weights and a graph of their own. */
typedef enum tt_part {
    TT_PART_TEXT = 0, /* first text encoder */
    TT_PART_TEXT_2,   /* SDXL's second */
    TT_PART_UNET,
    TT_PART_ENCODER, /* VAE */
    TT_PART_DECODER,
    TT_N_PARTS
} tt_part;

/* Input of one pass of a part; fields that a part does not know are 0. */
typedef struct tt_part_shape {
    uint32_t batch;                      /* UNet: pictures and conditions; text: chunks */
    uint32_t height, width;              /* UNet and decoder: latent positions; encoder: pixels */
    uint32_t n_tokens;                   /* UNet: of the context; text: of a chunk */
    uint32_t reuse_depth, kv_downsample; /* UNet: as in tt_unet_shape */
} tt_part_shape;

/* The UNet's own words for its shape. */
tt_unet_shape tt_part_unet_shape(const tt_part_shape *shape);

typedef struct tt_forecasts tt_forecasts;

/* The model's own forecasts (made when first asked for), destroyed with the model. NULL is allowed. */
void tt_forecasts_destroy(tt_forecasts *forecasts);

/* The same model as it might be: every matrix of `type`, or (tiny_vae) everything as it is but a tiny autoencoder
 * (TAESD) of that type instead of the VAE. Destroy after use. */
tt_status tt_forecasts_create_assumed(tt_dtype type, bool tiny_vae, tt_forecasts **forecasts, tt_error *err);

/* True when the model has the part. */
bool tt_model_has_part(const struct tt_model *model, tt_part part);

/* Forecast of a pass. forecasts NULL: the model's own. Needs an open device (for its kernel family). The pointer is
 * valid until the next call. */
tt_status tt_model_forecast(struct tt_model *model, tt_forecasts *forecasts, tt_part part, const tt_part_shape *shape,
                            const tt_graph_forecast **forecast, tt_error *err);

/* Sizes of a part's weights when at most resident_bytes of matrices stay on the device (UINT64_MAX: all), see
 * tt_weight_store_set_limit; after a forecast of that part. */
tt_weight_sizes tt_model_part_sizes(struct tt_model *model, tt_forecasts *forecasts, tt_part part,
                                    uint64_t resident_bytes, uint32_t n_slots);

#endif
