/* ddpm.c - ancestral sampling of denoising diffusion probabilistic models (arXiv 2006.11239), eq. 7, over any
 * descending list of timesteps. */
#include "scheduler/sampler.h"

#include <math.h>

static bool needs_noise(const tt_scheduler *s, uint32_t index)
{
    return s->timesteps[index] > 0.0;
}

static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    double now = tt_alpha_cumprod(s, (int64_t)s->timesteps[index]);
    /* The step after the last leads to the clean sample. */
    double next = index + 1 < s->n_timesteps ? tt_alpha_cumprod(s, (int64_t)s->timesteps[index + 1]) : 1.0;
    double alpha = now / next, beta = 1.0 - alpha;
    double variance = beta;
    if (s->config.variance == TT_VARIANCE_FIXED_SMALL)
        variance = fmax((1.0 - next) / (1.0 - now) * beta, 1e-20);
    tt_update update = {.x0 = tt_predicted_data(s->config.prediction, sqrt(now), sqrt(1.0 - now)),
                        .data = sqrt(next) * beta / (1.0 - now),
                        .sample = sqrt(alpha) * (1.0 - next) / (1.0 - now),
                        .noise = needs_noise(s, index) ? sqrt(variance) : 0.0};
    tt_apply_update(s, &update, output, noise, x);
}

const tt_sampler_ops tt_ddpm_ops = {
    .n_buffers = 1, .calls_per_step = 1, .prepare = tt_prepare_rounded, .needs_noise = needs_noise, .step = step};
