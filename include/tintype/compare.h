/* compare.h - what a smaller model costs; part of tintype.h. */
#ifndef TINTYPE_COMPARE_H
#define TINTYPE_COMPARE_H

#include "tintype/generate.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where tt_compare is. */
typedef struct tt_compare_progress {
    uint32_t model, n_models;
    uint32_t prompt, n_prompts; /* pictures of this model; prompt == n_prompts: its parts are measured one by one */
    uint32_t step, n_steps;     /* of the picture, or of the measuring */
    double fraction;            /* of everything, 0..1 */
} tt_compare_progress;

/* Return false to cancel: the call ends with TT_ERROR_CANCELLED. */
typedef bool (*tt_compare_progress_fn)(void *user, const tt_compare_progress *progress);

/* One comparison. Fill with tt_compare_params_default first. Pointers must stay valid during the call. */
typedef struct tt_compare_params {
    const tt_model_params *models; /* at least two; the first is the reference that the others are measured against */
    size_t n_models;
    const char *const *prompts; /* one picture each, A1111 grammar */
    size_t n_prompts;
    const char *negative_prompt;     /* NULL or "": none */
    uint32_t width, height, n_steps; /* 0: as the reference's own defaults */
    float cfg_scale;                 /* negative (the default): the reference's own */
    const char *sampler, *schedule;  /* NULL: the reference's; all models run the same */
    int64_t seed;                    /* picture i of every model starts from seed + i; default 0 */
    uint32_t n_passes;               /* moments of the reference's run at which the UNets are compared: 1..16 */
    uint32_t n_probed;               /* the first prompts, whose runs are probed for UNet and VAE: 1 or more */
    uint64_t memory_budget_bytes;    /* of painting, as in tt_generate_params; probing keeps everything resident */
    const char *accuracy; /* NULL, or JSON text {"FILE NAME": {"GROUP": share, ...}, ...} to be shown beside the
                             figures: shares of prompts painted right, 0..1 (train/evaluate.py --engine) */
    tt_compare_progress_fn progress;
    void *progress_user;
} tt_compare_params;

/* Seed 0, 4 passes, 2 probed prompts, everything else the reference's own. */
TT_API void tt_compare_params_default(tt_compare_params *params);

/* Over all prompts. Means of dB leave out equal pictures, whose PSNR is infinite (all equal: INFINITY). */
typedef struct tt_comparison_score {
    double mean, min;
} tt_comparison_score;

/* The picture of one prompt and how far it is from the reference's. The reference's own: INFINITY dB, 1, 0. */
typedef struct tt_comparison_picture {
    tt_image image;
    double psnr, ssim;               /* 8-bit RGB: dB; mean structural similarity over windows and channels */
    double latent_psnr, latent_ssim; /* the latent before decoding, range = largest - smallest of the reference's */
    double latent_error;             /* rms error / deviation of the reference's */
} tt_comparison_picture;

/* A text encoder (both, where there are two), UNet or VAE by itself, on the reference's inputs. */
typedef struct tt_comparison_part {
    uint64_t bytes, n_parameters; /* stored */
    double bits_per_weight;
    double error; /* rms error / deviation of the reference's output; UNet: of all passes together */
} tt_comparison_part;

/* Share of prompts of a group that were painted right. */
typedef struct tt_comparison_accuracy {
    char group[64];
    double share;
} tt_comparison_accuracy;

typedef struct tt_comparison_model {
    tt_model_info info;
    char *path, *file_name; /* as given; its last part */
    uint64_t file_bytes;    /* all weight files */
    double bits_per_weight; /* 8 * stored bytes / parameters of the three parts */
    tt_comparison_part text, unet, vae;
    double load_ms;                     /* opening and checking the file */
    double first_picture_ms;            /* with upload of weights and compiled kernels */
    double picture_ms;                  /* median of the later pictures (of the first when it is the only one) */
    double text_ms, pass_ms, decode_ms; /* medians: prompt, one UNet pass after a picture's first, decoding */
    uint32_t n_unet_calls;              /* of one picture */
    uint64_t device_peak_bytes;         /* weights and activations on the device while painting */
    uint64_t peak_bytes;                /* process and device while painting, as in tt_generate_stats; includes what
                                           the comparison holds (pictures, the reference's states) */
    tt_memory_mode memory_mode;
    double vae_psnr;                 /* dB of the decoder alone, in -1..1; INFINITY for the reference */
    double *pass_errors;             /* [n_passes] error of the UNet's output */
    double *layer_errors;            /* [n_layers][n_passes]; NAN where the model has no such block */
    tt_comparison_picture *pictures; /* [n_prompts] */
    size_t n_equal;                  /* pictures equal to the reference's */
    tt_comparison_score psnr, ssim, latent_psnr, latent_ssim;
    double latent_error;                /* mean over the prompts */
    tt_comparison_accuracy *accuracies; /* as in the JSON given, in its order */
    size_t n_accuracies;
} tt_comparison_model;

typedef struct tt_comparison {
    size_t n_models;
    tt_comparison_model *models; /* the first is the reference */
    size_t n_prompts;
    char **prompts;
    char *negative_prompt; /* "" when there was none */
    uint32_t width, height, n_steps;
    float cfg_scale;
    int64_t seed;
    char scheduler[64], schedule[32]; /* as A1111 names them */
    char device[128];
    size_t n_passes;
    double *timesteps; /* [n_passes] */
    size_t n_probed;
    size_t n_layers;
    char **layers; /* residual and transformer blocks of the reference's UNet in running order, diffusers names */
} tt_comparison;

/* Runs every prompt with the same noise through every model, one model after the other (the memory of one suffices),
 * and then the parts alone: text encoders on the same tokens, UNets on states of the reference's own runs (batch 1,
 * with the prompt), so that errors are those of one pass and do not add up, decoders on the reference's latents. Of
 * blocks with more than 65536 values as many, spread evenly, are compared. All models use the reference's scheduler. A
 * device must be open and hold no model. Models of other families or latent shapes, or that split the prompts into
 * other tokens, are refused; blocks that a model lacks are left out. *comparison is freed with tt_comparison_free. */
TT_API tt_status tt_compare(tt_context *context, const tt_compare_params *params, tt_comparison **comparison);
TT_API void tt_comparison_free(tt_comparison *comparison);

#ifdef __cplusplus
}
#endif

#endif
