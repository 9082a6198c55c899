/* tintype.h - the public interface of libtintype, the only public header.
 *
 * tintype makes pictures from text on the device: a CLIP text encoder, a UNet and a VAE run through OpenCL.
 *
 * Threads: a context, its model and their calls belong to one thread at a time; only tt_cancel() may be called from
 * any thread at any moment. Two contexts never share state, so different threads may work with different contexts.
 * Errors: every call that can fail returns a tt_status; tt_context_message() then holds one sentence that says what
 * was expected, what was found and what to do. Strings are UTF-8. Sizes are in pixels, lengths in samples (n_) or
 * bytes (_bytes), times in milliseconds (_ms). */
#ifndef TINTYPE_TINTYPE_H
#define TINTYPE_TINTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TT_VERSION_MAJOR 0
#define TT_VERSION_MINOR 1
#define TT_VERSION_PATCH 0

#if defined(__GNUC__)
#define TT_API __attribute__((visibility("default")))
#else
#define TT_API
#endif

/* How a call ended. The numeric values are part of the ABI. */
typedef enum tt_status {
    TT_OK = 0,
    TT_ERROR_ARGUMENT = 1,    /* a parameter of the call or an option is out of its range */
    TT_ERROR_MEMORY = 2,      /* host or device memory is not enough */
    TT_ERROR_IO = 3,          /* a file could not be opened, read, written or renamed */
    TT_ERROR_FORMAT = 4,      /* a file is damaged, hostile or not what it says it is */
    TT_ERROR_UNSUPPORTED = 5, /* a well-formed file or request that this version does not handle */
    TT_ERROR_DEVICE = 6,      /* no OpenCL device, or the driver reported an error */
    TT_ERROR_CANCELLED = 7,   /* tt_cancel() was called */
    TT_ERROR_INTERNAL = 8,    /* a broken promise inside the library: please report it */
    TT_ERROR_NETWORK = 9      /* a service could not be reached, did not answer in time or refused */
} tt_status;

/* Returns the library's version as "major.minor.patch"; static storage. */
TT_API const char *tt_version(void);

/* Returns a short lower-case word for a status, e.g. "format"; static storage. */
TT_API const char *tt_status_name(tt_status status);

/* ---- context ---------------------------------------------------------------------------------------------------- */

/* A context owns at most one OpenCL device, the compiled kernels and the last error sentence. */
typedef struct tt_context tt_context;

/* Levels of a log line. */
typedef enum tt_log_level { TT_LOG_DEBUG = 0, TT_LOG_INFO = 1, TT_LOG_WARNING = 2 } tt_log_level;

/* Receives log lines (no trailing newline); called on the thread that uses the context. */
typedef void (*tt_log_fn)(void *user, tt_log_level level, const char *line);

/* Makes an empty context: no device is touched. Returns NULL only when memory is out. Free with tt_context_destroy. */
TT_API tt_context *tt_context_create(void);

/* Frees the context, its device and programs. Models made from it must be destroyed first. NULL is allowed. */
TT_API void tt_context_destroy(tt_context *context);

/* The sentence of the last failed call on this context, "" when none failed. Valid until the next call. */
TT_API const char *tt_context_message(const tt_context *context);

/* Installs the receiver of log lines; NULL (the default) drops them. */
TT_API void tt_context_set_log(tt_context *context, tt_log_fn log, void *user);

/* What one OpenCL device says of itself. All strings are owned by the struct. */
typedef struct tt_device_info {
    char id[16];        /* "0", "1", ...: what tt_device_params.device takes */
    char name[128];     /* CL_DEVICE_NAME */
    char vendor[128];   /* CL_DEVICE_VENDOR */
    char platform[128]; /* CL_PLATFORM_NAME */
    char driver[128];   /* CL_DRIVER_VERSION */
    char version[128];  /* CL_DEVICE_VERSION */
    bool is_gpu;        /* CL_DEVICE_TYPE_GPU */
    bool has_fp16;      /* cl_khr_fp16 */
    bool has_subgroups; /* cl_khr_subgroups */
    bool has_int_dot;   /* any of the integer dot product extensions */
    uint32_t n_compute_units;
    uint64_t global_bytes;    /* device memory */
    uint64_t max_alloc_bytes; /* largest single buffer */
    uint64_t local_bytes;     /* local memory of a work-group */
    uint64_t max_work_group;  /* largest work-group */
    char variant[32];         /* kernel family chosen for this device: "cpu-tile" or "gpu-plain" */
} tt_device_info;

/* Lists the OpenCL devices of this machine, best first. *devices is an array of *n_devices entries, to be freed with
 * tt_devices_free. A machine without OpenCL gives TT_ERROR_DEVICE and a sentence that says what to install. */
TT_API tt_status tt_devices_list(tt_context *context, tt_device_info **devices, size_t *n_devices);
TT_API void tt_devices_free(tt_device_info *devices);

/* How activations and weights are stored on the device, and how linear layers, convolutions and attention multiply.
 * Sums, norms and softmax are float in all forms. A form whose instructions the device lacks does what the one before
 * it in this list does. */
