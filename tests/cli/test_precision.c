/* test_precision.c - --precision as a user meets it: pictures of all forms are alike, and each form repeats its bits.
 */
#include "tests/support/built-in.h"
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"
#include "tintype/tintype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODEL BUILT_IN_MODEL

static temp_folder folder;

static tt_image paint(const char *precision)
{
    char path[TT_TEMP_PATH];
    tt_image image = {0};
    temp_folder_path(&folder, "made.png", path);
    cli_run run = RUN("-m", MODEL, "-p", "a cat on a blue background", "-W", "128", "-H", "128", "--steps", "4", "-s",
                      "42", "--precision", precision, "-q", "-o", path);
    assert_fine(&run, precision);
    cli_run_free(&run);
    tt_context *context = tt_context_create();
    assert_non_null(context);
    assert_int_equal(tt_image_read(context, path, 3, &image), TT_OK);
    tt_context_destroy(context);
    return image;
}

static double psnr(const tt_image *a, const tt_image *b)
{
    size_t n = (size_t)a->width * a->height * 3;
    double square = 0;
    assert_true(a->width == b->width && a->height == b->height);
    for (size_t i = 0; i < n; i++) {
        double difference = (double)a->pixels[i] - b->pixels[i];
        square += difference * difference;
    }
    return square > 0 ? 10 * log10(255.0 * 255.0 * (double)n / square) : 99;
}

/* Few steps of a small picture: measured 60 dB and more for half storage, 45 and more for half products, 37 and more
 * for int8; a broken kernel is near 10. */
static void test_alike(void **state)
{
    (void)state;
    static const char *const forms[] = {"f16", "half", "int8", "auto"};
    static const double least[] = {45, 35, 28, 35};
    tt_image want = paint("f32");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        tt_image got = paint(forms[i]), again = paint(forms[i]);
        double db = psnr(&want, &got);
        print_message("%s: %.1f dB to f32\n", forms[i], db);
        assert_true(db > least[i]);
        assert_memory_equal(got.pixels, again.pixels, (size_t)got.width * got.height * 3);
        tt_image_free(&got);
        tt_image_free(&again);
    }
    tt_image_free(&want);
}

static void test_names(void **state)
{
    (void)state;
    cli_run run = RUN("inspect", MODEL, "--precision", "int8");
    assert_refused(&run, 2, "--precision", "inspect has no device");
    cli_run_free(&run);
    run = RUN("-m", MODEL, "-p", "a cat", "--precision", "int4");
    assert_refused(&run, 2, "int8", "an unknown form");
    cli_run_free(&run);
}

static int setup(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_folder_remove(&folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alike), cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
