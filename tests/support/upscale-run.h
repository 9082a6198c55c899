/* upscale-run.h - super-resolution networks on arrays of floats. */
#ifndef TT_TESTS_SUPPORT_UPSCALE_RUN_H
#define TT_TESTS_SUPPORT_UPSCALE_RUN_H

#include "upscale/upscale.h"

/* A picture of floats in 0..1: [n_channels][height][width]. */
typedef struct upscale_floats {
    uint32_t n_channels, height, width;
    float *values;
} upscale_floats;

/* Makes a picture larger with the network of a file; tile 0: one tile for all of it. Fails the test when something
 * fails. out->values is freed by the caller. */
void upscale_run(const tt_kernels *kernels, const char *path, uint32_t tile, const upscale_floats *in,
                 upscale_floats *out);

#endif
