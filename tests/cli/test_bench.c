/* test_bench.c - `tintype bench` and the predictions of `tintype plan --device-profile`. */
#include "tests/support/run-cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define SD1 "tests/golden/data/models/sd1"
#define SMALL "-m", SD1, "-W", "32", "-H", "24", "--steps", "2", "--passes", "2"

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        fail_msg("no number %s", key);
    return json_number_value(value);
}

/* A part's launches are those of its kernels, and all took time. */
static void check_part(const json_t *root, const char *name)
{
    const json_t *part = json_object_get(root, name), *kernels = json_object_get(part, "kernels");
    double launches = 0;
    assert_true(number(part, "best_ms") > 0 && number(part, "median_ms") >= number(part, "best_ms"));
    assert_true(number(part, "first_ms") > 0 && number(part, "weight_bytes") > 0);
    assert_true(json_array_size(kernels) > 1);
    for (size_t i = 0; i < json_array_size(kernels); i++) {
        const json_t *kernel = json_array_get(kernels, i);
        launches += number(kernel, "launches");
        assert_true(number(kernel, "ms") > 0 && number(kernel, "bytes") >= 0);
    }
    assert_true(launches == number(part, "launches"));
}

static void check_peaks(const json_t *root)
{
    const json_t *peaks = json_object_get(root, "peaks");
    assert_true(number(peaks, "float_flops") > 1e6 && number(peaks, "read_bytes") > 1e6);
}

static void test_whole(void **state)
{
    (void)state;
    json_t *root = expect_json(RUN("bench", SMALL, "-b", "3", "--json"), "bench");
    assert_string_equal(json_string_value(json_object_get(root, "schema")), "tintype-bench/1");
    const json_t *pictures = json_object_get(root, "pictures");
    assert_int_equal(json_array_size(pictures), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *picture = json_array_get(pictures, i);
        assert_true(number(picture, "total_ms") >= number(picture, "denoise_ms"));
        assert_true(number(picture, "unet_calls") >= 2);
    }
    assert_true(json_is_array(json_object_get(root, "choices")));
    assert_true(json_is_array(json_object_get(root, "disabled")));
    const json_t *cold = json_object_get(root, "cold_start"), *warm = json_object_get(root, "warm_start");
    assert_true(number(cold, "first_step_ms") > 0 && number(warm, "first_step_ms") > 0);
    const json_t *stored = json_object_get(root, "stored_start"); /* where the driver makes binaries slowly */
    assert_true(!stored || number(stored, "first_step_ms") > 0);
    assert_true(number(cold, "peak_bytes") > 1e6 && number(root, "peak_bytes") > 1e6);
    check_peaks(root);
    check_part(root, "text_encoder");
    check_part(root, "unet");
    check_part(root, "vae_decoder");
    json_decref(root);
}

static void test_components(void **state)
{
    (void)state;
    json_t *root = expect_json(RUN("bench", SMALL, "--components", "--json"), "components");
    assert_int_equal(json_array_size(json_object_get(root, "pictures")), 0);
    assert_null(json_object_get(root, "cold_start"));
    check_part(root, "unet");
    json_decref(root);
    cli_run run = RUN("bench", SMALL, "--components");
    assert_fine(&run, "components for people");
    assert_non_null(strstr(run.out, "of the roofline"));
    assert_non_null(strstr(run.out, "VAE decoder"));
    cli_run_free(&run);
}

static void test_refusals(void **state)
{
    (void)state;
    expect_refused(RUN("bench", "-m", SD1, "--mlperf", "--steps", "4"), 2, "--mlperf fixes");
    expect_refused(RUN("bench", "-m", SD1, "--components", "-W", "33", "-H", "24"), 1, "multiple");
    expect_refused(RUN("bench", "-m", "/no/such/model"), 1, "/no/such/model");
    expect_refused(RUN("bench", "-m", SD1, "--passes", "0"), 2, "--passes");
}

/* More of the peak is less time, and the time is that of the counted work. */
static void test_predictions(void **state)
{
    (void)state;
    json_t *root = expect_json(
        RUN("plan", "-m", SD1, "-W", "64", "-H", "64", "--device-profile", "Adreno 740", "--json"), "a prediction");
    const json_t *list = json_object_get(root, "predictions");
    assert_true(json_is_true(json_object_get(root, "is_prediction")));
    assert_true(json_array_size(list) >= 2);
    for (size_t i = 1; i < json_array_size(list); i++) {
        const json_t *before = json_array_get(list, i - 1), *now = json_array_get(list, i);
        assert_true(number(now, "share_of_peak") > number(before, "share_of_peak"));
        assert_true(number(now, "seconds") <= number(before, "seconds") && number(now, "unet_seconds") > 0);
    }
    json_decref(root);
    cli_run run = RUN("plan", "-m", SD1, "--device-profile", "malig78mp14");
    assert_fine(&run, "for people");
    assert_non_null(strstr(run.out, "counted and not measured"));
    cli_run_free(&run);
    expect_refused(RUN("plan", "-m", SD1, "--device-profile", "adreno"), 1, "adreno740");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_components),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_predictions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
