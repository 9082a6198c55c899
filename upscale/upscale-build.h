/* upscale-build.h - graphs of the networks; used inside this room. */
#ifndef TT_UPSCALE_UPSCALE_BUILD_H
#define TT_UPSCALE_UPSCALE_BUILD_H

#include "upscale/upscale.h"

/* How a tile's arrays and its graph's differ: the host folds, unfolds and shuffles, which is moving floats that it
 * copies anyway. */
typedef struct tt_upscale_form {
    uint32_t unfold;  /* taps along a side whose neighbourhood becomes channels (1: none) */
    uint32_t fold;    /* pixels along a side that become channels (1: none) */
    uint32_t grow;    /* by which the graph's output is larger than its input */
    uint32_t shuffle; /* by which the host makes it larger still */
} tt_upscale_form;

tt_upscale_form tt_upscale_form_of(const tt_upscale_config *config);

/* Taps of convolution i of a row along a side. */
uint32_t tt_upscale_conv_side(const tt_upscale_config *config, uint32_t index);

/* Channels of the graph's input and output. */
uint32_t tt_upscale_in_channels(const tt_upscale_config *config);
uint32_t tt_upscale_out_channels(const tt_upscale_config *config);

/* Appends a network: input "in" [1][in_channels][height][width], output "out" [1][out_channels][height * grow][width *
 * grow]. height and width are of the graph's input, that is without what is folded. */
void tt_upscale_build(tt_graph *graph, const tt_upscale_config *config, uint32_t height, uint32_t width);

/* tt_translate_fn: names of the builders to stored ones; layout is the tt_upscale_config. The prefix is not added. */
bool tt_upscale_name(const void *layout, const char *canonical, tt_tensor_place *place);

#endif
