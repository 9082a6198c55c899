/* test_gpu_tile_float.c - register tiles for GPUs with float products. */
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

/* Sums of floats run over all inputs in one go here, so they may be off by more than those of other kernels. */
static void test_float(void **state)
{
    (void)state;
    const tt_test_tile_form form = {.tolerance = 2e-6};
    for (size_t i = 0; i < TT_TEST_TILE_CASES; i++)
        check(&form, i, i % 2 == 0 ? TT_F32 : TT_F16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_float)};
    return cmocka_run_group_tests(tests, NULL, tt_test_device_close);
}
