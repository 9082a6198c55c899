/* test_ledger_postgres.c - a server that is away, goes away, or holds something else. */
#include "base/clock.h"
#include "tests/support/ledger-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The address must be refused with this status; the sentence mentions one text and not the other. */
static void expect_refused(const char *address, tt_status want, const char *mention, const char *secret)
{
    tt_error err = {""};
    tt_ledger *ledger = NULL;
    assert_int_equal(tt_ledger_open(address, NULL, &ledger, &err), want);
    assert_null(ledger);
    if (strstr(err.text, mention) == NULL || strstr(err.text, secret) != NULL)
        fail_msg("the sentence should mention \"%s\" and not \"%s\": %s", mention, secret, err.text);
}

static void test_no_server(void **state)
{
    char address[TT_TEMP_PATH + 64];
    temp_folder folder;
    (void)state;
    temp_folder_make(&folder);
    (void)snprintf(address, sizeof(address), "postgresql://ann:hush@/postgres?host=%s", folder.path);
    expect_refused(address, TT_ERROR_NETWORK, "PostgreSQL server is not there", "hush");
    expect_refused("postgresql://ann:hush@[host/", TT_ERROR_ARGUMENT, "malformed", "hush");
    expect_refused("postgresql://ann:hush@host:port%/", TT_ERROR_ARGUMENT, "malformed", "hush");
    expect_refused("mysql://ann:hush@host/", TT_ERROR_ARGUMENT, "sqlite:PATH or postgresql://", "hush");
    expect_refused("sqlite:", TT_ERROR_ARGUMENT, "sqlite:PATH or postgresql://", "hush");
    temp_folder_remove(&folder);
}

static void test_newer_tables(void **state)
{
    const ledger_fixture *fixture = *state;
    test_postgres_sql(&fixture->server, "UPDATE tintype_ledger SET version = 2");
    expect_refused(fixture->address, TT_ERROR_UNSUPPORTED, "version 2", "@");
}

static void test_tables_vanish(void **state)
{
    const ledger_fixture *fixture = *state;
    tt_error err = {""};
    uint64_t counts[5];
    double oldest;
    test_postgres_sql(&fixture->server, "SET client_min_messages = error; DROP TABLE tintype_jobs CASCADE");
    assert_int_equal(tt_ledger_length(fixture->ledger, counts, &oldest, &err), TT_ERROR_IO);
    assert_non_null(strstr(err.text, "tintype_jobs"));
}

/* The server drops all connections: the next call does not notice. */
static void test_connections_are_cut(void **state)
{
    const ledger_fixture *fixture = *state;
    tt_job first = ledger_expect_put(fixture->ledger, "ann", NULL, "1", TT_PUT_ACCEPTED);
    for (int i = 0; i < 3; i++) {
        test_postgres_sql(&fixture->server, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                                            "application_name = 'tintype'");
        (void)ledger_expect_put(fixture->ledger, "ann", NULL, "2", TT_PUT_ACCEPTED);
    }
    test_postgres_sql(&fixture->server, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                                        "application_name = 'tintype'");
    assert_string_equal(ledger_expect_take(fixture->ledger, "w", "1").id, first.id);
    test_postgres_sql(&fixture->server, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                                        "application_name = 'tintype'");
    ledger_expect_done(fixture->ledger, "w", first.id, "result", true);
    ledger_expect_result(fixture->ledger, first.id, "result");
}

static void test_server_stays_away(void **state)
{
    const ledger_fixture *fixture = *state;
    char sha256[65];
    tt_error err = {""};
    tt_put_outcome outcome;
    tt_job job;
    tt_job_input input = ledger_input("ann", NULL, "2", sha256);
    tt_job first = ledger_expect_put(fixture->ledger, "ann", NULL, "1", TT_PUT_ACCEPTED);
    ledger_expect_ok(tt_ledger_wait(fixture->ledger, TT_LEDGER_JOB_ENDED, 0, &err), &err);
    test_postgres_command(&fixture->server, "crash");
    double begin = tt_clock_seconds();
    assert_int_equal(tt_ledger_put(fixture->ledger, &input, &outcome, &job, &err), TT_ERROR_NETWORK);
    assert_true(tt_clock_seconds() - begin < 30);
    assert_non_null(strstr(err.text, "PostgreSQL server is not there"));

    /* The same ledger goes on when it is back, and a wait says that something may have happened meanwhile. */
    test_postgres_command(&fixture->server, "again");
    begin = tt_clock_seconds();
    ledger_expect_ok(tt_ledger_wait(fixture->ledger, TT_LEDGER_JOB_ENDED, 60, &err), &err);
    assert_true(tt_clock_seconds() - begin < 30);
    (void)ledger_expect_put(fixture->ledger, "ann", NULL, "2", TT_PUT_ACCEPTED);
    assert_string_equal(ledger_expect_take(fixture->ledger, "w", "1").id, first.id);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test_setup_teardown(test_no_server, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_newer_tables, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_tables_vanish, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_connections_are_cut, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_server_stays_away, ledger_fresh, ledger_gone),
};

int main(void)
{
    return ledger_run_postgres("ledger's server", cases, sizeof(cases) / sizeof(cases[0]));
}
