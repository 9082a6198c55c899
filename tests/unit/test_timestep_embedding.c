/* test_timestep_embedding.c - sinusoids of timesteps: exact angles, both orders, odd sizes, shifts. */
#include "unet/unet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

enum { MAX_DIM = 320 };

/* Straight from the definition, in double. */
static double sinusoid(double t, uint32_t j, uint32_t half, double shift, bool cosine)
{
    double angle = t * pow(10000.0, -(double)j / ((double)half - shift));
    return cosine ? cos(angle) : sin(angle);
}

static void check(double t, uint32_t dim, bool flip, double shift)
{
    float out[MAX_DIM + 2];
    uint32_t half = dim / 2;
    memset(out, 0x7f, sizeof out);
    float guard = out[dim];
    tt_timestep_embedding(&t, 1, dim, flip, shift, out);
    for (uint32_t j = 0; j < half; j++) {
        double first = sinusoid(t, j, half, shift, flip), second = sinusoid(t, j, half, shift, !flip);
        /* Angles are rounded to float as in the networks' training: 1000 radians have 6e-5 of room. */
        assert_true(fabs((double)out[j] - first) <= 1e-4);
        assert_true(fabs((double)out[half + j] - second) <= 1e-4);
    }
    assert_true(dim % 2 == 0 || out[dim - 1] == 0.0f);
    assert_memory_equal(&out[dim], &guard, sizeof guard);
}

static void test_definition(void **state)
{
    (void)state;
    static const double timesteps[] = {0, 1, 0.5, 17.25, 501, 981, 999};
    static const uint32_t dims[] = {2, 3, 7, 32, 33, 320};
    for (size_t i = 0; i < sizeof timesteps / sizeof *timesteps; i++)
        for (size_t j = 0; j < sizeof dims / sizeof *dims; j++)
            for (int flip = 0; flip < 2; flip++) {
                check(timesteps[i], dims[j], flip == 1, 0.0);
                if (dims[j] > 3) /* a shift equal to the half size has no meaning */
                    check(timesteps[i], dims[j], flip == 1, 1.0);
            }
}

/* At t = 0 all sines are 0 and all cosines 1, exactly. */
static void test_zero(void **state)
{
    (void)state;
    const double t = 0.0;
    float out[8];
    const float cosine_first[8] = {1, 1, 1, 1, 0, 0, 0, 0}, sine_first[8] = {0, 0, 0, 0, 1, 1, 1, 1};
    tt_timestep_embedding(&t, 1, 8, true, 0.0, out);
    assert_memory_equal(out, cosine_first, sizeof out);
    tt_timestep_embedding(&t, 1, 8, false, 0.0, out);
    assert_memory_equal(out, sine_first, sizeof out);
}

/* Rows of several timesteps are those of each alone. */
static void test_rows(void **state)
{
    (void)state;
    const double t[3] = {3, 500, 37.5};
    float all[3 * 9], one[9];
    tt_timestep_embedding(t, 3, 9, true, 0.0, all);
    for (size_t i = 0; i < 3; i++) {
        tt_timestep_embedding(&t[i], 1, 9, true, 0.0, one);
        assert_memory_equal(all + i * 9, one, sizeof one);
    }
}

/* Nothing is written for no timesteps. */
static void test_none(void **state)
{
    (void)state;
    float out[4] = {1, 2, 3, 4}, kept[4] = {1, 2, 3, 4};
    tt_timestep_embedding(NULL, 0, 4, true, 0.0, out);
    assert_memory_equal(out, kept, sizeof out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_definition), cmocka_unit_test(test_zero),
                                       cmocka_unit_test(test_rows), cmocka_unit_test(test_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
