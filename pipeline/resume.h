/* resume.h - the state of a run in a file, from which a killed run goes on; used inside this room.
 *
 * docs/formats.md describes the file. One file holds one image at one step: its latent, what blending and the sampler
 * carry from call to call, the random generator, and words that say which request and model it belongs to. It is
 * replaced as a whole after each call, so that whatever ends the process leaves the old state or the new one. */
#ifndef TT_PIPELINE_RESUME_H
#define TT_PIPELINE_RESUME_H

#include "base/rng.h"
#include "pipeline/model.h"

typedef struct tt_resume tt_resume;

/* What a run carries from one call to the next; the arrays belong to the loop. NULL: this kind of run has none. */
typedef struct tt_resume_parts {
    tt_scheduler *scheduler;
    uint32_t channels, height, width;                     /* of the latent */
    float *latent, *noise, *image_latent, *masked_latent; /* [channels][height][width] */
    float *mask;                                          /* [height][width] */
} tt_resume_parts;

/* Describes the request and reads params->resume_path when there is such a file. A file of another request or model is
 * refused with a sentence that names what differs, a damaged one with what is wrong with it; a file of another device
 * is taken with a warning in the log. *seed is the seed in use; with a negative params->seed the file's is taken. Free
 * with tt_resume_close. */
tt_status tt_resume_open(tt_model *model, const tt_generate_params *params, const tt_scheduler_config *scheduler,
                         int64_t *seed, tt_resume **resume, tt_error *err);
void tt_resume_close(tt_resume *resume);

/* All of these take NULL for "no resume file", and images by their number in the batch. */

/* Calls that the file says are made of this image; 0 when it holds another image or there is no file. */
uint32_t tt_resume_first_call(const tt_resume *resume, uint32_t image);

/* False when the request's only image has all its calls, so that nothing but the decoder is left to run. */
bool tt_resume_needs_unet(const tt_resume *resume, const tt_generate_params *params);

/* Starts an image: rng is its generator, seeded, which later calls save and restore. */
void tt_resume_begin(tt_resume *resume, uint32_t image, tt_rng_state *rng);

/* Fills parts, scheduler and generator from the file when it holds the image that was begun; *is_loaded tells, and
 * *n_done how many calls are made (untouched otherwise). Every size is compared with what the request needs before
 * anything is copied. */
tt_status tt_resume_load(tt_resume *resume, const tt_resume_parts *parts, bool *is_loaded, uint32_t *n_done,
                         tt_error *err);

/* Writes the state after n_done calls. A first write that fails is an error; a later one (full disk) warns in the log
 * and the run goes on. While the file waits with a later image of the request nothing is written. */
tt_status tt_resume_save(tt_resume *resume, const tt_resume_parts *parts, uint32_t n_done, tt_error *err);

/* Milliseconds spent in tt_resume_save. */
double tt_resume_write_ms(const tt_resume *resume);

#endif
