/* ledger-fixture.c - ledgers for tests. */
#include "tests/support/ledger-fixture.h"

#include "base/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* cmocka hands the group's state to every test. */
static int make_fixture(void **state, bool is_postgres)
{
    ledger_fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->is_postgres = is_postgres;
    *state = fixture;
    if (is_postgres)
        test_postgres_start(&fixture->server);
    return 0;
}

static int make_sqlite(void **state)
{
    return make_fixture(state, false);
}

static int make_postgres(void **state)
{
    return make_fixture(state, true);
}

static int free_fixture(void **state)
{
    ledger_fixture *fixture = *state;
    if (fixture->is_postgres)
        test_postgres_end(&fixture->server);
    free(fixture);
    return 0;
}

int ledger_run_postgres(const char *name, const struct CMUnitTest *cases, size_t n_cases)
{
    char group[64];
    (void)snprintf(group, sizeof(group), "%s, PostgreSQL", name);
    return test_postgres_is_there() ? _cmocka_run_group_tests(group, cases, n_cases, make_postgres, free_fixture) : 77;
}

int ledger_run_cases(const char *name, const struct CMUnitTest *cases, size_t n_cases)
{
    char group[64];
    (void)snprintf(group, sizeof(group), "%s, SQLite", name);
    int n_failed = _cmocka_run_group_tests(group, cases, n_cases, make_sqlite, free_fixture);
    int code = ledger_run_postgres(name, cases, n_cases);
    return n_failed + (code == 77 ? 0 : code);
}

int ledger_empty(void **state)
{
    ledger_fixture *fixture = *state;
    if (fixture->is_postgres) {
        test_postgres_sql(&fixture->server, "SET client_min_messages = error; DROP SCHEMA public CASCADE; "
                                            "CREATE SCHEMA public");
        strcpy(fixture->address, fixture->server.address);
    } else {
        temp_folder_make(&fixture->folder);
        (void)snprintf(fixture->address, sizeof(fixture->address), "sqlite:%s/jobs.db", fixture->folder.path);
    }
    return 0;
}

int ledger_fresh(void **state)
{
    ledger_fixture *fixture = *state;
    (void)ledger_empty(state);
    fixture->ledger = ledger_connect(fixture, (tt_ledger_bounds){0});
    return 0;
}

int ledger_gone(void **state)
{
    ledger_fixture *fixture = *state;
    tt_ledger_close(fixture->ledger);
    fixture->ledger = NULL;
    if (!fixture->is_postgres)
        temp_folder_remove(&fixture->folder);
    return 0;
}

void ledger_expect_ok(tt_status status, const tt_error *err)
{
    if (status != TT_OK)
        fail_msg("status %d: %s", (int)status, err->text);
}

tt_ledger *ledger_connect(const ledger_fixture *fixture, tt_ledger_bounds bounds)
{
    tt_error err = {""};
    tt_ledger *ledger = NULL;
    ledger_expect_ok(tt_ledger_open(fixture->address, &bounds, &ledger, &err), &err);
    return ledger;
}

tt_job_input ledger_input(const char *owner, const char *key, const char *body, char sha256[65])
{
    tt_error err = {""};
    ledger_expect_ok(tt_sha256_hex(body, strlen(body), sha256, &err), &err);
    return (tt_job_input){.owner = owner,
                          .key = key,
                          .type = "image/png",
                          .sha256 = sha256,
                          .scale = 2,
                          .width = 8,
                          .height = 8,
                          .body = body,
                          .n_body_bytes = strlen(body)};
}

tt_job ledger_expect_put(tt_ledger *ledger, const char *owner, const char *key, const char *body,
                         tt_put_outcome outcome)
{
    char sha256[65];
    tt_error err = {""};
    tt_job job;
    tt_put_outcome got;
    tt_job_input input = ledger_input(owner, key, body, sha256);
    ledger_expect_ok(tt_ledger_put(ledger, &input, &got, &job, &err), &err);
    assert_int_equal(got, outcome);
    return job;
}

tt_job ledger_expect_take(tt_ledger *ledger, const char *worker, const char *body)
{
    tt_error err = {""};
    tt_job job;
    bool found;
    void *bytes;
    size_t n_bytes;
    ledger_expect_ok(tt_ledger_take(ledger, worker, &found, &job, &bytes, &n_bytes, &err), &err);
    assert_int_equal(found, body != NULL);
    if (body != NULL) {
        assert_int_equal(n_bytes, strlen(body));
        assert_memory_equal(bytes, body, n_bytes);
        assert_int_equal(job.stage, TT_JOB_WORKING);
    }
    free(bytes);
    return job;
}

void ledger_expect_done(tt_ledger *ledger, const char *worker, const char *id, const char *result, bool counts)
{
    char sha256[65];
    tt_error err = {""};
    bool counted;
    ledger_expect_ok(tt_sha256_hex(result, strlen(result), sha256, &err), &err);
    ledger_expect_ok(tt_ledger_done(ledger, worker, id, "image/png", sha256, result, strlen(result), &counted, &err),
                     &err);
    assert_int_equal(counted, counts);
}

tt_job ledger_expect_stage(tt_ledger *ledger, const char *id, tt_job_stage stage)
{
    tt_error err = {""};
    tt_job job;
    bool found;
    ledger_expect_ok(tt_ledger_find(ledger, id, &found, &job, &err), &err);
    assert_true(found);
    assert_int_equal(job.stage, stage);
    assert_string_equal(job.id, id);
    return job;
}

void ledger_expect_nothing(tt_ledger *ledger, const char *id)
{
    tt_error err = {""};
    tt_job job;
    bool found = true;
    ledger_expect_ok(tt_ledger_find(ledger, id, &found, &job, &err), &err);
    assert_false(found);
}

void ledger_expect_result(tt_ledger *ledger, const char *id, const char *result)
{
    tt_error err = {""};
    char type[48];
    bool found;
    void *bytes;
    size_t n_bytes;
    ledger_expect_ok(tt_ledger_result(ledger, id, &found, type, &bytes, &n_bytes, &err), &err);
    assert_int_equal(found, result != NULL);
    if (result != NULL) {
        assert_string_equal(type, "image/png");
        assert_int_equal(n_bytes, strlen(result));
        assert_memory_equal(bytes, result, n_bytes);
    }
    free(bytes);
}

void ledger_pause(double seconds)
{
    struct timespec pause = {.tv_sec = (time_t)seconds};
    pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * 1e9);
    (void)nanosleep(&pause, NULL);
}
