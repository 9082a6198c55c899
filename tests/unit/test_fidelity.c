/* test_fidelity.c - relative error, PSNR and SSIM: against scikit-image's figures, ragged sizes, constant and equal
 * pictures, values that are no numbers. */
#include "quantize/fidelity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN "tests/golden/similarity.json"

static void assert_near(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: expected %.12g, found %.12g", what, want, got);
}

/* ---- relative error */

static void test_relative_error(void **state)
{
    (void)state;
    const float want[4] = {1, 2, 3, 4}, got[4] = {1.5f, 1.5f, 3.5f, 3.5f};
    /* rms 0.5, deviation sqrt(1.25) */
    assert_near(tt_relative_error(got, want, 4), 0.5 / sqrt(1.25), 1e-12, "four values");
    assert_true(tt_relative_error(want, want, 4) == 0);
    assert_true(tt_relative_error(want, want, 0) == 0);
}

static void test_relative_error_far_from_zero(void **state)
{
    (void)state;
    float want[100], got[100];
    for (int i = 0; i < 100; i++) {
        want[i] = 4096.0f + (float)(i % 2);
        got[i] = want[i] + 0.25f;
    }
    assert_near(tt_relative_error(got, want, 100), 0.5, 1e-6, "a small deviation around a large mean");
}

static void test_relative_error_of_constants(void **state)
{
    (void)state;
    const float zeros[3] = {0}, twos[3] = {2, 2, 2}, near[3] = {2, 2, 3};
    assert_true(tt_relative_error(zeros, zeros, 3) == 0);
    assert_true(tt_relative_error(twos, twos, 3) == 0);
    assert_true(isinf(tt_relative_error(twos, zeros, 3)));
    assert_near(tt_relative_error(near, twos, 3), sqrt(1.0 / 3.0) / 2.0, 1e-12, "against a constant");
}

static void test_relative_error_without_numbers(void **state)
{
    (void)state;
    const float want[2] = {1, 2}, broken[2] = {1, NAN}, endless[2] = {INFINITY, 2};
    assert_true(isinf(tt_relative_error(broken, want, 2)));
    assert_true(isinf(tt_relative_error(endless, want, 2)));
    assert_true(isinf(tt_relative_error(want, broken, 2)));
}

static void test_sums_join(void **state)
{
    (void)state;
    const float want[6] = {1, 5, 2, 7, 3, 9}, got[6] = {1, 5.5f, 2.5f, 7, 4, 8};
    tt_error_sums sums = {0};
    tt_error_sums_add(&sums, got, want, 2);
    tt_error_sums_add(&sums, got + 2, want + 2, 4);
    assert_near(tt_error_sums_relative(&sums), tt_relative_error(got, want, 6), 1e-12, "two parts");
}

/* ---- PSNR */

static void test_psnr(void **state)
{
    (void)state;
    const uint8_t a[4] = {0, 10, 20, 255}, b[4] = {1, 9, 21, 254};
    const float x[2] = {0, 1}, y[2] = {0.5f, 1}, broken[2] = {NAN, 1};
    assert_near(tt_psnr_bytes(a, b, 4), 20 * log10(255.0), 1e-12, "off by one everywhere");
    assert_true(isinf(tt_psnr_bytes(a, a, 4)) && tt_psnr_bytes(a, a, 4) > 0);
    assert_near(tt_psnr(x, y, 2, 1.0), 10 * log10(1.0 / 0.125), 1e-12, "floats");
    assert_near(tt_psnr(x, y, 2, 10.0), 20 + 10 * log10(1.0 / 0.125), 1e-12, "a tenfold range");
    assert_true(isinf(tt_psnr(x, broken, 2, 1.0)) && tt_psnr(x, broken, 2, 1.0) < 0);
}

static void test_value_range(void **state)
{
    (void)state;
    const float values[4] = {3, -2, 5, 0};
    assert_near(tt_value_range(values, 4), 7, 0, "four values");
    assert_near(tt_value_range(values, 1), 0, 0, "one value");
    assert_near(tt_value_range(values, 0), 0, 0, "no value");
}

/* ---- pictures: the same numbers as golden_similarity.py */

typedef struct spec {
    int width, height, channels, seed, noise;
} spec;

static uint8_t clip(int value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static tt_image make_picture(const spec *s, bool is_noisy)
{
    tt_image image = {(uint32_t)s->width, (uint32_t)s->height, (uint32_t)s->channels,
                      malloc((size_t)(s->width * s->height * s->channels))};
    assert_non_null(image.pixels);
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++)
            for (int c = 0; c < s->channels; c++) {
                int first = 128 + (x * 5 + s->seed * 17) % 96 - (y * 3 + c * 29) % 80 + (x * y + s->seed) % 31;
                int offset = (x * x + 3 * y * y + 5 * c + x * y * s->seed) % (2 * s->noise + 1) - s->noise;
                image.pixels[(y * s->width + x) * s->channels + c] = clip(first + (is_noisy ? offset : 0));
            }
    return image;
}

static double ssim_of(const tt_image *a, const tt_image *b)
{
    tt_error err = {""};
    double ssim = NAN;
    if (tt_ssim_images(a, b, &ssim, &err) != TT_OK)
        fail_msg("%s", err.text);
    return ssim;
}

static int number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_integer(value));
    return (int)json_integer_value(value);
}

