/* measure.h - measuring, tuning and checking what runs on a device; part of tintype.h. */
#ifndef TINTYPE_MEASURE_H
#define TINTYPE_MEASURE_H

#include "tintype/generate.h"

#ifdef __cplusplus
extern "C" {
#endif

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
/* Writes the binaries of all kernel programs that were built so far to the cache folder, where the driver makes them
 * too slowly to do so unasked (PoCL: a second or more each, once; later starts then load them in milliseconds instead
 * of building them from source). Does nothing on other drivers, which store them at once. *n_stored may be NULL. */
TT_API tt_status tt_context_store_programs(tt_context *context, uint32_t *n_stored);

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

#ifdef __cplusplus
}
#endif

#endif
