/* quantize-probe.h - small, short, repeatable runs of a whole model, to see its activations and what a change of its
 * weights does to pictures; used inside this room. */
#ifndef TT_PIPELINE_QUANTIZE_PROBE_H
#define TT_PIPELINE_QUANTIZE_PROBE_H

#include "graph/observe.h"
#include "pipeline/denoise.h"
#include "pipeline/quantize-job.h"

typedef enum tt_probe_part { TT_PROBE_TEXT = 0, TT_PROBE_TEXT_2, TT_PROBE_UNET, TT_PROBE_VAE } tt_probe_part;

typedef struct tt_probe {
    tt_quantize_job *job;
    char *text;           /* the prompts, cut at line ends */
    const char **prompts; /* into text */
    uint32_t n_prompts;
    uint32_t side, n_steps; /* latent positions along a side; denoising steps */
    size_t n_latent, n_image;
    float *latents, *images; /* of all prompts with the weights as they are, where tt_probe_keep was called */
    float *scratch;          /* one picture */
    float *latent;           /* one latent */
} tt_probe;

/* Takes the prompts of a text (one a line, blank lines and lines that begin with # are left out; NULL: a few of its
 * own), at most max_prompts, and chooses size and steps so that denoising a picture takes about aimed_flops
 * multiplications and additions: small models then run at their own size, large ones at a quarter of it or less. Free
 * with tt_probe_free. */
tt_status tt_probe_create(tt_quantize_job *job, const char *prompts, uint32_t max_prompts, double aimed_flops,
                          tt_probe *probe, tt_error *err);
void tt_probe_free(tt_probe *probe);

/* Runs prompt `index` to a picture [3][side * factor]^2 in 0..1 and, unless NULL, its latent. The noise depends on the
 * index alone. */
tt_status tt_probe_run(tt_probe *probe, uint32_t index, float *latent, float *image, tt_error *err);

/* Runs all prompts and keeps their latents and pictures to compare with. */
tt_status tt_probe_keep(tt_probe *probe, tt_error *err);

/* Mean squared difference of the pictures now to the kept ones, over all prompts. With TT_PROBE_VAE the kept latents
 * are decoded. *db is the mean over the prompts of their PSNR. */
tt_status tt_probe_compare(tt_probe *probe, tt_probe_part changed, double *mse, double *db, tt_error *err);

/* The store that holds a part's weights; made when it is not there yet. */
tt_status tt_probe_store(tt_probe *probe, tt_probe_part part, tt_weight_store **store, tt_error *err);

/* The part that a tensor belongs to, by its name; false for the VAE's encoder, which makes no picture from a prompt. */
bool tt_probe_part_of(const tt_job_tensor *tensor, tt_probe_part *part);

/* "unet." and so on; static storage. */
const char *tt_probe_prefix(tt_probe_part part);

#endif
