/* test_tune.c - `tintype tune`, `tintype selftest` and `generate --tune` as a user meets them. */
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

/* Folders of one test. */
typedef struct folders {
    temp_folder folder;
    char cache[TT_TEMP_PATH], other[TT_TEMP_PATH], table[TT_TEMP_PATH];
} folders;

static void set_up(folders *f)
{
    temp_folder_make(&f->folder);
    (void)temp_folder_path(&f->folder, "cache", f->cache);
    (void)temp_folder_path(&f->folder, "other", f->other);
    (void)temp_folder_path(&f->folder, "table.json", f->table);
}

static json_int_t count(const json_t *root, const char *key)
{
    assert_true(json_is_integer(json_object_get(root, key)));
    return json_integer_value(json_object_get(root, key));
}

static void test_tune(void **state)
{
    (void)state;
    folders f;
    set_up(&f);
    json_t *root = expect_json(RUN("tune", "-m", SD1, "-W", "32", "-H", "24", "--seconds", "400", "--cache-dir",
                                   f.cache, "--export", f.table, "--json"),
                               "tune --json");
    json_int_t n = count(root, "n_keys");
    assert_true(n > 4 && count(root, "n_measured") == n && count(root, "n_left") == 0 && count(root, "n_wrong") == 0);
    assert_int_equal(json_array_size(json_object_get(root, "choices")), n);
    json_decref(root);
    /* Another process finds them, and a picture is painted with them. */
    root = expect_json(RUN("tune", "-m", SD1, "-W", "32", "-H", "24", "--cache-dir", f.cache, "--json"), "known");
    assert_true(count(root, "n_known") == count(root, "n_keys") && count(root, "n_measured") == 0);
    assert_in_range(count(root, "n_keys"), n / 2, n); /* cuts of a form that lost are not asked for again */
    json_decref(root);
    char picture[TT_TEMP_PATH];
    (void)temp_folder_path(&f.folder, "a.png", picture);
    expect_out(RUN("-m", SD1, "-p", "x", "-W", "32", "-H", "24", "--steps", "2", "-s", "1", "--cache-dir", f.cache,
                   "--tune", "-o", picture),
               "0 measured");
    /* The table as a file for somebody else's cache. */
    expect_out(RUN("tune", "--import", f.table, "--cache-dir", f.other), "took over");
    root = expect_json(RUN("tune", "-m", SD1, "-W", "32", "-H", "24", "--cache-dir", f.other, "--json"), "imported");
    assert_true(count(root, "n_known") == count(root, "n_keys") && count(root, "n_keys") > n / 2);
    json_decref(root);
    temp_folder_remove(&f.folder);
}

/* Bytes of a small file; the buffer's rest is zero. */
static void read_file(const char *path, char bytes[8192])
{
    memset(bytes, 0, 8192);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n_bytes = fread(bytes, 1, 8192, file);
    assert_int_equal(fclose(file), 0);
    assert_in_range(n_bytes, 100, 8191);
}

/* Stored programs are stored once and paint the same bits. */
static void test_store_programs(void **state)
{
    (void)state;
    folders f;
    char pictures[2][8192];
    set_up(&f);
    for (int i = 0; i < 2; i++) {
        char path[TT_TEMP_PATH];
        (void)temp_folder_path(&f.folder, i == 0 ? "a.png" : "b.png", path);
        cli_run run = RUN("-m", SD1, "-p", "x", "-W", "16", "-H", "16", "--steps", "1", "-s", "1", "--cache-dir",
                          f.cache, "--store-programs", "-o", path);
        assert_fine(&run, "--store-programs");
        assert_true(i == 0 || !strstr(run.out, "stored "));
        cli_run_free(&run);
        read_file(path, pictures[i]);
    }
    assert_memory_equal(pictures[0], pictures[1], sizeof pictures[0]);
    temp_folder_remove(&f.folder);
}

static void test_bad_input(void **state)
{
    (void)state;
    folders f;
    char path[TT_TEMP_PATH];
    set_up(&f);
    temp_folder_write_text(&f.folder, "bad.json", "{\"format\": \"tintype tuning 1\"");
    (void)temp_folder_path(&f.folder, "bad.json", path);
    expect_refused(RUN("tune", "--import", path, "--cache-dir", f.cache), 1, "bad.json");
    temp_folder_write_text(&f.folder, "bad.json", "{\"format\": \"something else\"}");
    expect_refused(RUN("tune", "--import", path, "--cache-dir", f.cache), 1, "the format is");
    expect_refused(RUN("tune", "--import", "no/such/file", "--cache-dir", f.cache), 1, "no/such/file");
    expect_refused(RUN("tune", "--export", "no/such/folder/x.json", "--cache-dir", f.cache), 1, "no/such/folder");
    expect_refused(RUN("tune", "--seconds", "0"), 2, "--seconds");
    expect_refused(RUN("tune", "--again=1"), 2, "--again");
    expect_refused(RUN("selftest", "--only", "nothing"), 2, "there is no check of");
    expect_refused(RUN("plan", "--tune"), 2, "--tune");
    expect_out(RUN("help", "tune"), "--import FILE");
    expect_out(RUN("help", "selftest"), "--only OP");
    expect_out(RUN("help", "generate"), "--tune");
    expect_out(RUN("help", "generate"), "--store-programs");
    temp_folder_remove(&f.folder);
}

