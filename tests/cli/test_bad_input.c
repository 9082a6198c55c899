/* test_bad_input.c - prompts, sizes, pictures, configurations, devices and folders that cannot work: one sentence each,
 * a non-zero exit code, no file. */
#include "tests/support/hostile-safetensors.h"
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"

#include "tintype/tintype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SD1 "tests/golden/data/models/sd1"
#define CORPUS "tests/fuzz/corpus/image/"

enum { MAX_LINE = 40, PROMPT_BYTES = 100 * 1024 };

typedef struct place {
    temp_folder folder;
    char path[TT_TEMP_PATH]; /* the picture that must not be written */
} place;

static int setup(void **state)
{
    place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    temp_folder_make(&p->folder);
    (void)temp_folder_path(&p->folder, "a.png", p->path);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    place *p = *state;
    temp_folder_remove(&p->folder);
    free(p);
    return 0;
}

/* A small request with more options; later options win. */
static cli_run paint(const place *p, const char *const *environment, const char *const *more)
{
    const char *line[MAX_LINE] = {"-m", SD1,       "-p", "a cat", "-W", "16",   "-H",
                                  "16", "--steps", "1",  "-q",    "-o", p->path};
    size_t n = 13;
    for (; *more != NULL && n < MAX_LINE - 1; more++)
        line[n++] = *more;
    cli_run run = run_cli_with(environment, line);
    if (getenv("TT_TEST_SHOW") != NULL)
        print_message("%.300s%s", run.err, strlen(run.err) > 300 ? "\n" : "");
    return run;
}

#define PAINT(p, ...) paint((p), NULL, (const char *const[]){__VA_ARGS__, NULL})

/* Refused with a sentence that mentions something, and n_files in the folder as before. */
static void refused(const place *p, cli_run run, const char *mention, size_t n_files)
{
    assert_refused(&run, 1, mention, mention);
    assert_int_equal(temp_folder_count(&p->folder), n_files);
    cli_run_free(&run);
}

static void accepted(const place *p, cli_run run, const char *what)
{
    assert_fine(&run, what);
    assert_int_equal(access(p->path, F_OK), 0);
    assert_int_equal(unlink(p->path), 0);
    cli_run_free(&run);
}

/* ---- prompts */

static void test_utf8(void **state)
{
    static const char *const invalid[] = {"cat \xff",         "\xc3",  "\xe7\x8c", "\xc0\x80", "\xed\xa0\x80",
                                          "\xf5\x80\x80\x80", "a\x80z"};
    const place *p = *state;
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++) {
        refused(p, PAINT(p, "-p", invalid[i]), "UTF-8", 0);
        refused(p, PAINT(p, "-n", invalid[i]), "UTF-8", 0);
        cli_run run = RUN("stage", "tokenize", "-m", SD1, "-p", invalid[i]);
        assert_refused(&run, 1, "UTF-8", "tokenize");
        assert_string_equal(run.out, "");
        cli_run_free(&run);
    }
}

static void test_long_prompts(void **state)
{
    const place *p = *state;
    char *prompt = malloc(PROMPT_BYTES + 1);
    assert_non_null(prompt);
    for (size_t i = 0; i < PROMPT_BYTES; i++)
        prompt[i] = "red cat, "[i % 9];
    prompt[PROMPT_BYTES] = '\0';
    refused(p, PAINT(p, "-p", prompt), "prompt", 0);
    refused(p, PAINT(p, "-n", prompt), "prompt", 0);
    (void)memset(prompt, '(', PROMPT_BYTES);
    cli_run run = PAINT(p, "-p", prompt); /* brackets only: nothing to encode, or too much nesting */
    if (assert_fine_or_refused(&run, "100 KB of brackets"))
        assert_int_equal(unlink(p->path), 0);
    cli_run_free(&run);
    (void)memset(prompt, 'x', PROMPT_BYTES);
    refused(p, PAINT(p, "-p", prompt), NULL, 0);
    prompt[4000] = '\0';
    accepted(p, PAINT(p, "-p", prompt), "4000 letters");
    accepted(p, PAINT(p, "-p", ""), "empty prompt");
    accepted(p, PAINT(p, "-p", " \t\n"), "blank prompt");
    free(prompt);
}

