/* compare.h - the parts of tt_compare; used inside this room.
 *
 * One tt_comparing goes through all models: while the reference is loaded it fills in what the others are measured
 * against (prompt by prompt), which then stays on the host. */
#ifndef TT_PIPELINE_COMPARE_H
#define TT_PIPELINE_COMPARE_H

#include "pipeline/condition.h"
#include "quantize/fidelity.h"

/* Most values of one block that are kept; see tt_kept_values. */
enum { TT_KEPT_VALUES = 65536 };

/* A block's output in one pass of the reference: all values, or TT_KEPT_VALUES of them, one from each of as many equal
 * stretches. */
typedef struct tt_kept_values {
    float *values;
    size_t n_kept, n_values;
} tt_kept_values;

/* The reference's run of one prompt. Arrays are owned; those of passes are there for probed prompts only. */
typedef struct tt_reference_run {
    int32_t *ids[TT_MAX_CLIPS]; /* tokens of the plain prompt */
    size_t n_ids[TT_MAX_CLIPS];
    tt_condition condition; /* one row: with the prompt */
    float *latent;          /* final */
    float *image;           /* decoded, [3][H][W] */
    float **inputs;         /* [n_passes] what the UNet saw */
    float **outputs;        /* [n_passes] what it answered */
    tt_kept_values *blocks; /* [n_passes][n_layers] */
} tt_reference_run;

/* The whole comparison while it runs. */
typedef struct tt_comparing {
    tt_context *context;
    const tt_compare_params *params;
    tt_comparison *result;          /* filled in */
    tt_scheduler_config *scheduler; /* of all models */
    uint32_t family, unet_in_channels, latent_channels, vae_factor, context_width, prediction;
    size_t n_latent, n_image;
    tt_reference_run *runs; /* [n_prompts] */
    uint32_t index;         /* which model */
    tt_model *model;        /* loaded now */
    uint32_t prompt;        /* painted now */
    /* of the picture that is painted now */
    tt_condition condition;
    float *latent;
    double passes_ms;
    uint32_t n_timed, n_calls;
} tt_comparing;

/* True while this is the reference. */
bool tt_comparing_reference(const tt_comparing *c);
tt_comparison_model *tt_comparing_model(const tt_comparing *c);

/* Reports a moment; TT_ERROR_CANCELLED when the caller wants to stop. */
tt_status tt_comparing_report(const tt_comparing *c, uint32_t step, uint32_t n_steps, tt_error *err);

/* Copies the last row (the prompt's) of a condition. Free with tt_condition_free. */
tt_status tt_condition_copy_row(const tt_model *model, const tt_condition *condition, tt_condition *row, tt_error *err);

/* compare-pictures.c: paints all prompts with the loaded model and scores pictures and latents. */
tt_status tt_compare_pictures(tt_comparing *c, tt_error *err);

/* compare-parts.c: UNet passes with their blocks, and the decoder, on the reference's inputs. */
tt_status tt_compare_parts(tt_comparing *c, tt_error *err);

/* compare-model.c: checks that the loaded model fits the reference, and describes its file. */
tt_status tt_compare_fit(tt_comparing *c, tt_error *err);
tt_status tt_compare_describe(tt_comparing *c, tt_error *err);

/* Takes the shares of the loaded model's file from the caller's JSON. */
tt_status tt_compare_accuracy(const tt_comparing *c, tt_error *err);

#endif
