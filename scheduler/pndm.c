/* pndm.c - pseudo numerical methods for diffusion models (arXiv 2202.09778): linear multistep (PLMS), and with
 * skip_prk_steps false three Runge-Kutta steps of four calls each to start it.
 *
 * PLMS alone starts with one step that is made twice: the second call is at the second timestep, and its mean with the
 * first redoes that step. So there is one call more than steps. The history counts calls, not timesteps, and with
 * img2img strength it begins anew wherever the run begins, as in the reference. */
#include "scheduler/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_PRK_STEPS = 3, CALLS_PER_PRK_STEP = 4, N_PRK_CALLS = N_PRK_STEPS * CALLS_PER_PRK_STEP };

static void write_plms_timesteps(tt_scheduler *s, const double *t)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_steps; i++) {
        s->timesteps[n++] = t[i];
        if (i == 1)
            s->timesteps[n++] = t[i];
    }
    s->n_timesteps = n;
}

/* Runge-Kutta steps need the model at their start, twice half way and at their end, which is the next one's start. */
static void write_prk_timesteps(tt_scheduler *s, const double *t)
{
    uint32_t n = 0, half = s->config.n_train / s->n_steps / 2;
    for (uint32_t i = 0; i < N_PRK_STEPS; i++) {
        s->timesteps[n++] = t[i];
        s->timesteps[n++] = t[i + 1] + half;
        s->timesteps[n++] = t[i + 1] + half;
        s->timesteps[n++] = t[i + 1];
    }
    for (uint32_t i = N_PRK_STEPS; i < s->n_steps; i++)
        s->timesteps[n++] = t[i];
    s->n_timesteps = n;
}

/* The second PLMS call redoes a step that started one stride above its timestep. */
static tt_status check_restart(const tt_scheduler *s, tt_error *err)
{
    if (!s->config.skip_prk_steps || s->begin + 1 >= s->n_timesteps)
        return TT_OK;
    double start = s->timesteps[s->begin + 1] + (double)(s->config.n_train / s->n_steps);
    if (start < (double)s->config.n_train)
        return TT_OK;
    return tt_fail(err, TT_ERROR_ARGUMENT,
                   "%u steps with steps_offset %u need timestep %.0f, but the model has timesteps 0 to %u; use another "
                   "number of steps",
                   (unsigned)s->n_steps, (unsigned)s->config.steps_offset, start, (unsigned)(s->config.n_train - 1));
}

static tt_status prepare(tt_scheduler *s, tt_error *err)
{
    if (!s->config.skip_prk_steps && s->n_steps <= N_PRK_STEPS)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "%u steps asked of PNDM with Runge-Kutta start, which needs at least %d; use more steps or set "
                       "skip_prk_steps to true",
                       (unsigned)s->n_steps, N_PRK_STEPS + 1);
    double *t = calloc(s->n_steps, sizeof(*t));
    s->timesteps = calloc(s->n_steps + N_PRK_CALLS, sizeof(*s->timesteps));
    if (t == NULL || s->timesteps == NULL) {
        free(t);
        return tt_fail_memory(err, "timesteps", (s->n_steps + N_PRK_CALLS) * sizeof(*t));
    }
    (void)tt_space_timesteps(s, TT_SPACE_ROUNDED, s->config.n_train, t);
    if (s->config.skip_prk_steps)
        write_plms_timesteps(s, t);
    else
        write_prk_timesteps(s, t);
    free(t);
    tt_status status = tt_check_timesteps(s, err);
    return status == TT_OK ? check_restart(s, err) : status;
}

/* Eq. 11 of the paper: from timestep t to `next` with the model output that `terms` add up to. */
static void transfer(const tt_scheduler *s, int64_t t, int64_t next, const float *from, tt_term *terms, size_t n_terms,
                     float *x)
{
    double now = tt_alpha_cumprod(s, t), then = tt_alpha_cumprod(s, next);
    double change = -(then - now) / (now * sqrt(1.0 - then) + sqrt(now * (1.0 - now) * then));
    tt_linear eps = tt_predicted_noise(s->config.prediction, sqrt(now), sqrt(1.0 - now));
    for (size_t k = 0; k < n_terms; k++)
        terms[k].weight *= change * eps.output;
    terms[n_terms] = (tt_term){sqrt(then / now) + change * eps.sample, from};
    tt_combine(x, s->n_sample, terms, n_terms + 1);
}

/* spare[0] keeps the sample that a step started from, spare[1] the weighted sum of the calls so far. */
static void step_runge_kutta(tt_scheduler *s, uint32_t index, const float *output, float *x)
{
    static const double weights[CALLS_PER_PRK_STEP] = {1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0};
    uint32_t call = s->n_done % CALLS_PER_PRK_STEP;
    size_t n_bytes = s->n_sample * sizeof(float);
    if (call == 0) {
        memcpy(tt_history_push(s), output, n_bytes);
        memcpy(s->spare[0], x, n_bytes);
        memset(s->spare[1], 0, n_bytes);
    }
    const tt_term sum[] = {{1.0, s->spare[1]}, {weights[call], output}};
    tt_combine(s->spare[1], s->n_sample, sum, 2);
    int64_t stride = s->config.n_train / s->n_steps / 2;
    int64_t next = (int64_t)s->timesteps[index] - (call % 2 == 0 ? stride : 0);
    int64_t start = (int64_t)s->timesteps[s->n_done - call];
    tt_term terms[2] = {{1.0, call == 3 ? s->spare[1] : output}};
    transfer(s, start, next, s->spare[0], terms, 1, x);
}

/* Adams-Bashforth weights of the outputs, newest first, by how many there are. */
static const double plms_weights[4][4] = {{1.0, 0.0, 0.0, 0.0},
                                          {3.0 / 2.0, -1.0 / 2.0, 0.0, 0.0},
                                          {23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0, 0.0},
                                          {55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0}};

static void step_multistep(tt_scheduler *s, uint32_t index, const float *output, float *x)
{
    int64_t stride = s->config.n_train / s->n_steps, t = (int64_t)s->timesteps[index];
    size_t n_bytes = s->n_sample * sizeof(float);
    tt_term terms[5];
    if (s->n_done == 1) { /* the first step again, with the mean of its two ends */
        terms[0] = (tt_term){0.5, output};
        terms[1] = (tt_term){0.5, s->history[0]};
        transfer(s, t + stride, t, s->spare[0], terms, 2, x);
        return;
    }
    memcpy(tt_history_push(s), output, n_bytes);
    if (s->n_done == 0)
        memcpy(s->spare[0], x, n_bytes);
    uint32_t n = s->n_known;
    for (uint32_t k = 0; k < n; k++)
        terms[k] = (tt_term){plms_weights[n - 1][k], s->history[k]};
    transfer(s, t, t - stride, x, terms, n, x);
}

static void step(tt_scheduler *s, uint32_t index, const float *output, const float *noise, float *x)
{
    (void)noise;
    if (!s->config.skip_prk_steps && s->n_done < N_PRK_CALLS)
        step_runge_kutta(s, index, output, x);
    else
        step_multistep(s, index, output, x);
}

const tt_sampler_ops tt_pndm_ops = {
    .n_buffers = 4, .calls_per_step = 1, .prepare = prepare, .needs_noise = tt_never, .step = step};