static void test_odd_prompts(void **state)
{
    const place *p = *state;
    refused(p, PAINT(p, "-p", "<lora:style:0.8> a cat"), "lora", 0);
    accepted(p, PAINT(p, "-p", "((((a:9] (b:) [c:x) \\ BREAK BREAK ("), "brackets that do not match");
    accepted(p, PAINT(p, "-p", "(a:1e38) (b:-1e38)"), "weights beyond reason");
}

/* ---- numbers that only the model can judge */

static void test_sizes(void **state)
{
    const place *p = *state;
    refused(p, PAINT(p, "-W", "33"), "multiples of 2", 0);
    refused(p, PAINT(p, "-H", "1"), NULL, 0);
    refused(p, PAINT(p, "-W", "4294967294"), "4294967294", 0);
    refused(p, PAINT(p, "-W", "16386"), "16386", 0);
    refused(p, PAINT(p, "-W", "16384", "-H", "16384"), NULL, 0); /* terabytes of attention */
    refused(p, PAINT(p, "--steps", "1001"), "1001", 0);
    refused(p, PAINT(p, "--steps", "4294967295"), "4294967295", 0);
    refused(p, PAINT(p, "--clip-skip", "1000"), NULL, 0);
    refused(p, PAINT(p, "--sampler", "eular"), "eular", 0);
    refused(p, PAINT(p, "--schedule", "karas"), "karas", 0);
}

/* ---- pictures */

static void test_start_pictures(void **state)
{
    static const char *const bad[] = {CORPUS "bomb.png",
                                      CORPUS "huge.png",
                                      CORPUS "cut.png",
                                      CORPUS "cut.jpg",
                                      SD1 "/model_index.json",
                                      SD1 "/unet/diffusion_pytorch_model.safetensors",
                                      SD1,
                                      "/nonexistent.png",
                                      "/dev/null",
                                      ""};
    const place *p = *state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        refused(p, PAINT(p, "-i", bad[i]), NULL, 0);
        refused(p, PAINT(p, "-i", CORPUS "rgb.png", "--mask", bad[i]), NULL, 0);
    }
    refused(p, PAINT(p, "-i", CORPUS "rgb.png", "--strength", "0"), "strength", 0);
    refused(p, PAINT(p, "-i", CORPUS "rgb.png", "-W", "17"), "multiples of 2", 0);
    refused(p, PAINT(p, "-i", CORPUS "rgb.png", "-W", "4294967295"), "4294967295", 0);
    refused(p,
            PAINT(p, "-i", CORPUS "rgb.png", "--steps", "4", "--taesd",
                  "tests/golden/data/models/taesd_decoder.safetensors"),
            "encoder", 0);
}

/* Pictures of the fuzz corpus with bytes turned over. */
static void test_flipped_pictures(void **state)
{
    const place *p = *state;
    char input[TT_TEMP_PATH];
    unsigned char bytes[65536];
    FILE *stream = fopen(CORPUS "rgb.png", "rb");
    assert_non_null(stream);
    size_t n = fread(bytes, 1, sizeof bytes, stream);
    (void)fclose(stream);
    for (size_t i = 0; i < 24; i++) {
        size_t at = (i * 7919 + 3) % n;
        bytes[at] ^= (unsigned char)(1u << i % 8);
        temp_folder_write(&p->folder, "in.png", bytes, n);
        cli_run run = PAINT(p, "-i", temp_folder_path(&p->folder, "in.png", input));
        bool is_fine = assert_fine_or_refused(&run, "a flipped bit in a PNG");
        assert_int_equal(temp_folder_count(&p->folder), is_fine ? 2 : 1);
        if (is_fine)
            assert_int_equal(unlink(p->path), 0);
        cli_run_free(&run);
        run = RUN("inspect", input);
        (void)assert_fine_or_refused(&run, "inspect of a flipped PNG");
        cli_run_free(&run);
        bytes[at] ^= (unsigned char)(1u << i % 8);
    }
}

static void test_inspect(void **state)
{
    static const char *const bad[] = {CORPUS "cut.png", "README.nonexistent", "/dev/null", "tests/run-test.sh",
                                      "tests/fuzz"};
    const place *p = *state;
    char path[TT_TEMP_PATH];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cli_run run = RUN("inspect", bad[i]);
        assert_refused(&run, 1, NULL, bad[i]);
        cli_run_free(&run);
    }
    temp_folder_write_text(&p->folder, "empty.png", "");
    cli_run run = RUN("inspect", temp_folder_path(&p->folder, "empty.png", path));
    assert_refused(&run, 1, "empty.png", "an empty picture");
    cli_run_free(&run);
}

