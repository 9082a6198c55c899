/* gpu-tile.h - register tiles for GPUs: what linear and conv3x3 launch where a device has no wide vectors.
 *
 * There are several ways to read weights and activations, and no telling which one a driver likes: each is a candidate
 * that the tuning can name. The simple kernels of plain.clh are others, for every matrix that they can read. */
#ifndef TT_CL_KERNELS_GPU_TILE_H
#define TT_CL_KERNELS_GPU_TILE_H

#include "cl-kernels/conv3x3.h"
#include "cl-kernels/tile.h"

/* How the lanes get their weights, see gpu-weights.clh. */
typedef enum tt_gpu_weights { TT_GPU_CACHE = 0, TT_GPU_LOCAL = 1, TT_GPU_SUBGROUP = 2 } tt_gpu_weights;

/* One way. Positions of a work item; slices of a half sum (half alone); activations as texels. */
typedef struct tt_gpu_variant {
    const char *name;
    uint32_t positions, run;
    tt_gpu_weights weights;
    bool has_texels;
} tt_gpu_variant;

/* A launch: the arguments of either op. */
typedef struct tt_gpu_tile_args {
    tt_plane in; /* border 1 for nine taps */
    const tt_plane *in2;
    const tt_matrix *matrix;
    tt_tile_weights weights;
    tt_conv_mode mode;
    const tt_plane *per_image_bias, *residual;
    tt_activation activation;
    tt_plane out;
    cl_mem scratch; /* int8: room for tt_gpu_tile_scratch_bytes, from scratch_offset on */
    size_t scratch_offset;
    double bytes;
} tt_gpu_tile_args;

enum { TT_GPU_MAX_VARIANTS = 12 };

/* The variants that the device can run for a launch, the one that its table prefers first. */
size_t tt_gpu_tile_variants(const tt_kernels *kernels, const tt_gpu_tile_args *args,
                            const tt_gpu_variant *variants[TT_GPU_MAX_VARIANTS]);

/* Asks the tuning for the way to use. NULL: the plain kernel in the cut that *cut becomes. Matrices of floats start
 * from the plain kernel's cuts; those of halves and int8 codes from the variants, and halves have "float" as the last
 * way. */
const tt_gpu_variant *tt_gpu_tile_choose(const tt_kernels *kernels, const tt_gpu_tile_args *args, tt_plain_cut *cut);

/* Records the launch (int8: and the one that makes the codes). */
tt_status tt_gpu_tile_record(const tt_kernels *kernels, const tt_gpu_tile_args *args, const tt_gpu_variant *variant,
                             tt_recorder *recorder, tt_error *err);

/* Bytes that the codes of an int8 launch take; 0 for other matrices. */
size_t tt_gpu_tile_scratch_bytes(const tt_matrix *matrix, const tt_plane *in);

#endif
