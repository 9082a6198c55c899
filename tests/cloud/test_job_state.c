/* test_job_state.c - the file that names an accepted job. */
#define _POSIX_C_SOURCE 200809L
#include "cloud/job-state.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const tt_job_state job = {"https://example.org", "/v1/upscales/abc", "key"};

static bool found(const char *path, const char *url, const char *key, tt_job_state *state)
{
    bool is_there = false;
    tt_error err = {""};
    assert_int_equal(tt_job_state_read(path, url, key, state, &is_there, &err), TT_OK);
    return is_there;
}

static void test_round_trip(void **state)
{
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_job_state read;
    struct stat info;
    tt_error err = {""};
    (void)state;
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "state", path);
    assert_false(found(path, job.url, job.key, &read));
    for (int i = 0; i < 2; i++) /* the second replaces the first */
        assert_int_equal(tt_job_state_write(path, &job, &err), TT_OK);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_true(found(path, job.url, job.key, &read));
    assert_string_equal(read.location, job.location);
    assert_false(found(path, "https://example.com", job.key, &read));
    assert_false(found(path, job.url, "another", &read));
    assert_int_equal(temp_folder_count(&folder), 1);
    tt_job_state_remove(path);
    tt_job_state_remove(path);
    assert_int_equal(temp_folder_count(&folder), 0);
    assert_int_equal(tt_job_state_write("/no/such/folder/state", &job, &err), TT_ERROR_IO);
    temp_folder_remove(&folder);
}

static void test_damaged(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "{}",
                                        "{\"url\": 1, \"location\": 2, \"key\": 3}",
                                        "{\"url\": \"https://example.org\", \"key\": \"key\"}",
                                        "\xff\xfe\x00"};
    char longest[9000], path[TT_TEMP_PATH];
    temp_folder folder;
    tt_job_state read;
    (void)state;
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "state", path);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        temp_folder_write_text(&folder, "state", texts[i]);
        assert_false(found(path, job.url, job.key, &read));
    }
    (void)snprintf(longest, sizeof longest, "{\"url\": \"%s\", \"key\": \"%s\", \"location\": \"%0600d\"}", job.url,
                   job.key, 1);
    temp_folder_write_text(&folder, "state", longest);
    assert_false(found(path, job.url, job.key, &read));
    memset(longest, ' ', sizeof longest);
    temp_folder_write(&folder, "state", longest, sizeof longest);
    assert_false(found(path, job.url, job.key, &read));
    temp_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