/* ---- configurations */

static void test_scheduler_configs(void **state)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "1",
                                      "{\"_class_name\": 3}",
                                      "{\"_class_name\": \"Magic\"}",
                                      "{\"_class_name\": \"DDIMScheduler\", \"num_train_timesteps\": 0}",
                                      "{\"_class_name\": \"DDIMScheduler\", \"num_train_timesteps\": 1e99}",
                                      "{\"_class_name\": \"DDIMScheduler\", \"beta_start\": \"x\"}",
                                      "{\"_class_name\": \"DDIMScheduler\", \"trained_betas\": [1, 2]}",
                                      "{\"_class_name\": \"DDIMScheduler\", \"_class_name\": \"DDIMScheduler\"}"};
    const place *p = *state;
    char path[TT_TEMP_PATH];
    (void)temp_folder_path(&p->folder, "c.json", path);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        temp_folder_write_text(&p->folder, "c.json", bad[i]);
        refused(p, PAINT(p, "--scheduler-config", path), NULL, 1);
    }
    temp_folder_write(&p->folder, "c.json", "{\0}", 3);
    refused(p, PAINT(p, "--scheduler-config", path), "c.json", 1);
    refused(p, PAINT(p, "--scheduler-config", "/nonexistent.json"), "/nonexistent.json", 1);
    refused(p, PAINT(p, "--scheduler-config", "/dev/zero"), "/dev/zero", 1);
    refused(p, PAINT(p, "--scheduler-config", SD1), SD1, 1);
}

/* ---- devices */

static void test_no_device(void **state)
{
    static const char *const none[] = {"OCL_ICD_VENDORS=/nonexistent", NULL};
    const place *p = *state;
    cli_run run = run_cli_with(none, (const char *const[]){"devices", NULL});
    assert_refused(&run, 1, "OpenCL", "no device");
    cli_run_free(&run);
    refused(p, paint(p, none, (const char *const[]){NULL}), "OpenCL", 0);
    run = run_cli_with(none, (const char *const[]){"stage", "tokenize", "-m", SD1, "-p", "a", NULL});
    assert_fine(&run, "tokenize needs no device");
    cli_run_free(&run);
    refused(p, PAINT(p, "--device", "99"), "99", 0);
    refused(p, PAINT(p, "--device", "no such device"), "no such device", 0);
    refused(p, PAINT(p, "--device", "-1"), "-1", 0);
    refused(p, PAINT(p, "--kernel-dir", "/nonexistent"), "/nonexistent", 0);
}

/* A cache that cannot be used is no reason to fail. */
static void test_cache_folder(void **state)
{
    static const char *const unusable[] = {"/proc/tintype", "/dev/null/x"};
    const place *p = *state;
    for (size_t i = 0; i < sizeof unusable / sizeof unusable[0]; i++) {
        cli_run run = PAINT(p, "--cache-dir", unusable[i]);
        assert_int_equal(run.code, 0);
        assert_int_equal(unlink(p->path), 0);
        cli_run_free(&run);
    }
}

/* ---- where to write */

static void test_outputs(void **state)
{
    const place *p = *state;
    char below[TT_TEMP_PATH], name[5000];
    temp_folder_write_text(&p->folder, "file", "");
    refused(p, PAINT(p, "-o", "/nonexistent/folder/a.png"), "/nonexistent/folder", 1);
    refused(p, PAINT(p, "-o", temp_folder_path(&p->folder, "file/a.png", below)), "there is no folder", 1);
    refused(p, PAINT(p, "-o", p->folder.path), "folder", 1);
    refused(p, PAINT(p, "-o", "/proc/a.png"), "/proc", 1);
    refused(p, PAINT(p, "-o", "/dev/full"), "/dev/full", 1);
    refused(p, PAINT(p, "--preview", "/proc/preview.png"), "/proc", 1);
    refused(p, PAINT(p, "-o", "/tmp/"), "/tmp/", 1);
    (void)memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    cli_run run = PAINT(p, "-o", name);
    assert_refused(&run, 2, "too long", "a long name");
    cli_run_free(&run);
    name[300] = '\0';
    refused(p, PAINT(p, "-o", name), NULL, 1);
    run = PAINT(p, "-o", "");
    assert_refused(&run, 2, "empty", "no name");
    cli_run_free(&run);
}

