/* solve.c - see solve.h. */
#include "base/solve.h"

#include <math.h>
#include <stddef.h>

static void swap(double *a, double *b)
{
    double held = *a;
    *a = *b;
    *b = held;
}

void tt_solve(double *a, uint32_t stride, double *b, uint32_t n)
{
    for (uint32_t column = 0; column < n; column++) {
        double *top = a + (size_t)column * stride;
        uint32_t pivot = column;
        for (uint32_t row = column + 1; row < n; row++)
            if (fabs(a[(size_t)row * stride + column]) > fabs(a[(size_t)pivot * stride + column]))
                pivot = row;
        for (uint32_t k = 0; k < n; k++)
            swap(&top[k], &a[(size_t)pivot * stride + k]);
        swap(&b[column], &b[pivot]);
        for (uint32_t row = 0; row < n; row++) {
            double *other = a + (size_t)row * stride;
            double factor = row == column ? 0.0 : other[column] / top[column];
            for (uint32_t k = column; k < n; k++)
                other[k] -= factor * top[k];
            b[row] -= factor * b[column];
        }
    }
    for (uint32_t row = 0; row < n; row++)
        b[row] /= a[(size_t)row * stride + row];
}