typedef enum tt_precision {
    TT_PRECISION_AUTO = 0, /* HALF where the model's file is half or smaller, else F32 */
    TT_PRECISION_F32 = 1,  /* float storage, float products */
    TT_PRECISION_F16 = 2,  /* half storage, float products */
    TT_PRECISION_HALF = 3, /* half storage, products of bfloat16 (x86) or half (GPUs) */
    TT_PRECISION_INT8 = 4 /* W8A8: as HALF, but the UNet multiplies int8 weights (per output channel) by inputs that are
                             quantized to int8 on the fly; its first and last layers stay float */
} tt_precision;

/* "auto", "f32", "f16", "half" or "int8"; static storage. */
TT_API const char *tt_precision_name(tt_precision precision);

/* Choices made when a device is opened. Fill with tt_device_params_default first. Strings are copied. */
typedef struct tt_device_params {
    const char *device; /* NULL: the best one; else an index or a part of its name, case-insensitive */
    const char
        *cache_dir; /* folder of compiled programs; NULL: $XDG_CACHE_HOME/tintype or ~/.cache/tintype; "": no cache */
    const char *kernel_dir; /* NULL: the kernels built into the library; else a folder of .cl files, for developers */
} tt_device_params;

TT_API void tt_device_params_default(tt_device_params *params);

/* Opens the context's device; a second call replaces it and needs that no model is alive. */
TT_API tt_status tt_context_open_device(tt_context *context, const tt_device_params *params);

/* Describes the open device. TT_ERROR_ARGUMENT when none is open. */
TT_API tt_status tt_context_device(tt_context *context, tt_device_info *info);

/* ---- model ------------------------------------------------------------------------------------------------------ */

/* A model: text encoder(s), UNet, VAE, tokenizer and scheduler configuration of one file or folder. */
typedef struct tt_model tt_model;

/* Choices made when a model is loaded. Fill with tt_model_params_default first. Strings are copied. */
typedef struct tt_model_params {
    const char *path;       /* diffusers folder, single-file checkpoint (safetensors or GGUF) or tintype's own file */
    const char *taesd_path; /* NULL, or an AutoencoderTiny (file or folder) that replaces the VAE */
    const char *vae_path;   /* NULL, or an AutoencoderKL (file or folder) that replaces the VAE */
    const char *vocabulary_path; /* NULL: $TINTYPE_SHARE or the install's share folder; CLIP vocabulary for models
                                    without one */
    tt_precision precision;
    bool vae_tiling; /* decode and encode in overlapping tiles: less memory, a little slower */
} tt_model_params;

TT_API void tt_model_params_default(tt_model_params *params);

/* Tensors of one element type in a model's files. */
typedef struct tt_stored_type {
    char name[16]; /* "F16", "Q4_K", "I8", ... */
    uint64_t n_tensors, n_bytes;
} tt_stored_type;

enum { TT_MAX_STORED_TYPES = 24 };

/* What a model is, for people and for callers that choose sizes. */
typedef struct tt_model_info {
    char name[128];           /* file or folder name without extension */
    char family[32];          /* "sd1", "sd2", "sdxl" */
    char hash[16];            /* first 10 hex digits of the file's SHA-256; "" for folders */
    char prediction_type[32]; /* "epsilon" or "v_prediction" */
    char scheduler[64];       /* diffusers class name of the model's own scheduler */
    uint32_t latent_channels;
    uint32_t vae_factor;       /* pixels per latent position along a side: 8 for SD */
    uint32_t unet_in_channels; /* 9 for inpainting models */
    uint32_t default_width, default_height;
    uint32_t default_steps;
    float default_cfg_scale;
    uint64_t n_parameters;
    uint64_t n_ignored_tensors; /* tensors of the file that no stage uses (EMA copies, position ids, ...) */
    bool has_vae_encoder;       /* img2img and inpaint are possible */
    tt_precision precision;     /* the form in use, never AUTO; while no device is open, the wanted one */
    char container[16];         /* of the weights: "safetensors" or "GGUF" */
    char weights[32]; /* the type that most of the UNet's weights have ("F16", "Q4_K"; "w8c": int8 per channel) */
    uint64_t n_bytes; /* of all tensors in the model's files, without a VAE given apart */
    uint32_t n_types;
    tt_stored_type types[TT_MAX_STORED_TYPES]; /* the same by type */
} tt_model_info;

/* Opens a model: reads and checks the files, derives the architecture. Weights are uploaded when a stage first runs.
 * A device need not be open for tt_tokenize and tt_model_get_info. The context must outlive the model. */
TT_API tt_status tt_model_load(tt_context *context, const tt_model_params *params, tt_model **model);

/* Frees the model and its device memory. NULL is allowed. */
TT_API void tt_model_destroy(tt_model *model);

TT_API tt_status tt_model_get_info(tt_model *model, tt_model_info *info);

/* ---- images ----------------------------------------------------------------------------------------------------- */

/* An 8-bit picture, rows top to bottom, [height][width][n_channels], 1 = grey, 3 = RGB, 4 = RGBA. */
typedef struct tt_image {
    uint32_t width, height, n_channels;
    uint8_t *pixels;
} tt_image;

/* Frees the pixels and zeroes the struct. */
TT_API void tt_image_free(tt_image *image);

/* Reads a PNG or JPEG. n_channels 1, 3 or 4 converts; 0 keeps the file's. Limits are checked from the header before
 * anything is decoded: 16384 a side, 64 megapixels. */