/* As root permissions do not hold, so a read-only mount does; else a folder without write permission. */
static void test_read_only_folder(void **state)
{
    const place *p = *state;
    char folder[TT_TEMP_PATH], path[TT_TEMP_PATH], command[2 * TT_TEMP_PATH];
    const bool is_root = geteuid() == 0;
    assert_int_equal(mkdir(temp_folder_path(&p->folder, "closed", folder), 0500), 0);
    (void)snprintf(command, sizeof command, "mount -t tmpfs -o ro,size=64k tmpfs %s 2> /dev/null", folder);
    if (is_root && system(command) != 0) {
        print_message("SKIPPED: as root in here nothing is read-only, and tmpfs cannot be mounted\n");
        skip();
    }
    refused(p, PAINT(p, "-o", temp_folder_path(&p->folder, "closed/a.png", path)), "closed", 1);
    (void)snprintf(command, sizeof command, "umount %s", folder);
    if (is_root)
        assert_int_equal(system(command), 0);
}

static size_t count_files(const char *folder)
{
    temp_folder inside;
    (void)snprintf(inside.path, sizeof inside.path, "%s", folder);
    return temp_folder_count(&inside);
}

/* A disk with room for the check beforehand, but not for the picture; and one without any room. */
static void test_full_folder(void **state)
{
    const place *p = *state;
    char folder[TT_TEMP_PATH], path[TT_TEMP_PATH], command[2 * TT_TEMP_PATH];
    assert_int_equal(mkdir(temp_folder_path(&p->folder, "small", folder), 0700), 0);
    (void)snprintf(command, sizeof command, "mount -t tmpfs -o size=8k tmpfs %s 2> /dev/null", folder);
    if (geteuid() != 0 || system(command) != 0) {
        print_message("SKIPPED: a full disk is made with a tmpfs, which cannot be mounted here\n");
        skip();
    }
    (void)temp_folder_path(&p->folder, "small/a.png", path);
    cli_run run = PAINT(p, "-W", "128", "-H", "128", "-o", path);
    size_t n_left = count_files(folder);
    cli_run check = {0};
    temp_folder_write(&p->folder, "small/filler", "x", 1);
    temp_folder_write(&p->folder, "small/filler2", "x", 1);
    check = PAINT(p, "-o", path);
    size_t n_left_full = count_files(folder);
    (void)snprintf(command, sizeof command, "umount %s", folder);
    assert_int_equal(system(command), 0);
    assert_refused(&run, 1, "small/a.png", "a disk that is too small");
    assert_int_equal(n_left, 0);
    assert_refused(&check, 1, "small", "a full disk");
    assert_int_equal(n_left_full, 2);
    cli_run_free(&run);
    cli_run_free(&check);
}

/* ---- memory */

/* A process that may not have more than a little address space: whatever fails first says so. */
static void test_little_memory(void **state)
{
    const place *p = *state;
    char command[4 * TT_TEMP_PATH], err[TT_TEMP_PATH];
    if (getenv("ASAN_OPTIONS") != NULL) {
        print_message("skipped: the address sanitizer reserves terabytes\n");
        skip();
    }
    static const char *const limits[] = {"700000", "500000", "300000"};
    (void)temp_folder_path(&p->folder, "err", err);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        (void)snprintf(command, sizeof command,
                       "ulimit -v %s; \"$TT_TEST_CLI\" -m " SD1
                       " -p a -W 4096 -H 4096 --steps 1 -q -o %s 2> %s; test $? -eq 1 && grep -q '^tintype: ' %s",
                       limits[i], p->path, err, err);
        if (system(command) != 0)
            fail_msg("with %s KiB of address space the run did not end with a sentence", limits[i]);
        assert_int_equal(temp_folder_count(&p->folder), 1);
    }
}

/* ---- stages */

static cli_run stage(const place *p, const char *name, const char *input)
{
    char output[TT_TEMP_PATH];
    cli_run run = RUN("stage", name, "-m", SD1, "--input", input, "--output",
                      temp_folder_path(&p->folder, "out.safetensors", output), "-p", "a", "--scheduler-config",
                      SD1 "/scheduler/scheduler_config.json");
    if (getenv("TT_TEST_SHOW") != NULL)
        print_message("%s: %s", name, run.err);
    return run;
}

