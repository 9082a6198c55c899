/* unet-build.h - builds the graph of one UNet pass; used inside this room. */
#ifndef TT_UNET_UNET_BUILD_H
#define TT_UNET_UNET_BUILD_H

#include "graph/graph.h"
#include "unet/unet.h"

/* Embeddings that are computed together: those of n_slots timesteps, for each of n_images images where they depend on
 * more than the timestep (SDXL, LCM). */
typedef struct tt_unet_times {
    uint32_t n_images, n_slots;
} tt_unet_times;
tt_unet_times tt_unet_times_of(const tt_unet_config *config, uint32_t batch);

/* Appends the whole network to graph. Arrays, with n_images and n_slots of tt_unet_times_of: inputs "sample",
 * "time_index" [batch] (image * n_slots + slot), static "context", "time" [n_images][n_slots][channels[0]] (sinusoids),
 * "timestep_cond" [n_images][n_slots][time_cond_dim] (LCM) and "added" [n_images][n_slots][addition_input_dim] (SDXL);
 * output "out". `config` is what is built, `stored` what the weights are for: the same, or the same with less removed.
 * Time projections are stacked as `stored` has them, so that graphs that lack different blocks share that matrix. */
void tt_unet_build(tt_graph *graph, const tt_unet_config *stored, const tt_unet_config *config,
                   const tt_unet_shape *shape);

/* What the blocks share while building. */
typedef struct tt_unet_builder {
    tt_graph *graph;
    const tt_unet_config *stored, *config;
    tt_value context;
    tt_value time_projections; /* [batch, ...]: time embedding projected for all residual blocks, in their order */
    uint32_t next_projection;  /* channels of time_projections already used */
    const tt_unet_shape *shape;
} tt_unet_builder;

/* In traced graphs, makes a module's output readable under its name; returns the value. */
tt_value tt_unet_traced(const tt_unet_builder *builder, tt_value value, const char *name, bool channels_last);

/* Residual block at a place (unet-removed.h): norm, SiLU, conv, + time embedding, norm, SiLU, conv, + shortcut. `skip`
 * (or TT_NONE) is concatenated to the input along channels. Removed: the shortcut alone, or the input itself. */
tt_value tt_unet_residual_block(tt_unet_builder *builder, tt_value in, tt_value skip, uint32_t place);

/* Transformer2DModel behind a place: norm, proj_in, its transformer blocks (self-attention, cross-attention, GEGLU
 * feed-forward), proj_out, +. Returns the input where there is none or nothing of it is left. */
tt_value tt_unet_transformer(tt_unet_builder *builder, tt_value in, uint32_t place);

#endif
