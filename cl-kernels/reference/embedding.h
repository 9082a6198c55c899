/* embedding.h - plain C twin of cl-kernels/embedding.h. */
#ifndef TT_CL_KERNELS_REFERENCE_EMBEDDING_H
#define TT_CL_KERNELS_REFERENCE_EMBEDDING_H

#include "cl-kernels/plane.h"

typedef struct tt_reference_embedding_args {
    uint32_t batch, n_tokens, width;
    const int32_t *ids;     /* [batch][n_tokens] */
    const float *tokens;    /* [rows][width] */
    const float *positions; /* [at least n_tokens][width] */
    float *out;             /* [batch][width][n_tokens] */
} tt_reference_embedding_args;

void tt_reference_embedding(const tt_reference_embedding_args *args);

#endif
