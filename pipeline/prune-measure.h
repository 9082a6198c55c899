/* prune-measure.h - what leaving parts of a UNet out does to its output, on a few states of short denoising runs; used
 * inside this room. */
#ifndef TT_PIPELINE_PRUNE_MEASURE_H
#define TT_PIPELINE_PRUNE_MEASURE_H

#include "pipeline/quantize-job.h"

enum { TT_PRUNE_PROMPTS = 2, TT_PRUNE_STATES = 3 }; /* states early, in the middle and late in a run, of each prompt */

/* All states in one batch, so that a measurement is one pass. Arrays are owned. */
typedef struct tt_prune_probe {
    tt_model *model;
    tt_unet_shape shape;
    uint32_t n_states, n_branches; /* branches: 2 with guidance (unconditional, conditional), else 1 */
    float cfg_scale;
    size_t n_input, n_latent; /* values of one image of the batch */
    float *context, *text_embeds, *time_ids, *timestep_cond;
    double *timesteps; /* [batch] */
    float *input;      /* [batch][n_input] */
    float *output;     /* [batch][n_latent] */
    double *reference; /* [n_states][n_latent], guided outputs of the whole UNet */
    double power;      /* sum of the squares of it */
} tt_prune_probe;

/* Runs the model on the job's prompts, or some of the probe's own, and keeps states and outputs. Needs an open device.
 * Free with tt_prune_probe_free. */
tt_status tt_prune_probe_create(tt_quantize_job *job, tt_prune_probe *probe, tt_error *err);
void tt_prune_probe_free(tt_prune_probe *probe);

/* One pass over all states by a UNet without `removed`, whose head cuts are those of the weights (tt_unet_try): the sum
 * of the squared differences of the guided outputs over the sum of their squares. Infinite where an output is no
 * number. */
tt_status tt_prune_probe_change(tt_prune_probe *probe, const tt_unet_removed *removed, double *change, tt_error *err);

#endif
