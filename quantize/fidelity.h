/* fidelity.h - how far one result is from another: relative error, PSNR, SSIM.
 *
 * All work on plain host arrays and in double. A value that is no number counts as infinitely wrong. */
#ifndef TT_QUANTIZE_FIDELITY_H
#define TT_QUANTIZE_FIDELITY_H

#include "base/error.h"

/* What a relative error needs to know of its arrays; zero-initialise. Sums of several arrays (the passes of several
 * prompts) give the error of all of them together. */
typedef struct tt_error_sums {
    double n, error_square, sum, square; /* of got - want; of want */
} tt_error_sums;

void tt_error_sums_add(tt_error_sums *sums, const float *got, const float *want, size_t n);

/* rms(got - want) / std(want). Where want is constant its rms takes the place of the deviation, and where that is zero
 * too, the result is 0 (equal) or INFINITY. 0 for empty sums. */
double tt_error_sums_relative(const tt_error_sums *sums);

/* The same of one pair of arrays. */
double tt_relative_error(const float *got, const float *want, size_t n);

/* Largest minus smallest of n values; 0 for none. */
double tt_value_range(const float *values, size_t n);

/* Peak signal-to-noise ratio in dB, 10 log10(range^2 / mean((a - b)^2)); INFINITY for equal arrays. */
double tt_psnr(const float *a, const float *b, size_t n, double range);

/* The same of 8-bit values, range 255. */
double tt_psnr_bytes(const uint8_t *a, const uint8_t *b, size_t n);

/* Mean structural similarity (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 13(4), 2004) of two stacks of planes
 * [n_planes][height][width]: K1 = 0.01, K2 = 0.03, dynamic range `range` (0 is taken as 1), Gaussian window of 11 x 11
 * with a deviation of 1.5, population variances. The mean goes over all windows that lie wholly inside and over the
 * planes. A side shorter than 11 has one window along it, as long as the side. 1 for equal stacks. Fails when memory is
 * out or a side is 0. */
tt_status tt_ssim(const float *a, const float *b, size_t n_planes, size_t height, size_t width, double range,
                  double *ssim, tt_error *err);

/* The same of two 8-bit pictures of equal size and channels (range 255): the mean over the channels, as scikit-image
 * takes it for colour pictures. Other pairs fail with TT_ERROR_ARGUMENT. */
tt_status tt_ssim_images(const tt_image *a, const tt_image *b, double *ssim, tt_error *err);

#endif
