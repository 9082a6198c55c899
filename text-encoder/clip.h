/* clip.h - CLIP's text transformer (Radford et al. 2021; OpenCLIP): CLIPTextModel and CLIPTextModelWithProjection. */
#ifndef TT_TEXT_ENCODER_CLIP_H
#define TT_TEXT_ENCODER_CLIP_H

#include "graph/graph.h"
#include "graph/tuner.h"

typedef struct tt_clip_config {
    uint32_t n_vocabulary, hidden, intermediate, n_layers, n_heads, n_positions;
    tt_activation activation; /* TT_ACT_QUICK_GELU (OpenAI) or TT_ACT_GELU (OpenCLIP) */
    float layer_norm_eps;
    uint32_t projection_dim; /* rows of text_projection, 0: no projection */
    int32_t eos_id;          /* the pooled row is its first position; 2 (old configs): the position of the largest id */
} tt_clip_config;

/* Reads transformers' config.json of a text encoder; `what` names it in sentences. */
tt_status tt_clip_config_parse(const char *json, const char *what, tt_clip_config *config, tt_error *err);

/* Layouts of single-file checkpoints. */
typedef enum tt_clip_layout_kind {
    TT_CLIP_HF = 0,    /* "text_model.encoder.layers..." : SD1, SDXL's first */
    TT_CLIP_OPEN_CLIP, /* "transformer.resblocks..." with fused in_proj, text_projection [in, out]: SD2, SDXL's second
                        */
    TT_CLIP_RENAMED    /* the same under transformers' names, "text_model.text_projection" still [in, out]: GGUF files
                          that stable-diffusion.cpp converted until the end of 2025 */
} tt_clip_layout_kind;

/* Derives a config from tensors (weights untranslated, prefix up to the layout's own names). drop_last_layer: SD2 keeps
 * one layer more than it uses. with_projection: SDXL's second encoder. Heads: 64 channels each. */
tt_status tt_clip_config_derive(const tt_weights *weights, tt_clip_layout_kind kind, bool drop_last_layer,
                                bool with_projection, tt_clip_config *config, tt_error *err);

/* tt_translate_fn for OpenCLIP names (layout unused): canonical transformers names with "text_model." -> OpenCLIP. */
bool tt_clip_open_clip_name(const void *layout, const char *canonical, tt_tensor_place *place);

/* tt_translate_fn for TT_CLIP_RENAMED (layout unused). */
bool tt_clip_renamed_name(const void *layout, const char *canonical, tt_tensor_place *place);

/* tt_translate_fn that drops "text_model.": transformers >= 5 saves CLIPTextModel without that prefix. */
bool tt_clip_short_name(const void *layout, const char *canonical, tt_tensor_place *place);

typedef struct tt_clip tt_clip;

/* kernels and config are copied; weights stay the caller's. Nothing is uploaded yet. */
tt_status tt_clip_create(const tt_kernels *kernels, const tt_clip_config *config, tt_weights *weights, tt_clip **clip,
                         tt_error *err);
void tt_clip_destroy(tt_clip *clip);

/* What tt_clip_encode computes; NULL pointers are left out. All arrays are the caller's. */
typedef struct tt_clip_output {
    float *last_hidden;    /* [batch][n_tokens][hidden], after the final layer norm */
    float *skipped;        /* the same from an earlier layer, before the final layer norm ... */
    float *skipped_normed; /* ... and after it */
    float *pooled; /* [batch][projection_dim], or [batch][hidden] without projection: last_hidden at EOS, projected */
} tt_clip_output;

/* Encodes ids [batch][n_tokens] (n_tokens <= n_positions). clip_skip k: `skipped` is the output of layer n_layers - k +
 * 1 (1: the last, 2: the penultimate, ...). Ids out of the vocabulary fail. Blocking. */
tt_status tt_clip_encode(tt_clip *clip, const int32_t *ids, uint32_t batch, uint32_t n_tokens, uint32_t clip_skip,
                         const tt_clip_output *output, tt_error *err);

/* Measures the variants of the ops of a shape (graph/tuner.h). */
tt_status tt_clip_tune(tt_clip *clip, uint32_t batch, uint32_t n_tokens, tt_tuner *tuner, tt_error *err);

/* What an encode of [batch][n_tokens] needs and does, and which weights it uses; without a device
 * (tt_graph_forecast_of). */
tt_status tt_clip_forecast(const tt_kernels *kernels, const tt_clip_config *config, tt_weights *weights, uint32_t batch,
                           uint32_t n_tokens, tt_weight_store **store, tt_graph_forecast *forecast, tt_error *err);

/* Limits the weights on the device from the next encode on, see tt_weight_store_set_limit. A limit other than the one
 * in force frees weights and graph. */
void tt_clip_set_weight_limit(tt_clip *clip, uint64_t resident_bytes, uint32_t n_slots);

/* Frees weights and activations on the device; the next encode uploads again. */
void tt_clip_release_device(tt_clip *clip);
uint64_t tt_clip_weight_bytes(const tt_clip *clip);

/* The launches of a pass and its activations, for profiles: of the last encode; NULL, 0 before it, and NULL when
 * weights pass through. */
tt_recorder *tt_clip_recorder(tt_clip *clip);
size_t tt_clip_arena_bytes(const tt_clip *clip);

/* The store of its weights, to observe or replace them (graph/observe.h); made when it is not there yet, and gone after
 * tt_clip_release_device. */
tt_status tt_clip_store(tt_clip *clip, tt_weight_store **store, tt_error *err);

#endif
