/* activate.c - activations by their definitions. */
#include "cl-kernels/reference/activate.h"

#include <math.h>

double tt_reference_activate(tt_activation activation, double x)
{
    switch (activation) {
    case TT_ACT_NONE:
        return x;
    case TT_ACT_SILU:
        return x / (1.0 + exp(-x));
    case TT_ACT_GELU:
        return 0.5 * x * (1.0 + erf(x * sqrt(0.5)));
    case TT_ACT_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case TT_ACT_RELU:
        return x > 0.0 ? x : 0.0;
    case TT_ACT_TANH3:
        return 3.0 * tanh(x / 3.0);
    case TT_ACT_PRELU:
        break; /* needs a slope: tt_reference_prelu */
    }
    return x;
}

double tt_reference_prelu(double slope, double x)
{
    return x < 0.0 ? slope * x : x;
}
