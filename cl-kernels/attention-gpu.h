/* attention-gpu.h - attention for GPUs in other ways than the plain one: products of half, keys in local memory. */
#ifndef TT_CL_KERNELS_ATTENTION_GPU_H
#define TT_CL_KERNELS_ATTENTION_GPU_H

#include "cl-kernels/attention.h"

/* One way. */
typedef struct tt_attention_variant {
    const char *name;
    bool is_half, is_local;
} tt_attention_variant;

enum { TT_ATTENTION_MAX_VARIANTS = 3 };

/* True when products of half may be used: that is the arithmetic, and the device has the unit. */
bool tt_attention_gpu_is_half(const tt_kernels *kernels);

/* The variants that the device can run; of those with half, if any, the one that the table prefers comes first. */
size_t tt_attention_gpu_variants(const tt_kernels *kernels, const tt_attention_args *args,
                                 const tt_attention_variant *variants[TT_ATTENTION_MAX_VARIANTS]);

/* Records a launch of checked arguments, whose work (flops, bytes) is known. */
tt_status tt_attention_gpu_record(const tt_kernels *kernels, const tt_attention_args *args,
                                  const tt_attention_variant *variant, const tt_launch *work, tt_recorder *recorder,
                                  tt_error *err);

#endif
