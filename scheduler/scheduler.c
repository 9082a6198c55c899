/* scheduler.c - the life of a run: tables, calls in order, noising. */
#include "scheduler/scheduler.h"

#include "base/checked.h"
#include "scheduler/config.h"

#include <math.h>
#include <stdlib.h>

static const tt_sampler_ops *ops_of(tt_sampler sampler)
{
    static const tt_sampler_ops *const table[TT_N_SAMPLERS] = {
        [TT_SAMPLER_DDIM] = &tt_ddim_ops,
        [TT_SAMPLER_DDPM] = &tt_ddpm_ops,
        [TT_SAMPLER_PNDM] = &tt_pndm_ops,
        [TT_SAMPLER_LMS] = &tt_lms_ops,
        [TT_SAMPLER_EULER] = &tt_euler_ops,
        [TT_SAMPLER_EULER_A] = &tt_euler_a_ops,
        [TT_SAMPLER_HEUN] = &tt_heun_ops,
        [TT_SAMPLER_KDPM2] = &tt_kdpm2_ops,
        [TT_SAMPLER_KDPM2_A] = &tt_kdpm2_a_ops,
        [TT_SAMPLER_DPMPP_MULTISTEP] = &tt_dpm_multistep_ops,
        [TT_SAMPLER_DPMPP_SINGLESTEP] = &tt_dpm_singlestep_ops,
        [TT_SAMPLER_DPMPP_SDE] = &tt_dpm_sde_ops,
        [TT_SAMPLER_UNIPC] = &tt_unipc_ops,
        [TT_SAMPLER_DEIS] = &tt_deis_ops,
        [TT_SAMPLER_LCM] = &tt_lcm_ops,
        [TT_SAMPLER_TCD] = &tt_tcd_ops,
    };
    return table[sampler];
}

/* The decimal number that a float stands for when it has at most six digits after the point: 0.7f is 0.7, not
 * 0.699999988. Products with it are cut to whole numbers below, where the difference shows. */
static double decimal_of(float value)
{
    double decimal = rint((double)value * 1e6) / 1e6;
    return (float)decimal == value ? decimal : (double)value;
}

static tt_status check_arguments(const tt_scheduler_config *config, uint32_t n_steps, float strength, float eta,
                                 size_t n_sample, tt_error *err)
{
    uint32_t max_steps = config->n_train < TT_MAX_STEPS ? config->n_train : TT_MAX_STEPS;
    if (n_steps < 1 || n_steps > max_steps)
        return tt_fail(err, TT_ERROR_ARGUMENT, "number of steps is %u, expected 1 to %u", (unsigned)n_steps,
                       (unsigned)max_steps);
    if (!(strength > 0.0f && strength <= 1.0f))
        return tt_fail(err, TT_ERROR_ARGUMENT, "strength is %g, expected a number above 0, at most 1",
                       (double)strength);
    if (!(eta >= 0.0f && eta <= 1.0f))
        return tt_fail(err, TT_ERROR_ARGUMENT, "eta is %g, expected a number from 0 to 1", (double)eta);
    if (n_sample < 1)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the sample is empty, expected at least 1 value");
    return tt_scheduler_check_prediction(config, err);
}

/* img2img leaves out the steps above its strength, as get_timesteps of diffusers' pipelines does. */
static tt_status find_begin(tt_scheduler *s, tt_error *err)
{
    uint32_t n_kept = (uint32_t)((double)s->n_steps * s->strength);
    if (n_kept < 1)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "strength %g of %u steps leaves no step to make; raise the strength or the number of steps",
                       s->strength, (unsigned)s->n_steps);
    if (n_kept < s->n_steps)
        s->begin = (s->n_steps - n_kept) * s->ops->calls_per_step;
    return TT_OK;
}

static tt_status allocate_buffers(tt_scheduler *s, tt_error *err)
{
    s->n_history = s->ops->n_buffers != 0 ? s->ops->n_buffers : s->config.solver_order + 1;
    size_t n_values, n_bytes, n_buffers = s->n_history + sizeof(s->spare) / sizeof(s->spare[0]);
    if (!tt_mul_size(s->n_sample, n_buffers, &n_values) || !tt_mul_size(n_values, sizeof(float), &n_bytes))
        return tt_fail(err, TT_ERROR_ARGUMENT, "a sample of %zu values is too large", s->n_sample);
    s->buffers = calloc(n_values, sizeof(float));
    if (s->buffers == NULL)
        return tt_fail_memory(err, "the sampler's buffers", n_bytes);
    for (uint32_t i = 0; i < s->n_history; i++)
        s->history[i] = s->buffers + i * s->n_sample;
    for (size_t i = 0; i < sizeof(s->spare) / sizeof(s->spare[0]); i++)
        s->spare[i] = s->buffers + (s->n_history + i) * s->n_sample;
    return TT_OK;
}

static tt_status build_run(tt_scheduler *s, const tt_scheduler_config *config, tt_error *err)
{
    tt_status status = find_begin(s, err);
    if (status == TT_OK)
        status = tt_noise_table_build(s, config, err);
    if (status == TT_OK)
        status = s->ops->prepare(s, err);
    if (status == TT_OK && s->begin >= s->n_timesteps)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "strength %g of %u steps leaves no step to make; raise the strength or the number of steps",
                       s->strength, (unsigned)s->n_steps);
    return status == TT_OK ? allocate_buffers(s, err) : status;
}

