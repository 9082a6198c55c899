/* sigmas.c - noise levels of a run: at spaced timesteps, or by Karras', exponential, beta and Lu's rules. */
#include "scheduler/sampler.h"

#include <math.h>
#include <stdlib.h>

static tt_status levels_allocate(tt_levels *levels, uint32_t n, tt_error *err)
{
    levels->n = n;
    levels->timesteps = calloc(2 * (size_t)n, sizeof(double));
    levels->sigmas = levels->timesteps != NULL ? levels->timesteps + n : NULL;
    return levels->timesteps != NULL ? TT_OK : tt_fail_memory(err, "noise levels", 2 * n * sizeof(double));
}

void tt_levels_free(tt_levels *levels)
{
    free(levels->timesteps);
    levels->timesteps = NULL;
    levels->sigmas = NULL;
}

/* Training sigma at a fractional timestep, linear between neighbours, held at both ends. */
static double sigma_at(const tt_scheduler *s, double t)
{
    uint32_t last = s->config.n_train - 1;
    if (t <= 0.0)
        return (double)s->train_sigmas[0];
    if (t >= (double)last)
        return (double)s->train_sigmas[last];
    uint32_t low = (uint32_t)t;
    double from = (double)s->train_sigmas[low], to = (double)s->train_sigmas[low + 1];
    return from + (to - from) * (t - (double)low);
}

static double log_train_sigma(const tt_scheduler *s, uint32_t t)
{
    return (double)(float)log((double)s->train_sigmas[t]);
}

double tt_timestep_of_sigma(const tt_scheduler *s, double sigma)
{
    uint32_t n = s->config.n_train;
    if (n < 2)
        return 0.0;
    double wanted = log(fmax(sigma, 1e-10));
    uint32_t low = 0, end = n; /* the last entry that is not above `wanted` lies in low..end-1 */
    while (end - low > 1) {
        uint32_t middle = low + (end - low) / 2;
        if (log_train_sigma(s, middle) <= wanted)
            low = middle;
        else
            end = middle;
    }
    if (low > n - 2)
        low = n - 2;
    double below = log_train_sigma(s, low), above = log_train_sigma(s, low + 1);
    double part = (below - wanted) / (below - above);
    part = part < 0.0 ? 0.0 : part > 1.0 ? 1.0 : part;
    return (1.0 - part) * (double)low + part * (double)(low + 1);
}

/* Regularised incomplete beta function I_x(0.6, 0.6) for x <= 0.5, by its power series. */
static double incomplete_beta(double x)
{
    const double a = 0.6, b = 0.6;
    double term = 1.0, sum = 1.0 / a;
    for (int k = 1; k < 200; k++) {
        term *= ((double)k - b) / (double)k * x;
        double add = term / (a + (double)k);
        sum += add;
        if (add < 1e-17 * sum)
            break;
    }
    double complete = tgamma(a) * tgamma(b) / tgamma(a + b);
    return pow(x, a) * sum / complete;
}

/* Quantile of the Beta(0.6, 0.6) distribution; it is symmetric, so only the lower half is searched, by bisection. */
static double beta_quantile(double p)
{
    if (p > 0.5)
        return 1.0 - beta_quantile(1.0 - p);
    double low = 0.0, high = 0.5;
    for (int i = 0; i < 200 && p > 0.0; i++) {
        double middle = 0.5 * (low + high);
        if (middle <= low || middle >= high)
            break;
        if (incomplete_beta(middle) < p)
            low = middle;
        else
            high = middle;
    }
    return p > 0.0 ? 0.5 * (low + high) : 0.0;
}

/* Level at `ramp` of the way (0 to 1) from sigma_max down to sigma_min. */
static double scheduled_sigma(tt_sigma_schedule schedule, double sigma_max, double sigma_min, double ramp)
{
    const double rho = 7.0; /* Karras et al., arXiv 2206.00364, eq. 5 */
    double top, bottom;
    switch (schedule) {
    case TT_SIGMAS_KARRAS:
        top = pow(sigma_max, 1.0 / rho);
        bottom = pow(sigma_min, 1.0 / rho);
        return pow(top + ramp * (bottom - top), rho);
    case TT_SIGMAS_BETA:
        return sigma_min + beta_quantile(1.0 - ramp) * (sigma_max - sigma_min);
    case TT_SIGMAS_EXPONENTIAL:
    case TT_SIGMAS_LU: /* equal steps of lambda */
    case TT_SIGMAS_DEFAULT:
        break;
    }
    top = log(sigma_max);
    bottom = log(sigma_min);
    return exp(top + ramp * (bottom - top));
}

