/* generate.h - from a prompt to a picture; part of tintype.h. */
#ifndef TINTYPE_GENERATE_H
#define TINTYPE_GENERATE_H

#include "tintype/image.h"
#include "tintype/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- latents: what a UNet makes before it is a picture -------------------------------------------------------------
 */

/* values: [channels][height][width], as the VAE takes them (without the scaling factor). */
typedef struct tt_latent {
    uint32_t channels, height, width;
    float *values;
} tt_latent;

/* Frees the values and zeroes the struct. */
TT_API void tt_latent_free(tt_latent *latent);

/* The model's decoder alone: *image is RGB, freed with tt_image_free. */
TT_API tt_status tt_latent_decode(tt_model *model, const tt_latent *latent, tt_image *image);

/* ---- generation ------------------------------------------------------------------------------------------------- */

/* Where random latents come from. */
typedef enum tt_rng {
    TT_RNG_CPU = 0, /* torch's CPU generator (MT19937): the same seed gives torch's noise */
    TT_RNG_CUDA = 1 /* torch's CUDA generator (Philox 4x32-10), what A1111 shows */
} tt_rng;

typedef enum tt_phase {
    TT_PHASE_TEXT = 0,   /* encoding the prompt */
    TT_PHASE_ENCODE = 1, /* VAE encoder (img2img, inpaint) */
    TT_PHASE_DENOISE = 2,
    TT_PHASE_DECODE = 3,
    TT_PHASE_DONE = 4 /* one image is finished */
} tt_phase;

/* Given to the progress callback between steps. `step` of `n_steps` UNet evaluations are finished. */
typedef struct tt_progress {
    tt_phase phase;
    uint32_t image, n_images;
    uint32_t step, n_steps;
    uint32_t first_step; /* evaluations that a resumed image had behind it, else 0; steps are counted from the start */
    double phase_ms;     /* time spent in this phase so far */
    double step_ms;      /* the last step alone */
    const tt_image
        *preview; /* small RGB picture while denoising when previews were asked for, else NULL; valid during the call */
} tt_progress;

/* Return false to cancel: the call ends with TT_ERROR_CANCELLED. */
typedef bool (*tt_progress_fn)(void *user, const tt_progress *progress);

/* Ways to make a run cheaper at some cost in the picture; zeros, the default, are off. Shares of a run are counted in
 * UNet calls (samplers of second order make two a step), with a start picture in those that are made.
 * docs/speed/savers.md has what each saves and costs. Values out of range are refused with TT_ERROR_ARGUMENT. */
typedef struct tt_savers {
    /* Guidance from one share of the run to another alone: 0 <= start < stop <= 1, where a stop of 0 is 1, the end
     * (Kynkaanniemi et al., arXiv 2404.07724). The other calls run the prompt's half alone, at half the cost. No effect
     * where there is no guidance. */
    float guidance_start, guidance_stop;
    /* 2..100, 0 or 1: off. Of this many calls the first runs the whole UNet; the others run its shallow part alone and
     * take what comes up from below from that one (DeepCache: Ma et al., arXiv 2312.00858). A whole call comes where
     * guidance begins or ends, too. Takes the memory of one plane of activations. */
    uint32_t reuse_interval;
    /* How many of the last residual blocks of the up path every call runs, with the part of the down path that they
     * see: 1..all of them, 0: those of the finest resolution. No effect without reuse_interval. */
    uint32_t reuse_depth;
    /* 1..8, 0: off. At this many resolutions, from the finest with attention on, self-attention takes keys and values
     * from every second row and column, a quarter of them (ToDo: Smith et al., arXiv 2402.13573). Saves the more, the
     * larger the picture. */
    uint32_t kv_downsample;
} tt_savers;

/* One request. Fill with tt_generate_params_default (which knows the model's own defaults) first. Pointers must stay
 * valid during the call; nothing is kept. */
