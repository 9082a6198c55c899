/* lms.c - linear multistep of order 4 in sigma (crowsonkb's k-diffusion): Adams-Bashforth for unequal steps. */
#include "scheduler/sampler.h"

#include <math.h>

enum { LMS_ORDER = 4 };

static tt_status prepare(tt_scheduler *s, tt_error *err)
{
    tt_levels levels;
    tt_status status = tt_levels_karras_family(s, &levels, err);
    if (status == TT_OK)
        status = tt_store_levels(s, &levels, TT_LAYOUT_PLAIN, 0.0, err);
    return status == TT_OK ? tt_check_levels_differ(s, err) : status;
}

/* The polynomial that is 1 at the level of slope `which` and 0 at the others, newest first. */
static double lagrange(const float *newest, uint32_t order, uint32_t which, double tau)
{
    double product = 1.0, own = (double)*(newest - which);
    for (uint32_t k = 0; k < order; k++) {
        double level = (double)*(newest - k);
        if (k != which)
            product *= (tau - level) / (own - level);
    }
    return product;
}

/* Its integral over the step, by Gauss-Legendre with two points: exact up to degree 3. */
static double slope_weight(const float *newest, uint32_t order, uint32_t which)
{
    double from = (double)newest[0], to = (double)newest[1];
    double half = 0.5 * (to - from), middle = 0.5 * (to + from), offset = half / sqrt(3.0);
    return half * (lagrange(newest, order, which, middle - offset) + lagrange(newest, order, which, middle + offset));
}

/* With img2img strength the order follows the index, not the number of slopes seen, as in the reference: the weights
 * of slopes that never were are left out. */
static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    (void)noise;
    uint32_t order = index + 1 < LMS_ORDER ? index + 1 : LMS_ORDER;
    tt_linear slope = tt_derivative(s->config.prediction, (double)s->sigmas[index]);
    const tt_term newest[] = {{slope.sample, x}, {slope.output, output}};
    tt_combine(tt_history_push(s), s->n_sample, newest, 2);
    tt_term terms[LMS_ORDER + 1] = {{1.0, x}};
    uint32_t n = s->n_known < order ? s->n_known : order;
    for (uint32_t k = 0; k < n; k++)
        terms[k + 1] = (tt_term){slope_weight(&s->sigmas[index], order, k), s->history[k]};
    tt_combine(x, s->n_sample, terms, n + 1);
}

const tt_sampler_ops tt_lms_ops = {.n_buffers = LMS_ORDER,
                                   .calls_per_step = 1,
                                   .scales_input = true,
                                   .prepare = prepare,
                                   .needs_noise = tt_never,
                                   .step = step};
