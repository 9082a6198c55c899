/* dpm-sde.c - DPM-Solver++ (stochastic) of two calls per step (arXiv 2211.01095, as k-diffusion's dpmpp_sde). Each half
 * step goes down further than its target and adds fresh noise. The original draws its noise from a Brownian path, so
 * that it agrees between step counts; here each draw is independent, which has the same distribution. */
#include "scheduler/sampler.h"

#include <math.h>
#include <string.h>

static double middle_sigma(const tt_scheduler *s, uint32_t index)
{
    uint32_t start = index & ~1u;
    return sqrt((double)s->sigmas[start] * (double)s->sigmas[start + 1]);
}

static tt_status prepare(tt_scheduler *s, tt_error *err)
{
    return tt_prepare_pairs(s, TT_LAYOUT_PAIRED, middle_sigma, err);
}

static bool needs_noise(const tt_scheduler *s, uint32_t index)
{
    return index + 1 < s->n_timesteps;
}

static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    bool first = tt_is_first_half(index);
    double from = (double)s->sigmas[index & ~1u], middle = middle_sigma(s, index);
    double to = first ? middle : (double)s->sigmas[index];
    tt_linear x0 = tt_denoised(s->config.prediction, first ? from : middle);
    float *start = s->history[0];
    if (first)
        memcpy(start, x, s->n_sample * sizeof(float));
    /* up^2 + down^2 = to^2 with down = to^2 / from. At the last step `to` is 0 and the result is the clean sample. */
    double down = to * to / from, up = to * sqrt(1.0 - (to / from) * (to / from));
    double kept = down / from, data = 1.0 - kept;
    const tt_term terms[] = {
        {kept, start}, {data * x0.sample, x}, {data * x0.output, output}, {needs_noise(s, index) ? up : 0.0, noise}};
    tt_combine(x, s->n_sample, terms, 4);
}

const tt_sampler_ops tt_dpm_sde_ops = {.n_buffers = 1,
                                       .calls_per_step = 2,
                                       .scales_input = true,
                                       .middle_sigma = middle_sigma,
                                       .prepare = prepare,
                                       .needs_noise = needs_noise,
                                       .step = step};