/* Where the class lets the config bound the schedule. LMS and DPM++ SDE take their Karras ends from the table. */
static void apply_sigma_bounds(const tt_scheduler_config *config, double *sigma_max, double *sigma_min)
{
    bool fixed = config->sampler == TT_SAMPLER_LMS || config->sampler == TT_SAMPLER_DPMPP_SDE;
    if (config->sigma_schedule == TT_SIGMAS_LU || (fixed && config->sigma_schedule == TT_SIGMAS_KARRAS))
        return;
    if (config->sigma_max > 0.0)
        *sigma_max = config->sigma_max;
    if (config->sigma_min > 0.0)
        *sigma_min = config->sigma_min;
}

static tt_status fill_scheduled(const tt_scheduler *s, tt_levels *levels, double sigma_max, double sigma_min,
                                tt_error *err)
{
    apply_sigma_bounds(&s->config, &sigma_max, &sigma_min);
    if (levels->n > 1 && !(sigma_max > sigma_min))
        return tt_fail(err, TT_ERROR_FORMAT, "scheduler config: sigma_max %g is expected to be above sigma_min %g",
                       sigma_max, sigma_min);
    for (uint32_t i = 0; i < levels->n; i++) {
        double ramp = levels->n > 1 ? (double)i / (double)(levels->n - 1) : 0.0;
        levels->sigmas[i] = scheduled_sigma(s->config.sigma_schedule, sigma_max, sigma_min, ramp);
        levels->timesteps[i] = tt_timestep_of_sigma(s, levels->sigmas[i]);
    }
    return TT_OK;
}

/* A single step with linspace spacing is at timestep 0 and sigma_min, as in the reference: a run of no use to anyone,
 * kept because agreement is the contract here. Trailing spacing is what a user of one step wants. */
tt_status tt_levels_karras_family(const tt_scheduler *s, tt_levels *levels, tt_error *err)
{
    tt_status status = levels_allocate(levels, s->n_steps, err);
    if (status != TT_OK)
        return status;
    tt_sampler sampler = s->config.sampler;
    levels->n = tt_space_timesteps(s, TT_SPACE_FRACTIONAL, s->config.n_train, levels->timesteps);
    for (uint32_t i = 0; i < levels->n; i++) {
        if (sampler != TT_SAMPLER_DPMPP_SDE) /* the one class that keeps timesteps in double */
            levels->timesteps[i] = (double)(float)levels->timesteps[i];
        levels->sigmas[i] = sigma_at(s, levels->timesteps[i]);
    }
    if (s->config.sigma_schedule == TT_SIGMAS_DEFAULT)
        return TT_OK;
    status = fill_scheduled(s, levels, levels->sigmas[0], levels->sigmas[levels->n - 1], err);
    bool rounds =
        s->config.sigma_schedule == TT_SIGMAS_KARRAS && (sampler == TT_SAMPLER_KDPM2 || sampler == TT_SAMPLER_KDPM2_A);
    for (uint32_t i = 0; i < levels->n && rounds; i++)
        levels->timesteps[i] = rint(levels->timesteps[i]);
    if (status != TT_OK)
        tt_levels_free(levels);
    return status;
}

/* Number of training timesteps whose log signal-to-noise ratio lambda is not below lambda_min_clipped. */
static uint32_t count_unclipped(const tt_scheduler *s)
{
    uint32_t n = s->config.n_train;
    while (n > 0 && -log((double)s->train_sigmas[n - 1]) < s->config.lambda_min_clipped)
        n--;
    return n;
}

static bool rounds_to_nearest(const tt_scheduler_config *config)
{
    if (config->sigma_schedule == TT_SIGMAS_KARRAS)
        return config->sampler != TT_SAMPLER_DPMPP_MULTISTEP || config->beta_schedule != TT_BETAS_COSINE;
    return config->sigma_schedule == TT_SIGMAS_LU && config->beta_schedule != TT_BETAS_COSINE;
}

static tt_status fill_solver_levels(const tt_scheduler *s, tt_levels *levels, uint32_t last, tt_error *err)
{
    if (s->config.sigma_schedule == TT_SIGMAS_DEFAULT) {
        levels->n = tt_space_timesteps(s, TT_SPACE_SOLVER, last, levels->timesteps);
        for (uint32_t i = 0; i < levels->n; i++)
            levels->sigmas[i] = sigma_at(s, levels->timesteps[i]);
        return TT_OK;
    }
    double sigma_max = (double)s->train_sigmas[s->config.n_train - 1], sigma_min = (double)s->train_sigmas[0];
    tt_status status = fill_scheduled(s, levels, sigma_max, sigma_min, err);
    /* Timesteps of these classes are whole numbers; those that are not rounded are cut off. */
    for (uint32_t i = 0; i < levels->n && status == TT_OK; i++) {
        double t = levels->timesteps[i];
        levels->timesteps[i] = rounds_to_nearest(&s->config) ? rint(t) : trunc(t);
    }
    return status;
}

