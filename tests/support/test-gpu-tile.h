/* test-gpu-tile.h - register tiles for GPUs against the references of linear and conv3x3, on ragged shapes; a program
 * for each arithmetic runs them, because compiling the variants takes long. */
#ifndef TT_TESTS_SUPPORT_TEST_GPU_TILE_H
#define TT_TESTS_SUPPORT_TEST_GPU_TILE_H

#include "cl-kernels/matrix.h"
#include "tests/support/test-device.h"

/* What a form multiplies with, and what it may be off by. Whole inputs: integers with a largest of 127 at every
 * position, which int8 codes hold exactly. */
typedef struct tt_test_tile_form {
    tt_arithmetic arithmetic;
    tt_dot dot;
    bool has_whole_inputs;
    double tolerance;
} tt_test_tile_form;

/* Shapes: the first five have one tap, the others nine. */
enum { TT_TEST_TILE_CASES = 12 };

/* Runs a form for a shape: on CPUs one of its variants, another one for each shape. Returns how many ran. */
size_t tt_test_gpu_tile(const tt_kernels *storage, const tt_test_tile_form *form, size_t index, tt_dtype dtype);

#endif