TT_API tt_status tt_image_read(tt_context *context, const char *path, uint32_t n_channels, tt_image *image);

/* Bounds for pictures from strangers; zeros: the device's own (16384 a side, 64 megapixels). */
typedef struct tt_image_bounds {
    uint32_t max_side;
    uint64_t max_pixels;
} tt_image_bounds;

/* What the header of a PNG or JPEG in memory says, without decoding: nothing else is checked. */
typedef struct tt_image_header {
    char type[16]; /* "image/png" or "image/jpeg" */
    uint32_t width, height;
} tt_image_header;
TT_API tt_status tt_image_read_header(tt_context *context, const void *bytes, size_t n_bytes, tt_image_header *header);

/* tt_image_read of a file that is in memory. bounds may be NULL. */
TT_API tt_status tt_image_read_bytes(tt_context *context, const void *bytes, size_t n_bytes,
                                     const tt_image_bounds *bounds, uint32_t n_channels, tt_image *image);

/* Makes a copy of the picture resized to width x height (bicubic, averaging when it shrinks), same channels. *out is
 * freed with tt_image_free. */
TT_API tt_status tt_image_resized(tt_context *context, const tt_image *image, uint32_t width, uint32_t height,
                                  tt_image *out);

/* What a picture says of its making. NULL strings are left out of the file. */
typedef struct tt_image_marks {
    const char *parameters;          /* A1111 infotext, PNG chunk `parameters` */
    const char *software;            /* PNG chunk `Software` */
    const char *digital_source_type; /* IPTC code, e.g. "trainedAlgorithmicMedia"; NULL: no XMP source type */
    const char *aigc_json;           /* GB 45438 label as JSON text; PNG chunk `AIGC` and XMP TC260:AIGC */
} tt_image_marks;

/* Writes an RGB or RGBA PNG to a temporary name beside `path` and renames it: no partial file is ever left. */
TT_API tt_status tt_image_write_png(tt_context *context, const char *path, const tt_image *image,
                                    const tt_image_marks *marks);

/* The same into memory: *bytes is a new block of *n_bytes, freed with free(). */
TT_API tt_status tt_image_encode_png(tt_context *context, const tt_image *image, const tt_image_marks *marks,
                                     uint8_t **bytes, size_t *n_bytes);

/* Key and text pairs read back from a PNG: text chunks under their own names, XMP properties as "XMP:...". */
typedef struct tt_text_entry {
    char *key;
    char *text;
} tt_text_entry;

typedef struct tt_image_report {
    uint32_t width, height;
    size_t n_entries;
    tt_text_entry *entries;
} tt_image_report;

/* Reads the size and all text marks of a PNG, or those XMP properties of a JPEG that say how a picture was made,
 * without decoding pixels. Free with tt_image_report_free. */
TT_API tt_status tt_image_inspect(tt_context *context, const char *path, tt_image_report *report);
TT_API void tt_image_report_free(tt_image_report *report);

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

/* ---- upscaling: small pictures made larger by a network ---------------------------------------------------------- */

/* A super-resolution network: SRVGGNetCompact (Real-ESRGAN compact), RRDBNet (ESRGAN, Real-ESRGAN), upconv_7
 * (waifu2x), FSRCNN or ESPCN. Belongs to one context, which must outlive it, and to one thread at a time. */
typedef struct tt_upscaler tt_upscaler;

/* Fill with tt_upscaler_params_default first. Strings are copied. */
typedef struct tt_upscaler_params {
    const char *path;       /* a safetensors file; NULL: the small x2 network that comes with the library, looked for in
                               $TINTYPE_SHARE, the install's share folder and ./models */
    tt_precision precision; /* AUTO: HALF where the device multiplies halves, else F16 */
    uint32_t tile; /* side of the tiles in pixels of the input, 32 .. 1024: memory grows with its square, not with the
                      picture; 0: 256 */
} tt_upscaler_params;

TT_API void tt_upscaler_params_default(tt_upscaler_params *params);

/* Opens a network: reads and checks the file and derives the architecture from its tensors. Weights go to the device at
 * the first use. */
TT_API tt_status tt_upscaler_load(tt_context *context, const tt_upscaler_params *params, tt_upscaler **upscaler);

/* Frees the network and its device memory. NULL is allowed. */
TT_API void tt_upscaler_destroy(tt_upscaler *upscaler);

typedef struct tt_upscaler_info {
    char name[128];        /* file name without extension */
    char architecture[32]; /* "srvgg", "rrdb", "upconv7", "fsrcnn", "espcn" */
    uint32_t scale;        /* of the network itself: 1 .. 4 */
    uint32_t n_channels;   /* 3: RGB; 1: luma, colours are resized bicubically */
    uint64_t n_parameters, n_bytes;
    double flops_per_pixel; /* multiplications and additions for one pixel of the input */
    uint32_t tile;          /* in use */
    uint64_t peak_bytes;    /* forecast: weights and activations on the device while a tile is made */
} tt_upscaler_info;

TT_API tt_status tt_upscaler_get_info(tt_upscaler *upscaler, tt_upscaler_info *info);

/* Called between tiles; return false to cancel. */
typedef bool (*tt_upscale_progress_fn)(void *user, uint32_t tile, uint32_t n_tiles);

