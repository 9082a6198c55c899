/* test_bad_model.c - hostile, damaged and absurd model files: one sentence each, no picture, no crash. */
#include "tests/support/hostile-checkpoint.h"
#include "tests/support/hostile-gguf.h"
#include "tests/support/hostile-safetensors.h"
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"

#include "tintype/tintype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_HEADER_FLIPS = 60, N_DATA_FLIPS = 6 };

/* Tries to paint with the model, which brings a tokenizer; the picture's folder must stay empty when that fails. */
static void refuse_painting(const char *model, const char *what, const char *mention)
{
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    cli_run run = RUN("-m", model, "-p", "a cat", "-W", "16", "-H", "16", "--steps", "1", "-s", "1", "-q", "-o",
                      temp_folder_path(&folder, "a.png", path));
    if (getenv("TT_TEST_SHOW") != NULL)
        print_message("%-34s %s", what, run.err);
    assert_refused(&run, 1, mention, what);
    assert_int_equal(temp_folder_count(&folder), 0);
    cli_run_free(&run);
    temp_folder_remove(&folder);
}

/* Sound inputs of the three stages that together touch every tensor. */
typedef struct inputs {
    temp_folder folder;
    char text[TT_TEMP_PATH], unet[TT_TEMP_PATH], latent[TT_TEMP_PATH];
} inputs;

static void add_zeros(tt_context *context, tt_arrays *arrays, const char *name, tt_array_type type, uint32_t n_dims,
                      const uint64_t *dims)
{
    void *zeros = calloc(8192, 4);
    assert_non_null(zeros);
    assert_int_equal(tt_arrays_add(context, arrays, name, type, n_dims, dims, zeros), TT_OK);
    free(zeros);
}

static void write_arrays(tt_context *context, const char *path, tt_arrays *arrays)
{
    assert_int_equal(tt_arrays_write(context, path, arrays), TT_OK);
    tt_arrays_free(arrays);
}

static int make_inputs(void **state)
{
    inputs *in = calloc(1, sizeof *in);
    tt_context *context = tt_context_create();
    tt_arrays arrays = {0};
    assert_non_null(in);
    assert_non_null(context);
    temp_folder_make(&in->folder);
    add_zeros(context, &arrays, "input_ids", TT_ARRAY_I32, 2, (const uint64_t[]){1, 77});
    write_arrays(context, temp_folder_path(&in->folder, "text.safetensors", in->text), &arrays);
    add_zeros(context, &arrays, "sample", TT_ARRAY_F32, 4, (const uint64_t[]){1, 4, 8, 8});
    add_zeros(context, &arrays, "timestep", TT_ARRAY_F32, 1, (const uint64_t[]){1});
    add_zeros(context, &arrays, "encoder_hidden_states", TT_ARRAY_F32, 3, (const uint64_t[]){1, 77, 32});
    write_arrays(context, temp_folder_path(&in->folder, "unet.safetensors", in->unet), &arrays);
    add_zeros(context, &arrays, "latent", TT_ARRAY_F32, 4, (const uint64_t[]){1, 4, 8, 8});
    write_arrays(context, temp_folder_path(&in->folder, "latent.safetensors", in->latent), &arrays);
    tt_context_destroy(context);
    *state = in;
    return 0;
}

static int remove_inputs(void **state)
{
    inputs *in = *state;
    temp_folder_remove(&in->folder);
    free(in);
    return 0;
}

/* True when the stage went well; else it ended with one sentence and without an output file. */
static bool try_stage(const char *stage, const char *input, const char *model, const char *what, const char *mention)
{
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    cli_run run = RUN("stage", stage, "-m", model, "--input", input, "--output",
                      temp_folder_path(&folder, "out.safetensors", path));
    bool is_fine = assert_fine_or_refused(&run, what);
    assert_int_equal(temp_folder_count(&folder), is_fine ? 1 : 0);
    if (!is_fine && getenv("TT_TEST_SHOW") != NULL)
        print_message("%-34s %s", what, run.err);
    if (!is_fine)
        assert_refused(&run, 1, mention, what);
    cli_run_free(&run);
    temp_folder_remove(&folder);
    return is_fine;
}

