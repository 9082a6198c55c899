/* take.c - chosen positions. */
#include "cl-kernels/reference/take.h"

void tt_reference_take(const tt_reference_take_args *args)
{
    for (uint32_t i = 0; i < args->n; i++)
        for (uint32_t c = 0; c < args->channels; c++) {
            size_t position = (size_t)args->index[i], image = position / args->width, x = position % args->width;
            args->out[(size_t)i * args->channels + c] = args->in[(image * args->channels + c) * args->width + x];
        }
}
