/* importance.h - how large the inputs of each layer are, channel by channel: errors of weights that meet large inputs
 * count more. */
#ifndef TT_QUANTIZE_IMPORTANCE_H
#define TT_QUANTIZE_IMPORTANCE_H

#include "base/error.h"

typedef struct tt_importance tt_importance;

/* Makes an empty collection. Free with tt_importance_destroy. */
tt_status tt_importance_create(tt_importance **importance, tt_error *err);
void tt_importance_destroy(tt_importance *importance);

/* Adds the sums of squares [n_channels] over n_positions inputs of a layer ("unet.conv_in", no ".weight"). */
tt_status tt_importance_add(tt_importance *importance, const char *layer, const double *sums, size_t n_channels,
                            uint64_t n_positions, tt_error *err);

/* Number of layers. */
size_t tt_importance_count(const tt_importance *importance);

/* The importance of a layer's columns (channel * n_taps + tap), new (free()), or *columns NULL when the layer was not
 * seen or has other sizes: the channel's mean square over the mean of all channels, and a small part of that mean so
 * that no column counts for nothing. */
tt_status tt_importance_columns(const tt_importance *importance, const char *layer, uint64_t n_channels,
                                uint32_t n_taps, float **columns, tt_error *err);

#endif