/* Makes `image` (grey, RGB or RGBA, at most 64 megapixels after enlarging) `scale` times larger, 2 .. 4, into *out
 * (same channels; free with tt_image_free). Where the network's own scale is another it is run again, and the result is
 * averaged down. Alpha is resized bicubically. Tiles overlap and are blended, so that seams do not show. Same device,
 * same network, same picture: same bytes. progress may be NULL. On failure there is no picture. */
TT_API tt_status tt_upscale(tt_upscaler *upscaler, const tt_image *image, uint32_t scale,
                            tt_upscale_progress_fn progress, void *user, tt_image *out);

/* Fills *marks (strings point into report and static storage) for a picture that was made from the one in report by
 * upscaling alone: the input's parameters, AIGC label and source type stay; a picture without a source type that says
 * AI becomes "algorithmicallyEnhanced". */
TT_API void tt_image_marks_upscaled(const tt_image_report *report, tt_image_marks *marks);

/* ---- the cloud: an upscale service somebody runs -------------------------------------------------------------------
 */

/* Where tt_cloud_upscale and tt_sharpen are. */
typedef enum tt_cloud_phase {
    TT_CLOUD_CONNECT = 0,
    TT_CLOUD_UPLOAD = 1,
    TT_CLOUD_QUEUED = 2, /* accepted, waits for a worker */
    TT_CLOUD_WORK = 3,   /* a worker has it */
    TT_CLOUD_DOWNLOAD = 4,
    TT_CLOUD_RETRY = 5 /* waits before the next try */
} tt_cloud_phase;

typedef struct tt_cloud_progress {
    tt_cloud_phase phase;
    uint64_t done_bytes, total_bytes; /* of an upload or download */
    uint32_t queue_position;          /* jobs ahead, QUEUED; 0 when the service does not say */
    uint32_t n_tries;
    double seconds, wait_seconds; /* since the call; RETRY: until the next try */
} tt_cloud_progress;

/* Return false to cancel: the call ends with TT_ERROR_CANCELLED, and the service is asked to drop the job. */
typedef bool (*tt_cloud_progress_fn)(void *user, const tt_cloud_progress *progress);

/* How to reach a service. Fill with tt_cloud_params_default first. Pointers must stay valid during the call. */
typedef struct tt_cloud_params {
    const char *url;   /* "https://host[:port][/prefix]"; "http://" is taken for loopback addresses only */
    const char *token; /* bearer token, NULL: none; never written to a log or a sentence */
    bool allow_upload; /* must be set: the pixels (or the latent) and the scale leave the device, nothing else does */
    double connect_seconds; /* for each connection; default 10 */
    double timeout_seconds; /* for everything, waiting in the service's queue included; default 120 */
    uint64_t max_bytes;     /* a body larger than that is not sent; default 8 MiB */
    uint32_t max_tries;     /* default 5; waits in between double from half a second, with jitter, or are what the
                               service asks for by Retry-After */
    const char *ca_file;    /* NULL: the system's certificates */
    const char *state_path; /* NULL, or a file that names the accepted job, so that the same call after a restart waits
                               for that job instead of sending again; removed when the result is there */
    tt_cloud_progress_fn progress; /* may be NULL */
    void *progress_user;
} tt_cloud_params;

TT_API void tt_cloud_params_default(tt_cloud_params *params);

/* Says without connecting whether a call with these could begin: the address is well-formed and allowed, the token has
 * no wrong characters, allow_upload is set, and this build can talk to services (else TT_ERROR_UNSUPPORTED). */
TT_API tt_status tt_cloud_check(tt_context *context, const tt_cloud_params *params);

typedef struct tt_cloud_report {
    uint64_t sent_bytes, received_bytes; /* bodies */
    uint32_t n_tries;                    /* requests that had to be made again included */
    bool is_resumed;                     /* the job was accepted by an earlier call */
    double queue_seconds, total_seconds;
    char job[64]; /* the service's name of it */
} tt_cloud_report;

/* Lets a service make the picture `scale` times larger (docs/cloud.md is the protocol). What is sent is the picture as
 * a PNG without any text or mark, and the scale. The result's type, size in pixels and SHA-256 are checked before it is
 * returned in *out. Fails with TT_ERROR_NETWORK when the service cannot be reached, does not answer in time or says no;
 * the sentence tells which and what to do. report may be NULL. */
TT_API tt_status tt_cloud_upscale(tt_context *context, const tt_cloud_params *params, const tt_image *image,
                                  uint32_t scale, tt_image *out, tt_cloud_report *report);

/* The same with a latent, sent as halves (a 4x32x32 one is 8 KB): the service decodes with the model whose file has the
 * SHA-256 that begins with model_hash, and says so when it has no such model. */
TT_API tt_status tt_cloud_upscale_latent(tt_context *context, const tt_cloud_params *params, const tt_latent *latent,
                                         const char *model_hash, uint32_t vae_factor, uint32_t scale, tt_image *out,
                                         tt_cloud_report *report);

/* Who sharpens. */
typedef enum tt_sharpen_by {
    TT_SHARPEN_AUTO = 0, /* the service when it is set, reachable, in time and within max_bytes; else this device */
    TT_SHARPEN_CLOUD = 1,
    TT_SHARPEN_LOCAL = 2
} tt_sharpen_by;