static void test_stage_inputs(void **state)
{
    static const char *const stages[] = {"text", "unet", "vae-decode", "vae-encode", "sample", "denoise"};
    const place *p = *state;
    char path[TT_TEMP_PATH];
    hostile_file file;
    (void)temp_folder_path(&p->folder, "in.safetensors", path);
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        refused(p, stage(p, stages[i], "/nonexistent"), "/nonexistent", 0);
        refused(p, stage(p, stages[i], SD1 "/unet/diffusion_pytorch_model.safetensors"), "input", 0);
    }
    for (size_t i = 0; i < hostile_safetensors_count(); i++) {
        assert_true(hostile_safetensors_make(i, &file));
        temp_folder_write(&p->folder, "in.safetensors", file.bytes, file.n_bytes);
        refused(p, stage(p, "sample", path), file.n_bytes == 0 ? "empty" : file.mention, 1);
        hostile_safetensors_free(&file);
    }
}

/* One array of zeros in a safetensors file. */
static void write_array(const place *p, const char *name, tt_array_type type, uint32_t n_dims, const uint64_t *dims)
{
    char path[TT_TEMP_PATH];
    uint64_t n = 1;
    tt_arrays arrays = {0};
    tt_context *context = tt_context_create();
    for (uint32_t i = 0; i < n_dims; i++)
        n *= dims[i];
    void *zeros = calloc(n ? n : 1, 8);
    assert_non_null(context);
    assert_non_null(zeros);
    assert_int_equal(tt_arrays_add(context, &arrays, name, type, n_dims, dims, zeros), TT_OK);
    assert_int_equal(tt_arrays_write(context, temp_folder_path(&p->folder, "in.safetensors", path), &arrays), TT_OK);
    tt_arrays_free(&arrays);
    tt_context_destroy(context);
    free(zeros);
}

static void test_stage_shapes(void **state)
{
    static const struct {
        const char *stage, *name;
        tt_array_type type;
        uint32_t n_dims;
        uint64_t dims[4];
    } cases[] = {
        {"text", "input_ids", TT_ARRAY_F32, 2, {1, 77}},
        {"text", "input_ids", TT_ARRAY_I32, 1, {77}},
        {"text", "input_ids", TT_ARRAY_I32, 2, {0, 77}},
        {"text", "input_ids", TT_ARRAY_I32, 2, {1, 4000}},
        {"text", "input_ids", TT_ARRAY_I32, 2, {300, 77}},
        {"unet", "sample", TT_ARRAY_F32, 4, {1, 4, 8, 8}},
        {"vae-decode", "latent", TT_ARRAY_F32, 4, {1, 3, 8, 8}},
        {"vae-decode", "latent", TT_ARRAY_F32, 3, {4, 8, 8}},
        {"vae-decode", "latent", TT_ARRAY_F32, 4, {0, 4, 8, 8}},
        {"vae-decode", "latent", TT_ARRAY_F32, 4, {1, 4, 0, 8}},
        {"vae-decode", "latent", TT_ARRAY_I32, 4, {1, 4, 8, 8}},
        {"vae-encode", "image", TT_ARRAY_F32, 4, {1, 4, 8, 8}},
        {"vae-encode", "image", TT_ARRAY_F32, 4, {1, 3, 9, 8}},
        {"vae-encode", "image", TT_ARRAY_F32, 4, {1, 3, 0, 0}},
        {"sample", "x_init", TT_ARRAY_F64, 1, {64}},
        {"sample", "x_init", TT_ARRAY_F32, 1, {0}},
        {"denoise", "noise0", TT_ARRAY_F32, 4, {2, 4, 8, 8}},
        {"denoise", "noise0", TT_ARRAY_F32, 4, {1, 9, 8, 8}},
        {"denoise", "noise0", TT_ARRAY_F32, 4, {1, 4, 0, 8}},
    };
    const place *p = *state;
    char path[TT_TEMP_PATH];
    (void)temp_folder_path(&p->folder, "in.safetensors", path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_array(p, cases[i].name, cases[i].type, cases[i].n_dims, cases[i].dims);
        refused(p, stage(p, cases[i].stage, path), NULL, 1);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_utf8),           TEST(test_long_prompts),     TEST(test_odd_prompts),  TEST(test_sizes),
        TEST(test_start_pictures), TEST(test_flipped_pictures), TEST(test_inspect),      TEST(test_scheduler_configs),
        TEST(test_no_device),      TEST(test_cache_folder),     TEST(test_outputs),      TEST(test_read_only_folder),
        TEST(test_full_folder),    TEST(test_little_memory),    TEST(test_stage_inputs), TEST(test_stage_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
