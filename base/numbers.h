/* numbers.h - numbers to try things on, and how far two results are from each other. */
#ifndef TT_BASE_NUMBERS_H
#define TT_BASE_NUMBERS_H

#include "base/error.h"

/* Uniform in -sqrt(3)..sqrt(3): mean 0, deviation 1; the same for the same seed on every machine. */
void tt_numbers_uniform(float *values, size_t n, uint64_t seed);

/* Rms error over the deviation of want (over its rms when want is constant); infinite where got holds what is no number
 * and want does not. */
double tt_numbers_difference(const float *got, const float *want, size_t n);

#endif
