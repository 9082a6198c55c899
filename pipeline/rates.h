/* rates.h - how fast a device is, measured on a few kernels, and the times that follow from it; used inside this
 * room. */
#ifndef TT_PIPELINE_RATES_H
#define TT_PIPELINE_RATES_H

#include "graph/graph.h"
#include "tintype/tintype.h"

struct tt_model;

typedef struct tt_rates {
    double linear, conv3x3, attention; /* multiplications and additions a second, in the UNet's middle */
    double vae_conv3x3;                /* in the VAE's middle */
    double other;                      /* bytes a second of norms */
    double packing;                    /* bytes of packed weights a second, read from files in memory */
    double launch_seconds;             /* of an op that has next to nothing to do */
    double program_seconds;            /* of loading a program that is compiled already */
} tt_rates;

/* What rates depend on: the width of a network's middle, the form of its activations and weights. */
typedef struct tt_rates_shape {
    tt_storage storage;
    tt_arithmetic arithmetic;
    tt_dtype type;
    uint32_t channels, side; /* positions along a side */
} tt_rates_shape;

typedef struct tt_rates_key {
    tt_rates_shape unet, vae;
} tt_rates_key;

/* The rates of the open device for this model; measured when first asked for (some tens of milliseconds, once
 * the kernels are compiled) and kept in the context. The pointer is valid until the next call. */
tt_status tt_rates_need(struct tt_model *model, const tt_rates **rates, tt_error *err);

/* Expected time of one pass of a part whose streamed_bytes are packed during it. */
double tt_rates_pass_seconds(const tt_rates *rates, bool is_vae, const tt_graph_work *work, uint64_t streamed_bytes);

/* Expected time of reading and packing weights, and of loading n_programs. */
double tt_rates_load_seconds(const tt_rates *rates, uint64_t n_bytes, uint32_t n_programs);

/* Fills in a plan with times from these rates, whether the request fits this machine or not (plan.c). */
tt_status tt_plan_fill(struct tt_model *model, const tt_generate_params *params, const tt_rates *rates, tt_plan *plan,
                       tt_error *err);

#endif
