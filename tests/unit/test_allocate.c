/* test_allocate.c - spending bytes: budgets are kept, more never makes worse, and small cases against all choices. */
#include "quantize/allocate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { MAX_GROUPS = 6 };

static uint32_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Groups of any sizes; errors fall with the bytes as rounding does, now and then with a type that is not worth it. */
static size_t make(uint64_t *state, tt_choices *groups)
{
    size_t n = 1 + next(state) % MAX_GROUPS;
    for (size_t i = 0; i < n; i++) {
        double error = (double)(1 + next(state) % 100000);
        uint64_t bytes = 1 + next(state) % 50;
        groups[i] = (tt_choices){.n = 1 + next(state) % 4};
        for (uint32_t k = 0; k < groups[i].n; k++) {
            groups[i].items[k] = (tt_choice){bytes, error};
            bytes += 1 + next(state) % 40;
            error /= 1.0 + (double)(next(state) % 500) / 100.0;
        }
    }
    return n;
}

static double best_of_all(const tt_choices *groups, size_t n, size_t at, uint64_t budget)
{
    double best = 1e300;
    if (at == n)
        return 0.0;
    for (uint32_t k = 0; k < groups[at].n; k++) {
        if (groups[at].items[k].n_bytes > budget)
            continue;
        double rest = best_of_all(groups, n, at + 1, budget - groups[at].items[k].n_bytes);
        if (rest + groups[at].items[k].error < best)
            best = rest + groups[at].items[k].error;
    }
    return best;
}

static void sums(const tt_choices *groups, size_t n, uint64_t *bytes, double *error)
{
    *bytes = 0;
    *error = 0.0;
    for (size_t i = 0; i < n; i++) {
        *bytes += groups[i].items[groups[i].chosen].n_bytes;
        *error += groups[i].items[groups[i].chosen].error;
    }
}

static void test_budget(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int run = 0; run < 300; run++) {
        tt_choices groups[MAX_GROUPS];
        size_t n = make(&seed, groups);
        uint64_t least = tt_allocate_least(groups, n);
        for (uint64_t budget = least; budget < least + 300; budget += 13) {
            uint64_t bytes = 0, summed = 0;
            double error = 0.0, error_summed = 0.0;
            tt_error err = {""};
            assert_int_equal(tt_allocate_bytes(groups, n, budget, &bytes, &error, &err), TT_OK);
            sums(groups, n, &summed, &error_summed);
            assert_true(bytes == summed && bytes <= budget);
            assert_true(error >= error_summed * (1 - 1e-9) - 1e-6 && error <= error_summed * (1 + 1e-9) + 1e-6);
            assert_true(error_summed >= best_of_all(groups, n, 0, budget) * (1 - 1e-9));
        }
    }
}

/* Bytes at which a step of the error's path ends: there the greedy choice must be the best of all. */
static void test_best(void **state)
{
    (void)state;
    uint64_t seed = 7;
    int n_checked = 0;
    for (int run = 0; run < 300; run++) {
        tt_choices groups[MAX_GROUPS];
        size_t n = make(&seed, groups);
        double last = 1e300;
        for (double target = 1e6; target > 0.5; target *= 0.6) {
            uint64_t bytes = 0;
            double error = 0.0;
            tt_allocate_error(groups, n, target, &bytes, &error);
            double best = best_of_all(groups, n, 0, bytes);
            assert_true(error <= best * (1 + 1e-9) + 1e-9);
            assert_true(error <= last * (1 + 1e-9));
            last = error;
            n_checked++;
        }
    }
    assert_true(n_checked > 1000);
}

/* More bytes, less error; and a target is met when it can be. */
static void test_monotone(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int run = 0; run < 200; run++) {
        tt_choices groups[MAX_GROUPS];
        size_t n = make(&seed, groups);
        uint64_t bytes = 0, before = 0;
        double error = 0.0, all = 0.0;
        for (size_t i = 0; i < n; i++)
            all += groups[i].items[groups[i].n - 1].error;
        for (double target = 1e6; target > 1e-3; target *= 0.5) {
            tt_allocate_error(groups, n, target, &bytes, &error);
            assert_true(error <= target || error <= all * (1 + 1e-9));
            assert_true(bytes >= before);
            before = bytes;
        }
    }
}

static void test_too_small(void **state)
{
    (void)state;
    tt_choices groups[2] = {{.n = 2, .items = {{100, 5.0}, {200, 1.0}}}, {.n = 1, .items = {{50, 1.0}}}};
    uint64_t bytes = 0;
    double error = 0.0;
    tt_error err = {""};
    assert_int_equal(tt_allocate_least(groups, 2), 150);
    assert_int_equal(tt_allocate_bytes(groups, 2, 149, &bytes, &error, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "150"));
    assert_int_equal(tt_allocate_bytes(groups, 2, 150, &bytes, &error, &err), TT_OK);
    assert_int_equal(groups[0].chosen, 0);
    assert_int_equal(tt_allocate_bytes(groups, 2, 250, &bytes, &error, &err), TT_OK);
    assert_int_equal(groups[0].chosen, 1);
}

/* The large step is worth more for its bytes, but only the small one fits: the budget is not left unused. */
static void test_fill(void **state)
{
    (void)state;
    tt_choices groups[2] = {{.n = 2, .items = {{10, 100.0}, {60, 0.0}}}, {.n = 2, .items = {{10, 9.0}, {20, 1.0}}}};
    uint64_t bytes = 0;
    double error = 0.0;
    tt_error err = {""};
    assert_int_equal(tt_allocate_bytes(groups, 2, 40, &bytes, &error, &err), TT_OK);
    assert_int_equal(groups[0].chosen, 0);
    assert_int_equal(groups[1].chosen, 1);
    assert_int_equal(bytes, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget),    cmocka_unit_test(test_best), cmocka_unit_test(test_monotone),
        cmocka_unit_test(test_too_small), cmocka_unit_test(test_fill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
