/* linear.c - linear layers by their definition. */
#include "cl-kernels/reference/linear.h"

#include "cl-kernels/reference/activate.h"

static double dot(const tt_reference_linear_args *a, uint32_t image, uint32_t output, uint32_t position)
{
    const float *in = a->in + (size_t)image * a->n_in * a->n_positions + position;
    const float *row = a->weights + (size_t)output * a->n_in;
    double sum = a->bias != NULL ? a->bias[output] : 0.0;
    for (uint32_t i = 0; i < a->n_in; i++)
        sum += (double)row[i] * in[(size_t)i * a->n_positions];
    return sum;
}

void tt_reference_linear(const tt_reference_linear_args *args)
{
    uint32_t n_results = args->is_geglu ? args->n_out / 2 : args->n_out;
    size_t at = 0;
    for (uint32_t image = 0; image < args->batch; image++)
        for (uint32_t c = 0; c < n_results; c++)
            for (uint32_t p = 0; p < args->n_positions; p++, at++) {
                double value = dot(args, image, c, p);
                if (args->is_geglu)
                    value *= tt_reference_activate(TT_ACT_GELU, dot(args, image, c + n_results, p));
                if (args->residual != NULL)
                    value += args->residual[at];
                args->out[at] =
                    (float)(args->activation == TT_ACT_PRELU ? tt_reference_prelu(args->slopes[c], value)
                                                             : tt_reference_activate(args->activation, value));
            }
}