tt_status tt_scheduler_create(const tt_scheduler_config *config, uint32_t n_steps, float strength, float eta,
                              size_t n_sample, tt_scheduler **scheduler, tt_error *err)
{
    *scheduler = NULL;
    tt_status status = check_arguments(config, n_steps, strength, eta, n_sample, err);
    if (status != TT_OK)
        return status;
    tt_scheduler *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return tt_fail_memory(err, "the scheduler", sizeof(*s));
    s->config = *config;
    s->config.fields = NULL;
    s->config.trained_betas = NULL;
    s->ops = ops_of(config->sampler);
    s->n_steps = n_steps;
    s->strength = decimal_of(strength);
    s->eta = decimal_of(eta);
    s->n_sample = n_sample;
    s->init_noise_sigma = 1.0;
    status = build_run(s, config, err);
    if (status != TT_OK) {
        tt_scheduler_destroy(s);
        return status;
    }
    *scheduler = s;
    return TT_OK;
}

void tt_scheduler_destroy(tt_scheduler *scheduler)
{
    if (scheduler == NULL)
        return;
    free(scheduler->alphas_cumprod);
    free(scheduler->train_sigmas);
    free(scheduler->timesteps);
    free(scheduler->sigmas);
    free(scheduler->buffers);
    free(scheduler);
}

uint32_t tt_scheduler_n_calls(const tt_scheduler *scheduler)
{
    return scheduler->n_timesteps - scheduler->begin;
}

/* Index of a call; one past the end stays on the last. */
static uint32_t index_of(const tt_scheduler *s, uint32_t call)
{
    uint32_t n_calls = tt_scheduler_n_calls(s);
    return s->begin + (call < n_calls ? call : n_calls - 1);
}

double tt_scheduler_timestep(const tt_scheduler *scheduler, uint32_t call)
{
    return scheduler->timesteps[index_of(scheduler, call)];
}

const float *tt_scheduler_sigmas(const tt_scheduler *scheduler, size_t *n_sigmas)
{
    *n_sigmas = scheduler->n_sigmas;
    return scheduler->sigmas;
}

float tt_scheduler_init_noise_sigma(const tt_scheduler *scheduler)
{
    return (float)scheduler->init_noise_sigma;
}

void tt_scheduler_scale_input(const tt_scheduler *scheduler, uint32_t call, const float *sample, float *out)
{
    double factor = 1.0;
    if (scheduler->ops->scales_input) {
        uint32_t index = index_of(scheduler, call);
        bool middle = scheduler->ops->middle_sigma != NULL && !tt_is_first_half(index);
        double sigma = middle ? scheduler->ops->middle_sigma(scheduler, index) : (double)scheduler->sigmas[index];
        factor = 1.0 / sqrt(sigma * sigma + 1.0);
    }
    const tt_term term = {factor, sample};
    tt_combine(out, scheduler->n_sample, &term, 1);
}

bool tt_scheduler_needs_noise(const tt_scheduler *scheduler, uint32_t call)
{
    return scheduler->ops->needs_noise(scheduler, index_of(scheduler, call));
}

tt_status tt_scheduler_step(tt_scheduler *scheduler, uint32_t call, const float *model_output, const float *noise,
                            float *sample, tt_error *err)
{
    uint32_t n_calls = tt_scheduler_n_calls(scheduler);
    if (call >= n_calls || call != scheduler->n_done)
        return tt_fail(err, TT_ERROR_ARGUMENT, "step %u of %u was asked for, expected step %u: steps go in order",
                       (unsigned)call, (unsigned)n_calls, (unsigned)scheduler->n_done);
    uint32_t index = scheduler->begin + call;
    if (noise == NULL && scheduler->ops->needs_noise(scheduler, index))
        return tt_fail(err, TT_ERROR_ARGUMENT, "step %u of %u draws noise, but none was given", (unsigned)call,
                       (unsigned)n_calls);
    scheduler->ops->step(scheduler, index, model_output, noise, sample);
    scheduler->n_done++;
    return TT_OK;
}

/* Classes that scale the model's input add noise on top of the sample; the others keep the variance at 1. At odd
 * indices of a two-call step the level is sigmas[index], the end of the step, as in the reference. */
void tt_scheduler_add_noise(const tt_scheduler *scheduler, uint32_t call, const float *original, const float *noise,
                            float *out)
{
    uint32_t index = index_of(scheduler, call);
    double data = 1.0, sigma;
    if (scheduler->ops->scales_input) {
        sigma = (double)scheduler->sigmas[index];
    } else if (scheduler->sigmas != NULL) {
        tt_level level = tt_level_at(scheduler, index);
        data = level.alpha;
        sigma = level.sigma;
    } else {
        double bar = tt_alpha_cumprod(scheduler, (int64_t)scheduler->timesteps[index]);
        data = sqrt(bar);
        sigma = sqrt(1.0 - bar);
    }
    const tt_term terms[] = {{data, original}, {sigma, noise}};
    tt_combine(out, scheduler->n_sample, terms, 2);
}
