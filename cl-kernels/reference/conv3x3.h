/* conv3x3.h - plain C twin of cl-kernels/conv3x3.h: NCHW floats in, double sums. */
#ifndef TT_CL_KERNELS_REFERENCE_CONV3X3_H
#define TT_CL_KERNELS_REFERENCE_CONV3X3_H

#include "cl-kernels/conv3x3.h"

typedef struct tt_reference_conv3x3_args {
    uint32_t batch, n_in, n_out;
    uint32_t in_height, in_width, out_height, out_width;
    tt_conv_mode mode;
    const float *in;         /* [batch][n_in][in_height][in_width] */
    const float *weights;    /* [n_out][n_in][3][3] */
    const float *bias;       /* [n_out] or NULL */
    const float *image_bias; /* [batch][n_out] or NULL */
    const float *residual;   /* [batch][n_out][out_height][out_width] or NULL */
    tt_activation activation;
    const float *slopes; /* [n_out], of PReLU */
    float *out;          /* [batch][n_out][out_height][out_width] */
} tt_reference_conv3x3_args;

void tt_reference_conv3x3(const tt_reference_conv3x3_args *args);

/* The same for a rectangle of the outputs of some images. */
typedef struct tt_reference_rectangle {
    uint32_t image, y, x, n_images, height, width;
} tt_reference_rectangle;
void tt_reference_conv3x3_part(const tt_reference_conv3x3_args *args, const tt_reference_rectangle *part);

#endif
