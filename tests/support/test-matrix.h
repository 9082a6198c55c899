/* test-matrix.h - packed weights for kernel tests, with what they hold as plain floats. */
#ifndef TT_TESTS_SUPPORT_TEST_MATRIX_H
#define TT_TESTS_SUPPORT_TEST_MATRIX_H

#include "cl-kernels/matrix.h"

typedef struct tt_test_matrix_spec {
    tt_dtype dtype; /* of the stored weights and biases (F32 biases beside quantized weights; I8 is w8c) */
    uint32_t n_out, n_in, n_taps, split;
    uint32_t n_parts; /* stacked along the outputs; 0 is 1 */
    bool is_geglu, is_transposed, no_bias;
    bool is_asymmetric; /* w8c with offsets */
    bool has_slopes;    /* of PReLU */
    uint64_t seed;
} tt_test_matrix_spec;

typedef struct tt_test_matrix {
    tt_matrix matrix;
    float *weights; /* [n_out][n_in][n_taps], exactly what the device holds; about 1 / sqrt(n_in * n_taps) */
    float *bias;    /* [n_out] */
    float *slopes;  /* [n_out] */
} tt_test_matrix;

/* Random weights, given to tt_matrix_create at an odd address. Fails the test when something fails. */
tt_test_matrix tt_test_matrix_create(const tt_kernels *kernels, const tt_test_matrix_spec *spec);
void tt_test_matrix_release(const tt_kernels *kernels, tt_test_matrix *matrix);

#endif