/* Fill with tt_sharpen_params_default first. */
typedef struct tt_sharpen_params {
    tt_sharpen_by by;
    uint32_t scale;          /* 2 .. 4 */
    tt_upscaler *upscaler;   /* the local network; may be NULL for CLOUD */
    tt_cloud_params cloud;   /* url NULL: no service */
    const tt_latent *latent; /* NULL: pixels are sent; else this is, for a service that has the model */
    const char *model_hash;  /* of the latent's model */
    uint32_t vae_factor;
    double route_detail; /* AUTO: pictures with less detail than that (tt_image_detail) stay on the device; 0: all go */
    tt_upscale_progress_fn local_progress; /* of the local network; may be NULL */
    void *local_user;
} tt_sharpen_params;

TT_API void tt_sharpen_params_default(tt_sharpen_params *params);

typedef struct tt_sharpen_report {
    tt_sharpen_by by; /* CLOUD or LOCAL: who did it */
    char reason[400]; /* AUTO: why not the service, one sentence; "" when it was the service */
    double detail;    /* of the picture, 0 when no routing was asked for */
    tt_cloud_report cloud;
    double seconds;
} tt_sharpen_report;

/* Makes a draft larger, on the service or on this device. A service that fails or loses the connection half-way is
 * followed by the local network (AUTO). image may be NULL with CLOUD and a latent. report may be NULL. */
TT_API tt_status tt_sharpen(tt_context *context, const tt_sharpen_params *params, const tt_image *image, tt_image *out,
                            tt_sharpen_report *report);

/* How hard a picture is to enlarge, from the energy of fine detail in its luma; 0 .. 1. The error that the local
 * network leaves grows with it, and so does what a stronger one takes off. docs/cloud.md has the rule and its
 * measurement. */
TT_API double tt_image_detail(const tt_image *image);

/* ---- measuring ------------------------------------------------------------------------------------------------- */

/* Launches of one kind in one pass. */
typedef struct tt_kernel_time {
    char op[24]; /* "conv3x3", "attention", ... */
    uint32_t n_launches;
    double ms;           /* on the device, by its own clock */
    double flops, bytes; /* multiplications and additions; bytes that must be read and written at least */
} tt_kernel_time;

enum { TT_MAX_KERNEL_TIMES = 24 };

typedef enum tt_bench_part { TT_BENCH_TEXT = 0, TT_BENCH_UNET, TT_BENCH_VAE } tt_bench_part;

typedef struct tt_bench_params {
    tt_bench_part part;
    uint32_t width, height; /* of the picture, in pixels; ignored for the text encoder */
    uint32_t batch;         /* UNet: 2 for classifier-free guidance; 0 counts as 1 */
    uint32_t n_passes;      /* timed ones, 1 .. 1000 */
} tt_bench_params;

/* What one part of a model takes. */
typedef struct tt_bench_report {
    double first_ms;           /* packing weights, loading programs, planning, recording, and a first pass */
    double best_ms, median_ms; /* of the timed passes, the host's share and the copies of inputs and outputs included */
    uint32_t n_launches;       /* of a pass */
    uint64_t weight_bytes, activation_bytes;
    uint32_t n_kernels; /* 0 when weights pass through the device: then launches have no times of their own */
    tt_kernel_time kernels[TT_MAX_KERNEL_TIMES]; /* of one more pass, slowest kind first */
} tt_bench_report;

/* Runs one part on made-up inputs: SD1's text encoder, the UNet, or the VAE decoder on a whole picture (no tiles).
 * Whole pictures are timed by tt_generate itself (tt_generate_stats). A part that was in use goes on being usable. */
TT_API tt_status tt_bench_measure(tt_model *model, const tt_bench_params *params, tt_bench_report *report);

/* What a device reaches in loops that do nothing else; 0 where it lacks the instructions. */
typedef struct tt_device_peaks {
    double float_flops, half_flops, int8_ops; /* multiplications and additions a second */
    double read_bytes;                        /* bytes a second from memory larger than its caches */
    char half_unit[16], int8_unit[16];        /* the instructions: "amx", "avx512", "fp16", "khr", ... or "none" */
} tt_device_peaks;

/* Measures the open device, a second or two. */
TT_API tt_status tt_context_peaks(tt_context *context, tt_device_peaks *peaks);
/* ---- tuning: which variants of the kernels suit the device ------------------------------------------------------- */

/* A choice that was measured on the open device. */
typedef struct tt_tuned {
    char op[32];           /* "linear" */
    char key[96];          /* what the time depends on: shape, and as the last two words what is multiplied and how
                              activations are stored: "320x320 n4096 q4_k f16" */
    char name[32];         /* of the variant */
    double ms, default_ms; /* of one run with it, and with the variant that is taken without measuring */
} tt_tuned;

/* A variant that is not used on the open device, because it gave wrong numbers or a run ended in it. */
typedef struct tt_disabled {
    char op[32], name[32];
    char form[96]; /* the last two words of the keys that it is disabled for; "": all */
    char reason[160];
} tt_disabled;

/* Choice, or disabled variant, `index` of the open device; false past the last. */
TT_API bool tt_context_tuned_at(const tt_context *context, size_t index, tt_tuned *tuned);
TT_API bool tt_context_disabled_at(const tt_context *context, size_t index, tt_disabled *disabled);