/* Single files bring no tokenizer, so they are tried stage by stage. True when every stage works. */
static bool try_stages(const inputs *in, const temp_folder *folder, const char *what, const char *mention)
{
    char model[TT_TEMP_PATH];
    (void)temp_folder_path(folder, "model.safetensors", model);
    return try_stage("text", in->text, model, what, mention) && try_stage("unet", in->unet, model, what, mention) &&
           try_stage("vae-decode", in->latent, model, what, mention);
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
        assert_refused(&run, 1, file.n_bytes == 0 ? "empty" : file.mention, file.name);
        cli_run_free(&run);
        hostile_safetensors_free(&file);
    }
    temp_folder_remove(&folder);
}

static void test_gguf_rules(void **state)
{
    (void)state;
    hostile_file file;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "model.gguf", path);
    for (size_t i = 0; i < hostile_gguf_count(); i++) {
        assert_true(hostile_gguf_make(i, &file));
        temp_folder_write(&folder, "model.gguf", file.bytes, file.n_bytes);
        cli_run run = RUN("inspect", path);
        assert_refused(&run, 1, file.mention, file.name);
        cli_run_free(&run);
        hostile_safetensors_free(&file);
    }
    temp_folder_remove(&folder);
}

static void test_single_files(void **state)
{
    hostile_checkpoint made;
    size_t n = 0;
    for (bool more = true; more; n++) {
        temp_folder folder;
        temp_folder_make(&folder);
        more = hostile_checkpoint_file(n, &folder, &made);
        if (more && try_stages(*state, &folder, made.name, made.mention))
            fail_msg("%s was accepted", made.name);
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
            refuse_painting(folder.path, made.name, made.mention);
        temp_folder_remove(&folder);
    }
    assert_true(n > 25);
}

static void test_truncated(void **state)
{
    static const unsigned parts[] = {0, 1, 5, 40, 128, 200, 255};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        temp_folder folder;
        char what[32];
        temp_folder_make(&folder);
        hostile_checkpoint_cut(parts[i], &folder);
        (void)snprintf(what, sizeof what, "cut to %u/256", parts[i]);
        assert_false(try_stages(*state, &folder, what, NULL));
        temp_folder_remove(&folder);
    }
}

/* A turned bit may be harmless; whatever it does must end well. */
static void test_bit_flips(void **state)
{
    int n_refused = 0;
    for (uint64_t seed = 0; seed < N_HEADER_FLIPS + N_DATA_FLIPS; seed++) {
        temp_folder folder;
        char what[32];
        temp_folder_make(&folder);
        hostile_checkpoint_flip(seed, seed < N_HEADER_FLIPS, &folder);
        (void)snprintf(what, sizeof what, "bit flip %u", (unsigned)seed);
        n_refused += !try_stages(*state, &folder, what, NULL);
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
    refuse_painting("/nonexistent/model.safetensors", "no such file", "/nonexistent/model.safetensors");
    refuse_painting(folder.path, "empty folder", folder.path);
    refuse_painting("", "empty name", NULL);
    refuse_painting("/dev/null", "a device", "/dev/null");
    refuse_painting("/dev/zero", "an endless device", "/dev/zero");
    temp_folder_write_text(&folder, "model.ckpt", "PK\x03\x04 archive/data.pkl");
    refuse_painting(temp_folder_path(&folder, "model.ckpt", path), "checkpoint pickle", "pickle");
    temp_folder_write_text(&folder, "model_index.json", "{\"_class_name\": \"FluxPipeline\"}");
    refuse_painting(folder.path, "another family", NULL);
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
    refuse_painting("tests/golden/data/models/sd1/vae", "a VAE alone", NULL);
    refuse_painting("tests/golden/data/models/taesd_decoder.safetensors", "a decoder alone", NULL);
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
        cmocka_unit_test(test_safetensors_rules), cmocka_unit_test(test_gguf_rules),
        cmocka_unit_test(test_single_files),      cmocka_unit_test(test_folders),
        cmocka_unit_test(test_truncated),         cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_not_a_model),       cmocka_unit_test(test_wrong_part),
    };
    return cmocka_run_group_tests(tests, make_inputs, remove_inputs);
}
