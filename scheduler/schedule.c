/* schedule.c - betas, alphas_cumprod and the spacing of timesteps.
 *
 * The reference keeps these tables in float32. They are rounded to float at the same places here: 1 - beta loses up to
 * 3e-8, and over the product of 1000 of them that shows in the sixth digit of a sample. */
#include "scheduler/sampler.h"

#include <math.h>
#include <stdlib.h>

/* The two-ended linspace of the reference: each half counts from its own end, in float steps, with one rounding. */
static void fill_linspace(float *out, uint32_t n, float start, float end)
{
    double step = n > 1 ? (double)((end - start) / (float)(n - 1)) : 0.0;
    for (uint32_t i = 0; i < n; i++) {
        bool first_half = i < n / 2 || n == 1;
        out[i] = (float)(first_half ? (double)start + step * i : (double)end - step * (n - 1 - i));
    }
}

static void fill_scaled_linear(float *out, uint32_t n, double beta_start, double beta_end)
{
    fill_linspace(out, n, (float)sqrt(beta_start), (float)sqrt(beta_end));
    for (uint32_t i = 0; i < n; i++)
        out[i] *= out[i];
}

/* Nichol and Dhariwal's cosine schedule (arXiv 2102.09672), betas capped at 0.999. */
static double cosine_alpha_bar(double t)
{
    const double half_pi = 1.57079632679489661923;
    double root = cos((t + 0.008) / 1.008 * half_pi);
    return root * root;
}

static void fill_cosine(float *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        double now = cosine_alpha_bar((double)i / n), next = cosine_alpha_bar((double)(i + 1) / n);
        out[i] = (float)fmin(1.0 - next / now, 0.999);
    }
}

static void fill_betas(float *betas, const tt_scheduler_config *config)
{
    uint32_t n = config->n_train;
    if (config->trained_betas != NULL) {
        for (uint32_t i = 0; i < n; i++)
            betas[i] = (float)config->trained_betas[i];
        return;
    }
    switch (config->beta_schedule) {
    case TT_BETAS_LINEAR:
        fill_linspace(betas, n, (float)config->beta_start, (float)config->beta_end);
        break;
    case TT_BETAS_SCALED_LINEAR:
        fill_scaled_linear(betas, n, config->beta_start, config->beta_end);
        break;
    case TT_BETAS_COSINE:
        fill_cosine(betas, n);
        break;
    }
}

/* Running product in double, each entry rounded to float. */
static void fill_alphas_cumprod(double *alphas_cumprod, const float *betas, uint32_t n)
{
    double product = 1.0;
    for (uint32_t i = 0; i < n; i++) {
        product *= (double)(1.0f - betas[i]);
        alphas_cumprod[i] = (double)(float)product;
    }
}

/* Zero terminal SNR (arXiv 2305.08891, algorithm 1): shifts and scales sqrt(ac) so that the last is 0 and the first
 * stays; betas are made anew from it. */
static void rescale_zero_snr(float *betas, double *alphas_cumprod, uint32_t n)
{
    fill_alphas_cumprod(alphas_cumprod, betas, n);
    float first = sqrtf((float)alphas_cumprod[0]), last = sqrtf((float)alphas_cumprod[n - 1]);
    float scale = first / (first - last), previous = 1.0f;
    for (uint32_t i = 0; i < n; i++) {
        float root = (sqrtf((float)alphas_cumprod[i]) - last) * scale;
        float bar = root * root;
        betas[i] = 1.0f - (i == 0 ? bar : bar / previous);
        previous = bar;
    }
}

static bool uses_sigmas(tt_sampler sampler)
{
    return sampler != TT_SAMPLER_DDIM && sampler != TT_SAMPLER_DDPM && sampler != TT_SAMPLER_PNDM &&
           sampler != TT_SAMPLER_LCM && sampler != TT_SAMPLER_TCD;
}

static tt_status check_table(const tt_scheduler *s, tt_error *err)
{
    uint32_t n = s->config.n_train;
    for (uint32_t i = 0; i < n; i++) {
        double bar = s->alphas_cumprod[i];
        /* Zero terminal SNR: only the last may hold no signal. */
        bool usable = (bar > 0.0 || (bar == 0.0 && i == n - 1)) && bar < 1.0;
        if (uses_sigmas(s->config.sampler))
            usable = usable && isfinite(s->train_sigmas[i]) && s->train_sigmas[i] > 0.0f;
        if (!usable)
            return tt_fail(
                err, TT_ERROR_FORMAT,
                "scheduler config: the betas give alphas_cumprod %g at timestep %u, expected a value between "
                "0 and 1 that float can tell from both; correct beta_start, beta_end or trained_betas",
                bar, (unsigned)i);
    }
    return TT_OK;
}

tt_status tt_noise_table_build(tt_scheduler *s, const tt_scheduler_config *config, tt_error *err)
{
    uint32_t n = config->n_train;
    float *betas = calloc(n, sizeof(*betas));
    s->alphas_cumprod = calloc(n, sizeof(*s->alphas_cumprod));
    s->train_sigmas = calloc(n, sizeof(*s->train_sigmas));
    if (betas == NULL || s->alphas_cumprod == NULL || s->train_sigmas == NULL) {
        free(betas);
        return tt_fail_memory(err, "the noise schedule", n * sizeof(double));
    }
    fill_betas(betas, config);
    if (config->rescale_zero_snr)
        rescale_zero_snr(betas, s->alphas_cumprod, n);
    fill_alphas_cumprod(s->alphas_cumprod, betas, n);
    free(betas);
    /* An infinite sigma is of no use: the reference puts 2^-24, half's smallest step, in place of 0. */
    if (config->rescale_zero_snr && uses_sigmas(config->sampler))
        s->alphas_cumprod[n - 1] = 0x1p-24;
    for (uint32_t i = 0; i < n; i++)
        s->train_sigmas[i] = (float)sqrt((1.0 - s->alphas_cumprod[i]) / s->alphas_cumprod[i]);
    s->final_alpha = config->set_alpha_to_one ? 1.0 : s->alphas_cumprod[0];
    return check_table(s, err);
}

