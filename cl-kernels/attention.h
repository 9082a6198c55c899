/* attention.h - softmax(q k' / sqrt(d)) v per head, without storing the score matrix (online softmax in float, after
 * FlashAttention, arXiv 2205.14135). */
#ifndef TT_CL_KERNELS_ATTENTION_H
#define TT_CL_KERNELS_ATTENTION_H

#include "cl-kernels/launch.h"

typedef struct tt_attention_args {
    tt_plane q, k, v; /* n_heads * head_dim channels, head after head; border 0; k and v have the same positions */
    uint32_t n_heads, head_dim; /* head_dim % 4 == 0, any size (40, 64, 80, 160, 512, ...) */
    bool causal;                /* query i sees keys 0..i */
    tt_plane out;               /* geometry of q; border 0 */
} tt_attention_args;

tt_status tt_attention_record(const tt_kernels *kernels, const tt_attention_args *args, tt_recorder *recorder,
                              tt_error *err);

/* For launchers of other programs with the arguments of attention.cl: sets the arguments of a kernel and records a
 * launch of it. */
tt_status tt_attention_finish(tt_launcher *launcher, const tt_attention_args *args, const tt_launch *launch,
                              tt_recorder *recorder);

#endif