static void check_case(const json_t *item)
{
    spec s = {number(item, "width"), number(item, "height"), number(item, "channels"), number(item, "seed"),
              number(item, "noise")};
    tt_image a = make_picture(&s, false), b = make_picture(&s, true);
    double psnr = tt_psnr_bytes(a.pixels, b.pixels, (size_t)(s.width * s.height * s.channels));
    assert_near(ssim_of(&a, &b), json_real_value(json_object_get(item, "ssim")), 1e-6, "SSIM");
    assert_near(psnr, json_real_value(json_object_get(item, "psnr")), 1e-9, "PSNR");
    assert_near(ssim_of(&b, &a), ssim_of(&a, &b), 1e-12, "SSIM with the pictures exchanged");
    free(a.pixels);
    free(b.pixels);
}

static void test_golden(void **state)
{
    (void)state;
    json_t *golden = json_load_file(GOLDEN, 0, NULL);
    const json_t *cases = json_object_get(golden, "cases");
    assert_true(json_array_size(cases) >= 8);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(json_array_get(cases, i));
    json_decref(golden);
}

static void test_equal_pictures(void **state)
{
    (void)state;
    const spec sizes[] = {{64, 48, 3, 1, 1}, {1, 1, 3, 2, 1}, {5, 40, 1, 3, 1}, {40, 5, 4, 4, 1}, {10, 10, 3, 5, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        tt_image a = make_picture(&sizes[i], false);
        assert_near(ssim_of(&a, &a), 1.0, 1e-12, "a picture and itself");
        free(a.pixels);
    }
}

/* Below 11 pixels the window is the whole side: SSIM of an 1 x 1 picture is the luminance term alone. */
static void test_small_pictures(void **state)
{
    (void)state;
    uint8_t p = 100, q = 150;
    tt_image a = {1, 1, 1, &p}, b = {1, 1, 1, &q};
    const double c1 = 2.55 * 2.55;
    assert_near(ssim_of(&a, &b), (2.0 * 100 * 150 + c1) / (100.0 * 100 + 150.0 * 150 + c1), 1e-12, "one pixel");
    const spec ragged = {7, 23, 3, 9, 25};
    tt_image c = make_picture(&ragged, false), d = make_picture(&ragged, true);
    double ssim = ssim_of(&c, &d);
    assert_true(ssim > -1.0 && ssim < 1.0);
    free(c.pixels);
    free(d.pixels);
}

static void test_constant_pictures(void **state)
{
    (void)state;
    uint8_t black[20 * 20] = {0}, white[20 * 20];
    memset(white, 255, sizeof white);
    tt_image a = {20, 20, 1, black}, b = {20, 20, 1, white};
    assert_near(ssim_of(&a, &a), 1.0, 1e-12, "black and black");
    assert_near(ssim_of(&a, &b), 2.55 * 2.55 / (255.0 * 255 + 2.55 * 2.55), 1e-12, "black and white");
    assert_near(tt_psnr_bytes(black, white, sizeof black), 0.0, 1e-12, "black and white, PSNR");
}

static void test_planes(void **state)
{
    (void)state;
    float a[2 * 12 * 13], b[2 * 12 * 13];
    double same = 0, one = 0, tenfold = 0;
    tt_error err = {""};
    for (size_t i = 0; i < sizeof a / sizeof *a; i++) {
        a[i] = sinf((float)i);
        b[i] = a[i] + 0.3f * sinf(7.0f * (float)i);
    }
    assert_int_equal(tt_ssim(a, a, 2, 12, 13, 0.0, &same, &err), TT_OK);
    assert_near(same, 1.0, 1e-12, "equal planes without a range");
    assert_int_equal(tt_ssim(a, b, 2, 12, 13, 2.0, &one, &err), TT_OK);
    for (size_t i = 0; i < sizeof a / sizeof *a; i++) {
        a[i] *= 10;
        b[i] *= 10;
    }
    assert_int_equal(tt_ssim(a, b, 2, 12, 13, 20.0, &tenfold, &err), TT_OK);
    assert_near(tenfold, one, 1e-6, "values and range ten times as large");
    assert_true(one < 0.99);
}

static void test_refusals(void **state)
{
    (void)state;
    uint8_t pixels[12] = {0};
    float value = 0;
    double ssim = 0;
    tt_error err = {""};
    const tt_image a = {2, 2, 3, pixels}, narrow = {1, 2, 3, pixels}, grey = {2, 2, 1, pixels}, empty = {2, 2, 3, NULL};
    assert_int_equal(tt_ssim_images(&a, &narrow, &ssim, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_ssim_images(&a, &grey, &ssim, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_ssim_images(&a, &empty, &ssim, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_ssim(&value, &value, 0, 1, 1, 1.0, &ssim, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_ssim(&value, &value, 1, 1, 0, 1.0, &ssim, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "not defined"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relative_error),
        cmocka_unit_test(test_relative_error_far_from_zero),
        cmocka_unit_test(test_relative_error_of_constants),
        cmocka_unit_test(test_relative_error_without_numbers),
        cmocka_unit_test(test_sums_join),
        cmocka_unit_test(test_psnr),
        cmocka_unit_test(test_value_range),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_equal_pictures),
        cmocka_unit_test(test_small_pictures),
        cmocka_unit_test(test_constant_pictures),
        cmocka_unit_test(test_planes),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
