/* conv3x3.h - 3x3 convolution: y = act(conv(x) + b + per_image_bias + residual). */
#ifndef TT_CL_KERNELS_CONV3X3_H
#define TT_CL_KERNELS_CONV3X3_H

#include "cl-kernels/matrix.h"
#include "cl-kernels/tuning.h"

typedef enum tt_conv_mode {
    TT_CONV_SAME = 0,  /* stride 1, padding 1 */
    TT_CONV_DOWN,      /* stride 2, padding 1 on all sides: out = ceil(in / 2) */
    TT_CONV_DOWN_ASYM, /* stride 2, padding right and bottom only (VAE encoder): out = floor(in / 2) */
    TT_CONV_UP /* nearest upsampling by two folded in, then stride 1, padding 1: out = 2 * in or 2 * in - 1 per side */
} tt_conv_mode;

/* How the sums are made. Winograd's methods (winograd.h) are for TT_CONV_SAME and TT_CONV_UP on the CPU family and are
 * refused elsewhere. */
typedef enum tt_conv_method {
    TT_CONV_FASTEST = 0, /* by the tuning, else by an estimate for the shape */
    TT_CONV_DIRECT,
    TT_CONV_WINOGRAD2,
    TT_CONV_WINOGRAD4
} tt_conv_method;

typedef struct tt_conv3x3_args {
    tt_plane in;             /* border 1 */
    const tt_matrix *matrix; /* n_taps 9, taps in row order */
    tt_conv_mode mode;
    tt_conv_method method;
    const tt_plane
        *per_image_bias;      /* NULL, or n_out channels, height 1, width 1: time embedding, one vector per image */
    const tt_plane *residual; /* NULL, or added before the activation; geometry of out, any border */
    tt_activation activation;
    tt_plane out;          /* any border: it is zeroed */
    cl_mem scratch;        /* NULL, or room for tt_conv3x3_scratch_bytes, used by these launches only ... */
    size_t scratch_offset; /* ... from this byte on, a multiple of 256 */
} tt_conv3x3_args;

/* Bytes of scratch with which the launch is faster; 0 when it would not help. Without scratch the results are as good.
 */
size_t tt_conv3x3_scratch_bytes(const tt_kernels *kernels, const tt_matrix *matrix, const tt_plane *in,
                                const tt_plane *out);

/* The tuning's key of a convolution whose products are of a form ("320x640 32x32 b1 up int8 f16"): channels, the
 * output's width, height and images, mode. */
void tt_conv3x3_key(const tt_kernels *kernels, const tt_conv3x3_args *args, const char *form, char key[TT_TUNING_KEY]);

tt_status tt_conv3x3_record(const tt_kernels *kernels, const tt_conv3x3_args *args, tt_recorder *recorder,
                            tt_error *err);

#endif
