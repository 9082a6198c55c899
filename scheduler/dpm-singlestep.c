/* dpm-singlestep.c - DPM-Solver and DPM-Solver++ in groups of up to three calls (arXiv 2211.01095, algorithm 1; third
 * order from 2206.00927): each call of a group redoes the step from the group's start with one more output. */
#include "scheduler/sampler.h"

#include <string.h>

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

/* Orders go 1, 2, 3, 1, 2, 3, ... A run that does not end with a group ends with a shorter one. lower_order_final, and
 * always a last step to level 0, makes the last call of order 1; the reference switches it on where the steps are no
 * multiple of the order, which changes nothing then. */
static uint32_t order_at(const tt_scheduler *s, uint32_t index)
{
    uint32_t order = index % s->config.solver_order + 1;
    bool lowers = s->config.lower_order_final && s->n_steps % s->config.solver_order == 0;
    if (index + 1 == s->n_timesteps && (lowers || s->config.final_sigma == TT_FINAL_SIGMA_ZERO))
        order = 1;
    /* img2img may start inside a group. */
    return order < s->n_known ? order : s->n_known;
}

/* Weights of the group's outputs, newest first, in the differences D1 and D2 from the group's first output. */
typedef struct differences {
    double d1[3], d2[3];
} differences;

static differences group_differences(const tt_scheduler *s, uint32_t index, uint32_t order)
{
    differences d = {{0}, {0}};
    if (order < 2)
        return d;
    double start = tt_level_at(s, index + 1 - order).lambda, h = tt_level_at(s, index + 1).lambda - start;
    double r0 = (tt_level_at(s, index).lambda - start) / h;
    double newest[3] = {1.0 / r0, 0.0, 0.0};
    newest[order - 1] = -1.0 / r0;
    memcpy(d.d1, newest, sizeof(newest));
    if (order < 3 || s->config.solver == TT_SOLVER_MIDPOINT)
        return d;
    double r1 = (tt_level_at(s, index - 1).lambda - start) / h;
    const double older[3] = {0.0, 1.0 / r1, -1.0 / r1};
    for (uint32_t k = 0; k < 3; k++) {
        d.d1[k] = (r0 * older[k] - r1 * newest[k]) / (r0 - r1);
        d.d2[k] = 2.0 * (newest[k] - older[k]) / (r0 - r1);
    }
    return d;
}

static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    tt_dpm_push_prediction(s, index, output, x);
    uint32_t order = order_at(s, index);
    if (order == 1)
        memcpy(s->spare[0], x, s->n_sample * sizeof(float));
    tt_dpm_weights w = tt_dpm_solver_weights(s->config.algorithm, s->config.solver, order, tt_level_at(s, index + 1),
                                             tt_level_at(s, index + 1 - order));
    differences d = group_differences(s, index, order);
    tt_term terms[5] = {{w.sample, s->spare[0]}, {w.noise, noise}};
    for (uint32_t k = 0; k < order; k++)
        terms[2 + k] = (tt_term){(k + 1 == order ? w.d0 : 0.0) + w.d1 * d.d1[k] + w.d2 * d.d2[k], s->history[k]};
    tt_combine(x, s->n_sample, terms, 2 + order);
}

const tt_sampler_ops tt_dpm_singlestep_ops = {
    .calls_per_step = 1, .prepare = prepare, .needs_noise = tt_dpm_needs_noise, .step = step};
