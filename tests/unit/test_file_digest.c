/* test_file_digest.c - digests of model files that the cache folder remembers, and when it must not be believed. */
#define _POSIX_C_SOURCE 200809L
#include "base/sha256.h"
#include "pipeline/file-digest.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char wrong[] = "00000000000000000000000000000000000000000000000000000000000000ff";

typedef struct files {
    temp_folder folder;
    char model[TT_TEMP_PATH], cache[TT_TEMP_PATH];
} files;

static void begin(files *f, const char *text)
{
    temp_folder_make(&f->folder);
    temp_folder_write_text(&f->folder, "model", text);
    temp_folder_path(&f->folder, "model", f->model);
    temp_folder_path(&f->folder, "cache", f->cache);
}

/* The digest must be that of `text`, `seconds` after the file was written. */
static void expect(const files *f, const char *text, long seconds)
{
    char got[65], want[65];
    tt_error err;
    assert_int_equal(tt_sha256_hex(text, strlen(text), want, &err), TT_OK);
    assert_int_equal(tt_file_digest(f->model, f->cache, time(NULL) + seconds, got, &err), TT_OK);
    assert_string_equal(got, want);
}

/* Path of the only entry, or false. */
static bool find_entry(const files *f, char path[TT_TEMP_PATH])
{
    bool found = false;
    DIR *folder = opendir(f->cache);
    for (struct dirent *e; folder && (e = readdir(folder)) != NULL;)
        if (strncmp(e->d_name, "digest-", 7) == 0) {
            assert_false(found);
            (void)snprintf(path, TT_TEMP_PATH, "%.500s/%.250s", f->cache, e->d_name);
            found = true;
        }
    if (folder)
        (void)closedir(folder);
    return found;
}

/* Puts another digest into the entry: who gets it has believed the entry. */
static void falsify(const files *f)
{
    char path[TT_TEMP_PATH];
    assert_true(find_entry(f, path));
    int entry = open(path, O_WRONLY);
    struct stat info;
    assert_true(entry >= 0 && fstat(entry, &info) == 0);
    assert_int_equal(pwrite(entry, wrong, 64, info.st_size - 65), 64);
    assert_int_equal(close(entry), 0);
}

static void test_remembers(void **state)
{
    (void)state;
    files f;
    char got[65];
    begin(&f, "weights");
    expect(&f, "weights", 60);
    falsify(&f);
    assert_int_equal(tt_file_digest(f.model, f.cache, time(NULL) + 60, got, NULL), TT_OK);
    assert_string_equal(got, wrong);
    assert_int_equal(tt_file_digest(f.model, NULL, time(NULL) + 60, got, NULL), TT_OK);
    assert_string_not_equal(got, wrong);
    temp_folder_remove(&f.folder);
}

/* Other bytes of the same size, put there with the old time of modification. */
static void rewrite(const files *f, const char *text)
{
    struct stat info;
    assert_int_equal(stat(f->model, &info), 0);
    temp_folder_write_text(&f->folder, "model", text);
    const struct timespec times[2] = {info.st_atim, info.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, f->model, times, 0), 0);
}

static void test_stale(void **state)
{
    (void)state;
    files f;
    begin(&f, "weights");
    expect(&f, "weights", 60);
    falsify(&f);
    temp_folder_write_text(&f.folder, "model", "longer weights"); /* size */
    expect(&f, "longer weights", 60);
    falsify(&f);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, f.model, times, 0), 0); /* time of modification */
    expect(&f, "longer weights", 60);
    falsify(&f);
    /* Times advance in steps: until another one shows, a rewrite may go unnoticed, which is why young files are not
     * remembered in earnest. */
    struct stat before, after;
    assert_int_equal(stat(f.model, &before), 0);
    do {
        rewrite(&f, "other! weights");
        assert_int_equal(stat(f.model, &after), 0);
    } while (before.st_ctim.tv_sec == after.st_ctim.tv_sec && before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
    expect(&f, "other! weights", 60);
    temp_folder_remove(&f.folder);
}

static void test_young_file(void **state)
{
    (void)state;
    files f;
    char path[TT_TEMP_PATH];
    begin(&f, "weights");
    expect(&f, "weights", 0);
    assert_false(find_entry(&f, path));
    expect(&f, "weights", -3600); /* a clock that was set back */
    assert_false(find_entry(&f, path));
    expect(&f, "weights", 60);
    assert_true(find_entry(&f, path));
    temp_folder_remove(&f.folder);
}

static void test_damaged_entry(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "nonsense", "sha256 1 0 0 0 0.0 0.0\nzz\n"};
    files f;
    char path[TT_TEMP_PATH];
    begin(&f, "weights");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        expect(&f, "weights", 60);
        assert_true(find_entry(&f, path));
        temp_folder_write_text(&f.folder, path + strlen(f.folder.path) + 1, texts[i]);
        expect(&f, "weights", 60);
    }
    assert_true(find_entry(&f, path));
    assert_int_equal(truncate(path, 40), 0);
    expect(&f, "weights", 60);
    temp_folder_remove(&f.folder);
}

static void test_failures(void **state)
{
    (void)state;
    files f;
    char got[65];
    tt_error err = {""};
    begin(&f, "weights");
    temp_folder_write_text(&f.folder, "cache", "a file where the folder should be");
    expect(&f, "weights", 60);
    assert_int_equal(unlink(f.model), 0);
    assert_int_equal(tt_file_digest(f.model, f.cache, time(NULL), got, &err), TT_ERROR_IO);
    assert_non_null(strstr(err.text, f.model));
    temp_folder_remove(&f.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_remembers), cmocka_unit_test(test_stale),
                                       cmocka_unit_test(test_young_file), cmocka_unit_test(test_damaged_entry),
                                       cmocka_unit_test(test_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
