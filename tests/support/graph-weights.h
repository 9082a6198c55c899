/* graph-weights.h - a file with every layer that the graph tests ask for; values are made from the tensor's name. */
#ifndef TT_TESTS_SUPPORT_GRAPH_WEIGHTS_H
#define TT_TESTS_SUPPORT_GRAPH_WEIGHTS_H

#include "model-file/weights.h"

/* Channels of values in the tests. Layers: "linI_O", "convI_O", "catI_J_O" (I + J inputs), "gegluI", "normN". */
enum { N_GRAPH_WIDTHS = 3 };
extern const uint32_t graph_widths[N_GRAPH_WIDTHS];

/* Group set-up and teardown; the teardown closes the test device too. */
int graph_weights_set_up(void **state);
int graph_weights_tear_down(void **state);

/* The open file. */
tt_weights *graph_weights(void);

/* Values of LAYER + SUFFIX (".weight", ".bias"); the test fails when there are none. */
const float *graph_weight_of(const char *layer, const char *suffix);

#endif
