/* test_file.c - mapping, reading and replacing files; SHA-256. */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include "base/sha256.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <signal.h>

#include <cmocka.h>

static void test_map(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_mapping mapping;
    tt_error err;
    temp_folder_make(&folder);
    temp_folder_write(&folder, "f", "abc", 3);
    assert_int_equal(tt_file_map(temp_folder_path(&folder, "f", path), &mapping, &err), TT_OK);
    assert_int_equal(mapping.n_bytes, 3);
    assert_memory_equal(mapping.bytes, "abc", 3);
    tt_mapping_drop(mapping.bytes, (size_t)mapping.n_bytes);
    assert_memory_equal(mapping.bytes, "abc", 3);
    tt_file_unmap(&mapping);
    assert_null(mapping.bytes);
    tt_file_unmap(&mapping);
    temp_folder_remove(&folder);
}

/* Pages of a large mapping that were dropped are read again. */
static void test_drop(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_mapping mapping;
    uint8_t *bytes = malloc(N);
    assert_non_null(bytes);
    for (size_t i = 0; i < N; i++)
        bytes[i] = (uint8_t)(i * 31 >> 5);
    temp_folder_make(&folder);
    temp_folder_write(&folder, "f", bytes, N);
    assert_int_equal(tt_file_map(temp_folder_path(&folder, "f", path), &mapping, NULL), TT_OK);
    assert_memory_equal(mapping.bytes, bytes, N);
    tt_mapping_drop(mapping.bytes + 5000, N - 9001);
    tt_mapping_drop(mapping.bytes, 0);
    tt_mapping_want(mapping.bytes + 5000, N - 9001);
    tt_mapping_want(mapping.bytes + N - 1, 1);
    tt_mapping_want(mapping.bytes, 0);
    assert_memory_equal(mapping.bytes, bytes, N);
    tt_file_unmap(&mapping);
    free(bytes);
    temp_folder_remove(&folder);
}

static void test_paths_that_are_no_file(void **state)
{
    (void)state;
    temp_folder folder;
    char missing[TT_TEMP_PATH], empty[TT_TEMP_PATH], pipe_path[TT_TEMP_PATH], *bytes;
    size_t n_bytes;
    tt_mapping mapping;
    tt_error err;
    temp_folder_make(&folder);
    temp_folder_write(&folder, "empty", "", 0);
    temp_folder_path(&folder, "empty", empty);
    assert_int_equal(mkfifo(temp_folder_path(&folder, "pipe", pipe_path), 0600), 0);
    temp_folder_path(&folder, "missing", missing);
    const struct {
        const char *path, *mention;
        tt_status map_status, read_status;
    } cases[] = {
        {folder.path, "folder", TT_ERROR_IO, TT_ERROR_IO}, {missing, "No such file", TT_ERROR_IO, TT_ERROR_IO},
        {pipe_path, "pipe", TT_ERROR_IO, TT_ERROR_IO},     {"/dev/zero", "device", TT_ERROR_IO, TT_ERROR_IO},
        {"", "No such file", TT_ERROR_IO, TT_ERROR_IO},    {empty, "empty", TT_ERROR_FORMAT, TT_OK},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(tt_file_map(cases[i].path, &mapping, &err), cases[i].map_status);
        assert_null(mapping.bytes);
        assert_memory_equal(err.text, cases[i].path, strlen(cases[i].path));
        assert_non_null(strstr(err.text, cases[i].mention));
        assert_int_equal(tt_file_read(cases[i].path, 100, &bytes, &n_bytes, &err), cases[i].read_status);
        assert_int_equal(n_bytes, 0);
        assert_true((bytes != NULL) == (cases[i].read_status == TT_OK));
        free(bytes);
    }
    temp_folder_remove(&folder);
}

static void test_read(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH], *bytes;
    size_t n_bytes;
    tt_error err;
    temp_folder_make(&folder);
    temp_folder_write(&folder, "f", "a\0bc", 4);
    temp_folder_path(&folder, "f", path);
    assert_int_equal(tt_file_read(path, 4, &bytes, &n_bytes, &err), TT_OK);
    assert_int_equal(n_bytes, 4);
    assert_memory_equal(bytes, "a\0bc", 5);
    free(bytes);
    assert_int_equal(tt_file_read(path, 3, &bytes, &n_bytes, &err), TT_ERROR_FORMAT);
    assert_null(bytes);
    assert_non_null(strstr(err.text, "4 bytes, at most 3"));
    temp_folder_remove(&folder);
}

