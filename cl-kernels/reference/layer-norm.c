/* layer-norm.c - layer normalisation, in double. */
#include "cl-kernels/reference/layer-norm.h"

#include <math.h>

static void normalise(const tt_reference_layer_norm_args *args, size_t at)
{
    size_t n = args->n_channels, step = args->n_positions;
    double mean = 0, variance = 0;
    for (size_t c = 0; c < n; c++)
        mean += args->in[at + c * step];
    mean /= (double)n;
    for (size_t c = 0; c < n; c++)
        variance += (args->in[at + c * step] - mean) * (args->in[at + c * step] - mean);
    double factor = 1.0 / sqrt(variance / (double)n + args->eps);
    for (size_t c = 0; c < n; c++)
        args->out[at + c * step] = (float)((args->in[at + c * step] - mean) * factor * args->scale[c] + args->shift[c]);
}

void tt_reference_layer_norm(const tt_reference_layer_norm_args *args)
{
    for (size_t image = 0; image < args->batch; image++)
        for (size_t position = 0; position < args->n_positions; position++)
            normalise(args, image * args->n_channels * args->n_positions + position);
}
