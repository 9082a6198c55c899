/* test_prune_structured.c - quantize --prune-structured as a user meets it: smaller files that make pictures. */
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SD1 "tests/golden/data/models/sd1"

static temp_folder folder;

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

static long size_of(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        fail_msg("%s is missing", path);
    return (long)info.st_size;
}

static void paint(const char *model)
{
    char picture[TT_TEMP_PATH];
    cli_run run = RUN("generate", "-m", model, "-p", "an orange cat", "-W", "32", "-H", "24", "--steps", "2", "-s", "1",
                      "-o", temp_folder_path(&folder, "picture.png", picture));
    assert_fine(&run, "generate with a pruned model");
    cli_run_free(&run);
    assert_true(size_of(picture) > 0);
}

static void test_share(void **state)
{
    (void)state;
    char whole[TT_TEMP_PATH], pruned[TT_TEMP_PATH], ranking[TT_TEMP_PATH];
    (void)temp_folder_path(&folder, "whole.gguf", whole);
    (void)temp_folder_path(&folder, "pruned.gguf", pruned);
    (void)temp_folder_path(&folder, "pruned.gguf.pruning.json", ranking);
    cli_run run = RUN("quantize", SD1, "-o", whole, "--type", "f16");
    assert_fine(&run, "quantize");
    cli_run_free(&run);
    run = RUN("quantize", SD1, "-o", pruned, "--type", "f16", "--prune-structured", "0.2");
    assert_fine(&run, "quantize --prune-structured 0.2");
    assert_non_null(strstr(run.out, "cheapest parts of the UNet"));
    assert_non_null(strstr(run.out, "left out"));
    assert_non_null(strstr(run.out, "its output    changed by"));
    cli_run_free(&run);
    assert_true((double)size_of(pruned) < 0.92 * (double)size_of(whole));
    assert_true(size_of(ranking) > 0);
    paint(pruned);
}

/* With a type of blocks in the same call, and as JSON. */
static void test_names(void **state)
{
    (void)state;
    char path[TT_TEMP_PATH];
    (void)temp_folder_path(&folder, "names.gguf", path);
    cli_run run = RUN("quantize", SD1, "-o", path, "--type", "q8_0", "--prune-structured",
                      "mid_block.resnets.1,up_blocks.1.attentions.0.transformer_blocks.0.attn2:3", "--json");
    assert_fine(&run, "quantize --prune-structured NAMES");
    assert_non_null(strstr(run.out, "\"unet_parameters_out\": "));
    assert_non_null(strstr(run.out, "\"structure_change\": "));
    cli_run_free(&run);
    paint(path);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"1.5", "share"},
                                           {"0", "share"},
                                           {"conv_in", "conv_in"},
                                           {"mid_block.attentions.0.transformer_blocks.0.attn1", "heads"}};
    char path[TT_TEMP_PATH];
    (void)temp_folder_path(&folder, "refused.gguf", path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_run run = RUN("quantize", SD1, "-o", path, "--type", "f16", "--prune-structured", cases[i][0]);
        assert_refused(&run, 1, cases[i][1], cases[i][0]);
        cli_run_free(&run);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
