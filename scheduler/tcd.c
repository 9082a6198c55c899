/* tcd.c - trajectory consistency distillation (arXiv 2402.19159): strategic stochastic sampling with gamma = eta. Each
 * call goes to timestep s = (1 - gamma) * next and is noised from there to the next timestep. */
#include "scheduler/sampler.h"

#include <math.h>

static bool needs_noise(const tt_scheduler *s, uint32_t index)
{
    return s->eta > 0.0 && index + 1 < s->n_timesteps;
}

static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    double next_t = index + 1 < s->n_timesteps ? s->timesteps[index + 1] : 0.0;
    /* In float, as the reference: the product may round up to a whole number that double stays just below. */
    float middle_t = floorf((float)(1.0 - s->eta) * (float)next_t);
    double now = tt_alpha_cumprod(s, (int64_t)s->timesteps[index]);
    double middle = tt_alpha_cumprod(s, (int64_t)middle_t);
    double next = needs_noise(s, index) ? tt_alpha_cumprod(s, (int64_t)next_t) : middle;
    double kept = sqrt(next / middle), blend = sqrt(1.0 - middle);
    tt_linear x0 = tt_predicted_data(s->config.prediction, sqrt(now), sqrt(1.0 - now));
    tt_linear eps = tt_predicted_noise(s->config.prediction, sqrt(now), sqrt(1.0 - now));
    const tt_term terms[] = {{kept * (sqrt(middle) * x0.sample + blend * eps.sample), x},
                             {kept * (sqrt(middle) * x0.output + blend * eps.output), output},
                             {sqrt(1.0 - next / middle), noise}};
    tt_combine(x, s->n_sample, terms, 3);
}

const tt_sampler_ops tt_tcd_ops = {
    .n_buffers = 1, .calls_per_step = 1, .prepare = tt_prepare_consistency, .needs_noise = needs_noise, .step = step};
