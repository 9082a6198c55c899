/* test_retry.c - waits between tries, and the answers that are worth one. */
#include "cloud/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void test_doubling(void **state)
{
    (void)state;
    assert_true(tt_retry_wait(2, -1, 0.0) == 0.25);
    assert_true(tt_retry_wait(2, -1, 0.5) == 0.375);
    for (uint32_t next = 2; next < 7; next++)
        assert_true(tt_retry_wait(next + 1, -1, 0.25) == 2 * tt_retry_wait(next, -1, 0.25));
    assert_true(tt_retry_wait(9, -1, 0.0) == 15.0);
    assert_true(tt_retry_wait(UINT32_MAX, -1, 0.999) < 30.0);
}

/* Whatever is drawn, a wait is at least half of the longest of its try. */
static void test_jitter(void **state)
{
    (void)state;
    for (double random = 0.0; random < 1.0; random += 0.01) {
        const double wait = tt_retry_wait(4, -1, random);
        assert_true(wait >= 1.0 && wait < 2.0);
    }
}

static void test_retry_after(void **state)
{
    (void)state;
    assert_true(tt_retry_wait(2, 0, 0.3) == 0.0);
    assert_true(tt_retry_wait(5, 7, 0.3) == 7.0);
    assert_true(tt_retry_wait(2, 86400, 0.3) == 60.0);
}

static void test_codes(void **state)
{
    static const long again[] = {408, 425, 429, 500, 502, 503, 504};
    (void)state;
    size_t n = 0;
    for (long code = 0; code < 1000; code++)
        n += tt_retry_code(code);
    assert_int_equal(n, sizeof again / sizeof again[0]);
    for (size_t i = 0; i < n; i++)
        assert_true(tt_retry_code(again[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_doubling), cmocka_unit_test(test_jitter),
                                       cmocka_unit_test(test_retry_after), cmocka_unit_test(test_codes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
