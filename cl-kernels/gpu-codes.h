/* gpu-codes.h - int8 codes of activations, with a scale for every position. */
#ifndef TT_CL_KERNELS_GPU_CODES_H
#define TT_CL_KERNELS_GPU_CODES_H

#include "cl-kernels/plane.h"

typedef struct tt_gpu_codes_args {
    tt_plane in;
    const tt_plane *in2;   /* NULL, or a second source whose slices follow */
    bool with_border;      /* code the border of in, too: its codes are zeros */
    cl_mem scratch;        /* room for tt_gpu_codes_bytes ... */
    size_t scratch_offset; /* ... from this byte on, a multiple of 256 */
} tt_gpu_codes_args;

/* Where the codes are. */
typedef struct tt_gpu_codes {
    tt_plane plane;       /* in words of four codes; the border is coded when asked for, else there is none */
    uint32_t about_shift; /* from a position's word in the first slice to its scale and sum, in pairs of floats, modulo
                             2^32 */
} tt_gpu_codes;

size_t tt_gpu_codes_bytes(const tt_gpu_codes_args *args);
tt_status tt_gpu_codes_record(const tt_kernels *kernels, const tt_gpu_codes_args *args, tt_recorder *recorder,
                              tt_gpu_codes *codes, tt_error *err);

#endif
