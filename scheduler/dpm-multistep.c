/* dpm-multistep.c - DPM-Solver and DPM-Solver++ of order 1 to 3 from the outputs of earlier steps (arXiv 2211.01095,
 * algorithm 2), deterministic and stochastic. */
#include "scheduler/sampler.h"

static tt_status prepare(tt_scheduler *s, tt_error *err)
{
    tt_levels levels;
    tt_status status = tt_levels_solver(s, &levels, err);
    if (status != TT_OK)
        return status;
    double last = s->config.final_sigma == TT_FINAL_SIGMA_MIN ? (double)s->train_sigmas[0] : 0.0;
    status = tt_store_levels(s, &levels, TT_LAYOUT_PLAIN, last, err);
    return status == TT_OK ? tt_check_levels_differ(s, err) : status;
}

/* Differences reach back over the known outputs; the last steps of short runs go down in order, and a step to level 0
 * has no finite length in lambda, so that it can only be of order 1. */
static uint32_t order_at(const tt_scheduler *s, uint32_t index)
{
    uint32_t order = s->config.solver_order < s->n_known ? s->config.solver_order : s->n_known;
    bool lowers = s->config.lower_order_final && s->n_timesteps < 15;
    if (index + 1 == s->n_timesteps &&
        (lowers || s->config.euler_at_final || s->config.final_sigma == TT_FINAL_SIGMA_ZERO))
        return 1;
    if (index + 2 == s->n_timesteps && lowers && order > 2)
        return 2;
    return order;
}

/* Weights of the outputs m0 (newest), m1, m2 in D1 and D2. */
typedef struct differences {
    double d1[3], d2[3];
} differences;

static differences backward_differences(const tt_scheduler *s, uint32_t index, uint32_t order)
{
    differences d = {{0}, {0}};
    double lambda = tt_level_at(s, index).lambda, h = tt_level_at(s, index + 1).lambda - lambda;
    if (order < 2 || h == 0.0)
        return d;
    double before = tt_level_at(s, index - 1).lambda, r0 = (lambda - before) / h;
    d.d1[0] = 1.0 / r0;
    d.d1[1] = -1.0 / r0;
    if (order < 3)
        return d;
    double r1 = (before - tt_level_at(s, index - 2).lambda) / h;
    const double second[3] = {1.0 / r0, -1.0 / r0 - 1.0 / r1, 1.0 / r1};
    for (uint32_t k = 0; k < 3; k++) {
        d.d1[k] += r0 / (r0 + r1) * second[k];
        d.d2[k] = second[k] / (r0 + r1);
    }
    return d;
}

static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    tt_dpm_push_prediction(s, index, output, x);
    uint32_t order = order_at(s, index);
    tt_dpm_weights w = tt_dpm_solver_weights(s->config.algorithm, s->config.solver, order, tt_level_at(s, index + 1),
                                             tt_level_at(s, index));
    differences d = backward_differences(s, index, order);
    tt_term terms[5] = {{w.sample, x}, {w.noise, noise}};
    for (uint32_t k = 0; k < order; k++)
        terms[2 + k] = (tt_term){(k == 0 ? w.d0 : 0.0) + w.d1 * d.d1[k] + w.d2 * d.d2[k], s->history[k]};
    tt_combine(x, s->n_sample, terms, 2 + order);
}

const tt_sampler_ops tt_dpm_multistep_ops = {
    .calls_per_step = 1, .prepare = prepare, .needs_noise = tt_dpm_needs_noise, .step = step};
