/* test_gpu_tile_half.c - register tiles for GPUs with half products, where the device has them. */
#include "tests/support/test-gpu-tile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Storage forms take turns. */
static void check(const tt_test_tile_form *form, size_t index, tt_dtype dtype)
{
    assert_true(tt_test_gpu_tile(&tt_test_forms()[2 + index % 2], form, index, dtype) > 0);
}

/* Products of half: inputs and weights have 11 bits, and so have sums of up to 16 products. */
static void test_half(void **state)
{
    (void)state;
    if (!tt_device_caps(tt_test_device())->has_fp16)
        skip();
    const tt_test_tile_form form = {
        .arithmetic = TT_ARITHMETIC_HALF, .dot = {.half = TT_DOT_GPU_FP16}, .tolerance = 1e-3};
    for (size_t i = 0; i < TT_TEST_TILE_CASES; i++)
        check(&form, i, i % 2 == 0 ? TT_F16 : TT_F32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_half)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
