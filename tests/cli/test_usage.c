/* test_usage.c - help, version, wrong command lines, and the commands that only print. */
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"

#include "tintype/tintype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define SD1 "tests/golden/data/models/sd1"

static void expect_usage(cli_run run, const char *mention)
{
    expect_refused(run, 2, mention);
}

static void test_help(void **state)
{
    (void)state;
    static const char *const commands[] = {"generate", "devices", "samplers", "inspect", "stage", "compare"};
    expect_out(RUN("help"), "Exit codes");
    expect_out(RUN("--help"), "Commands");
    expect_out(RUN("-h"), "Commands");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        expect_out(RUN("help", commands[i]), "--help");
        expect_out(RUN(commands[i], "--help"), "Options:");
    }
    expect_out(RUN("help", "generate"), "--cfg-scale");
    expect_out(RUN("help", "stage"), "vae-decode");
}

static void test_version(void **state)
{
    char wanted[64];
    (void)state;
    (void)snprintf(wanted, sizeof wanted, "tintype %s\n", tt_version());
    cli_run run = RUN("--version");
    assert_fine(&run, "--version");
    assert_string_equal(run.out, wanted);
    cli_run_free(&run);
}

static void test_unknown_names(void **state)
{
    (void)state;
    expect_usage(RUN("-p", "a", "--stepz", "3"), "--steps");
    expect_usage(RUN("generate", "--negative-promt", "x"), "--negative-prompt");
    expect_usage(RUN("--sampling-metod=euler"), "--sampling-method");
    expect_usage(RUN("devices", "--steps", "3"), "devices knows no option --steps");
    expect_usage(RUN("-Z"), "-Z");
    expect_usage(RUN("--xyzzyxyzzy"), "knows no option");
    expect_usage(RUN("genrate"), "did you mean generate");
    expect_usage(RUN("a cat on a chair"), "-p");
    expect_usage(RUN("generate", "a cat"), "-p");
    expect_usage(RUN("help", "devises"), "devices");
    expect_usage(RUN("stage", "vae-decod"), "did you mean vae-decode");
    expect_usage(RUN("stage", "--input", "x"), "needs a STAGE");
    expect_usage(RUN("inspect"), "FILE");
    expect_usage(RUN("inspect", "a.png", "b.png"), "b.png");
}

static void test_wrong_values(void **state)
{
    static const char *const wrong[][2] = {
        {"--steps", "0"},           {"--steps", "-3"},
        {"--steps", "3x"},          {"--steps", ""},
        {"--steps", "1e3"},         {"--steps", "4294967296"},
        {"--width", "64.0"},        {"--height", "0x40"},
        {"--seed", "1.5"},          {"--seed", "99999999999999999999"},
        {"--cfg-scale", "nan"},     {"--cfg-scale", "inf"},
        {"--cfg-scale", "7,5"},     {"--cfg-scale", "-1"},
        {"--strength", "1.01"},     {"--eta", "0x1p-1"},
        {"--batch-count", "0"},     {"--clip-skip", "0"},
        {"--rng", "gpu"},           {"--rng", ""},
        {"--precision", "q9"},      {"--type", "f"},
        {"--precision", "f32|f16"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        expect_usage(RUN("-p", "a", wrong[i][0], wrong[i][1]), "takes");
    expect_usage(RUN("stage", "denoise", "--crop", "3"), "T,L");
    expect_usage(RUN("stage", "denoise", "--target-size", "12x"), "HxW");
    expect_usage(RUN("stage", "denoise", "--original-size", "-1x5"), "HxW");
    expect_usage(RUN("stage", "text", "--encoder", "3"), "--encoder");
    expect_usage(RUN("-p"), "needs a value");
    expect_usage(RUN("-p", "a", "--quiet=yes"), "takes no value");
}

static void test_missing_options(void **state)
{
    (void)state;
    expect_usage(RUN("-m", SD1), "there is no prompt");
    expect_usage(RUN("generate"), "there is no prompt");
    cli_run empty = run_cli_with(NULL, (const char *const[]){NULL});
    assert_refused(&empty, 2, "there is no prompt", "no arguments");
    cli_run_free(&empty);
    expect_usage(RUN("-p", "a", "--mask", "m.png"), "-i");
    expect_usage(RUN("-p", "a", "--vae", "a", "--taesd", "b"), "--taesd");
    expect_usage(RUN("-p", "a", "-o", "a.jpg"), ".png");
    expect_usage(RUN("-p", "a", "--fast", "-m", SD1), "--fast");
    expect_usage(RUN("-p", "a", "--aigc-producer", "\xc3\xa4"), "ASCII");
    expect_usage(RUN("stage", "text", "-m", SD1), "--input");
    expect_usage(RUN("stage", "tokenize", "-m", SD1), "-p");
    expect_usage(RUN("stage", "sample", "--input", "a", "--output", "b"), "--scheduler-config");
    expect_usage(RUN("stage", "denoise", "--input", "a", "--output", "b"), "-p");
}

static void test_devices(void **state)
{
    (void)state;
    expect_out(RUN("devices"), "kernels");
    cli_run run = RUN("devices", "--json");
    assert_fine(&run, "devices --json");
    json_t *devices = json_loads(run.out, 0, NULL);
    assert_true(json_array_size(devices) >= 1);
    const json_t *first = json_array_get(devices, 0);
    assert_string_equal(json_string_value(json_object_get(first, "id")), "0");
    assert_true(json_integer_value(json_object_get(first, "global_bytes")) > 0);
    assert_true(json_is_boolean(json_object_get(first, "has_fp16")));
    json_decref(devices);
    cli_run_free(&run);
}

static void test_samplers(void **state)
{
    (void)state;
    expect_out(RUN("samplers"), "euler_a\n");
    cli_run run = RUN("samplers", "--json");
    assert_fine(&run, "samplers --json");
    json_t *names = json_loads(run.out, 0, NULL);
    assert_true(json_array_size(names) >= 10);
    json_decref(names);
    cli_run_free(&run);
}

static void test_inspect_model(void **state)
{
    (void)state;
    expect_out(RUN("inspect", SD1), "sd1");
    cli_run run = RUN("inspect", "--json", SD1 ".safetensors");
    assert_fine(&run, "inspect model");
    json_t *model = json_loads(run.out, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(model, "family")), "sd1");
    assert_string_equal(json_string_value(json_object_get(model, "prediction_type")), "epsilon");
    assert_int_equal(strlen(json_string_value(json_object_get(model, "hash"))), 10);
    assert_true(json_integer_value(json_object_get(model, "n_ignored_tensors")) > 0);
    json_decref(model);
    cli_run_free(&run);
}

/* A full disk behind stdout must not look like success. */
static void test_full_stdout(void **state)
{
    (void)state;
    FILE *full = fopen("/dev/full", "w");
    if (full == NULL) {
        print_message("skipped: this system has no /dev/full\n");
        skip();
    }
    (void)fclose(full);
    temp_folder folder;
    char path[TT_TEMP_PATH], script[3 * TT_TEMP_PATH];
    temp_folder_make(&folder);
    temp_folder_write_text(&folder, "run.sh", "\"$TT_TEST_CLI\" samplers > /dev/full 2> /dev/null; test $? -eq 1\n");
    (void)snprintf(script, sizeof script, "sh %s", temp_folder_path(&folder, "run.sh", path));
    assert_int_equal(system(script), 0);
    temp_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_missing_options),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_samplers),
        cmocka_unit_test(test_inspect_model),
        cmocka_unit_test(test_full_stdout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
