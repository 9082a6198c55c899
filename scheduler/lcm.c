/* lcm.c - latent consistency models (arXiv 2310.04378): each call jumps to the clean sample, which is noised again to
 * the next timestep; the last call's result stays clean. */
#include "scheduler/sampler.h"

#include <math.h>

static bool needs_noise(const tt_scheduler *s, uint32_t index)
{
    return index + 1 < s->n_timesteps;
}

static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    const double sigma_data = 0.5;
    double t = s->timesteps[index], now = tt_alpha_cumprod(s, (int64_t)t);
    double scaled = t * s->config.timestep_scaling, power = scaled * scaled + sigma_data * sigma_data;
    double skip = sigma_data * sigma_data / power, out = scaled / sqrt(power);
    double next = needs_noise(s, index) ? tt_alpha_cumprod(s, (int64_t)s->timesteps[index + 1]) : 1.0;
    tt_update update = {.x0 = tt_predicted_data(s->config.prediction, sqrt(now), sqrt(1.0 - now)),
                        .data = sqrt(next) * out,
                        .sample = sqrt(next) * skip,
                        .noise = sqrt(1.0 - next)};
    tt_apply_update(s, &update, output, noise, x);
}

const tt_sampler_ops tt_lcm_ops = {
    .n_buffers = 1, .calls_per_step = 1, .prepare = tt_prepare_consistency, .needs_noise = needs_noise, .step = step};
