/* device-private.h - the device object and the finding of devices, shared by the files of this folder. */
#ifndef TT_DEVICE_DEVICE_PRIVATE_H
#define TT_DEVICE_DEVICE_PRIVATE_H

#include "base/text.h"
#include "device/program.h"
#include "device/quirks-private.h"

/* A device as it was found, before anything is opened. */
typedef struct tt_found {
    cl_platform_id platform;
    cl_device_id id;
    cl_device_type type;
    bool shared_memory;         /* the host sees the same memory */
    char platform_version[256]; /* part of the cache key: compilers change without the driver version */
    tt_caps caps;
    tt_quirks quirks;
} tt_found;

/* Finds all usable devices, best first; *found is freed with free(). TT_ERROR_DEVICE when there is none. */
tt_status tt_devices_find(const tt_cl *cl, tt_found **found, size_t *n_found, tt_error *err);

/* Picks by index or part of a name (NULL or "": the first); the sentence of a failure lists what there is. */
tt_status tt_devices_choose(const tt_found *found, size_t n_found, const char *wanted, size_t *index, tt_error *err);

/* An image over a buffer; see texels.c. */
typedef struct tt_texels tt_texels;

/* A built program; see program.c. */
typedef struct tt_program tt_program;

struct tt_device {
    tt_cl cl;
    tt_found found;
    cl_context context;
    cl_command_queue queue;
    cl_command_queue profiling_queue; /* NULL until launches are timed; `queue` itself when that has times */
    const tt_log *log;
    bool profiling;
    uint64_t bytes, peak_bytes;
    char *cache_dir;  /* NULL: no cache on disk */
    char *kernel_dir; /* NULL: embedded sources only */
    bool cache_warned;
    tt_source_fn sources;
    tt_program *programs; /* list, newest first */
    tt_texels *texels;    /* list */
    uint32_t notes[TT_DEVICE_N_NOTES];
};

/* Releases the images over a buffer, or all with NULL. */
void tt_texels_release(tt_device *device, cl_mem mem);
/* The queue whose events have times, made when first asked for. Nothing may be under way on the other when it is used.
 */
tt_status tt_device_profiling_queue(tt_device *device, cl_command_queue *queue, tt_error *err);

/* Adds what says which driver this is to a key: each part with its length, so that different parts cannot run together
 * to the same text. */
void tt_device_add_identity(const tt_device *device, tt_text *text);
void tt_device_add_part(tt_text *text, const char *part, size_t n_bytes);

/* Releases all programs of the device. */
void tt_programs_release(tt_device *device);

#endif
