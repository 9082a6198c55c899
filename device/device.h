/* device.h - one opened OpenCL device: its capabilities, queue, buffers and memory account.
 *
 * OpenCL is found with dlopen and called through the table of device/opencl.h; nothing links to it. A device belongs to
 * one thread at a time. All launches go to one in-order queue; device/upload.h has others for weights. */
#ifndef TT_DEVICE_DEVICE_H
#define TT_DEVICE_DEVICE_H

#include "base/error.h"
#include "base/log.h"
#include "device/opencl.h"

/* Which family of kernel variants suits a device. */
typedef enum tt_family {
    TT_FAMILY_CPU_TILE =
        0, /* one work item per register tile, float16 vectors, local size 1 (PoCL, Intel CPU runtime) */
    TT_FAMILY_GPU_PLAIN = 1 /* one work item per few outputs, lanes over neighbouring positions */
} tt_family;

/* "cpu-tile", "gpu-plain"; static storage. */
const char *tt_family_name(tt_family family);

typedef struct tt_caps {
    tt_device_info info;
    bool is_cpu;
    bool has_fp16, has_subgroups, has_int_dot, has_command_buffer;
    tt_family family;
    bool has_khr_dot, has_qcom_dot, has_arm_dot; /* which of the extensions that has_int_dot stands for */
    bool has_local_memory;                       /* local memory is memory of its own, not ordinary cache */
    bool mixes_local;                            /* local memory must not be staged in two places of a kernel */
    uint64_t global_bytes, max_alloc_bytes, local_bytes;
    size_t max_work_group;
    size_t max_texels; /* of an image over a buffer; 0: no images */
    uint32_t n_compute_units;
} tt_caps;

typedef struct tt_device tt_device;

/* Choices as in tt_device_params; strings are copied. */
typedef struct tt_device_options {
    const char *device;
    const char *cache_dir;
    const char *kernel_dir; /* NULL also looks at the environment variable TINTYPE_KERNEL_DIR */
    bool profiling;         /* queue with CL_QUEUE_PROFILING_ENABLE */
    const tt_log *log;      /* kept by reference, may be NULL */
} tt_device_options;

/* Lists devices, best first (GPU before CPU before others, then compute units). Free the array with free(). */
tt_status tt_device_list(tt_device_info **infos, size_t *n_infos, tt_error *err);

/* Opens a device; close frees everything that it still holds. */
tt_status tt_device_open(const tt_device_options *options, tt_device **device, tt_error *err);
void tt_device_close(tt_device *device);

const tt_caps *tt_device_caps(const tt_device *device);
const tt_cl *tt_device_cl(const tt_device *device); /* the function table */
cl_context tt_device_context(const tt_device *device);
cl_device_id tt_device_id(const tt_device *device);
cl_command_queue tt_device_queue(const tt_device *device);
const tt_log *tt_device_log(const tt_device *device);

/* Folder of compiled programs and of what was measured; NULL when there is none on disk. */
const char *tt_device_cache_dir(const tt_device *device);

/* First 16 hex digits of a digest of everything that says which driver this is: platform, device, versions. */
enum { TT_DEVICE_KEY = 17 };
tt_status tt_device_key(const tt_device *device, char key[TT_DEVICE_KEY], tt_error *err);

/* True when buffers lie in the host's memory (CPUs, phones): they count in the process's resident memory then. */
bool tt_device_shares_memory(const tt_device *device);

/* Kernel programs that were built or loaded so far; they stay until the device is closed. */
size_t tt_device_n_programs(const tt_device *device);

/* What other rooms found out about the device and keep with it, a number each; zero at first. */
typedef enum tt_device_note_kind { TT_DEVICE_NOTE_DOT = 0, TT_DEVICE_N_NOTES } tt_device_note_kind;
uint32_t *tt_device_note(tt_device *device, tt_device_note_kind kind);

/* A device buffer; counted in the device's account. */
typedef struct tt_buffer {
    cl_mem mem;
    size_t n_bytes;
} tt_buffer;

/* Allocates n_bytes (> 0), host-visible where memory is shared. `what` names it in sentences ("UNet activations").
 * Checks the largest allocation and the device's memory first. */
tt_status tt_buffer_create(tt_device *device, size_t n_bytes, const char *what, tt_buffer *buffer, tt_error *err);

/* Releases the memory and zeroes the struct; a zeroed struct is allowed. */
void tt_buffer_release(tt_device *device, tt_buffer *buffer);

/* Blocking copies between host and device. */
tt_status tt_buffer_write(tt_device *device, const tt_buffer *buffer, size_t offset, const void *src, size_t n_bytes,
                          tt_error *err);
tt_status tt_buffer_read(tt_device *device, const tt_buffer *buffer, size_t offset, void *dst, size_t n_bytes,
                         tt_error *err);

/* What a texel of an image over a buffer is: four floats or halves, or one 32-bit word. */
typedef enum tt_texel { TT_TEXEL_FLOAT4, TT_TEXEL_HALF4, TT_TEXEL_WORD } tt_texel;

/* True when the device has images over buffers and a whole buffer fits into one. */
bool tt_buffer_has_texels(const tt_device *device, cl_mem mem, tt_texel texel);

/* The image over a whole buffer (a multiple of the texel), for reading through the texture units. It is made once, kept
 * with the device and released with the buffer. */
tt_status tt_buffer_texels(tt_device *device, cl_mem mem, tt_texel texel, cl_mem *image, tt_error *err);
/* Enqueues a copy without waiting: src must stay as it is until the queue has been waited for, by tt_buffer_read or
 * tt_device_finish. */
tt_status tt_buffer_write_later(tt_device *device, const tt_buffer *buffer, size_t offset, const void *src,
                                size_t n_bytes, tt_error *err);

/* Maps a whole buffer for writing (contents undefined before) and unmaps it; no copy on shared memory. */
tt_status tt_buffer_map(tt_device *device, const tt_buffer *buffer, void **bytes, tt_error *err);
tt_status tt_buffer_unmap(tt_device *device, const tt_buffer *buffer, void *bytes, tt_error *err);

/* Bytes held now and at the highest moment since the device was opened or the peak restarted. */
uint64_t tt_device_bytes(const tt_device *device);
uint64_t tt_device_peak_bytes(const tt_device *device);
void tt_device_restart_peak(tt_device *device);

/* Waits for all launches and copies of the in-order queue. */
tt_status tt_device_finish(tt_device *device, tt_error *err);

/* One sentence for an OpenCL error code: "clEnqueueNDRangeKernel for linear: CL_OUT_OF_RESOURCES (-5) on DEVICE". */
tt_status tt_device_fail(const tt_device *device, tt_error *err, cl_int code, const char *what);

#endif
