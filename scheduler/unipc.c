/* unipc.c - the unified predictor-corrector (arXiv 2302.04867): each model output first corrects the sample it was
 * computed from, then predicts the next one. */
#include "base/solve.h"
#include "scheduler/sampler.h"

#include <math.h>
#include <string.h>

enum { MAX_ORDER = TT_MAX_SOLVER_ORDER };

static tt_status prepare(tt_scheduler *s, tt_error *err)
{
    tt_levels levels;
    tt_status status = tt_levels_solver(s, &levels, err);
    if (status != TT_OK)
        return status;
    double last = 0.0;
    if (s->config.final_sigma == TT_FINAL_SIGMA_MIN)
        last = s->config.sigma_schedule == TT_SIGMAS_DEFAULT ? (double)s->train_sigmas[0] : levels.sigmas[levels.n - 1];
    status = tt_store_levels(s, &levels, TT_LAYOUT_PLAIN, last, err);
    return status == TT_OK ? tt_check_levels_differ(s, err) : status;
}

/* A step from level `from` to `to` whose outputs were made at `from` and the levels before it. */
typedef struct span {
    double sample, scale; /* weight of the start; alpha or sigma of the target */
    double grown, b_h;    /* exp(hh) - 1; B(h) */
    double hh;
    double ratios[MAX_ORDER]; /* rk of the levels before `from` */
} span;

static span span_of(const tt_scheduler *s, uint32_t from_index, uint32_t order)
{
    tt_level to = tt_level_at(s, from_index + 1), from = tt_level_at(s, from_index);
    bool data = s->config.predict_x0;
    double h = to.lambda - from.lambda;
    span p = {.sample = data ? to.sigma / from.sigma : to.alpha / from.alpha,
              .scale = data ? to.alpha : to.sigma,
              .hh = data ? -h : h};
    p.grown = expm1(p.hh);
    p.b_h = s->config.solver == TT_SOLVER_BH1 ? p.hh : p.grown;
    for (uint32_t k = 1; k < order; k++)
        p.ratios[k - 1] = (tt_level_at(s, from_index - k).lambda - from.lambda) / h;
    return p;
}

/* Eq. 9 and 10 of the paper: n unknown weights from the n first conditions. points[k] are the rk, 1 for the target. */
static void solve_weights(const span *p, const double *points, uint32_t n, double *weights)
{
    double matrix[MAX_ORDER][MAX_ORDER];
    double phi = p->grown / p->hh - 1.0, factorial = 1.0;
    for (uint32_t row = 0; row < n; row++) {
        for (uint32_t k = 0; k < n; k++)
            matrix[row][k] = pow(points[k], (double)row);
        weights[row] = phi * factorial / p->b_h;
        factorial *= (double)(row + 2);
        phi = phi / p->hh - 1.0 / factorial;
    }
    tt_solve(&matrix[0][0], MAX_ORDER, weights, n);
}

/* x = sample * start - scale * (grown * m0 + b_h * (sum of rho_k (m_k - m0) / r_k + rho_new (m_new - m0))) */
static void combine_span(const tt_scheduler *s, const span *p, const double *rhos, uint32_t order, const float *start,
                         float *const *outputs, double rho_new, const float *newest, float *x)
{
    tt_term terms[MAX_ORDER + 2] = {{p->sample, start}};
    double own = -p->scale * p->grown;
    for (uint32_t k = 1; k < order; k++) {
        double weight = -p->scale * p->b_h * rhos[k - 1] / p->ratios[k - 1];
        terms[1 + k] = (tt_term){weight, outputs[k]};
        own -= weight;
    }
    double last = rho_new != 0.0 ? -p->scale * p->b_h * rho_new : 0.0;
    terms[1] = (tt_term){own - last, outputs[0]};
    terms[1 + order] = (tt_term){last, newest};
    tt_combine(x, s->n_sample, terms, order + 2);
}

/* UniC: history[0] is the output at x itself, the older ones made x from spare[0]. */
static void correct(tt_scheduler *s, uint32_t index, float *x)
{
    uint32_t order = s->last_order;
    span p = span_of(s, index - 1, order);
    double points[MAX_ORDER], rhos[MAX_ORDER] = {0.5};
    memcpy(points, p.ratios, sizeof(points));
    points[order - 1] = 1.0;
    if (order > 1)
        solve_weights(&p, points, order, rhos);
    combine_span(s, &p, rhos, order, s->spare[0], &s->history[1], rhos[order - 1], s->history[0], x);
}

/* UniP. Without earlier outputs B(h) has no part in it. The reference multiplies B(h) by 0 then, which for bh1 at a
 * final sigma of 0, where B(h) is infinite, makes NaN of the last step; the limit is the predicted clean sample. */
static void predict(tt_scheduler *s, uint32_t index, uint32_t order, float *x)
{
    span p = span_of(s, index, order);
    double rhos[MAX_ORDER] = {0.5};
    if (order > 2)
        solve_weights(&p, p.ratios, order - 1, rhos);
    combine_span(s, &p, rhos, order, x, s->history, 0.0, NULL, x);
}

static bool corrects_at(const tt_scheduler *s, uint32_t index)
{
    if (s->n_done == 0)
        return false;
    for (uint32_t i = 0; i < s->config.n_uncorrected; i++)
        if (s->config.uncorrected[i] + 1 == index)
            return false;
    return true;
}

/* The order grows with the outputs and falls at the end; a step of infinite or no length in lambda is of order 1. */
static uint32_t order_at(const tt_scheduler *s, uint32_t index)
{
    uint32_t order = s->config.solver_order < s->n_done + 1 ? s->config.solver_order : s->n_done + 1;
    uint32_t n_left = s->n_timesteps - index;
    if (s->config.lower_order_final && order > n_left)
        order = n_left;
    bool degenerate = !(s->sigmas[index + 1] > 0.0f) || !(s->sigmas[index + 1] < s->sigmas[index]);
    return degenerate ? 1 : order;
}

static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    (void)noise;
    tt_level level = tt_level_at(s, index);
    tt_linear value = s->config.predict_x0 ? tt_predicted_data(s->config.prediction, level.alpha, level.sigma)
                                           : tt_predicted_noise(s->config.prediction, level.alpha, level.sigma);
    const tt_term newest[] = {{value.sample, x}, {value.output, output}};
    tt_combine(tt_history_push(s), s->n_sample, newest, 2);
    if (corrects_at(s, index))
        correct(s, index, x);
    memcpy(s->spare[0], x, s->n_sample * sizeof(float));
    s->last_order = order_at(s, index);
    predict(s, index, s->last_order, x);
}

const tt_sampler_ops tt_unipc_ops = {.calls_per_step = 1, .prepare = prepare, .needs_noise = tt_never, .step = step};
