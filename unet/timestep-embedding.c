/* timestep-embedding.c - sinusoids of a timestep. */
#include "unet/unet.h"

#include <math.h>

void tt_timestep_embedding(const double *timesteps, size_t n, uint32_t dim, bool flip_sin_to_cos, double freq_shift,
                           float *out)
{
    uint32_t half = dim / 2;
    for (size_t i = 0; i < n; i++) {
        float *row = out + i * dim;
        for (uint32_t j = 0; j < half; j++) {
            /* The frequency is rounded to float and multiplied in float, as the networks saw it in training. */
            float frequency = (float)exp(-log(10000.0) * (double)j / ((double)half - freq_shift));
            float angle = (float)timesteps[i] * frequency;
            row[flip_sin_to_cos ? half + j : j] = (float)sin((double)angle);
            row[flip_sin_to_cos ? j : half + j] = (float)cos((double)angle);
        }
        if (dim % 2 == 1)
            row[dim - 1] = 0.0f;
    }
}
