/* test_bad_model.c - hostile, damaged and absurd model files: one sentence each, no picture, no crash. */
#include "tests/support/hostile-checkpoint.h"
#include "tests/support/hostile-safetensors.h"
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_HEADER_FLIPS = 60, N_DATA_FLIPS = 6 };

/* Tries to paint with the model; the picture's folder must stay empty when that fails. */
static bool try_model(const char *model, const char *what, bool must_fail, const char *mention)
{
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    cli_run run = RUN("-m", model, "-p", "a cat", "-W", "16", "-H", "16", "--steps", "1", "-s", "1", "-q", "-o",
                      temp_folder_path(&folder, "a.png", path));
    bool is_fine = !must_fail && assert_fine_or_refused(&run, what);
    if (must_fail)
        assert_refused(&run, 1, mention, what);
    assert_int_equal(temp_folder_count(&folder), is_fine ? 1 : 0);
    if (getenv("TT_TEST_SHOW") != NULL)
        print_message("%-34s %s", what, is_fine ? "(fine)\n" : run.err);
    cli_run_free(&run);
    temp_folder_remove(&folder);
    return is_fine;
}

static void test_safetensors_rules(void **state)
{
    (void)state;
    hostile_file file;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "model.safetensors", path);
    for (size_t i = 0; i < hostile_safetensors_count(); i++) {
        assert_true(hostile_safetensors_make(i, &file));
        temp_folder_write(&folder, "model.safetensors", file.bytes, file.n_bytes);
        cli_run run = RUN("inspect", path);
        assert_refused(&run, 1, file.mention, file.name);
        cli_run_free(&run);
        hostile_safetensors_free(&file);
    }
    temp_folder_remove(&folder);
}

static void test_single_files(void **state)
{
    (void)state;
    hostile_checkpoint made;
    size_t n = 0;
    for (bool more = true; more; n++) {
        temp_folder folder;
        char path[TT_TEMP_PATH];
        temp_folder_make(&folder);
        more = hostile_checkpoint_file(n, &folder, &made);
        if (more)
            (void)try_model(temp_folder_path(&folder, "model.safetensors", path), made.name, true, made.mention);
        temp_folder_remove(&folder);
    }
    assert_true(n > 40);
}

static void test_folders(void **state)
{
    (void)state;
    hostile_checkpoint made;
    size_t n = 0;
    for (bool more = true; more; n++) {
        temp_folder folder;
        temp_folder_make(&folder);
        more = hostile_checkpoint_folder(n, &folder, &made);
        if (more)
            (void)try_model(folder.path, made.name, true, made.mention);
        temp_folder_remove(&folder);
    }
    assert_true(n > 25);
}

static void test_truncated(void **state)
{
    (void)state;
    static const unsigned parts[] = {0, 1, 5, 40, 128, 200, 255};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        temp_folder folder;
        char path[TT_TEMP_PATH], what[32];
        temp_folder_make(&folder);
        hostile_checkpoint_cut(parts[i], &folder);
        (void)snprintf(what, sizeof what, "cut to %u/256", parts[i]);
        (void)try_model(temp_folder_path(&folder, "model.safetensors", path), what, true, NULL);
        temp_folder_remove(&folder);
    }
}

/* A turned bit may be harmless; whatever it does must end well. */
static void test_bit_flips(void **state)
{
    (void)state;
    int n_refused = 0;
    for (uint64_t seed = 0; seed < N_HEADER_FLIPS + N_DATA_FLIPS; seed++) {
        temp_folder folder;
        char path[TT_TEMP_PATH], what[32];
        temp_folder_make(&folder);
        hostile_checkpoint_flip(seed, seed < N_HEADER_FLIPS, &folder);
        (void)snprintf(what, sizeof what, "bit flip %u", (unsigned)seed);
        n_refused += !try_model(temp_folder_path(&folder, "model.safetensors", path), what, false, NULL);
        temp_folder_remove(&folder);
    }
    print_message("%d of %d flips in the header or the tensors were refused\n", n_refused,
                  N_HEADER_FLIPS + N_DATA_FLIPS);
    assert_true(n_refused > N_HEADER_FLIPS / 4);
}

static void test_not_a_model(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    (void)try_model("/nonexistent/model.safetensors", "no such file", true, "/nonexistent/model.safetensors");
    (void)try_model(folder.path, "empty folder", true, folder.path);
    (void)try_model("", "empty name", true, NULL);
    (void)try_model("/dev/null", "a device", true, "/dev/null");
    (void)try_model("/dev/zero", "an endless device", true, "/dev/zero");
    temp_folder_write_text(&folder, "model.ckpt", "PK\x03\x04 archive/data.pkl");
    (void)try_model(temp_folder_path(&folder, "model.ckpt", path), "checkpoint pickle", true, "pickle");
    temp_folder_write_text(&folder, "model_index.json", "{\"_class_name\": \"FluxPipeline\"}");
    (void)try_model(folder.path, "another family", true, NULL);
    temp_folder_remove(&folder);
}

/* One component where a whole model is needed, and the wrong component where another is needed. */
static void test_wrong_part(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    static const char *const wrong[] = {"tests/golden/data/models/sd1/unet", "tests/golden/data/models/sd1/tokenizer",
                                        "README.md", "/nonexistent"};
    (void)try_model("tests/golden/data/models/sd1/vae", "a VAE alone", true, NULL);
    (void)try_model("tests/golden/data/models/taesd_decoder.safetensors", "a decoder alone", true, NULL);
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "a.png", path);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cli_run run = RUN("-m", "tests/golden/data/models/sd1", "-p", "a", "--vae", wrong[i], "-o", path);
        assert_refused(&run, 1, NULL, wrong[i]);
        cli_run_free(&run);
    }
    assert_int_equal(temp_folder_count(&folder), 0);
    temp_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safetensors_rules), cmocka_unit_test(test_single_files),
        cmocka_unit_test(test_folders),           cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_bit_flips),         cmocka_unit_test(test_not_a_model),
        cmocka_unit_test(test_wrong_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
