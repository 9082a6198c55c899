/* stage.h - one part of the engine on plain arrays, for integrators and checks; part of tintype.h. */
#ifndef TINTYPE_STAGE_H
#define TINTYPE_STAGE_H

#include "tintype/generate.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tt_array_type {
    TT_ARRAY_F32 = 0,
    TT_ARRAY_F64 = 1,
    TT_ARRAY_I32 = 2,
    TT_ARRAY_I64 = 3,
    TT_ARRAY_U8 = 4
} tt_array_type;

/* A dense row-major array with a name. */
typedef struct tt_array {
    char name[128];
    tt_array_type type;
    uint32_t n_dims;
    uint64_t dims[8];
    void *data;
} tt_array;

/* A set of arrays, what a safetensors file holds. Zero-initialise before use; free with tt_arrays_free. */
typedef struct tt_arrays {
    size_t n_items;
    tt_array *items;
} tt_arrays;

TT_API void tt_arrays_free(tt_arrays *arrays);

/* The array of that name, or NULL. */
TT_API const tt_array *tt_arrays_find(const tt_arrays *arrays, const char *name);

/* Appends a copy of the data. */
TT_API tt_status tt_arrays_add(tt_context *context, tt_arrays *arrays, const char *name, tt_array_type type,
                               uint32_t n_dims, const uint64_t *dims, const void *data);

/* Reads all tensors of a safetensors file; F16 and BF16 are widened to F32, I8/I16/BOOL to I32. */
TT_API tt_status tt_arrays_read(tt_context *context, const char *path, tt_arrays *arrays);

/* Writes a safetensors file to a temporary name and renames it. */
TT_API tt_status tt_arrays_write(tt_context *context, const char *path, const tt_arrays *arrays);

typedef enum tt_stage {
    TT_STAGE_TEXT = 0, /* input_ids I32 [B,T] -> last_hidden_state, penultimate, clip_skip_2, pooled | text_embeds */
    TT_STAGE_UNET = 1, /* sample, timestep, encoder_hidden_states, [text_embeds, time_ids, timestep_cond] -> sample */
    TT_STAGE_VAE_DECODE = 2, /* latent [B,C,h,w], no scaling factor inside -> image [B,3,H,W] in -1..1 */
    TT_STAGE_VAE_ENCODE = 3, /* image -> mean, logvar (AutoencoderTiny: latent) */
    TT_STAGE_SAMPLE =
        4, /* x_init [n], noise [draws,n] -> timesteps F64, sigmas, x [calls,n] on the analytic denoiser */
    TT_STAGE_DENOISE = 5 /* noise0, noise1, ..., [image, mask] -> timesteps, latents_steps, latents_final, image_out */
} tt_stage;

/* Choices of a stage; fill with tt_stage_params_default. Only the fields named by a stage are read. */
typedef struct tt_stage_params {
    tt_stage stage;
    uint32_t encoder; /* TEXT: 1 or 2 */
    bool trace;       /* UNET: also the outputs of residual and transformer blocks, named as in diffusers */
    const char *
        scheduler_config; /* SAMPLE, DENOISE: JSON text of a diffusers scheduler_config.json; DENOISE: NULL = model's */
    uint32_t n_steps;     /* SAMPLE, DENOISE */
    float eta;            /* SAMPLE, DENOISE */
    const char *prompt;   /* DENOISE */
    const char *negative_prompt;              /* DENOISE; NULL: none (SDXL: zero embeddings when the model says so) */
    float cfg_scale;                          /* DENOISE */
    float strength;                           /* DENOISE with image */
    uint32_t clip_skip;                       /* DENOISE: 1 = last layer, 2 = penultimate */
    tt_savers savers;                         /* DENOISE */
    uint32_t original_height, original_width; /* DENOISE, SDXL: 0 = the picture's own size */
    uint32_t crop_top, crop_left;
    uint32_t target_height, target_width;
} tt_stage_params;

TT_API void tt_stage_params_default(tt_stage_params *params, tt_stage stage);

/* Runs one stage on `inputs`, appends its results to `outputs`. model is NULL for TT_STAGE_SAMPLE. */
TT_API tt_status tt_stage_run(tt_context *context, tt_model *model, const tt_stage_params *params,
                              const tt_arrays *inputs, tt_arrays *outputs);

/* Token ids of a text with BOS and EOS, as HF's fast CLIP tokenizer gives them; no prompt grammar. encoder is 1 or 2.
 * n_pad 0: unpadded and uncut; else cut and padded to that length. *ids is freed with free(). */
TT_API tt_status tt_tokenize(tt_model *model, uint32_t encoder, const char *text, uint32_t n_pad, int32_t **ids,
                             size_t *n_ids);

#ifdef __cplusplus
}
#endif

#endif
