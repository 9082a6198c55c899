/* test_gpu_tile_int8.c - register tiles for GPUs with int8 products, in every form of the dot product. */
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

/* Inputs and weights that int8 holds exactly give exact results, in every form of the dot product; where the device
 * lacks an instruction, plain vectors stand in for it. Plain vectors take all shapes, the instructions one of nine taps
 * each. */
static void test_int8(void **state)
{
    (void)state;
    const tt_dot_unit units[] = {TT_DOT_PLAIN, TT_DOT_GPU_KHR, TT_DOT_GPU_QCOM, TT_DOT_GPU_ARM};
    for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
        const tt_test_tile_form form = {
            .arithmetic = TT_ARITHMETIC_INT8, .dot = {.int8 = units[u]}, .has_whole_inputs = true, .tolerance = 1e-6};
        for (size_t i = u == 0 ? 0 : u + 4; i < TT_TEST_TILE_CASES; i += u == 0 ? 1 : TT_TEST_TILE_CASES)
            check(&form, i, TT_I8);
    }
}

/* Ordinary inputs and weights lose what eight bits lose. */
static void test_int8_rounding(void **state)
{
    (void)state;
    const tt_test_tile_form form = {.arithmetic = TT_ARITHMETIC_INT8, .dot = {.int8 = TT_DOT_PLAIN}, .tolerance = 1e-2};
    check(&form, 1, TT_F32);
    check(&form, 4, TT_F16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_int8), cmocka_unit_test(test_int8_rounding)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
