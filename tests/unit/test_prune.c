/* test_prune.c - the smallest weights of a layer become 0: exactly the share that was asked for. */
#include "quantize/prune.h"
#include "tests/support/test-device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void ok(tt_status status)
{
    assert_int_equal(status, TT_OK);
}

/* Prunes in pieces of `piece` values; returns the zeros. */
static size_t prune(tt_prune *p, float *values, size_t n, double share, size_t piece)
{
    size_t zeros = 0;
    tt_prune_begin(p);
    for (size_t i = 0; i < n; i += piece)
        tt_prune_count(p, values + i, n - i < piece ? n - i : piece);
    tt_prune_place(p, n, share);
    for (size_t i = 0; i < n; i += piece)
        tt_prune_refine(p, values + i, n - i < piece ? n - i : piece);
    tt_prune_finish(p);
    for (size_t i = 0; i < n; i += piece)
        zeros += tt_prune_apply(p, values + i, n - i < piece ? n - i : piece);
    return zeros;
}

/* What is kept is at least as large as what is gone, and the share is exact. */
static void test_share(void **state)
{
    (void)state;
    enum { N = 5000 };
    static const double shares[] = {0.0, 0.001, 0.3, 0.5, 0.77, 0.999};
    tt_prune p;
    tt_error err = {""};
    float *before = tt_test_random_new(N, 11), *values = malloc(N * sizeof *values);
    assert_non_null(values);
    ok(tt_prune_create(&p, &err));
    for (size_t s = 0; s < sizeof shares / sizeof *shares; s++) {
        memcpy(values, before, N * sizeof *values);
        size_t zeros = prune(&p, values, N, shares[s], 333);
        float largest_gone = 0.0f, smallest_kept = INFINITY;
        for (size_t i = 0; i < N; i++) {
            bool is_gone = !(values[i] < 0.0f || values[i] > 0.0f);
            if (is_gone)
                largest_gone = fmaxf(largest_gone, fabsf(before[i]));
            else {
                smallest_kept = fminf(smallest_kept, fabsf(before[i]));
                assert_memory_equal(&values[i], &before[i], sizeof(float));
            }
        }
        assert_int_equal(zeros, (size_t)(N * shares[s]));
        assert_true(largest_gone <= smallest_kept);
    }
    tt_prune_free(&p);
    free(before);
    free(values);
}

/* Equal magnitudes: the first in order go, whatever the pieces. */
static void test_ties(void **state)
{
    (void)state;
    tt_prune p;
    tt_error err = {""};
    ok(tt_prune_create(&p, &err));
    for (size_t piece = 1; piece <= 10; piece++) {
        float values[10] = {1, -1, 1, -1, 1, -1, 1, -1, 1, -1};
        const float want[10] = {0, 0, 0, 0, 1, -1, 1, -1, 1, -1};
        assert_int_equal(prune(&p, values, 10, 0.4, piece), 4);
        assert_memory_equal(values, want, sizeof want);
        float mixed[6] = {0.5f, -0.25f, 0.0f, 0.25f, 8.0f, -0.0f};
        assert_int_equal(prune(&p, mixed, 6, 0.5, piece), 3);
        assert_true(mixed[0] > 0.4f && mixed[1] >= 0.0f && mixed[3] > 0.2f);
    }
    tt_prune_free(&p);
}

/* Zeros that are there count; tiny, huge and strange values do no harm. */
static void test_strange(void **state)
{
    (void)state;
    tt_prune p;
    tt_error err = {""};
    ok(tt_prune_create(&p, &err));
    float zeros[8] = {0};
    assert_int_equal(prune(&p, zeros, 8, 0.25, 3), 8);
    float strange[6] = {NAN, INFINITY, 1e-42f, -1e-40f, 3e38f, 1.0f};
    assert_int_equal(prune(&p, strange, 6, 0.34, 2), 2);
    assert_true(isnan(strange[0]) && isinf(strange[1]) && strange[4] > 1e38f && strange[5] > 0.9f);
    float one = 3.0f;
    assert_int_equal(prune(&p, &one, 1, 0.9, 1), 0);
    tt_prune_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_strange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
