/* unet-config.h - the architecture of a UNet2DConditionModel of the Stable Diffusion families, from diffusers'
 * config.json or from the tensors of a single-file checkpoint. */
#ifndef TT_UNET_UNET_CONFIG_H
#define TT_UNET_UNET_CONFIG_H

#include "model-file/weights.h"

enum { TT_UNET_MAX_BLOCKS = 8, TT_UNET_MAX_RESNETS = 64, TT_UNET_MAX_LAYERS = 64, TT_UNET_MAX_HEAD_CUTS = 256 };

/* An attention layer that lost heads. */
typedef struct tt_unet_head_cut {
    uint8_t place, layer; /* as in tt_unet_unit */
    bool is_cross;
    uint16_t n_kept; /* 1 to one less than the block's heads */
} tt_unet_head_cut;

/* What structural pruning took out of an architecture; all zero: nothing. unet-removed.h reads and changes it. Places
 * number the residual blocks from 0 in the order of the pass: down path, mid block, up path. */
typedef struct tt_unet_removed {
    uint64_t residuals;                         /* bit i: residual block at place i */
    uint64_t transformers[TT_UNET_MAX_RESNETS]; /* bits: transformer blocks of the attention module behind place i */
    uint32_t n_head_cuts;
    tt_unet_head_cut head_cuts[TT_UNET_MAX_HEAD_CUTS];
} tt_unet_removed;

typedef struct tt_unet_config {
    uint32_t in_channels, out_channels;
    uint32_t n_blocks;
    uint32_t channels[TT_UNET_MAX_BLOCKS];           /* block_out_channels, multiples of 4 */
    uint32_t n_heads[TT_UNET_MAX_BLOCKS];            /* attention heads of each down block */
    uint32_t transformer_layers[TT_UNET_MAX_BLOCKS]; /* transformer blocks per attention, of each down block */
    bool down_attention[TT_UNET_MAX_BLOCKS], up_attention[TT_UNET_MAX_BLOCKS];
    uint32_t layers_per_block; /* residual blocks of a down block; up blocks have one more */
    bool has_mid;
    bool linear_projection; /* proj_in/proj_out stored as linear; same arithmetic */
    uint32_t cross_attention_dim;
    uint32_t n_groups;
    float norm_eps;
    bool flip_sin_to_cos;
    double freq_shift;
    uint32_t time_cond_dim;      /* LCM: time_embedding.cond_proj inputs, 0 = none */
    uint32_t addition_time_dim;  /* SDXL: sinusoid size of each time id, 0 = no added embedding */
    uint32_t addition_input_dim; /* SDXL: inputs of add_embedding.linear_1 = text_embeds + 6 * addition_time_dim */
    tt_unet_removed removed;
} tt_unet_config;

/* Reads a diffusers config.json; `what` names it in sentences. Architectures of other families (class embeddings, image
 * projections, other block types, ...) fail with TT_ERROR_UNSUPPORTED naming the field. */
tt_status tt_unet_config_parse(const char *json, const char *what, tt_unet_config *config, tt_error *err);

/* Derives the architecture from the tensors of an LDM checkpoint; weights has the prefix "model.diffusion_model." and
 * no translation. Head counts by family: convolutional proj_in (SD1) 8 heads, linear proj_in (SD2, SDXL) 64 channels a
 * head. */
tt_status tt_unet_config_derive(const tt_weights *weights, uint32_t pooled_dim, tt_unet_config *config, tt_error *err);

/* Checks the sizes that every later step relies on; both functions above end with it. */
tt_status tt_unet_config_check(const tt_unet_config *config, const char *what, tt_error *err);

/* tt_translate_fn: canonical (diffusers) names to LDM names without prefix; layout is the tt_unet_config. */
bool tt_unet_ldm_name(const void *layout, const char *canonical, tt_tensor_place *place);

#endif
