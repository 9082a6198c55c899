/* layer-name.h - full names of layers, by value, for builders. */
#ifndef TT_GRAPH_LAYER_NAME_H
#define TT_GRAPH_LAYER_NAME_H

#include "base/dtype.h"

typedef struct tt_layer_name {
    char text[TT_MAX_NAME];
} tt_layer_name;

/* "BLOCK.LAYER". A name that is too long is cut; the file then has no such tensor and loading says so. */
tt_layer_name tt_layer_join(const char *block, const char *layer);

/* "BLOCK.INDEX", e.g. "text_model.encoder.layers.3". */
tt_layer_name tt_layer_index(const char *block, uint32_t index);

#endif
