/* context.h - how calls end, and the context with its device; part of tintype.h. */
#ifndef TINTYPE_CONTEXT_H
#define TINTYPE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

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
    TT_PRECISION_INT8 = 4 /* W8A8: as HALF, but UNet and KL decoder multiply int8 weights (per output channel) by inputs
                             that are quantized to int8 on the fly; sensitive layers, as the first and last, do not */
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

#ifdef __cplusplus
}
#endif

#endif
