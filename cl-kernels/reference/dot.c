/* dot.c - rounding of dot product forms by definition. */
#include "cl-kernels/reference/dot.h"

#include <math.h>
#include <string.h>

/* Rounded to the nearest of the numbers whose lower 16 bits are zero, halves to even. */
static float round_brain(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint32_t below = bits & 0xffffu, kept = bits - below;
    bool is_up = below > 0x8000u || (below == 0x8000u && (kept & 0x10000u) != 0);
    kept += is_up && isfinite(value) ? 0x10000u : 0;
    memcpy(&value, &kept, sizeof(value));
    return value;
}

void tt_reference_dot_round(tt_arithmetic arithmetic, float *values, size_t n, size_t step)
{
    float most = 0.0f;
    for (size_t i = 0; i < n && arithmetic == TT_ARITHMETIC_HALF; i++)
        values[i * step] = round_brain(values[i * step]);
    if (arithmetic != TT_ARITHMETIC_INT8)
        return;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(values[i * step]));
    for (size_t i = 0; i < n && most > 0.0f; i++)
        values[i * step] = (float)((double)rintf(values[i * step] * (127.0f / most)) * ((double)most / 127.0));
}

void tt_reference_dot_round_patch(tt_arithmetic arithmetic, float *values, size_t n)
{
    float least = 0.0f, most = 0.0f;
    if (arithmetic != TT_ARITHMETIC_INT8) {
        tt_reference_dot_round(arithmetic, values, n, 1);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        least = fminf(least, values[i]);
        most = fmaxf(most, values[i]);
    }
    if (most == least)
        return;
    float inverse = 254.0f / (most - least);
    double scale = ((double)most - (double)least) / 254.0, zero = rint((double)(-least * inverse));
    for (size_t i = 0; i < n; i++)
        values[i] = (float)((rint((double)(values[i] * inverse) + zero) - zero) * scale);
}

void tt_reference_dot_weights(tt_arithmetic arithmetic, float *weights, uint32_t n_out, size_t n_columns)
{
    for (uint32_t i = 0; i < n_out; i++)
        tt_reference_dot_round(arithmetic, weights + i * n_columns, n_columns, 1);
}

void tt_reference_dot_inputs(tt_arithmetic arithmetic, float *values, uint32_t batch, uint32_t channels,
                             size_t positions)
{
    for (uint32_t image = 0; image < batch; image++)
        for (size_t p = 0; p < positions; p++)
            tt_reference_dot_round(arithmetic, values + image * channels * positions + p, channels, positions);
}
