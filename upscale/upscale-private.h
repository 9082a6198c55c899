/* upscale-private.h - a network's object, shared by the files of this room. */
#ifndef TT_UPSCALE_UPSCALE_PRIVATE_H
#define TT_UPSCALE_UPSCALE_PRIVATE_H

#include "upscale/upscale-build.h"

struct tt_upscale_net {
    tt_kernels kernels;
    tt_upscale_config config;
    uint32_t tile;
    tt_weight_store *store;
    tt_graph *graph; /* of one size */
    uint32_t graph_height, graph_width;
};

/* One pass: in [n_channels][height][width] (multiples of what is folded) -> the graph's output before the pixel
 * shuffle, [out_channels][height * grow / fold][width * grow / fold]. */
tt_status tt_upscale_pass(tt_upscale_net *net, const float *in, uint32_t height, uint32_t width, float *out,
                          tt_error *err);

#endif
