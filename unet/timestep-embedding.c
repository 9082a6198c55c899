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
            /* Exponent, frequency and angle are each rounded to float, as the networks saw them in training: at 999
             * radians the last bit of a frequency moves the sine by 6e-5. */
            float exponent = (float)-log(10000.0) * (float)j / (float)((double)half - freq_shift);
            float frequency = (float)exp((double)exponent);
            float angle = (float)timesteps[i] * frequency;
            row[flip_sin_to_cos ? half + j : j] = (float)sin((double)angle);
            row[flip_sin_to_cos ? j : half + j] = (float)cos((double)angle);
        }
        if (dim % 2 == 1)
            row[dim - 1] = 0.0f;
    }
}
