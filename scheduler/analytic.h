/* analytic.h - a model that is a formula, for checking samplers without a network. */
#ifndef TT_SCHEDULER_ANALYTIC_H
#define TT_SCHEDULER_ANALYTIC_H

#include <stddef.h>

/* out[i] = x * t / (t + 250) + 0.1 * sin(4 x + 0.01 t) with x = x[i], in double, rounded to float. x is the model's
 * input, already scaled by the scheduler. In place is allowed. */
void tt_analytic_denoiser(double timestep, const float *x, float *out, size_t n);

#endif
