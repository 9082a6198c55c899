/* test_ledger_sqlite.c - files that are none, of others, newer, damaged, not to be written, and a disk that is full. */
#define _DEFAULT_SOURCE /* setgroups */
#include "tests/support/ledger-fixture.h"

#include <fcntl.h>
#include <grp.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include <cmocka.h>

static ledger_fixture *fixture_of(void **state)
{
    return *state;
}

static int set_up(void **state)
{
    static ledger_fixture fixture;
    fixture = (ledger_fixture){0};
    *state = &fixture;
    return ledger_empty(state);
}

static void expect_refused(const char *address, tt_status want, const char *mention)
{
    tt_error err = {""};
    tt_ledger *ledger = NULL;
    tt_status status = tt_ledger_open(address, NULL, &ledger, &err);
    assert_null(ledger);
    if (status != want || strstr(err.text, mention) == NULL)
        fail_msg("expected status %d and \"%s\", but found %d and: %s", (int)want, mention, (int)status, err.text);
    assert_non_null(strstr(err.text, address + strlen("sqlite:")));
}

static void sql(const ledger_fixture *fixture, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(fixture->address + strlen("sqlite:"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_no_database(void **state)
{
    char letter[2000];
    memset(letter, 'x', sizeof(letter));
    temp_folder_write(&fixture_of(state)->folder, "jobs.db", letter, sizeof(letter));
    expect_refused(fixture_of(state)->address, TT_ERROR_FORMAT, "not a database");
}

/* Another program's file is refused and left as it is. */
static void test_another_programs_file(void **state)
{
    const ledger_fixture *fixture = fixture_of(state);
    char before[4096], after[4096];
    sql(fixture, "CREATE TABLE recipes (name TEXT)");
    FILE *stream = fopen(fixture->address + strlen("sqlite:"), "rb");
    assert_non_null(stream);
    assert_int_equal(fread(before, 1, sizeof(before), stream), sizeof(before));
    expect_refused(fixture->address, TT_ERROR_FORMAT, "another program");
    rewind(stream);
    assert_int_equal(fread(after, 1, sizeof(after), stream), sizeof(after));
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(temp_folder_count(&fixture->folder), 1);
}

static void test_newer_version(void **state)
{
    tt_ledger_close(ledger_connect(fixture_of(state), (tt_ledger_bounds){0}));
    sql(fixture_of(state), "PRAGMA user_version = 2");
    expect_refused(fixture_of(state)->address, TT_ERROR_UNSUPPORTED, "version 2");
}

static void test_no_such_folder(void **state)
{
    char address[TT_TEMP_PATH + 64];
    (void)snprintf(address, sizeof(address), "sqlite:%s/no/jobs.db", fixture_of(state)->folder.path);
    expect_refused(address, TT_ERROR_IO, "No such file or directory");
    (void)snprintf(address, sizeof(address), "sqlite:%s", fixture_of(state)->folder.path);
    expect_refused(address, TT_ERROR_IO, "unable to open");
}

/* Pictures of strangers are inside. */
static void test_file_is_private(void **state)
{
    const ledger_fixture *fixture = fixture_of(state);
    struct stat info;
    tt_ledger *ledger = ledger_connect(fixture, (tt_ledger_bounds){0});
    (void)ledger_expect_put(ledger, "ann", NULL, "body", TT_PUT_ACCEPTED);
    const char *const names[] = {"jobs.db", "jobs.db-wal", "jobs.db-shm"};
    for (size_t i = 0; i < 3; i++) {
        char path[TT_TEMP_PATH];
        assert_int_equal(stat(temp_folder_path(&fixture->folder, names[i], path), &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
    }
    tt_ledger_close(ledger);
}

static void test_damaged_pages(void **state)
{
    const ledger_fixture *fixture = fixture_of(state);
    tt_error err = {""};
    char noise[4096], path[TT_TEMP_PATH];
    struct stat info;
    memset(noise, 0xa5, sizeof(noise));
    tt_ledger *ledger = ledger_connect(fixture, (tt_ledger_bounds){0});
    for (int i = 0; i < 50; i++)
        (void)ledger_expect_put(ledger, "ann", NULL, "body", TT_PUT_ACCEPTED);
    tt_ledger_close(ledger);
    int file = open(temp_folder_path(&fixture->folder, "jobs.db", path), O_RDWR);
    assert_true(file >= 0);
    assert_int_equal(fstat(file, &info), 0);
    for (off_t at = 4096; at < info.st_size; at += 4096) /* the first page holds the header and the schema */
        assert_int_equal(pwrite(file, noise, sizeof(noise), at), sizeof(noise));
    assert_int_equal(close(file), 0);

    ledger = ledger_connect(fixture, (tt_ledger_bounds){0});
    tt_job job;
    bool found;
    void *body;
    size_t n_bytes;
    assert_int_equal(tt_ledger_take(ledger, "w", &found, &job, &body, &n_bytes, &err), TT_ERROR_FORMAT);
    assert_false(found);
    assert_null(body);
    assert_non_null(strstr(err.text, "malformed"));
    tt_ledger_close(ledger);
}

/* ---- in a process of its own: it gives up rights and sets limits */

static int in_child(int (*run)(const ledger_fixture *), const ledger_fixture *fixture)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int code = run(fixture);
        (void)fflush(NULL);
        _exit(code);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int give_up_root(void)
{
    return getuid() == 0 && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0) ? -1 : 0;
}

static int open_without_rights(const ledger_fixture *fixture)
{
    tt_error err = {""};
    tt_ledger *ledger = NULL;
    if (give_up_root() != 0)
        return 2;
    tt_status status = tt_ledger_open(fixture->address, NULL, &ledger, &err);
    (void)printf("in a folder that may not be written: %s\n", err.text);
    bool says_why = strstr(err.text, "Permission denied") != NULL || strstr(err.text, "may not be written") != NULL;
    return status == TT_ERROR_IO && strstr(err.text, "jobs.db") != NULL && says_why ? 0 : 1;
}

static void test_folder_is_read_only(void **state)
{
    const ledger_fixture *fixture = fixture_of(state);
    char path[TT_TEMP_PATH];
    assert_int_equal(chmod(fixture->folder.path, 0555), 0);
    assert_int_equal(in_child(open_without_rights, fixture), 0);
    assert_int_equal(chmod(fixture->folder.path, 0755), 0);
    tt_ledger_close(ledger_connect(fixture, (tt_ledger_bounds){0}));
    assert_int_equal(chmod(temp_folder_path(&fixture->folder, "jobs.db", path), 0444), 0);
    assert_int_equal(chmod(fixture->folder.path, 0555), 0);
    assert_int_equal(in_child(open_without_rights, fixture), 0);
}

enum { FULL_JOBS = 40, FULL_BYTES = 100000 };

static tt_status put_large(tt_ledger *ledger, const void *body, tt_job *job, tt_error *err)
{
    const char sha256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const tt_job_input input = {.owner = "ann",
                                .type = "image/png",
                                .sha256 = sha256,
                                .scale = 2,
                                .width = 8,
                                .height = 8,
                                .body = body,
                                .n_body_bytes = FULL_BYTES};
    tt_put_outcome outcome;
    return tt_ledger_put(ledger, &input, &outcome, job, err);
}

/* Files may grow to 1 MB; the limit is lifted after the first refusal. */
static int fill_up(const ledger_fixture *fixture)
{
    static char body[FULL_BYTES];
    static tt_job jobs[FULL_JOBS];
    struct rlimit limit;
    tt_error err = {""};
    tt_ledger *ledger = NULL;
    int n = 0;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || tt_ledger_open(fixture->address, NULL, &ledger, &err) != TT_OK)
        return 2;
    const struct rlimit small = {.rlim_cur = 1000000, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_FSIZE, &small) != 0)
        return 2;
    tt_status status = TT_OK;
    while (n < FULL_JOBS && status == TT_OK)
        status = put_large(ledger, body, &jobs[n++], &err);
    (void)printf("on a full disk, after %d jobs: %s\n", n - 1, err.text);
    if (status != TT_ERROR_IO || n < 3 || strstr(err.text, "jobs.db") == NULL)
        return 1;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || put_large(ledger, body, &jobs[n - 1], &err) != TT_OK)
        return 1;
    for (int i = 0; i < n; i++) {
        tt_job job;
        bool found;
        if (tt_ledger_find(ledger, jobs[i].id, &found, &job, &err) != TT_OK || !found || job.position != (uint64_t)i)
            return 1;
    }
    tt_ledger_close(ledger);
    return 0;
}

static void test_disk_is_full(void **state)
{
    uint64_t counts[5];
    double oldest;
    tt_error err = {""};
    assert_int_equal(in_child(fill_up, fixture_of(state)), 0);
    tt_ledger *ledger = ledger_connect(fixture_of(state), (tt_ledger_bounds){0});
    ledger_expect_ok(tt_ledger_length(ledger, counts, &oldest, &err), &err);
    assert_true(counts[TT_JOB_QUEUED] >= 3);
    tt_ledger_close(ledger);
}

/* ---- bad addresses and bounds */

static void test_bad_bounds(void **state)
{
    const double bad[] = {-1, 2e9, (double)NAN};
    for (size_t i = 0; i < 3; i++) {
        tt_error err = {""};
        tt_ledger *ledger = NULL;
        tt_ledger_bounds lease = {.lease_seconds = bad[i]}, keep = {.keep_seconds = bad[i]};
        assert_int_equal(tt_ledger_open(fixture_of(state)->address, &lease, &ledger, &err), TT_ERROR_ARGUMENT);
        assert_int_equal(tt_ledger_open(fixture_of(state)->address, &keep, &ledger, &err), TT_ERROR_ARGUMENT);
        assert_null(ledger);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test_setup_teardown(test_no_database, set_up, ledger_gone),
        cmocka_unit_test_setup_teardown(test_another_programs_file, set_up, ledger_gone),
        cmocka_unit_test_setup_teardown(test_newer_version, set_up, ledger_gone),
        cmocka_unit_test_setup_teardown(test_no_such_folder, set_up, ledger_gone),
        cmocka_unit_test_setup_teardown(test_file_is_private, set_up, ledger_gone),
        cmocka_unit_test_setup_teardown(test_damaged_pages, set_up, ledger_gone),
        cmocka_unit_test_setup_teardown(test_folder_is_read_only, set_up, ledger_gone),
        cmocka_unit_test_setup_teardown(test_disk_is_full, set_up, ledger_gone),
        cmocka_unit_test_setup_teardown(test_bad_bounds, set_up, ledger_gone),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