tt_status tt_levels_solver(const tt_scheduler *s, tt_levels *levels, tt_error *err)
{
    uint32_t last = count_unclipped(s);
    if (last == 0)
        return tt_fail(err, TT_ERROR_FORMAT, "scheduler config: lambda_min_clipped %g leaves no timestep",
                       s->config.lambda_min_clipped);
    tt_status status = levels_allocate(levels, s->n_steps, err);
    if (status != TT_OK)
        return status;
    status = fill_solver_levels(s, levels, last, err);
    if (status != TT_OK)
        tt_levels_free(levels);
    return status;
}

static void write_plain(tt_scheduler *s, const tt_levels *levels)
{
    for (uint32_t i = 0; i < levels->n; i++) {
        s->timesteps[i] = levels->timesteps[i];
        s->sigmas[i] = (float)levels->sigmas[i];
    }
}

static void write_paired(tt_scheduler *s, const tt_levels *levels)
{
    for (uint32_t i = 0; i < s->n_timesteps; i++) {
        uint32_t level = (i + 1) / 2;
        s->timesteps[i] = levels->timesteps[level];
        s->sigmas[i] = (float)levels->sigmas[level];
    }
}

/* Pipelines multiply unit noise by the highest level; with leading spacing the variance of the data counts too. */
static double initial_sigma(const tt_scheduler *s)
{
    if (!s->ops->scales_input)
        return 1.0;
    double highest = 0.0;
    for (uint32_t i = 0; i < s->n_sigmas; i++)
        highest = fmax(highest, (double)s->sigmas[i]);
    return s->config.spacing == TT_SPACING_LEADING ? sqrt(highest * highest + 1.0) : highest;
}

tt_status tt_store_levels(tt_scheduler *s, tt_levels *levels, tt_layout layout, double last, tt_error *err)
{
    bool paired = layout != TT_LAYOUT_PLAIN;
    s->n_timesteps = paired ? 2 * levels->n - 1 : levels->n;
    s->n_sigmas = s->n_timesteps + (layout == TT_LAYOUT_PAIRED_END ? 3 : 1);
    s->timesteps = calloc(s->n_timesteps, sizeof(*s->timesteps));
    s->sigmas = calloc(s->n_sigmas, sizeof(*s->sigmas));
    if (s->timesteps == NULL || s->sigmas == NULL) {
        tt_levels_free(levels);
        return tt_fail_memory(err, "noise levels", s->n_sigmas * sizeof(*s->sigmas));
    }
    if (paired)
        write_paired(s, levels);
    else
        write_plain(s, levels);
    for (uint32_t i = s->n_timesteps; i < s->n_sigmas; i++)
        s->sigmas[i] = (float)last;
    tt_levels_free(levels);
    s->init_noise_sigma = initial_sigma(s);
    return TT_OK;
}

tt_status tt_check_levels_differ(const tt_scheduler *s, tt_error *err)
{
    for (uint32_t i = 0; i + 1 < s->n_timesteps; i++)
        if (!(s->sigmas[i] > s->sigmas[i + 1]))
            return tt_fail(
                err, TT_ERROR_ARGUMENT,
                "%u steps put steps %u and %u on the same noise level %g, which this sampler cannot use; use "
                "fewer steps or another schedule",
                (unsigned)s->n_steps, (unsigned)i, (unsigned)(i + 1), (double)s->sigmas[i]);
    return TT_OK;
}

bool tt_is_first_half(uint32_t index)
{
    return index % 2 == 0;
}

/* Sets the odd timesteps of a paired run to those of the level between step k and k + 1. */
static void set_middle_timesteps(tt_scheduler *s, double (*middle)(const tt_scheduler *s, uint32_t index))
{
    for (uint32_t i = 1; i < s->n_timesteps; i += 2)
        s->timesteps[i] = tt_timestep_of_sigma(s, middle(s, i));
}

tt_status tt_prepare_pairs(tt_scheduler *s, tt_layout layout, double (*middle)(const tt_scheduler *s, uint32_t index),
                           tt_error *err)
{
    tt_levels levels;
    tt_status status = tt_levels_karras_family(s, &levels, err);
    if (status == TT_OK)
        status = tt_store_levels(s, &levels, layout, 0.0, err);
    if (status == TT_OK && middle)
        set_middle_timesteps(s, middle);
    return status;
}
