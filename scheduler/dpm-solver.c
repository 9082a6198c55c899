/* dpm-solver.c - exponential integrators of DPM-Solver (arXiv 2206.00927) and DPM-Solver++ (2211.01095), and their
 * stochastic forms. The first integrate the predicted noise, the ++ forms the predicted clean sample. */
#include "scheduler/sampler.h"

#include <math.h>

/* All four forms are one: `scale` is alpha of the target for ++ and sigma for the others, `rate` the exponent by which
 * the integrated weight grows over the step, twice as large where ++ adds noise. With u(rate) = exp(rate) the integrals
 * of a constant, a linear and a quadratic model are -scale * (u - 1), -scale * ((u - 1) / rate - 1) and
 * -scale * ((u - 1 - rate) / rate^2 - 1/2); the reference has + 1/2 in the last for sde-dpmsolver++, and so has this.
 */
tt_dpm_weights tt_dpm_solver_weights(tt_algorithm algorithm, tt_solver solver, uint32_t order, tt_level to,
                                     tt_level from)
{
    double h = to.lambda - from.lambda;
    bool data = algorithm == TT_DPM_SOLVER_PP || algorithm == TT_DPM_SOLVER_PP_SDE;
    bool stochastic = algorithm == TT_DPM_SOLVER_PP_SDE || algorithm == TT_DPM_SOLVER_SDE;
    double rate = data ? (stochastic ? -2.0 * h : -h) : h;
    double grown = expm1(rate), scale = data ? to.alpha : to.sigma;
    tt_dpm_weights w = {.sample = data ? to.sigma / from.sigma : to.alpha / from.alpha};
    if (data && stochastic) {
        w.sample *= exp(-h);
        w.noise = to.sigma * sqrt(-expm1(-2.0 * h));
    } else if (stochastic) {
        scale *= 2.0;
        w.noise = to.sigma * sqrt(expm1(2.0 * h));
    }
    w.d0 = -scale * grown;
    if (order == 1 || h == 0.0)
        return w;
    w.d1 = order == 2 && solver == TT_SOLVER_MIDPOINT ? 0.5 * w.d0 : -scale * (grown / rate - 1.0);
    double half = data && stochastic ? -0.5 : 0.5;
    w.d2 = -scale * ((grown - rate) / (rate * rate) - half);
    return w;
}

void tt_dpm_push_prediction(tt_scheduler *s, uint32_t index, const float *output, const float *x)
{
    tt_level level = tt_level_at(s, index);
    bool data = s->config.algorithm == TT_DPM_SOLVER_PP || s->config.algorithm == TT_DPM_SOLVER_PP_SDE;
    tt_linear value = data ? tt_predicted_data(s->config.prediction, level.alpha, level.sigma)
                           : tt_predicted_noise(s->config.prediction, level.alpha, level.sigma);
    const tt_term terms[] = {{value.sample, x}, {value.output, output}};
    tt_combine(tt_history_push(s), s->n_sample, terms, 2);
}

bool tt_dpm_needs_noise(const tt_scheduler *s, uint32_t index)
{
    (void)index;
    return s->config.algorithm == TT_DPM_SOLVER_PP_SDE || s->config.algorithm == TT_DPM_SOLVER_SDE;
}
