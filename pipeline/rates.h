/* rates.h - how fast a device is, measured on a few kernels, and the times that follow from it; used inside this
 * room. */
#ifndef TT_PIPELINE_RATES_H
#define TT_PIPELINE_RATES_H

#include "graph/graph.h"

struct tt_model;

typedef struct tt_rates {
    bool known;
    double linear, conv3x3, attention; /* multiplications and additions a second */
    double other;                      /* bytes a second of norms and other simple ops */
    double packing;                    /* bytes of weights that are read and packed a second */
    double launch_seconds;             /* of an op that has next to nothing to do */
} tt_rates;

/* The rates of the open device for the storage and weight types of this model's UNet; measured when first asked for and
 * kept in the context. */
tt_status tt_rates_need(struct tt_model *model, const tt_rates **rates, tt_error *err);

/* Expected time of one pass of a part whose streamed_bytes are packed during it. */
double tt_rates_pass_seconds(const tt_rates *rates, const tt_graph_forecast *forecast, uint64_t streamed_bytes);

/* Expected time of reading and packing weights. */
double tt_rates_load_seconds(const tt_rates *rates, uint64_t n_bytes);

#endif
