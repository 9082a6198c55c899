/* test_resume.c - --resume as a user meets it: runs that are killed go on, cancelled ones too, nothing else is touched.
 */
#include "tests/support/run-cli.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SD1 "tests/golden/data/models/sd1"
/* Long enough to be killed on the way: some dozens of short steps. */
#define SHAPE "-p", "a photo of an orange cat", "-W", "32", "-H", "24", "--steps", "60"
#define LONG "-m", SD1, SHAPE

typedef struct place {
    temp_folder folder;
    char state[TT_TEMP_PATH], whole[TT_TEMP_PATH], made[TT_TEMP_PATH];
} place;

static int setup(void **state)
{
    place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    temp_folder_make(&p->folder);
    (void)temp_folder_path(&p->folder, "state", p->state);
    (void)temp_folder_path(&p->folder, "whole.png", p->whole);
    (void)temp_folder_path(&p->folder, "made.png", p->made);
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

static void fine(cli_run run, const char *what)
{
    assert_fine(&run, what);
    cli_run_free(&run);
}

static void refused(cli_run run, const char *mention, const char *what)
{
    assert_refused(&run, 1, mention, what);
    cli_run_free(&run);
}

static char *read_file(const char *path, size_t *n)
{
    enum { MOST = 1 << 20 };
    char *bytes = malloc(MOST);
    FILE *stream = fopen(path, "rb");
    assert_non_null(bytes);
    if (stream == NULL)
        fail_msg("%s is missing", path);
    *n = fread(bytes, 1, MOST, stream);
    (void)fclose(stream);
    return bytes;
}

/* Same pixels, same metadata: the same bytes. */
static void assert_same_files(const char *a, const char *b)
{
    size_t n_a = 0, n_b = 0;
    char *bytes_a = read_file(a, &n_a), *bytes_b = read_file(b, &n_b);
    if (n_a != n_b || memcmp(bytes_a, bytes_b, n_a) != 0)
        fail_msg("%s and %s differ", a, b);
    free(bytes_a);
    free(bytes_b);
}

static void assert_missing(const char *path)
{
    if (access(path, F_OK) == 0)
        fail_msg("%s should not be there", path);
}

/* Kills the line once it has printed `until`; a kill in the very moment of a write may leave that write's temporary. */
static void kill_at(const char *until, const char *const *line)
{
    cli_run run = run_cli_interrupted(SIGKILL, until, line);
    if (run.signal != SIGKILL)
        fail_msg("the run was over before it could be killed: code %d, %s%s", run.code, run.out, run.err);
    cli_run_free(&run);
}

/* A killed run ends in the bytes of one without a break, for samplers with history, noise and two calls a step. */
static void test_kill(void **state)
{
    place *p = *state;
    static const char *const samplers[] = {"pndm", "euler_a", "dpm++2m", "unipc", "heun"};
    for (size_t i = 0; i < sizeof samplers / sizeof samplers[0]; i++) {
        const char *const line[] = {LONG, "-s",    "7",        "--sampler", samplers[i],
                                    "-o", p->made, "--resume", p->state,    NULL};
        fine(RUN(LONG, "-s", "7", "--sampler", samplers[i], "-q", "-o", p->whole), samplers[i]);
        kill_at(i % 2 ? "step 14/" : "step 1/", line);
        assert_missing(p->made);
        cli_run run = run_cli_once(line);
        assert_fine(&run, samplers[i]);
        const char *told = strstr(run.out, "going on after step ");
        assert_non_null(told);
        assert_true(strtol(told + strlen("going on after step "), NULL, 10) >= (i % 2 ? 14 : 1));
        assert_null(strstr(run.out, "step 1/"));
        cli_run_free(&run);
        assert_same_files(p->whole, p->made);
        assert_missing(p->state);
        (void)remove(p->made);
    }
}

/* Ctrl-C keeps the state and says so; killed again on the way, the run still ends the same. */
static void test_cancel_and_kill(void **state)
{
    place *p = *state;
    const char *const line[] = {LONG, "-s", "7", "-o", p->made, "--resume", p->state, NULL};
    fine(RUN(LONG, "-s", "7", "-q", "-o", p->whole), "whole");
    cli_run run = run_cli_interrupted(SIGINT, "step 1/", line);
    assert_refused(&run, 130, "the same command goes on", "SIGINT");
    cli_run_free(&run);
    kill_at("going on after", line);
    fine(run_cli_once(line), "the rest");
    assert_same_files(p->whole, p->made);
    assert_missing(p->state);
}

/* Pictures of the batch that were finished are not made again. */
static void test_batch(void **state)
{
    place *p = *state;
    char first[TT_TEMP_PATH], second[TT_TEMP_PATH], path[TT_TEMP_PATH], name[32];
    (void)temp_folder_path(&p->folder, "made_0.png", first);
    (void)temp_folder_path(&p->folder, "made_1.png", second);
    const char *const line[] = {LONG, "-s", "7", "-b", "3", "-o", p->made, "--resume", p->state, NULL};
    fine(RUN(LONG, "-s", "7", "-b", "3", "-q", "-o", p->whole), "whole");
    kill_at("picture 2/3  step 1/", line);
    assert_missing(second);
    temp_folder_write_text(&p->folder, "made_0.png", "finished, not to be touched");
    refused(RUN(LONG, "-s", "7", "-o", p->made, "--resume", p->state), "stands at picture 2", "a smaller batch");
    cli_run run = run_cli_once(line);
    assert_fine(&run, "the rest of the batch");
    assert_non_null(strstr(run.out, "picture 2/3  going on after step "));
    assert_non_null(strstr(run.out, "made_2.png (32x24, seed 9)"));
    assert_null(strstr(run.out, "made_0.png"));
    cli_run_free(&run);
    size_t n = 0;
    char *bytes = read_file(first, &n);
    assert_memory_equal(bytes, "finished", 8);
    free(bytes);
    assert_missing(p->state);
    for (int i = 1; i < 3; i++) {
        (void)snprintf(name, sizeof name, "whole_%d.png", i);
        (void)temp_folder_path(&p->folder, name, path);
        (void)snprintf(name, sizeof name, "made_%d.png", i);
        assert_same_files(path, temp_folder_path(&p->folder, name, second));
    }
}

/* A seed from the clock is in the file. */
static void test_clock_seed(void **state)
{
    place *p = *state;
    char seed[32] = "";
    const char *const line[] = {LONG, "-o", p->made, "--resume", p->state, NULL};
    kill_at("step 1/", line);
    cli_run run = run_cli_once(line);
    assert_fine(&run, "seed from the clock");
    const char *at = strstr(run.out, ", seed ");
    assert_non_null(at);
    assert_non_null(strstr(run.out, "going on after step "));
    assert_int_equal(sscanf(at, ", seed %30[0-9]", seed), 1);
    cli_run_free(&run);
    fine(RUN(LONG, "-s", seed, "-q", "-o", p->whole), "the same seed");
    assert_same_files(p->whole, p->made);
}

/* Nothing is overwritten or removed that is not the state of this very request. */
static void test_refusals(void **state)
{
    place *p = *state;
    size_t n_before = 0, n_after = 0;
    const char *const line[] = {LONG, "-s", "7", "-o", p->made, "--resume", p->state, NULL};
    kill_at("step 1/", line);
    char *before = read_file(p->state, &n_before);
    refused(RUN(LONG, "-s", "8", "-o", p->made, "--resume", p->state), "seed \"7\", but \"8\"", "another seed");
    refused(RUN(LONG, "-s", "7", "-n", "fog", "-o", p->made, "--resume", p->state), "negative prompt",
            "another negative prompt");
    refused(RUN("-m", "tests/golden/data/models/bks", SHAPE, "-s", "7", "-o", p->made, "--resume", p->state), "a model",
            "another model");
    char *after = read_file(p->state, &n_after);
    assert_int_equal(n_before, n_after);
    assert_memory_equal(before, after, n_after);
    temp_folder_write(&p->folder, "state", before, n_before - 9);
    refused(run_cli_with(NULL, line), "damaged or no resume file", "cut off");
    before[n_before - 5] = (char)(before[n_before - 5] + 1);
    temp_folder_write(&p->folder, "state", before, n_before);
    refused(run_cli_with(NULL, line), "SHA-256 is not that of its data", "one byte changed");
    temp_folder_write_text(&p->folder, "state", "");
    refused(run_cli_with(NULL, line), "the file is empty", "empty");
    temp_folder_write_text(&p->folder, "state", "{\"a\": 1}");
    refused(run_cli_with(NULL, line), "damaged or no resume file", "another file");
    refused(RUN(LONG, "-o", p->made, "--resume", p->folder.path), "folder", "a folder");
    refused(RUN(LONG, "-o", p->made, "--resume", "/no/such/folder/state"), "no folder /no/such/folder", "nowhere");
    cli_run run = RUN(LONG, "-o", p->state, "--resume", p->state);
    assert_refused(&run, 2, "a file of its own", "the picture itself");
    cli_run_free(&run);
    run = RUN(LONG, "-o", p->made, "--preview", p->state, "--resume", p->state);
    assert_refused(&run, 2, "a file of its own", "the preview");
    cli_run_free(&run);
    assert_missing(p->made);
    free(before);
    free(after);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_kill), TEST(test_cancel_and_kill), TEST(test_batch), TEST(test_clock_seed), TEST(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
