/* unet-build.h - builds the graph of one UNet pass; used inside this room. */
#ifndef TT_UNET_UNET_BUILD_H
#define TT_UNET_UNET_BUILD_H

#include "graph/graph.h"
#include "unet/unet.h"

/* Appends the whole network to graph. Arrays: inputs "sample", "time" [batch][channels[0]] (sinusoids),
 * static "context", "timestep_cond" (LCM) and "added" [batch][addition_input_dim] (SDXL); output "out". `config` is
 * what is built, `stored` what the weights are for: the same, or the same with less removed. Time projections are
 * stacked as `stored` has them, so that graphs that lack different blocks share that matrix. */
void tt_unet_build(tt_graph *graph, const tt_unet_config *stored, const tt_unet_config *config,
                   const tt_unet_shape *shape);

/* What the blocks share while building. */
typedef struct tt_unet_builder {
    tt_graph *graph;
    const tt_unet_config *stored, *config;
    tt_value context;
    tt_value time_projections; /* time embedding projected for all residual blocks, one after the other in channels */
    uint32_t next_projection;  /* channels of time_projections already used */
    bool trace;
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
