/* model.h - models: opening them, what they are; part of tintype.h. */
#ifndef TINTYPE_MODEL_H
#define TINTYPE_MODEL_H

#include "tintype/context.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A model: text encoder(s), UNet, VAE, tokenizer and scheduler configuration of one file or folder. */
typedef struct tt_model tt_model;

/* Choices made when a model is loaded. Fill with tt_model_params_default first. Strings are copied. */
typedef struct tt_model_params {
    const char *path;       /* diffusers folder, single-file checkpoint (safetensors or GGUF) or tintype's own file */
    const char *taesd_path; /* NULL, or an AutoencoderTiny (file or folder) that replaces the VAE */
    const char *vae_path;   /* NULL, or an AutoencoderKL (file or folder) that replaces the VAE */
    const char *vocabulary_path; /* NULL: $TINTYPE_SHARE or the install's share folder; CLIP vocabulary for models
                                    without one */
    tt_precision precision;
    bool vae_tiling; /* decode and encode in overlapping tiles: less memory, a little slower */
} tt_model_params;

TT_API void tt_model_params_default(tt_model_params *params);

/* Tensors of one element type in a model's files. */
typedef struct tt_stored_type {
    char name[16]; /* "F16", "Q4_K", "I8", ... */
    uint64_t n_tensors, n_bytes;
} tt_stored_type;

enum { TT_MAX_STORED_TYPES = 24 };

/* What a model is, for people and for callers that choose sizes. */
typedef struct tt_model_info {
    char name[128];           /* file or folder name without extension */
    char family[32];          /* "sd1", "sd2", "sdxl" */
    char prediction_type[32]; /* "epsilon" or "v_prediction" */
    char scheduler[64];       /* diffusers class name of the model's own scheduler */
    uint32_t latent_channels;
    uint32_t vae_factor;       /* pixels per latent position along a side: 8 for SD */
    uint32_t unet_in_channels; /* 9 for inpainting models */
    uint32_t default_width, default_height;
    uint32_t default_steps;
    float default_cfg_scale;
    uint64_t n_parameters;
    uint64_t n_ignored_tensors; /* tensors of the file that no stage uses (EMA copies, position ids, ...) */
    bool has_vae_encoder;       /* img2img and inpaint are possible */
    tt_precision precision;     /* the form in use, never AUTO; while no device is open, the wanted one */
    char container[16];         /* of the weights: "safetensors" or "GGUF" */
    char weights[32]; /* the type that most of the UNet's weights have ("F16", "Q4_K"; "w8c": int8 per channel) */
    uint64_t n_bytes; /* of all tensors in the model's files, without a VAE given apart */
    uint32_t n_types;
    tt_stored_type types[TT_MAX_STORED_TYPES]; /* the same by type */
} tt_model_info;

/* Opens a model: reads and checks the files, derives the architecture. Weights are uploaded when a stage first runs.
 * A device need not be open for tt_tokenize and tt_model_get_info. The context must outlive the model. */
TT_API tt_status tt_model_load(tt_context *context, const tt_model_params *params, tt_model **model);

/* Frees the model and its device memory. NULL is allowed. */
TT_API void tt_model_destroy(tt_model *model);

TT_API tt_status tt_model_get_info(tt_model *model, tt_model_info *info);

/* First 10 hex digits of the file's SHA-256, which infotexts name; "" for folders. Lives as long as the model. The file
 * is read through when this is first asked for: seconds for gigabytes, unless the open device's cache folder remembers
 * it from before. */
TT_API const char *tt_model_hash(tt_model *model);

#ifdef __cplusplus
}
#endif

#endif