typedef struct tt_generate_params {
    const char *prompt;          /* A1111 grammar: (x) (x:1.3) [x] \( BREAK; any length, in chunks of 75 tokens */
    const char *negative_prompt; /* NULL or "" : none */
    uint32_t width, height;      /* multiples of the model's vae_factor */
    uint32_t n_steps;
    float cfg_scale; /* 1: no guidance, half the work */
    int64_t seed;    /* image i of a batch uses seed + i; negative: taken from the clock */
    uint32_t n_images;
    const char
        *sampler; /* NULL: the model's own; else "euler", "euler_a", "ddim", "dpm++2m", ... (see tt_sampler_name) */
    const char *schedule;         /* NULL or "default", "karras", "exponential", "beta", "sgm_uniform" (trailing) */
    const char *scheduler_config; /* NULL, or the JSON text of a diffusers scheduler_config.json that overrides both */
    float eta;                    /* DDIM eta */
    uint32_t clip_skip;           /* 0 or 1: last layer; 2: penultimate; ... */
    tt_savers savers;
    tt_rng rng;
    const tt_image *init_image; /* img2img and inpaint: RGB; resized by the caller to width x height */
    const tt_image *mask;       /* inpaint: grey, white = repaint; needs init_image */
    float strength;             /* img2img: 0..1, the part of the steps that is run */
    bool preview;               /* fill tt_progress.preview each step */
    uint32_t first_image;       /* number of this call's first image in a batch that several calls make: image i of the
                                   call uses seed + first_image + i */
    const char *resume_path;    /* NULL, or the file that keeps the state of the run: see tt_resume_read */
    tt_latent *latents;         /* NULL, or room for n_images: filled with what the decoder got (tt_latent_free each) */
    bool skip_decode;           /* only latents are wanted: images may be NULL, the decoder is not run */
    uint64_t memory_budget_bytes; /* what process and device together may hold; 0: what the system has free now */
    const char *memory_mode;      /* NULL or "auto": the first that fits; else "resident", "sequential", "streamed" */
    tt_progress_fn progress;
    void *progress_user;
} tt_generate_params;

TT_API tt_status tt_generate_params_default(tt_model *model, tt_generate_params *params);

/* How a model is kept in memory during a request. The result is the same in all of them. */
typedef enum tt_memory_mode {
    TT_MEMORY_RESIDENT = 0,   /* everything stays on the device once it is there (large text encoders leave) */
    TT_MEMORY_SEQUENTIAL = 1, /* one part at a time: text encoder, VAE encoder, UNet, VAE decoder */
    TT_MEMORY_STREAMED = 2 /* as sequential, and weights that do not fit pass through a ring of buffers at each use */
} tt_memory_mode;

/* The mode's name in lower case: "resident", "sequential", "streamed"; static storage. */
TT_API const char *tt_memory_mode_name(tt_memory_mode mode);

/* Times and sizes of a finished request. */
typedef struct tt_generate_stats {
    double load_ms, text_ms, encode_ms, denoise_ms, decode_ms, total_ms;
    uint32_t n_unet_calls;
    uint64_t device_bytes; /* weights and activations held on the device at the peak */
    int64_t seed;          /* of the batch: image i has seed + i */
    uint32_t first_call; /* UNet calls that a resumed image had behind it, else 0; n_unet_calls are those of this run */
    double resume_ms;    /* spent on writing the resume file */
    uint64_t peak_bytes; /* measured: most memory that the process held, and on devices with memory of their own the
                            device's peak added */
    uint64_t forecast_bytes; /* the same as it was forecast before the run, see tt_plan */
    tt_memory_mode memory_mode;
} tt_generate_stats;

/* One part of the model in a request: text encoders, VAE encoder, UNet or VAE decoder. All zero when it is not used. */
typedef struct tt_plan_part {
    uint64_t weight_bytes;     /* all of its weights in the form that the device holds */
    uint64_t resident_bytes;   /* of these, what stays on the device while the part is in use */
    uint64_t ring_bytes;       /* buffers through which the others pass (streamed mode), else 0 */
    uint64_t activation_bytes; /* intermediate values, and the arrays that host and device exchange */
    uint32_t n_passes;         /* runs of the part, tiles counted one by one */
    double flops;              /* multiplications and additions of matrices and attention in one pass */
    double bytes_moved;        /* weights and activations read and written by one pass; both are means where passes
                                  differ (tt_savers) */
    double seconds;            /* expected for all passes; 0 when no rates were asked for */
} tt_plan_part;

/* What a request will take: known before any weight is read. */
typedef struct tt_plan {
    bool fits;                /* tt_generate would run it now */
    tt_memory_mode mode;      /* the first that fits; when none does, streamed at its smallest */
    tt_phase peak_phase;      /* the phase with the most memory */
    uint64_t peak_bytes;      /* of process and device together at that phase: the sum of the next four */
    uint64_t device_bytes;    /* weights, rings and activations on the device at the peak */
    uint64_t host_bytes;      /* pictures, latents and embeddings in the process at the peak */
    uint64_t program_bytes;   /* allowance for kernel programs and driver objects that are not loaded yet */
    uint64_t base_bytes;      /* what the process holds now without device buffers: code, driver, tokenizer */
    uint64_t phase_bytes[4];  /* in all, by tt_phase TEXT to DECODE; 0 when the phase is not run */
    uint64_t budget_bytes;    /* as asked for, 0: none */
    uint64_t available_bytes; /* what the process can hold: what it holds now and what the system has free */
    tt_plan_part text, vae_encoder, unet, vae_decoder; /* text: both encoders of SDXL together */
    uint32_t tile_width, tile_height; /* VAE decoder's tiles in latent positions; 0: the picture is decoded at once */
    uint32_t encoder_tile_width, encoder_tile_height;
    bool is_tiled_to_fit; /* tiles were chosen because of memory, not asked for */
    uint32_t n_unet_calls;
    double flops;        /* of the whole request */
    double load_seconds; /* expected for reading and packing weights, and */
    double seconds;      /* for the whole request, from the device's measured rates; 0 when they were not measured */
} tt_plan;

