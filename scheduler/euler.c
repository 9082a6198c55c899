/* euler.c - Euler steps in sigma (arXiv 2206.00364, algorithm 2 without churn) and the ancestral form, which steps
 * further down and adds fresh noise. */
#include "scheduler/sampler.h"

#include <math.h>

static tt_status prepare(tt_scheduler *s, tt_error *err)
{
    tt_levels levels;
    tt_status status = tt_levels_karras_family(s, &levels, err);
    if (status != TT_OK)
        return status;
    double last = s->config.final_sigma == TT_FINAL_SIGMA_MIN ? (double)s->train_sigmas[0] : 0.0;
    return tt_store_levels(s, &levels, TT_LAYOUT_PLAIN, last, err);
}

/* x + derivative * (target - sigma) + noise_weight * noise */
static void euler_step(tt_scheduler *s, double sigma, double target, double noise_weight, const float *output,
                       const float *noise, float *x)
{
    tt_linear slope = tt_derivative(s->config.prediction, sigma);
    double dt = target - sigma;
    const tt_term terms[] = {{1.0 + slope.sample * dt, x}, {slope.output * dt, output}, {noise_weight, noise}};
    tt_combine(x, s->n_sample, terms, 3);
}

static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    (void)noise;
    euler_step(s, (double)s->sigmas[index], (double)s->sigmas[index + 1], 0.0, output, noise, x);
}

/* Noise is drawn at the last step too, as in the reference, and multiplied by 0. */
static void step_ancestral(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    double from = (double)s->sigmas[index], to = (double)s->sigmas[index + 1];
    double up = sqrt(to * to * (from * from - to * to) / (from * from));
    euler_step(s, from, sqrt(to * to - up * up), up, output, noise, x);
}

const tt_sampler_ops tt_euler_ops = {.n_buffers = 1,
                                     .calls_per_step = 1,
                                     .scales_input = true,
                                     .prepare = prepare,
                                     .needs_noise = tt_never,
                                     .step = step};

const tt_sampler_ops tt_euler_a_ops = {.n_buffers = 1,
                                       .calls_per_step = 1,
                                       .scales_input = true,
                                       .prepare = prepare,
                                       .needs_noise = tt_always,
                                       .step = step_ancestral};
