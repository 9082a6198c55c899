/* config-write.h - diffusers-style configs of architectures that were derived from tensors, so that a file of our own
 * says what its reader needs to know. Each text, parsed again by the component's own function, gives an equal config.
 * The texts are new (free()). */
#ifndef TT_PIPELINE_CONFIG_WRITE_H
#define TT_PIPELINE_CONFIG_WRITE_H

#include "pipeline/model.h"

/* unet/config.json of a UNet2DConditionModel. */
tt_status tt_config_write_unet(const tt_unet_config *config, char **json, tt_error *err);

/* vae/config.json of an AutoencoderKL or AutoencoderTiny. Which halves are there is told by the tensors, not by the
 * config; a tiny autoencoder's missing half is described like the other one. */
tt_status tt_config_write_vae(const tt_vae_config *config, char **json, tt_error *err);

/* text_encoder/config.json of a CLIPTextModel or CLIPTextModelWithProjection. */
tt_status tt_config_write_clip(const tt_clip_config *config, char **json, tt_error *err);

/* model_index.json of the parts that the model has. */
tt_status tt_config_write_index(const tt_model *model, char **json, tt_error *err);

#endif
