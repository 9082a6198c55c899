/* test_savers.c - step savers as a user meets them: options, refusals, what the picture and the plan say. */
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

#define SD1 "tests/golden/data/models/sd1"
#define PLANNED "-m", SD1, "-p", "a cat", "-W", "32", "-H", "24", "--steps", "4", "--sampler", "euler"
#define SMALL PLANNED, "-s", "5"

static temp_folder folder;
static char first[TT_TEMP_PATH], second[TT_TEMP_PATH];

static int set_up(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "a.png", first);
    (void)temp_folder_path(&folder, "b.png", second);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_folder_remove(&folder);
    return 0;
}

static void fine(cli_run run, const char *what)
{
    assert_fine(&run, what);
    cli_run_free(&run);
}

/* The two pictures are the same file: pixels and settings. */
static bool same_files(void)
{
    enum { MOST = 1 << 16 };
    char *bytes[2] = {calloc(1, MOST), calloc(1, MOST)};
    size_t n[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        FILE *stream = fopen(i ? second : first, "rb");
        assert_non_null(bytes[i]);
        assert_non_null(stream);
        n[i] = fread(bytes[i], 1, MOST, stream);
        (void)fclose(stream);
    }
    bool same = n[0] > 0 && n[0] == n[1] && memcmp(bytes[0], bytes[1], n[0]) == 0;
    free(bytes[0]);
    free(bytes[1]);
    return same;
}

/* The value of a name in the settings that `inspect` shows. */
static char *setting(const char *name, char value[32])
{
    char key[64];
    cli_run run = RUN("inspect", first);
    assert_fine(&run, "inspect");
    (void)snprintf(key, sizeof key, ", %s: ", name);
    const char *at = strstr(run.out, key);
    if (at == NULL)
        fail_msg("no \"%s\" in: %s", key, run.out);
    at += strlen(key);
    (void)snprintf(value, 32, "%.*s", (int)strcspn(at, ",\n"), at);
    cli_run_free(&run);
    return value;
}

/* A picture is made again from what its file says. */
static void test_round_trip(void **state)
{
    (void)state;
    char start[32], stop[32], interval[32], depth[32], levels[32];
    fine(RUN(SMALL, "-q", "-o", first, "--cfg-start", "0.25", "--cfg-stop", "0.7", "--reuse", "2", "--kv-downsample",
             "1"),
         "generate");
    fine(RUN(SMALL, "-q", "-o", second, "--cfg-start", setting("CFG start", start), "--cfg-stop",
             setting("CFG stop", stop), "--reuse", setting("Reuse interval", interval), "--reuse-depth",
             setting("Reuse depth", depth), "--kv-downsample", setting("KV downsample", levels)),
         "generate again");
    assert_string_equal(stop, "0.7");
    assert_true(same_files());
}

/* Values that mean off leave no trace: the same file as without them. */
static void test_off(void **state)
{
    (void)state;
    fine(RUN(SMALL, "-q", "-o", first), "generate");
    fine(RUN(SMALL, "-q", "-o", second, "--cfg-start", "0", "--cfg-stop", "1", "--reuse", "1", "--kv-downsample", "0"),
         "generate, all off");
    assert_true(same_files());
    fine(RUN(SMALL, "-q", "-o", second, "--reuse", "2"), "generate, reuse");
    assert_false(same_files());
}

static void test_refusals(void **state)
{
    (void)state;
    size_t n_files = temp_folder_count(&folder);
    expect_refused(RUN(SMALL, "-o", first, "--cfg-stop", "1.5"), 2,
                   "--cfg-stop takes a number from 0.001 to 1, not \"1.5\"");
    expect_refused(RUN(SMALL, "-o", first, "--cfg-start", "nan"), 2, "--cfg-start takes a number");
    expect_refused(RUN(SMALL, "-o", first, "--cfg-start", "0.6", "--cfg-stop", "0.4"), 1,
                   "guidance from 0.6 to 0.4 of the steps leaves none");
    expect_refused(RUN(SMALL, "-o", first, "--reuse", "0"), 2, "--reuse takes a whole number from 1 to 100, not \"0\"");
    expect_refused(RUN(SMALL, "-o", first, "--reuse", "x"), 2, "--reuse takes a whole number");
    expect_refused(RUN(SMALL, "-o", first, "--reuse", "2", "--reuse-depth", "60"), 1, "a reuse depth of 60");
    expect_refused(RUN(SMALL, "-o", first, "--reuse-depth", "1"), 2, "add --reuse N");
    expect_refused(RUN(SMALL, "-o", first, "--kv-downsample", "9"), 2,
                   "--kv-downsample takes a whole number from 0 to 8");
    assert_int_equal(temp_folder_count(&folder), n_files);
}

static double unet_flops(cli_run run)
{
    json_t *root = expect_json(run, "plan --json");
    double flops = json_number_value(json_object_get(json_object_get(root, "unet"), "flops"));
    json_decref(root);
    return flops;
}

static void test_plan(void **state)
{
    (void)state;
    double plain = unet_flops(RUN("plan", PLANNED, "--json"));
    double half = unet_flops(RUN("plan", PLANNED, "--json", "--cfg-stop", "0.5"));
    assert_true(plain > 0 && half > 0.74 * plain && half < 0.76 * plain);
    assert_true(unet_flops(RUN("plan", PLANNED, "--json", "--reuse", "2")) < plain);
    assert_true(unet_flops(RUN("plan", PLANNED, "--json", "--kv-downsample", "1")) < plain);
}

static void test_help(void **state)
{
    (void)state;
    static const char *const options[] = {"--cfg-start X", "--cfg-stop X", "--reuse N", "--reuse-depth N",
                                          "--kv-downsample N"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        expect_out(RUN("help", "generate"), options[i]);
        expect_out(RUN("help", "plan"), options[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_off),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_plan),       cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
