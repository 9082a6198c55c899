/* test_plan.c - `tintype plan` and --memory-budget as a user meets them. */
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define MODELS "tests/golden/data/models/"
#define SD1 MODELS "sd1"

static double number(const json_t *root, const char *part, const char *key)
{
    const json_t *object = part ? json_object_get(root, part) : root, *value = json_object_get(object, key);
    if (!json_is_number(value))
        fail_msg("no number %s.%s", part ? part : "", key);
    return json_number_value(value);
}

static void test_text(void **state)
{
    (void)state;
    expect_out(RUN("plan", "-m", SD1, "-W", "32", "-H", "24"), "picture       32x24");
    expect_out(RUN("plan", "-m", SD1), "resident");
    expect_out(RUN("plan", "-m", SD1), "expected");
    expect_out(RUN("plan", "-m", SD1, "--vae-tiling", "-W", "256", "-H", "32"), "tiles of 64 x 64");
    expect_out(RUN("help", "plan"), "--memory-budget SIZE");
    expect_out(RUN("help", "generate"), "--memory-budget SIZE");
}

static void test_json(void **state)
{
    (void)state;
    json_t *root = expect_json(
        RUN("plan", "-m", SD1, "-W", "32", "-H", "24", "--steps", "5", "--sampler", "euler", "--json"), "plan --json");
    assert_string_equal(json_string_value(json_object_get(root, "mode")), "resident");
    assert_true(json_is_true(json_object_get(root, "fits")));
    assert_int_equal((int)number(root, NULL, "n_unet_calls"), 5);
    assert_true(number(root, NULL, "peak_bytes") ==
                number(root, NULL, "device_bytes") + number(root, NULL, "host_bytes") +
                    number(root, NULL, "program_bytes") + number(root, NULL, "base_bytes"));
    assert_true(number(root, "unet", "weight_bytes") > 0 && number(root, "unet", "flops") > 0);
    assert_true(number(root, "vae_encoder", "n_passes") == 0);
    assert_true(number(root, NULL, "seconds") > 0);
    double flops = number(root, "unet", "flops");
    json_decref(root);
    /* A method of two calls a step, no guidance: half the work a call, twice the calls (less one). */
    root = expect_json(RUN("plan", "-m", SD1, "-W", "32", "-H", "24", "--steps", "5", "--sampler", "heun",
                           "--cfg-scale", "1", "-b", "2", "--json"),
                       "plan --json");
    assert_int_equal((int)number(root, NULL, "n_unet_calls"), 2 * 9);
    assert_true(number(root, "unet", "flops") < 0.51 * flops);
    json_decref(root);
}

static void test_start_picture(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "a.png", path);
    cli_run run = RUN("-m", SD1, "-p", "x", "-W", "32", "-H", "24", "--steps", "1", "-q", "-o", path);
    assert_fine(&run, "generate");
    cli_run_free(&run);
    json_t *root = expect_json(
        RUN("plan", "-m", SD1, "-i", path, "--strength", "0.5", "--steps", "4", "--sampler", "euler", "--json"),
        "plan --json");
    assert_int_equal((int)number(root, NULL, "width"), 32);
    assert_int_equal((int)number(root, NULL, "n_unet_calls"), 2);
    assert_true(number(root, "vae_encoder", "n_passes") == 1 && number(root, "vae_encoder", "weight_bytes") > 0);
    assert_true(number(root, "phase_bytes", "encode") > 0);
    json_decref(root);
    temp_folder_remove(&folder);
}

