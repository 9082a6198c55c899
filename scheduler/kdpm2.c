/* kdpm2.c - DPM-Solver-2 in the form of Karras et al. (arXiv 2206.00364, after 2206.00927): an Euler step to a level
 * between, and the whole step with the slope found there. The ancestral form adds fresh noise. */
#include "scheduler/sampler.h"

#include <math.h>
#include <string.h>

typedef struct span {
    double from, to, down, up;
    double middle; /* geometric mean of `from` and `down` */
} span;

static span span_of(const tt_scheduler *s, uint32_t index)
{
    uint32_t start = index & ~1u;
    span range = {.from = (double)s->sigmas[start], .to = (double)s->sigmas[start + 1]};
    range.down = range.to;
    if (s->config.sampler == TT_SAMPLER_KDPM2_A) {
        double from2 = range.from * range.from, to2 = range.to * range.to;
        range.up = sqrt(to2 * (from2 - to2) / from2);
        range.down = sqrt(to2 - range.up * range.up);
    }
    range.middle = sqrt(range.from * range.down);
    return range;
}

static double middle_sigma(const tt_scheduler *s, uint32_t index)
{
    return span_of(s, index).middle;
}

static tt_status prepare(tt_scheduler *s, tt_error *err)
{
    return tt_prepare_pairs(s, TT_LAYOUT_PAIRED_END, middle_sigma, err);
}

static bool needs_noise(const tt_scheduler *s, uint32_t index)
{
    return s->config.sampler == TT_SAMPLER_KDPM2_A && !tt_is_first_half(index);
}

/* The last step has one call only: its middle is 0, so that its first half goes all the way. */
static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    span range = span_of(s, index);
    float *start = s->history[0];
    if (tt_is_first_half(index)) {
        memcpy(start, x, s->n_sample * sizeof(float));
        tt_linear slope = tt_derivative(s->config.prediction, range.from);
        double dt = range.middle - range.from;
        const tt_term terms[] = {{1.0 + slope.sample * dt, x}, {slope.output * dt, output}};
        tt_combine(x, s->n_sample, terms, 2);
        return;
    }
    tt_linear slope = tt_derivative(s->config.prediction, range.middle);
    double dt = range.down - range.from;
    const tt_term terms[] = {{1.0, start}, {slope.sample * dt, x}, {slope.output * dt, output}, {range.up, noise}};
    tt_combine(x, s->n_sample, terms, 4);
}

const tt_sampler_ops tt_kdpm2_ops = {.n_buffers = 1,
                                     .calls_per_step = 2,
                                     .scales_input = true,
                                     .middle_sigma = middle_sigma,
                                     .prepare = prepare,
                                     .needs_noise = needs_noise,
                                     .step = step};

const tt_sampler_ops tt_kdpm2_a_ops = {.n_buffers = 1,
                                       .calls_per_step = 2,
                                       .scales_input = true,
                                       .middle_sigma = middle_sigma,
                                       .prepare = prepare,
                                       .needs_noise = needs_noise,
                                       .step = step};