/* Where tt_tune is. */
typedef struct tt_tune_progress {
    const char *part;     /* "unet", "vae decoder", ... */
    const char *op, *key; /* in work; NULL at the end of a part */
    size_t done, total;   /* keys of the part */
    double seconds;       /* since the call */
} tt_tune_progress;

/* Return false to stop: the call ends with TT_ERROR_CANCELLED, what was chosen so far is kept. */
typedef bool (*tt_tune_progress_fn)(void *user, const tt_tune_progress *progress);

/* Fill with tt_tune_params_default first. */
typedef struct tt_tune_params {
    double seconds;               /* no variant is begun after that: default 20. The most expensive shapes come first */
    bool again;                   /* measure what has been measured too */
    tt_tune_progress_fn progress; /* may be NULL */
    void *progress_user;
} tt_tune_params;
TT_API void tt_tune_params_default(tt_tune_params *params);

/* What was done. A key is an op with a shape and a form. */
typedef struct tt_tune_report {
    size_t n_keys;              /* of the request's parts that know several variants */
    size_t n_measured, n_known; /* by this call; before it */
    size_t n_left;              /* there was no time for them: a further call goes on there */
    size_t n_parts_left;        /* parts of the model that were not begun at all; their keys are not counted */
    size_t n_refused, n_wrong;  /* variants that do not build, fit or spill registers; variants that are disabled now */
    double before_ms, after_ms; /* of the measured ops in one pass of each part: unmeasured choices, and now */
    double seconds;
} tt_tune_report;

/* Measures the variants of the kernels that a request uses (its sizes and cfg_scale; the prompt may be NULL) and keeps
 * the best of each, for this device, driver and version, in the cache folder, where every later run of any model finds
 * them. A driver that crashes on a variant does so once: the next start leaves it out. The request must fit; weights
 * that pass through (streamed) are left out. tt_cancel stops it. report may be NULL. */
TT_API tt_status tt_tune(tt_model *model, const tt_generate_params *request, const tt_tune_params *params,
                         tt_tune_report *report);

/* Writes everything known of the open device to a file, and takes over what such a file says. The file is JSON, may
 * come from anybody and is checked; one from another device is refused, one of another driver or version of the engine
 * is taken (without its disabled variants). */
TT_API tt_status tt_tuning_export(tt_context *context, const char *path);
TT_API tt_status tt_tuning_import(tt_context *context, const char *path);

/* ---- self-test: do the kernels give right numbers here? -----------------------------------------------------------
 */

typedef enum tt_verdict {
    TT_VERDICT_OK = 0,
    TT_VERDICT_WRONG = 1,    /* numbers differ from the plain C twin's by more than they may */
    TT_VERDICT_NO_BUILD = 2, /* the driver does not build or run it */
    TT_VERDICT_CRASHED = 3   /* set by callers that watch over a process of their own: see tt_selftest_run */
} tt_verdict;

/* The verdict's name: "ok", "wrong", "does not build", "crashed"; static storage. */
TT_API const char *tt_verdict_name(tt_verdict verdict);

/* One check: an op in a family of kernels, a storage form and, where it has weights, with weights of one type. */
typedef struct tt_selftest_result {
    char op[32];      /* "linear" */
    char variant[64]; /* "gpu-plain f16 q4_k" */
    tt_verdict verdict;
    uint32_t n_names;        /* ways of doing it that were tried; 0: it uses a unit that the device does not have */
    double error, tolerance; /* the largest rms error over deviation, and what it may be */
    char message[400];       /* what is wrong, "" when nothing is */
} tt_selftest_result;

/* Number of checks; the same on every device. */
TT_API size_t tt_selftest_count(void);

/* Fills in op and variant of check `index` without running it. */
TT_API void tt_selftest_describe(size_t index, tt_selftest_result *result);

/* Runs a check on the open device: every variant of the op on small ragged shapes against plain C. What is wrong or
 * does not build is disabled for this device and driver, so that later runs use the next variant, or the other family
 * when a family is wrong altogether; what was disabled and is right is used again. Returns a failure only when nothing
 * can be said. A variant that crashes the driver takes the process with it: the next process that opens the device
 * finds that out and disables the variant. Callers that want to go on let another process run the checks. */
TT_API tt_status tt_selftest_run(tt_context *context, size_t index, tt_selftest_result *result);

/* ---- quantization: a model made smaller ----------------------------------------------------------------------------
 */

/* What tt_quantize is doing. */
typedef enum tt_quantize_phase {
    TT_QUANTIZE_CALIBRATE = 0, /* running prompts through the model to see how large its activations are */
    TT_QUANTIZE_MEASURE = 1,   /* finding out how much each layer's rounding changes pictures */
    TT_QUANTIZE_WRITE = 2
} tt_quantize_phase;

/* Given to the progress callback. `done` of `total` pictures (CALIBRATE), measurements (MEASURE) or bytes of the input
 * (WRITE) are finished; `name` is the prompt, layer or tensor in work, valid during the call. */
typedef struct tt_quantize_progress {
    tt_quantize_phase phase;
    uint64_t done, total;
    const char *name;
    double phase_ms; /* time spent in this phase so far */
} tt_quantize_progress;

/* Return false to cancel: the call ends with TT_ERROR_CANCELLED and leaves no file. */
typedef bool (*tt_quantize_progress_fn)(void *user, const tt_quantize_progress *progress);

