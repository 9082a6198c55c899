/* plane.h - C4 planes, the one layout of activations, and the set of kernels that work on them.
 *
 * A plane tensor holds [ceil(channels/4)][batch][height + 2*border][width + 2*border][4] elements: channel slices of
 * four, then images of the batch, then positions. Unused channels of the last slice are zero, the border (0 or 1 pixel)
 * is zero. A token sequence is a plane with height 1 and width = tokens. Because slices are contiguous, a range of
 * channels that starts at a multiple of four is a view: the same memory at another offset. */
#ifndef TT_CL_KERNELS_PLANE_H
#define TT_CL_KERNELS_PLANE_H

#include "device/device.h"
#include "device/recorder.h"

/* How elements are stored. */
typedef enum tt_storage { TT_STORAGE_F32 = 0, TT_STORAGE_F16 = 1 } tt_storage;

/* How linear layers, convolutions and attention multiply. Sums are float, or int32 of int8 products, in all of them;
 * everything else (norms, softmax, activations) is float. Where a device has no unit for a form, the next one above it
 * in this list is used; tt_matrix.arithmetic and the launchers say which. */
typedef enum tt_arithmetic {
    TT_ARITHMETIC_FLOAT = 0,
    TT_ARITHMETIC_HALF, /* products of bfloat16 (x86) or half (GPUs) */
    TT_ARITHMETIC_INT8  /* W8A8: int8 weights per output channel, inputs quantized on the fly; attention: as HALF */
} tt_arithmetic;

/* What multiplies: a device's dot product instructions, probed by building a small program and checking its result
 * (cl-kernels/dot.h), never assumed. */
typedef enum tt_dot_unit {
    TT_DOT_NONE = 0,
    TT_DOT_PLAIN,    /* the language's own vectors: slow, for tests of the form on any CPU */
    TT_DOT_AVX512,   /* vpdpbusd, vdpbf16ps on 16 lanes */
    TT_DOT_AMX,      /* tiles of 16 x 64 bytes */
    TT_DOT_GPU_FP16, /* cl_khr_fp16 */
    TT_DOT_GPU_KHR,  /* cl_khr_integer_dot_product */
    TT_DOT_GPU_QCOM, /* cl_qcom_dot_product8 */
    TT_DOT_GPU_ARM   /* cl_arm_integer_dot_product_* */
} tt_dot_unit;

typedef struct tt_dot {
    tt_dot_unit half, int8; /* best unit for each form */
} tt_dot;

typedef struct tt_tuning tt_tuning; /* cl-kernels/tuning.h */

/* A view of an activation tensor on the device. */
typedef struct tt_plane {
    cl_mem mem;
    uint32_t offset; /* first element of this tensor in units of 4 elements (one position of one slice) */
    uint32_t channels, batch, height, width;
    uint32_t border;    /* 0 or 1 */
    bool border_unread; /* nothing reads the border of what an op writes here, so the op may leave it as it is */
} tt_plane;

/* What every op launcher needs: device, forms and variant family. Zeros from `arithmetic` on: float, as ever. */
typedef struct tt_kernels {
    tt_device *device;
    tt_storage storage;
    tt_family family; /* tt_device_caps()->family, or forced by a test */
    tt_arithmetic arithmetic;
    tt_dot dot;        /* from tt_dot_probe, or forced by a test */
    tt_tuning *tuning; /* measured choices of variants; NULL: the launchers' own tables decide */
} tt_kernels;

/* Slices: ceil(channels / 4). */
uint32_t tt_plane_slices(const tt_plane *plane);

/* Units of 4 elements in one slice: batch * (height + 2*border) * (width + 2*border). */
size_t tt_plane_slice_units(const tt_plane *plane);

/* Bytes of the whole tensor in a storage form. */
size_t tt_plane_bytes(const tt_plane *plane, tt_storage storage);

/* Positions without border: batch * height * width. */
size_t tt_plane_positions(const tt_plane *plane);

/* True when an op that writes this plane has to make its border zero. */
bool tt_plane_needs_border(const tt_plane *plane);

/* What element `at` of a plane's memory is: its index in [batch][channels][height][width], or SIZE_MAX for a padding
 * channel or the border, which are zero. */
size_t tt_plane_nchw_index(const tt_plane *plane, size_t at);

/* View of n_channels channels from first_channel (multiple of 4). */
tt_plane tt_plane_channels(const tt_plane *plane, uint32_t first_channel, uint32_t n_channels);

/* What happens to a value before it is stored. */
typedef enum tt_activation {
    TT_ACT_NONE = 0,
    TT_ACT_SILU,
    TT_ACT_GELU,       /* x * Phi(x), erf form */
    TT_ACT_QUICK_GELU, /* x * sigmoid(1.702 x) */
    TT_ACT_RELU,
    TT_ACT_TANH3, /* 3 * tanh(x / 3): AutoencoderTiny's clamp */
    TT_ACT_PRELU  /* x or, below zero, slope * x with a slope for each output, which are part of the matrix (arXiv
                     1502.01852); of linear layers and convolutions alone */
} tt_activation;

/* Makes the kernel `entry` of `file` for this set: adds -DTT_HALF=, the family and extra options (may be ""). */
tt_status tt_kernels_make(const tt_kernels *kernels, const char *file, const char *extra_options, const char *entry,
                          cl_kernel *kernel, tt_error *err);

/* Sets a kernel argument that is a plane: the buffer at *index, then its offset (uint) at *index + 1; advances *index.
 */
tt_status tt_kernels_set_plane(const tt_kernels *kernels, cl_kernel kernel, cl_uint *index, const tt_plane *plane,
                               tt_error *err);

/* Sets a plain argument and advances *index. */
tt_status tt_kernels_set(const tt_kernels *kernels, cl_kernel kernel, cl_uint *index, size_t n_bytes, const void *value,
                         tt_error *err);

/* The embedded kernel texts, for tt_device_set_sources. */
const char *tt_kernel_source_text(const char *name, size_t *n_bytes);

/* Sentence that names op, tensor role and shapes when a launcher's argument check fails. */
tt_status tt_kernels_fail_shape(tt_error *err, const char *op, const char *what, const tt_plane *plane);

#endif