static void write_new(const char *path, const char *text)
{
    tt_new_file file;
    tt_error err = {""};
    if (tt_new_file_open(&file, path, &err) != TT_OK || tt_new_file_write(&file, text, strlen(text), &err) != TT_OK ||
        tt_new_file_commit(&file, &err) != TT_OK)
        fail_msg("%s", err.text);
    tt_new_file_abort(&file); /* harmless */
}

static void check_content(const char *path, const char *text)
{
    char *bytes;
    size_t n_bytes;
    assert_int_equal(tt_file_read(path, 1000, &bytes, &n_bytes, NULL), TT_OK);
    assert_string_equal(bytes, text);
    free(bytes);
}

static void test_new_file(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    struct stat info;
    temp_folder_make(&folder);
    temp_folder_path(&folder, "out.png", path);
    mode_t mask = umask(022);
    write_new(path, "first");
    (void)umask(mask);
    check_content(path, "first");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0644);
    write_new(path, "second");
    check_content(path, "second");
    assert_int_equal(temp_folder_count(&folder), 1);
    temp_folder_remove(&folder);
}

/* Two writers of one name at the same time: each has its own temporary file, the last to commit wins. */
static void test_two_writers(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_new_file one, two;
    temp_folder_make(&folder);
    temp_folder_path(&folder, "out", path);
    assert_int_equal(tt_new_file_open(&one, path, NULL), TT_OK);
    assert_int_equal(tt_new_file_open(&two, path, NULL), TT_OK);
    assert_int_equal(tt_new_file_write(&one, "one", 3, NULL), TT_OK);
    assert_int_equal(tt_new_file_write(&two, "two", 3, NULL), TT_OK);
    assert_int_equal(temp_folder_count(&folder), 2);
    assert_false(tt_path_is_file(path));
    assert_int_equal(tt_new_file_commit(&two, NULL), TT_OK);
    check_content(path, "two");
    assert_int_equal(tt_new_file_commit(&one, NULL), TT_OK);
    check_content(path, "one");
    assert_int_equal(temp_folder_count(&folder), 1);
    temp_folder_remove(&folder);
}

static void test_abort_leaves_the_old_file(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_new_file file;
    temp_folder_make(&folder);
    temp_folder_path(&folder, "out", path);
    write_new(path, "old");
    assert_int_equal(tt_new_file_open(&file, path, NULL), TT_OK);
    assert_int_equal(tt_new_file_write(&file, "new", 3, NULL), TT_OK);
    tt_new_file_abort(&file);
    tt_new_file_abort(&file);
    check_content(path, "old");
    assert_int_equal(temp_folder_count(&folder), 1);
    temp_folder_remove(&folder);
}

/* A file in the working folder, and a name as long as the system allows. */
static void test_names(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH], name[256], *before = getcwd(NULL, 0);
    assert_non_null(before);
    temp_folder_make(&folder);
    memset(name, 'n', 255);
    name[255] = '\0';
    write_new(temp_folder_path(&folder, name, path), "long");
    check_content(path, "long");
    assert_int_equal(chdir(folder.path), 0);
    write_new("here", "bare");
    check_content("here", "bare");
    assert_int_equal(chdir(before), 0);
    free(before);
    assert_int_equal(temp_folder_count(&folder), 2);
    temp_folder_remove(&folder);
}