/* Plans a request without running it: the device must be open, weights are not touched. params->prompt may be NULL (one
 * chunk of 77 tokens is counted). with_seconds measures the device's rates on a few kernels when that was not done
 * before: a second or so, longer when kernels are not compiled yet. When the request does not fit, the call fails with
 * TT_ERROR_MEMORY and the sentence that tt_generate would give, and *plan is filled in all the same (without seconds).
 */
TT_API tt_status tt_plan_make(tt_model *model, const tt_generate_params *params, bool with_seconds, tt_plan *plan);

/* A device that is known by its data sheet. */
typedef struct tt_device_profile {
    char name[16];                  /* "adreno740" */
    char device[48];                /* "Adreno 740 (Snapdragon 8 Gen 2)" */
    double half_flops, float_flops; /* multiplications and additions a second at most */
    double read_bytes;              /* bytes a second from memory at most */
} tt_device_profile;

/* Profile `index`; false past the last. */
TT_API bool tt_device_profile_at(size_t index, tt_device_profile *profile);

/* Predicts a request's seconds on a device that is not here: its work is counted as by tt_plan_make (the open device's
 * memory figures come along and mean nothing for the other one), and divided by `share` (0 .. 1] of the profile's
 * peaks, with an allowance for launches and loading. A prediction, no measurement: good closed engines reach 0.6 to 0.7
 * of a phone's peak, share 1 is the floor that nobody can pass. Unknown names fail with the list of names. */
TT_API tt_status tt_plan_predict(tt_model *model, const tt_generate_params *params, const char *profile, double share,
                                 tt_plan *plan);

/* Runs one request. images must have room for n_images; each is filled with an RGB picture to be freed with
 * tt_image_free. On failure or cancel no image is returned. stats may be NULL. A request that does not fit
 * params->memory_budget_bytes or the system's free memory in any mode is refused with TT_ERROR_MEMORY before weights
 * are read; the sentence names ways to fit. All images of a request are denoised before the first is decoded. */
TT_API tt_status tt_generate(tt_model *model, const tt_generate_params *params, tt_image *images,
                             tt_generate_stats *stats);

/* Where the state in a resume file stands. */
typedef struct tt_resume_info {
    int64_t seed;           /* of the batch */
    uint32_t image;         /* number in the batch of the image being made */
    uint32_t step, n_steps; /* UNet calls made and in all; equal: only the decoder is left to run */
} tt_resume_info;

/* Reads a resume file's place.
 *
 * With tt_generate_params.resume_path the state of the run is written to that file before the first and after every
 * UNet call (with a reuse_interval only before whole calls); each write replaces the file at once, so that a kill at
 * any moment leaves a whole one. The same request with the same file goes on where it stands, and on the same device
 * (driver, precision, version) ends in the same bits as a run without a break; a negative seed takes the file's. A file
 * of another request is refused. The images of a call before the one in the file are made anew; a file that stands
 * before first_image is taken for done with. The file is kept when the call ends, well or not: delete it when the
 * picture is where it should be. */
TT_API tt_status tt_resume_read(tt_context *context, const char *path, tt_resume_info *info);

/* Asks a running tt_generate or tt_stage_run on this model to stop; safe from any thread. It returns within one step.
 */
TT_API void tt_cancel(tt_model *model);

/* Writes A1111's infotext of image `index` of the request into text (cut to n_bytes, always terminated) and returns the
 * length it needs without the terminator. with_prompt false leaves both prompts out. */
TT_API size_t tt_generate_infotext(tt_model *model, const tt_generate_params *params, const tt_generate_stats *stats,
                                   uint32_t index, bool with_prompt, char *text, size_t n_bytes);

/* Name of sampler `index` as tt_generate_params.sampler takes it, NULL past the last. */
TT_API const char *tt_sampler_name(size_t index);

#ifdef __cplusplus
}
#endif

#endif
