/* heun.c - Heun's second-order steps in sigma (arXiv 2206.00364, algorithm 1): an Euler step, then the same step again
 * with the mean of the slopes at both ends. */
#include "scheduler/sampler.h"

static tt_status prepare(tt_scheduler *s, tt_error *err)
{
    return tt_prepare_pairs(s, TT_LAYOUT_PAIRED, NULL, err);
}

/* history[0] keeps the first slope, history[1] the sample that the step started from. The slope is not linear in x
 * when clip_sample is on. */
static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    (void)noise;
    bool first = tt_is_first_half(index);
    double from = (double)s->sigmas[first ? index : index - 1], to = (double)s->sigmas[first ? index + 1 : index];
    double sigma = first ? from : to;
    tt_linear denoised = tt_denoised(s->config.prediction, sigma);
    float *slopes = s->history[0], *start = s->history[1];
    for (size_t i = 0; i < s->n_sample; i++) {
        double value = (double)x[i];
        double x0 = tt_clip(s, denoised.sample * value + denoised.output * (double)output[i]);
        double slope = (value - x0) / sigma;
        if (first) {
            start[i] = x[i];
            slopes[i] = (float)slope;
            x[i] = (float)(value + slope * (to - from));
        } else {
            x[i] = (float)((double)start[i] + 0.5 * (slope + (double)slopes[i]) * (to - from));
        }
    }
}

const tt_sampler_ops tt_heun_ops = {.n_buffers = 2,
                                    .calls_per_step = 2,
                                    .scales_input = true,
                                    .prepare = prepare,
                                    .needs_noise = tt_never,
                                    .step = step};
