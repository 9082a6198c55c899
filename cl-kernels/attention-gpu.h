/* attention-gpu.h - attention for GPUs in other ways than the plain one: products of half, keys in local memory. */
#ifndef TT_CL_KERNELS_ATTENTION_GPU_H
#define TT_CL_KERNELS_ATTENTION_GPU_H

#include "cl-kernels/attention.h"

/* One way; neither of the two: the kernel of attention-plain.clh. */
typedef struct tt_attention_variant {
    const char *name;
    bool is_half, is_local;
} tt_attention_variant;

enum { TT_ATTENTION_MAX_VARIANTS = 4 };

/* The variants that the device can run, the table's own choice first. Half needs its arithmetic and its unit. */
size_t tt_attention_gpu_variants(const tt_kernels *kernels, const tt_attention_args *args,
                                 const tt_attention_variant *variants[TT_ATTENTION_MAX_VARIANTS]);

/* The variant to use: the tuning's, or the table's. NULL: the plain kernel. */
const tt_attention_variant *tt_attention_gpu_choose(const tt_kernels *kernels, const tt_attention_args *args);

/* Records a launch of checked arguments. */
tt_status tt_attention_gpu_record(const tt_kernels *kernels, const tt_attention_args *args,
                                  const tt_attention_variant *variant, tt_recorder *recorder, tt_error *err);

#endif