static void test_budget(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "a.png", path);
    expect_refused(RUN("-m", SD1, "-p", "x", "--memory-budget", "3MB", "-o", path), 1, "ways to fit: ");
    assert_int_equal(temp_folder_count(&folder), 0);
    cli_run run = RUN("plan", "-m", SD1, "--memory-budget", "3MB");
    assert_int_equal(run.code, 1);
    assert_non_null(strstr(run.out, "budget 3.0 MB"));
    assert_non_null(strstr(run.err, "but the memory budget is 3 MB"));
    cli_run_free(&run);
    run = RUN("-m", SD1, "-p", "x", "-W", "32", "-H", "24", "--steps", "1", "--memory-budget", "100GiB", "-o", path);
    assert_fine(&run, "a wide budget");
    assert_non_null(strstr(run.out, "memory at most"));
    assert_non_null(strstr(run.out, "forecast"));
    assert_non_null(strstr(run.out, "resident"));
    cli_run_free(&run);
    temp_folder_remove(&folder);
}

static void test_units(void **state)
{
    (void)state;
    static const char *const bad[] = {"",       "900",   "MB",
                                      "-1MB",   "0MB",   "900 MB",
                                      "900mb",  "900M",  "1e3MB",
                                      "1..5MB", "0.1B",  "900MBx",
                                      "nanMB",  "infGB", "99999999999GB",
                                      "0x10MB", "1,5GB", "1234567890123456789012345678901234567890B"};
    static const struct {
        const char *text;
        double bytes;
    } good[] = {{"900MB", 900e6},     {"1.5GiB", 1610612736.0}, {"123456789B", 123456789}, {"350000KB", 350e6},
                {"2048KiB", 2097152}, {"640MiB", 671088640},    {"0.5GB", 500e6}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refused(RUN("plan", "-m", SD1, "--memory-budget", bad[i]), 2, "a size with its unit");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        json_error_t error;
        cli_run run = RUN("plan", "-m", SD1, "--json", "--memory-budget", good[i].text);
        json_t *root = json_loads(run.out, 0, &error);
        assert_non_null(root);
        assert_true(number(root, NULL, "budget_bytes") == good[i].bytes);
        json_decref(root);
        cli_run_free(&run);
    }
}

static void test_usage(void **state)
{
    (void)state;
    expect_refused(RUN("plan", "--mask", "x.png"), 2, "--mask needs the picture");
    expect_refused(RUN("plan", "--vae", "x", "--taesd", "y"), 2, "give one of them");
    expect_refused(RUN("plan", "-o", "x.png"), 2, "knows no option");
    expect_refused(RUN("plan", "-m", "/nowhere/model"), 1, "/nowhere/model");
    expect_refused(RUN("plan", "-m", SD1, "-W", "33"), 1, "multiples of");
    expect_refused(RUN("plan", "-m", SD1, "--device", "nonesuch"), 1, "nonesuch");
    expect_refused(RUN("stage", "unet", "--memory-budget", "1GB"), 2, "knows no option");
}

/* The built-in models say their own settings, and --fast does not care which model the environment names. */
static void test_built_in(void **state)
{
    (void)state;
    const char *const elsewhere[] = {"TINTYPE_MODEL=" SD1, NULL}, *const nowhere[] = {"TINTYPE_MODEL=", NULL};
    json_t *mini = expect_json(run_cli_with(nowhere, (const char *const[]){"plan", "--json", NULL}), "plan");
    json_t *fast =
        expect_json(run_cli_with(elsewhere, (const char *const[]){"plan", "--fast", "--json", NULL}), "--fast");
    assert_int_equal((int)number(mini, NULL, "n_unet_calls"), 20);
    assert_int_equal((int)number(fast, NULL, "n_unet_calls"), 4);
    /* The same network, once a step instead of twice. */
    assert_true(number(fast, "unet", "weight_bytes") == number(mini, "unet", "weight_bytes"));
    assert_true(number(fast, "unet", "flops") < 0.51 * number(mini, "unet", "flops"));
    json_decref(mini);
    json_decref(fast);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),          cmocka_unit_test(test_json),   cmocka_unit_test(test_built_in),
        cmocka_unit_test(test_start_picture), cmocka_unit_test(test_budget), cmocka_unit_test(test_units),
        cmocka_unit_test(test_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