static void test_selftest_is_fine(void **state)
{
    (void)state;
    folders f;
    set_up(&f);
    json_t *root =
        expect_json(RUN("selftest", "--only", "attention", "--cache-dir", f.cache, "--json"), "selftest --json");
    const json_t *checks = json_object_get(root, "checks"), *first = json_array_get(checks, 0);
    assert_int_equal(json_array_size(checks), 6); /* float in two storage forms, half; each in two families */
    assert_int_equal(count(root, "n_ok"), 6);
    assert_true(count(first, "ways") > 2); /* each name, and the usual one */
    assert_string_equal(json_string_value(json_object_get(first, "verdict")), "ok");
    json_decref(root);
    temp_folder_remove(&f.folder);
}

/* kernels/elementwise.cl: the sound file with a statement at the beginning of its kernel. */
static void spoil_elementwise(const folders *f, const char *statement)
{
    static const char mark[] = "    uint slice = get_global_id(2), n_channels";
    static char sound[16384], spoilt[20000];
    FILE *file = fopen("cl-kernels/elementwise.cl", "rb");
    assert_non_null(file);
    size_t n = fread(sound, 1, sizeof sound - 1, file);
    sound[n] = '\0';
    assert_int_equal(fclose(file), 0);
    const char *at = strstr(sound, mark);
    assert_non_null(at);
    (void)snprintf(spoilt, sizeof spoilt, "%.*s%s\n%s", (int)(at - sound), sound, statement, at);
    temp_folder_write_text(&f->folder, "kernels/elementwise.cl", spoilt);
}

static void expect_verdict(const folders *f, const char *op, const char *kernels, int code, const char *mention)
{
    cli_run run = RUN("selftest", "--only", op, "--cache-dir", f->cache, "--kernel-dir", kernels);
    assert_int_equal(run.code, code);
    if (strstr(run.out, mention) == NULL)
        fail_msg("stdout should mention \"%s\": %s", mention, run.out);
    cli_run_free(&run);
}

static void test_selftest_finds_faults(void **state)
{
    (void)state;
    folders f;
    char kernels[TT_TEMP_PATH];
    set_up(&f);
    temp_folder_write_text(&f.folder, "kernels/pack.cl", "#error not today\n");
    (void)temp_folder_path(&f.folder, "kernels", kernels);
    expect_verdict(&f, "pack", kernels, 1, "not today");
    expect_verdict(&f, "pack", kernels, 1, "4 checks: 0 ok, 0 wrong, 4 not built, 0 crashed");
    spoil_elementwise(&f, "factors.x += TT_CPU_TILE ? 0.5f : 0.0f;");
    expect_verdict(&f, "elementwise", kernels, 1, "4 checks: 2 ok, 2 wrong, 0 not built, 0 crashed");
    /* Sound kernels: everything is used again. */
    expect_out(RUN("selftest", "--only", "pack", "--cache-dir", f.cache), "4 checks: 4 ok");
    temp_folder_remove(&f.folder);
}

/* What follows is said of the register tile family, which PoCL takes. */
static bool is_pocl(void)
{
    const char *vendors = getenv("OCL_ICD_VENDORS");
    return vendors != NULL && strstr(vendors, "pocl") != NULL;
}

/* A family that is wrong makes room for the other one, until it is right. */
static void test_family_takes_over(void **state)
{
    (void)state;
    folders f;
    char kernels[TT_TEMP_PATH];
    if (!is_pocl())
        skip();
    set_up(&f);
    (void)temp_folder_path(&f.folder, "kernels", kernels);
    spoil_elementwise(&f, "factors.x += TT_CPU_TILE ? 0.5f : 0.0f;");
    expect_verdict(&f, "elementwise", kernels, 1, "2 ok, 2 wrong");
    cli_run run = RUN("tune", "--import", "no/such/file", "-v", "--cache-dir", f.cache);
    assert_non_null(strstr(run.err, "gpu-plain kernels take over"));
    cli_run_free(&run);
    expect_verdict(&f, "elementwise", "", 0, "4 checks: 4 ok");
    run = RUN("tune", "--import", "no/such/file", "-v", "--cache-dir", f.cache);
    assert_null(strstr(run.err, "take over"));
    cli_run_free(&run);
    temp_folder_remove(&f.folder);
}

/* A kernel that writes to a wild address ends the process on a CPU: the check is told as crashed, the others run. */
static void test_selftest_survives_a_crash(void **state)
{
    (void)state;
    folders f;
    char kernels[TT_TEMP_PATH];
    if (!is_pocl())
        skip(); /* other devices swallow such writes */
    set_up(&f);
    (void)temp_folder_path(&f.folder, "kernels", kernels);
    spoil_elementwise(&f, "if (TT_HALF) *(volatile __global int *)(size_t)(x0 + 8) = 1;");
    expect_verdict(&f, "elementwise", kernels, 1, "4 checks: 2 ok, 0 wrong, 0 not built, 2 crashed");
    cli_run run = RUN("tune", "--import", "no/such/file", "-v", "--cache-dir", f.cache);
    assert_non_null(strstr(run.err, "family cpu-tile (elementwise cpu-tile f16) is not used"));
    cli_run_free(&run);
    expect_verdict(&f, "elementwise", "", 0, "4 checks: 4 ok");
    temp_folder_remove(&f.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tune),
        cmocka_unit_test(test_store_programs),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_selftest_is_fine),
        cmocka_unit_test(test_selftest_finds_faults),
        cmocka_unit_test(test_family_takes_over),
        cmocka_unit_test(test_selftest_survives_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