/* One job. Fill with tt_quantize_params_default first. Pointers must stay valid during the call.
 *
 * Types are "f32", "f16", "q8_0", "q6_k", "q5_1", "q5_k", "q5_0", "q4_1", "q4_k", "q4_0", "q3_k", "q2_k", "w8c" (int8
 * with a scale for each output channel) and "w8ca" (and an offset). Where a row of weights has no whole number of
 * blocks the next larger type of smaller blocks is taken, then f16. Norms and biases stay as they are, and so do,
 * unless `pure` is set, the few weights that cost little and matter much: first and last convolutions as f16, time
 * embeddings as q8_0. */
typedef struct tt_quantize_params {
    tt_model_params model; /* the input, anything that tt_model_load reads; precision is used for calibration */
    const char *output;    /* the GGUF file to write; never one that is read */
    const char *type;      /* of matrices and token tables; may be NULL with a budget */
    const char *rules;     /* NULL, or "REGEX=TYPE,...": POSIX extended expressions on names such as
                              "unet.mid_block.attentions.0.proj_in.weight"; the first that matches decides */
    bool pure;             /* no exceptions but those of `rules` */
    bool plain_fit;        /* plain rounding, byte for byte what gguf-py writes; else the least (weighted) error */
    const char *prompts;   /* NULL, or prompts, one a line: the model is run on them and errors are weighted by the
                              activations that each weight meets; needs an open device */
    float prune;           /* 0..1: this share of each layer's weights, the smallest, becomes 0. The file compresses
                              better; it gets no faster. Types that cannot hold 0 exactly are replaced by others. */
    const char *prune_structured; /* NULL, a share as "0.25", or names as
                              "mid_block.resnets.1,up_blocks.1.attentions.0": residual blocks, transformer blocks and
                              attention heads of the UNet that are left out, so that it is smaller and faster. Of a
                              share those that change its output least are found by measuring, and the ranking is
                              written to the output's name with ".pruning.json". A named attention layer takes the
                              number of heads to keep, "...attn1:4". Needs an open device and a whole model */
    uint64_t size_budget;         /* > 0: types are chosen for each layer so that the file is at most this long ... */
    double fidelity_db; /* > 0: ... or so that pictures are expected to have this PSNR to the input's; both need an
                           open device, or a table */
    const char *table;  /* NULL, or a file that keeps the measured sensitivity of all layers: read when it is there,
                           else written. NULL with a budget: written to the output's name with ".sensitivity.json" */
    uint32_t n_threads; /* 0: all processors */
    tt_quantize_progress_fn progress; /* may be NULL */
    void *progress_user;
} tt_quantize_params;

TT_API void tt_quantize_params_default(tt_quantize_params *params);

enum { TT_QUANTIZE_MAX_TYPES = 16 };

/* What became of the weights of one type. Errors are sums of squares over sums of squares, weighted by activations
 * where those were measured. */
typedef struct tt_quantize_type_report {
    char type[8];
    uint64_t n_tensors, n_values, n_bytes;
    double error; /* as written */
    double plain; /* what plain rounding would have given over what the fit gave, from a sample of rows; 1: no better,
                     0: nothing was sampled */
    double unweighted; /* the same for the fit that does not know the activations */
} tt_quantize_type_report;

/* A layer's place in the table of a budget. */
typedef struct tt_quantize_layer {
    char name[256]; /* of the first of the layers that share it */
    char type[8];   /* chosen */
    uint64_t n_values;
    double sensitivity; /* mean squared change of the picture (0..1) per squared relative error of the weights */
    double error;       /* expected of the chosen type, mean squared */
} tt_quantize_layer;

/* A part of the UNet in the ranking of prune_structured. */
typedef struct tt_quantize_unit {
    char name[256];
    double change; /* of the UNet's output without this part alone: squared, relative; INFINITY where it broke */
    uint64_t n_values;
    double flops;    /* that it takes of a pass */
    bool is_removed; /* alone or with what it is in */
    uint32_t n_heads,
        n_heads_kept; /* attention layers: change, n_values and flops are those of a quarter of its heads */
} tt_quantize_unit;

/* What was done. Free with tt_quantize_report_free. */
typedef struct tt_quantize_report {
    uint64_t bytes_in, bytes_out; /* tensors read; the file written */
    uint32_t n_types;
    tt_quantize_type_report types[TT_QUANTIZE_MAX_TYPES]; /* largest first */
    double error;                                         /* of all quantized weights */
    uint64_t n_pruned, n_prunable; /* zeros in the written layers that were pruned; their values */
    double compressed_share;       /* pruned: what zlib makes of a sample of the file, of 1; 0: not tried */
    size_t n_layers;               /* of a budget: most sensitive first */
    tt_quantize_layer *layers;
    double predicted_db, measured_db; /* of a budget: PSNR from the table, and of a few small pictures with the weights
                                         as chosen (0 when a table was used) */
    size_t n_units;                   /* of prune_structured with a share: what costs least for what it saves first */
    tt_quantize_unit *units;
    uint64_t unet_values_in, unet_values_out; /* of prune_structured: parameters of the UNet ... */
    double unet_flops_in, unet_flops_out;     /* ... work of a pass over one picture ... */
    double structure_change;                  /* ... and relative squared change of its output, before anything is
                                                 rounded */
    double structure_ms, calibrate_ms, measure_ms, write_ms;
} tt_quantize_report;

