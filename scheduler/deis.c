/* deis.c - diffusion exponential integrator sampler (arXiv 2204.13902), the log-rho multistep form of order 1 to 3: the
 * noise is a polynomial in log(sigma) through the last outputs, integrated over sigma. */
#include "scheduler/sampler.h"

#include <math.h>

/* Karras, exponential and beta schedules end where they stand: the last step repeats their lowest level. */
static tt_status prepare(tt_scheduler *s, tt_error *err)
{
    tt_levels levels;
    tt_status status = tt_levels_solver(s, &levels, err);
    if (status != TT_OK)
        return status;
    bool spaced = s->config.sigma_schedule == TT_SIGMAS_DEFAULT;
    double last = spaced ? (double)s->train_sigmas[0] : levels.sigmas[levels.n - 1];
    status = tt_store_levels(s, &levels, TT_LAYOUT_PLAIN, last, err);
    return status == TT_OK ? tt_check_levels_differ(s, err) : status;
}

static uint32_t order_at(const tt_scheduler *s, uint32_t index)
{
    uint32_t order = s->config.solver_order < s->n_known ? s->config.solver_order : s->n_known;
    uint32_t n_left = s->n_timesteps - index;
    bool lowers = s->config.lower_order_final && s->n_timesteps < 15;
    return lowers && order > n_left ? n_left : order;
}

/* Antiderivative over sigma of log(sigma) - log(c). */
static double linear_part(double sigma, double log_c)
{
    return sigma * (log(sigma) - 1.0 - log_c);
}

/* Antiderivative over sigma of (log(sigma) - log(c)) * (log(sigma) - log(d)). */
static double quadratic_part(double sigma, double log_c, double log_d)
{
    double l = log(sigma);
    return sigma * (l * l - 2.0 * l + 2.0 - (log_c + log_d) * (l - 1.0) + log_c * log_d);
}

/* Integral over the step of the Lagrange polynomial that is 1 at logs[which] and 0 at the other outputs' levels. */
static double output_weight(double from, double to, const double *logs, uint32_t order, uint32_t which)
{
    if (order == 1)
        return to - from;
    double c = logs[(which + 1) % order];
    if (order == 2)
        return (linear_part(to, c) - linear_part(from, c)) / (logs[which] - c);
    double d = logs[(which + 2) % order];
    return (quadratic_part(to, c, d) - quadratic_part(from, c, d)) / ((logs[which] - c) * (logs[which] - d));
}

static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    (void)noise;
    tt_level now = tt_level_at(s, index), next = tt_level_at(s, index + 1);
    tt_linear eps = tt_predicted_noise(s->config.prediction, now.alpha, now.sigma);
    const tt_term newest[] = {{eps.sample, x}, {eps.output, output}};
    tt_combine(tt_history_push(s), s->n_sample, newest, 2);
    uint32_t order = order_at(s, index);
    double from = (double)s->sigmas[index], to = (double)s->sigmas[index + 1], logs[3] = {0};
    for (uint32_t k = 0; k < order; k++)
        logs[k] = log((double)s->sigmas[index - k]);
    tt_term terms[4] = {{next.alpha / now.alpha, x}};
    for (uint32_t k = 0; k < order; k++)
        terms[1 + k] = (tt_term){next.alpha * output_weight(from, to, logs, order, k), s->history[k]};
    tt_combine(x, s->n_sample, terms, 1 + order);
}

const tt_sampler_ops tt_deis_ops = {.calls_per_step = 1, .prepare = prepare, .needs_noise = tt_never, .step = step};
