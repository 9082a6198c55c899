/* attention.h - plain C twin of cl-kernels/attention.h: NCHW floats in, the whole score row in double. */
#ifndef TT_CL_KERNELS_REFERENCE_ATTENTION_H
#define TT_CL_KERNELS_REFERENCE_ATTENTION_H

#include "cl-kernels/plane.h"

typedef struct tt_reference_attention_args {
    uint32_t batch, n_heads, head_dim, n_queries, n_keys;
    const float *q;     /* [batch][n_heads * head_dim][n_queries] */
    const float *k, *v; /* [batch][n_heads * head_dim][n_keys] */
    bool causal;
    float *out; /* as q */
} tt_reference_attention_args;

/* TT_ERROR_MEMORY when there is no room for a row of scores. */
tt_status tt_reference_attention(const tt_reference_attention_args *args);

#endif