/* n points from 0 to stop, the last one exact. */
static double linspace_point(uint32_t i, uint32_t n, double stop)
{
    if (n < 2)
        return 0.0;
    return i == n - 1 ? stop : (double)i * (stop / (double)(n - 1));
}

/* Counts down from `last` in equal steps. The reference's loop makes one step too many for some step counts (61 of
 * 1000 is the first), which would ask the model for timestep -1: n_steps is the limit here. */
static uint32_t space_trailing(const tt_scheduler *s, uint32_t last, double *t)
{
    double ratio = (double)s->config.n_train / (double)s->n_steps;
    double step = ((double)last - ratio) - (double)last;
    double n_wanted = last == s->config.n_train ? (double)s->n_steps : ceil((double)last / ratio);
    uint32_t n = n_wanted < (double)s->n_steps ? (uint32_t)n_wanted : s->n_steps;
    for (uint32_t i = 0; i < n; i++)
        t[i] = rint((double)last + (double)i * step) - 1.0;
    return n;
}

uint32_t tt_space_timesteps(const tt_scheduler *s, tt_spacing_form form, uint32_t last, double *t)
{
    if (s->config.spacing == TT_SPACING_TRAILING)
        return space_trailing(s, last, t);
    uint32_t n_steps = s->n_steps, n_points = n_steps + (form == TT_SPACE_SOLVER);
    for (uint32_t i = 0; i < n_steps; i++) {
        uint32_t point = n_points - 1 - i;
        if (s->config.spacing == TT_SPACING_LEADING)
            t[i] = (double)point * (double)(last / n_points) + (double)s->config.steps_offset;
        else
            t[i] = linspace_point(point, n_points, (double)(last - 1));
        if (form != TT_SPACE_FRACTIONAL)
            t[i] = rint(t[i]);
    }
    return n_steps;
}

static tt_status allocate_timesteps(tt_scheduler *s, tt_error *err)
{
    s->timesteps = calloc(s->n_steps, sizeof(*s->timesteps));
    s->n_timesteps = s->n_steps;
    return s->timesteps != NULL ? TT_OK : tt_fail_memory(err, "timesteps", s->n_steps * sizeof(*s->timesteps));
}

tt_status tt_prepare_rounded(tt_scheduler *s, tt_error *err)
{
    tt_status status = allocate_timesteps(s, err);
    if (status != TT_OK)
        return status;
    (void)tt_space_timesteps(s, TT_SPACE_ROUNDED, s->config.n_train, s->timesteps);
    return tt_check_timesteps(s, err);
}

tt_status tt_prepare_consistency(tt_scheduler *s, tt_error *err)
{
    uint32_t n_original = s->config.original_steps, n_train = s->config.n_train;
    if (n_original > n_train)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "scheduler config: original_inference_steps is %u, expected at most num_train_timesteps %u",
                       (unsigned)n_original, (unsigned)n_train);
    if (s->n_steps > n_original)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "%u steps asked of a consistency sampler, expected at most its original_inference_steps %u; use "
                       "fewer steps",
                       (unsigned)s->n_steps, (unsigned)n_original);
    tt_status status = allocate_timesteps(s, err);
    if (status != TT_OK)
        return status;
    double stride = (double)n_original / (double)s->n_steps;
    for (uint32_t i = 0; i < s->n_steps; i++) {
        uint32_t skipped = (uint32_t)floor((double)i * stride);
        s->timesteps[i] = (double)(n_original - skipped) * (double)(n_train / n_original) - 1.0;
    }
    return tt_check_timesteps(s, err);
}

tt_status tt_check_timesteps(const tt_scheduler *s, tt_error *err)
{
    for (uint32_t i = 0; i < s->n_timesteps; i++) {
        double t = s->timesteps[i];
        if (!(t >= 0.0 && t < (double)s->config.n_train))
            return tt_fail(err, TT_ERROR_ARGUMENT,
                           "%u steps with steps_offset %u need timestep %.0f, but the model has timesteps 0 to %u; use "
                           "fewer steps",
                           (unsigned)s->n_steps, (unsigned)s->config.steps_offset, t,
                           (unsigned)(s->config.n_train - 1));
        /* The reference divides by sqrt(ac) = 0 here and goes on with infinities. */
        if (i >= s->begin && s->config.prediction == TT_PREDICT_EPSILON && s->alphas_cumprod[(size_t)t] == 0.0)
            return tt_fail(err, TT_ERROR_UNSUPPORTED,
                           "scheduler config: a model that predicts noise cannot start at timestep %.0f, where zero "
                           "terminal SNR leaves no signal; set prediction_type to v_prediction or "
                           "rescale_betas_zero_snr to false",
                           t);
    }
    return TT_OK;
}

double tt_alpha_cumprod(const tt_scheduler *s, int64_t t)
{
    return t >= 0 ? s->alphas_cumprod[t] : s->final_alpha;
}