static void test_refused_targets(void **state)
{
    (void)state;
    temp_folder folder;
    char missing[TT_TEMP_PATH], slash[TT_TEMP_PATH];
    tt_new_file file;
    tt_error err;
    temp_folder_make(&folder);
    temp_folder_path(&folder, "no/out.png", missing);
    temp_folder_path(&folder, "out/", slash);
    const struct {
        const char *path, *mention;
        tt_status status;
    } cases[] = {
        {folder.path, "folder", TT_ERROR_IO},      {missing, "No such file", TT_ERROR_IO},
        {"/dev/null", "device", TT_ERROR_IO},      {slash, "name of a file", TT_ERROR_ARGUMENT},
        {"", "name of a file", TT_ERROR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(tt_new_file_open(&file, cases[i].path, &err), cases[i].status);
        assert_non_null(strstr(err.text, cases[i].mention));
        assert_non_null(strstr(err.text, cases[i].path));
        tt_new_file_abort(&file);
    }
    assert_int_equal(temp_folder_count(&folder), 0);
    temp_folder_remove(&folder);
}

/* A write that fails half-way (here at a limit of file size, as on a full disk) leaves nothing. */
static void test_full_disk(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    struct rlimit before, small;
    tt_new_file file;
    tt_error err = {""};
    static const char block[100000] = {1};
    temp_folder_make(&folder);
    temp_folder_path(&folder, "out", path);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    small = before;
    small.rlim_cur = 4096;
    assert_int_equal(tt_new_file_open(&file, path, &err), TT_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    tt_status status = tt_new_file_write(&file, block, sizeof(block), &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(status, TT_ERROR_IO);
    assert_memory_equal(err.text, path, strlen(path));
    tt_new_file_abort(&file);
    assert_int_equal(temp_folder_count(&folder), 0);
    temp_folder_remove(&folder);
}

/* The place is taken by a folder between open and commit: an error, and no temporary file. */
static void test_commit_fails(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_new_file file;
    tt_error err;
    temp_folder_make(&folder);
    temp_folder_path(&folder, "out", path);
    assert_int_equal(tt_new_file_open(&file, path, &err), TT_OK);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(tt_new_file_commit(&file, &err), TT_ERROR_IO);
    assert_memory_equal(err.text, path, strlen(path));
    assert_int_equal(temp_folder_count(&folder), 1);
    temp_folder_remove(&folder);
}

/* Permissions do not bind root, who therefore tries it as somebody else. */
static void test_read_only_folder(void **state)
{
    (void)state;
    enum { NOBODY = 65534 };
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_new_file file;
    tt_error err;
    temp_folder_make(&folder);
    assert_int_equal(chmod(folder.path, 0555), 0);
    bool is_root = geteuid() == 0;
    if (is_root && seteuid(NOBODY) != 0)
        skip();
    tt_status status = tt_new_file_open(&file, temp_folder_path(&folder, "out", path), &err);
    if (is_root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(status, TT_ERROR_IO);
    assert_non_null(strstr(err.text, "ermission"));
    assert_int_equal(temp_folder_count(&folder), 0);
    temp_folder_remove(&folder);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}, {"a", "", "a/"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *joined = tt_path_join(cases[i][0], cases[i][1]);
        assert_string_equal(joined, cases[i][2]);
        free(joined);
    }
}

static void test_folder_make(void **state)
{
    (void)state;
    temp_folder folder;
    char path[TT_TEMP_PATH], below[TT_TEMP_PATH];
    tt_error err;
    temp_folder_make(&folder);
    temp_folder_path(&folder, "a/b//c", path);
    assert_int_equal(tt_folder_make(path, &err), TT_OK);
    assert_true(tt_path_is_folder(path));
    assert_false(tt_path_is_file(path));
    assert_int_equal(tt_folder_make(path, &err), TT_OK);
    assert_int_equal(tt_folder_make(temp_folder_path(&folder, "d/", below), &err), TT_OK);
    temp_folder_write(&folder, "file", "x", 1);
    assert_int_equal(tt_folder_make(temp_folder_path(&folder, "file/sub", below), &err), TT_ERROR_IO);
    assert_non_null(strstr(err.text, "file"));
    assert_int_equal(tt_folder_make(temp_folder_path(&folder, "file", below), &err), TT_ERROR_IO);
    assert_true(tt_path_is_file(below));
    temp_folder_remove(&folder);
}

/* The examples of FIPS 180-4 and of the empty text. */
static void test_sha256(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[65];
    tt_error err;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tt_sha256_hex(cases[i].text, strlen(cases[i].text), hex, &err), TT_OK);
        assert_string_equal(hex, cases[i].hex);
    }
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    temp_folder_write_text(&folder, "f", "abc");
    assert_int_equal(tt_sha256_file_hex(temp_folder_path(&folder, "f", path), hex, &err), TT_OK);
    assert_string_equal(hex, cases[1].hex);
    assert_int_equal(tt_sha256_file_hex(temp_folder_path(&folder, "none", path), hex, &err), TT_ERROR_IO);
    assert_memory_equal(err.text, path, strlen(path));
    temp_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_paths_that_are_no_file),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_new_file),
        cmocka_unit_test(test_two_writers),
        cmocka_unit_test(test_abort_leaves_the_old_file),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refused_targets),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_commit_fails),
        cmocka_unit_test(test_read_only_folder),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_folder_make),
        cmocka_unit_test(test_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
