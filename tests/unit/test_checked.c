/* test_checked.c - size arithmetic at the edge of its range. */
#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_multiply(void **state)
{
    (void)state;
    static const struct {
        uint64_t a, b, product;
        bool fits;
    } cases[] = {
        {0, 0, 0, true},
        {0, UINT64_MAX, 0, true},
        {UINT64_MAX, 0, 0, true},
        {1, UINT64_MAX, UINT64_MAX, true},
        {UINT64_MAX, 1, UINT64_MAX, true},
        {UINT64_MAX / 2, 2, UINT64_MAX - 1, true},
        {UINT64_MAX / 2 + 1, 2, 0, false},
        {4294967296u, 4294967295u, 4294967296u * 4294967295u, true},
        {4294967296u, 4294967296u, 0, false},
        {UINT64_MAX, UINT64_MAX, 0, false},
        {UINT64_MAX / 3, 3, UINT64_MAX, true},
        {UINT64_MAX / 3 + 1, 3, 0, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t wide = 77;
        size_t size = 77;
        assert_int_equal(tt_mul_u64(cases[i].a, cases[i].b, &wide), cases[i].fits);
        assert_true(wide == (cases[i].fits ? cases[i].product : 77));
        if (sizeof(size_t) == sizeof(uint64_t)) {
            assert_int_equal(tt_mul_size((size_t)cases[i].a, (size_t)cases[i].b, &size), cases[i].fits);
            assert_true(size == wide);
        }
    }
}

static void test_add(void **state)
{
    (void)state;
    uint64_t wide = 77;
    size_t size = 77;
    assert_true(tt_add_u64(UINT64_MAX - 1, 1, &wide));
    assert_true(wide == UINT64_MAX);
    assert_false(tt_add_u64(UINT64_MAX, 1, &wide));
    assert_false(tt_add_u64(1, UINT64_MAX, &wide));
    assert_true(wide == UINT64_MAX);
    assert_true(tt_add_size(SIZE_MAX, 0, &size));
    assert_true(size == SIZE_MAX);
    assert_false(tt_add_size(SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 1, &size));
    assert_true(size == SIZE_MAX);
}

static void test_round_up(void **state)
{
    (void)state;
    assert_int_equal(tt_round_up(0, 4), 0);
    assert_int_equal(tt_round_up(1, 4), 4);
    assert_int_equal(tt_round_up(4, 4), 4);
    assert_int_equal(tt_round_up(5, 4), 8);
    assert_int_equal(tt_round_up(100, 7), 105);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multiply),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_round_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
