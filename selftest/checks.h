/* checks.h - one check for each op: small ragged shapes against the op's plain C twin (cl-kernels/reference). */
#ifndef TT_SELFTEST_CHECKS_H
#define TT_SELFTEST_CHECKS_H

#include "selftest/bench.h"

void tt_check_linear(tt_bench *bench);
void tt_check_conv3x3(tt_bench *bench);
void tt_check_dequantize(tt_bench *bench); /* a linear layer whose weights are widened first */
void tt_check_attention(tt_bench *bench);
void tt_check_group_norm(tt_bench *bench);
void tt_check_layer_norm(tt_bench *bench);
void tt_check_elementwise(tt_bench *bench);
void tt_check_pack(tt_bench *bench); /* there and back */

#endif
