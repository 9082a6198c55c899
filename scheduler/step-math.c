/* step-math.c - what the model's output means, and the linear combinations that every step is made of.
 *
 * Sums are made in double and rounded to float once: the samplers subtract numbers that are close to each other. */
#include "scheduler/sampler.h"

#include <math.h>

tt_linear tt_predicted_data(tt_prediction prediction, double alpha, double sigma)
{
    switch (prediction) {
    case TT_PREDICT_V:
        return (tt_linear){alpha, -sigma};
    case TT_PREDICT_SAMPLE:
        return (tt_linear){0.0, 1.0};
    case TT_PREDICT_EPSILON:
        break;
    }
    return (tt_linear){1.0 / alpha, -sigma / alpha};
}

tt_linear tt_predicted_noise(tt_prediction prediction, double alpha, double sigma)
{
    switch (prediction) {
    case TT_PREDICT_V:
        return (tt_linear){sigma, alpha};
    case TT_PREDICT_SAMPLE:
        return (tt_linear){1.0 / sigma, -alpha / sigma};
    case TT_PREDICT_EPSILON:
        break;
    }
    return (tt_linear){0.0, 1.0};
}

tt_linear tt_denoised(tt_prediction prediction, double sigma)
{
    double power = sigma * sigma + 1.0;
    switch (prediction) {
    case TT_PREDICT_V:
        return (tt_linear){1.0 / power, -sigma / sqrt(power)};
    case TT_PREDICT_SAMPLE:
        return (tt_linear){0.0, 1.0};
    case TT_PREDICT_EPSILON:
        break;
    }
    return (tt_linear){1.0, -sigma};
}

tt_linear tt_derivative(tt_prediction prediction, double sigma)
{
    tt_linear x0 = tt_denoised(prediction, sigma);
    return (tt_linear){(1.0 - x0.sample) / sigma, -x0.output / sigma};
}

void tt_combine(float *out, size_t n, const tt_term *terms, size_t n_terms)
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (size_t k = 0; k < n_terms; k++)
            if (terms[k].weight != 0.0)
                sum += terms[k].weight * (double)terms[k].values[i];
        out[i] = (float)sum;
    }
}

double tt_clip(const tt_scheduler *s, double value)
{
    if (!s->config.clip_sample)
        return value;
    double range = s->config.clip_range;
    return value < -range ? -range : value > range ? range : value;
}

void tt_apply_update(const tt_scheduler *s, const tt_update *update, const float *output, const float *noise, float *x)
{
    for (size_t i = 0; i < s->n_sample; i++) {
        double sample = (double)x[i], model = (double)output[i];
        double x0 = tt_clip(s, update->x0.sample * sample + update->x0.output * model);
        double next = update->data * x0 + update->sample * sample + update->output * model;
        if (update->noise != 0.0)
            next += update->noise * (double)noise[i];
        x[i] = (float)next;
    }
}

float *tt_history_push(tt_scheduler *s)
{
    float *oldest = s->history[s->n_history - 1];
    for (uint32_t i = s->n_history - 1; i > 0; i--)
        s->history[i] = s->history[i - 1];
    s->history[0] = oldest;
    if (s->n_known < s->n_history)
        s->n_known++;
    return oldest;
}

tt_level tt_level_at(const tt_scheduler *s, uint32_t index)
{
    double sigma = (double)s->sigmas[index];
    double alpha = 1.0 / sqrt(sigma * sigma + 1.0);
    return (tt_level){alpha, sigma * alpha, sigma > 0.0 ? -log(sigma) : (double)INFINITY};
}

bool tt_always(const tt_scheduler *s, uint32_t index)
{
    (void)s;
    (void)index;
    return true;
}

bool tt_never(const tt_scheduler *s, uint32_t index)
{
    (void)s;
    (void)index;
    return false;
}
