/* embedding.c - table look-up. */
#include "cl-kernels/reference/embedding.h"

void tt_reference_embedding(const tt_reference_embedding_args *args)
{
    for (size_t image = 0; image < args->batch; image++)
        for (size_t t = 0; t < args->n_tokens; t++) {
            size_t id = (size_t)args->ids[image * args->n_tokens + t];
            for (size_t c = 0; c < args->width; c++)
                args->out[(image * args->width + c) * args->n_tokens + t] =
                    args->tokens[id * args->width + c] + args->positions[t * args->width + c];
        }
}
