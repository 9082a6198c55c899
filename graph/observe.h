/* observe.h - looking at a graph's activations while it runs, and running it with other weights: for measurements. */
#ifndef TT_GRAPH_OBSERVE_H
#define TT_GRAPH_OBSERVE_H

#include "graph/weight-store.h"

/* Told before each op with a matrix: the names of the layers that are stacked in it, joined by "+", and the sums of the
 * squares of its inputs by channel, over n_positions positions. A failure ends the run. */
typedef struct tt_graph_observer {
    tt_status (*see)(void *user, const char *layers, const double *sums, size_t n_channels, uint64_t n_positions,
                     tt_error *err);
    void *user;
} tt_graph_observer;

/* From now on graphs over this store run op by op and tell the observer (copied; NULL: none any more) what they read.
 * Slow, and only for stores whose weights all stay on the device. */
void tt_weight_store_observe(tt_weight_store *store, const tt_graph_observer *observer);

/* Overwrites the packed values of the matrix whose first layer is `layer` with the rows of all its layers,
 * [sum of outputs][n_in * n_taps] floats, rounded as the matrix is packed; NULL: with the file's again. Graphs that use
 * it need not be built anew. The static part of a graph is run again only when a static input is written. Fails for
 * matrices that are not on the device or are packed in quantized form. */
tt_status tt_weight_store_replace(tt_weight_store *store, const char *layer, const float *values, tt_error *err);

#endif
