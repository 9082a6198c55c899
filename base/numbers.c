/* numbers.c - see numbers.h. */
#include "base/numbers.h"

#include <math.h>

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void tt_numbers_uniform(float *values, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        double unit = (double)(next_random(&seed) >> 11) * 0x1p-53;
        values[i] = (float)((2.0 * unit - 1.0) * 1.7320508075688772);
    }
}

double tt_numbers_difference(const float *got, const float *want, size_t n)
{
    double sum = 0, squares = 0, errors = 0;
    for (size_t i = 0; i < n; i++) {
        double w = (double)want[i], error = (double)got[i] - w;
        if (got[i] == want[i] || (isnan(got[i]) && isnan(want[i])))
            error = 0;
        if (!isfinite(error))
            return INFINITY;
        if (!isfinite(w))
            continue;
        sum += w;
        squares += w * w;
        errors += error * error;
    }
    double variance = squares / (double)n - sum / (double)n * (sum / (double)n);
    double scale = variance > 1e-12 * squares / (double)n ? variance : squares / (double)n;
    if (errors == 0)
        return 0;
    return scale > 0 ? sqrt(errors / (double)n / scale) : INFINITY;
}