/* Writes the model as one GGUF file in tintype's own layout, tensor by tensor: memory does not grow with the model
 * unless it is run (prompts, budgets). The file appears whole or not at all. report may be NULL. */
TT_API tt_status tt_quantize(tt_context *context, const tt_quantize_params *params, tt_quantize_report *report);
TT_API void tt_quantize_report_free(tt_quantize_report *report);
/* ---- comparison: what a smaller model costs ---------------------------------------------------------------------- */

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

/* ---- stages: one part of the engine on plain arrays, for integrators and checks ---------------------------------- */

typedef enum tt_array_type {
    TT_ARRAY_F32 = 0,
    TT_ARRAY_F64 = 1,
    TT_ARRAY_I32 = 2,
    TT_ARRAY_I64 = 3,
    TT_ARRAY_U8 = 4
} tt_array_type;

/* A dense row-major array with a name. */
typedef struct tt_array {
    char name[128];
    tt_array_type type;
    uint32_t n_dims;
    uint64_t dims[8];
    void *data;
} tt_array;

/* A set of arrays, what a safetensors file holds. Zero-initialise before use; free with tt_arrays_free. */
typedef struct tt_arrays {
    size_t n_items;
    tt_array *items;
} tt_arrays;

TT_API void tt_arrays_free(tt_arrays *arrays);

/* The array of that name, or NULL. */
TT_API const tt_array *tt_arrays_find(const tt_arrays *arrays, const char *name);

/* Appends a copy of the data. */
TT_API tt_status tt_arrays_add(tt_context *context, tt_arrays *arrays, const char *name, tt_array_type type,
                               uint32_t n_dims, const uint64_t *dims, const void *data);

/* Reads all tensors of a safetensors file; F16 and BF16 are widened to F32, I8/I16/BOOL to I32. */
TT_API tt_status tt_arrays_read(tt_context *context, const char *path, tt_arrays *arrays);

/* Writes a safetensors file to a temporary name and renames it. */
TT_API tt_status tt_arrays_write(tt_context *context, const char *path, const tt_arrays *arrays);

typedef enum tt_stage {
    TT_STAGE_TEXT = 0, /* input_ids I32 [B,T] -> last_hidden_state, penultimate, clip_skip_2, pooled | text_embeds */
    TT_STAGE_UNET = 1, /* sample, timestep, encoder_hidden_states, [text_embeds, time_ids, timestep_cond] -> sample */
    TT_STAGE_VAE_DECODE = 2, /* latent [B,C,h,w], no scaling factor inside -> image [B,3,H,W] in -1..1 */
    TT_STAGE_VAE_ENCODE = 3, /* image -> mean, logvar (AutoencoderTiny: latent) */
    TT_STAGE_SAMPLE =
        4, /* x_init [n], noise [draws,n] -> timesteps F64, sigmas, x [calls,n] on the analytic denoiser */
    TT_STAGE_DENOISE = 5 /* noise0, noise1, ..., [image, mask] -> timesteps, latents_steps, latents_final, image_out */
} tt_stage;

/* Choices of a stage; fill with tt_stage_params_default. Only the fields named by a stage are read. */
typedef struct tt_stage_params {
    tt_stage stage;
    uint32_t encoder; /* TEXT: 1 or 2 */
    bool trace;       /* UNET: also the outputs of residual and transformer blocks, named as in diffusers */
    const char *
        scheduler_config; /* SAMPLE, DENOISE: JSON text of a diffusers scheduler_config.json; DENOISE: NULL = model's */
    uint32_t n_steps;     /* SAMPLE, DENOISE */
    float eta;            /* SAMPLE, DENOISE */
    const char *prompt;   /* DENOISE */
    const char *negative_prompt;              /* DENOISE; NULL: none (SDXL: zero embeddings when the model says so) */
    float cfg_scale;                          /* DENOISE */
    float strength;                           /* DENOISE with image */
    uint32_t clip_skip;                       /* DENOISE: 1 = last layer, 2 = penultimate */
    tt_savers savers;                         /* DENOISE */
    uint32_t original_height, original_width; /* DENOISE, SDXL: 0 = the picture's own size */
    uint32_t crop_top, crop_left;
    uint32_t target_height, target_width;
} tt_stage_params;

TT_API void tt_stage_params_default(tt_stage_params *params, tt_stage stage);

/* Runs one stage on `inputs`, appends its results to `outputs`. model is NULL for TT_STAGE_SAMPLE. */
TT_API tt_status tt_stage_run(tt_context *context, tt_model *model, const tt_stage_params *params,
                              const tt_arrays *inputs, tt_arrays *outputs);

/* Token ids of a text with BOS and EOS, as HF's fast CLIP tokenizer gives them; no prompt grammar. encoder is 1 or 2.
 * n_pad 0: unpadded and uncut; else cut and padded to that length. *ids is freed with free(). */
TT_API tt_status tt_tokenize(tt_model *model, uint32_t encoder, const char *text, uint32_t n_pad, int32_t **ids,
                             size_t *n_ids);

#ifdef __cplusplus
}
#endif

#endif
