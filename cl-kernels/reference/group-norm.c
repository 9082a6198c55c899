/* group-norm.c - group normalisation, in double. */
#include "cl-kernels/reference/group-norm.h"

#include "cl-kernels/reference/activate.h"

#include <math.h>

static double mean_of(const float *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    return sum / (double)n;
}

static double variance_of(const float *values, size_t n, double mean)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (values[i] - mean) * (values[i] - mean);
    return sum / (double)n;
}

/* Normalises one group of an image: first_channel.., n values at `at`. */
static void normalise(const tt_reference_group_norm_args *args, size_t at, size_t n, size_t first_channel)
{
    double mean = mean_of(args->in + at, n);
    double factor = 1.0 / sqrt(variance_of(args->in + at, n, mean) + args->eps);
    for (size_t i = 0; i < n; i++) {
        size_t channel = first_channel + i / args->n_positions;
        double y = (args->in[at + i] - mean) * factor * args->scale[channel] + args->shift[channel];
        args->out[at + i] = (float)tt_reference_activate(args->silu ? TT_ACT_SILU : TT_ACT_NONE, y);
    }
}

void tt_reference_group_norm(const tt_reference_group_norm_args *args)
{
    size_t group = args->n_channels / args->n_groups, n = group * args->n_positions;
    for (size_t image = 0; image < args->batch; image++)
        for (size_t g = 0; g < args->n_groups; g++)
            normalise(args, (image * args->n_groups + g) * n, n, g * group);
}
