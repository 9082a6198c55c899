/* ddim.c - denoising diffusion implicit models (arXiv 2010.02502), eq. 12 and 16. */
#include "scheduler/sampler.h"

#include <math.h>

static bool needs_noise(const tt_scheduler *s, uint32_t index)
{
    (void)index;
    return s->eta > 0.0;
}

static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    int64_t t = (int64_t)s->timesteps[index];
    double now = tt_alpha_cumprod(s, t), next = tt_alpha_cumprod(s, t - s->config.n_train / s->n_steps);
    double variance = (1.0 - next) / (1.0 - now) * (1.0 - now / next);
    double deviation = s->eta * sqrt(variance);
    /* Rounding can take the rest below zero where all the noise is fresh. */
    double direction = sqrt(fmax(1.0 - next - deviation * deviation, 0.0));
    tt_linear eps = tt_predicted_noise(s->config.prediction, sqrt(now), sqrt(1.0 - now));
    tt_update update = {.x0 = tt_predicted_data(s->config.prediction, sqrt(now), sqrt(1.0 - now)),
                        .data = sqrt(next),
                        .sample = direction * eps.sample,
                        .output = direction * eps.output,
                        .noise = deviation};
    tt_apply_update(s, &update, output, noise, x);
}

const tt_sampler_ops tt_ddim_ops = {
    .n_buffers = 1, .calls_per_step = 1, .prepare = tt_prepare_rounded, .needs_noise = needs_noise, .step = step};
