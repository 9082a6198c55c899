/* elementwise.c - act(a * scale + b * scale2 + offset). */
#include "cl-kernels/reference/elementwise.h"

#include "cl-kernels/reference/activate.h"

void tt_reference_elementwise(const tt_reference_elementwise_args *args)
{
    for (size_t i = 0; i < args->n; i++) {
        double b = args->b != NULL ? args->b[i] * args->scale2 : 0.0;
        args->out[i] = (float)tt_reference_activate(args->activation, args->a[i] * args->scale + b + args->offset);
    }
}
