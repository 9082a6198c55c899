/* vae.h - latents to pictures and back: AutoencoderKL (arXiv 2112.10752) and AutoencoderTiny (TAESD). */
#ifndef TT_VAE_VAE_H
#define TT_VAE_VAE_H

#include "graph/graph.h"
#include "graph/tuner.h"
#include "vae/tiles.h"

enum { TT_VAE_MAX_BLOCKS = 8 };

/* Side of a tile where nothing smaller is needed: what most models were trained at. */
enum { TT_USUAL_TILE = 64 };

typedef enum tt_vae_kind { TT_VAE_KL = 0, TT_VAE_TINY } tt_vae_kind;

typedef struct tt_vae_config {
    tt_vae_kind kind;
    uint32_t latent_channels;
    uint32_t factor;                     /* pixels per latent position along a side */
    double scaling_factor, shift_factor; /* model latent = (vae latent - shift) * scaling; tiny: 1 and 0 */
    uint32_t n_groups;                   /* KL */
    /* KL: block_out_channels and layers_per_block for both halves. Tiny: separate halves, n_layers = num_*_blocks. */
    uint32_t n_encoder_blocks, n_decoder_blocks;
    uint32_t encoder_channels[TT_VAE_MAX_BLOCKS], encoder_layers[TT_VAE_MAX_BLOCKS];
    uint32_t decoder_channels[TT_VAE_MAX_BLOCKS], decoder_layers[TT_VAE_MAX_BLOCKS];
    bool mid_attention, has_quant_conv, has_post_quant_conv; /* KL */
    bool has_encoder, has_decoder;                           /* tensors are there */
} tt_vae_config;

/* Reads diffusers' config.json (AutoencoderKL or AutoencoderTiny by _class_name, or `is_tiny` when that is missing). */
tt_status tt_vae_config_parse(const char *json, const char *what, tt_vae_config *config, tt_error *err);

/* Derives an AutoencoderKL from untranslated LDM tensors (prefix "first_stage_model."). scaling_factor is the family's.
 */
tt_status tt_vae_config_derive(const tt_weights *weights, double scaling_factor, tt_vae_config *config, tt_error *err);

/* Derives an AutoencoderTiny from tensors in diffusers names ("decoder.layers.N...") or, with `original`, from original
 * TAESD files ("N..." of one half; is_decoder tells which). */
tt_status tt_vae_tiny_derive(const tt_weights *weights, bool original, bool is_decoder, tt_vae_config *config,
                             tt_error *err);

/* tt_translate_fn: canonical diffusers names to LDM names; layout is the tt_vae_config. */
bool tt_vae_ldm_name(const void *layout, const char *canonical, tt_tensor_place *place);

/* tt_translate_fn: diffusers "decoder.layers.N." to original TAESD decoder "N+1 -> N" indices and "encoder.layers.N."
 * to "N.": layout is a bool, true for the decoder file. */
bool tt_vae_taesd_name(const void *layout, const char *canonical, tt_tensor_place *place);

/* tt_translate_fn for AutoencoderKL folders of diffusers < 0.17, whose attention is named query/key/value/proj_attn. */
bool tt_vae_old_attention_name(const void *layout, const char *canonical, tt_tensor_place *place);

typedef struct tt_vae tt_vae;

/* kernels and config are copied; weights stay the caller's. encoder_weights may differ from weights (original TAESD
 * pairs) or be NULL (then weights serve both). tiling: pictures are decoded in tiles of
 * TT_USUAL_TILE positions.
 * Nothing is uploaded yet. */
tt_status tt_vae_create(const tt_kernels *kernels, const tt_vae_config *config, tt_weights *weights,
                        tt_weights *encoder_weights, bool tiling, tt_vae **vae, tt_error *err);
void tt_vae_destroy(tt_vae *vae);

/* Sizes of the tiles of both halves from the next call on (zeros: the whole picture at once). Tiles take less memory;
 * pictures differ a little from those made at once, since norms and attention then see one tile only. */
void tt_vae_set_tiles(tt_vae *vae, tt_vae_tile decoder, tt_vae_tile encoder);

/* Called between tiles; false stops with TT_ERROR_CANCELLED. May be NULL. */
typedef bool (*tt_vae_tile_fn)(void *user, uint32_t tile, uint32_t n_tiles);

/* latent [batch][latent_channels][h][w] (no scaling factor inside) -> image [batch][3][h*factor][w*factor] in -1..1
 * (not clamped for KL). Tiles, where they are set, are blended linearly. */
tt_status tt_vae_decode(tt_vae *vae, const float *latent, uint32_t batch, uint32_t height, uint32_t width, float *image,
                        tt_vae_tile_fn tile, void *user, tt_error *err);

/* image [batch][3][H][W] in -1..1 (multiples of factor) -> mean and logvar [batch][latent_channels][H/f][W/f]; tiny:
 * mean only (logvar may be NULL). */
tt_status tt_vae_encode(tt_vae *vae, const float *image, uint32_t batch, uint32_t height, uint32_t width, float *mean,
                        float *logvar, tt_error *err);

/* Measures the variants of the ops of one half over one picture (or tile) of this input size (graph/tuner.h). */
tt_status tt_vae_tune(tt_vae *vae, bool is_decoder, uint32_t height, uint32_t width, tt_tuner *tuner, tt_error *err);

/* What a pass of one half over one picture (or tile) of this input size needs and does, and which weights it uses;
 * without a device (tt_graph_forecast_of). */
tt_status tt_vae_forecast(const tt_kernels *kernels, const tt_vae_config *config, tt_weights *weights, bool is_decoder,
                          uint32_t height, uint32_t width, tt_weight_store **store, tt_graph_forecast *forecast,
                          tt_error *err);

/* Limits the weights of each half on the device from its next use on, see tt_weight_store_set_limit. A limit other than
 * the one in force frees weights and graph. */
void tt_vae_set_weight_limit(tt_vae *vae, uint64_t resident_bytes, uint32_t n_slots);

/* Frees activations; release_device also the weights. */
void tt_vae_release_graph(tt_vae *vae);
void tt_vae_release_device(tt_vae *vae);
uint64_t tt_vae_weight_bytes(const tt_vae *vae);

/* The share of one half. */
uint64_t tt_vae_half_bytes(const tt_vae *vae, bool is_decoder);

/* The launches of a pass and its activations, for profiles: of the last decode or encode; NULL, 0 before it, and NULL
 * when weights pass through. */
tt_recorder *tt_vae_recorder(tt_vae *vae);
size_t tt_vae_arena_bytes(const tt_vae *vae);

/* The store of the decoder's weights, to observe or replace them (graph/observe.h); made when it is not there yet, and
 * gone after tt_vae_release_device. */
tt_status tt_vae_decoder_store(tt_vae *vae, tt_weight_store **store, tt_error *err);

#endif
