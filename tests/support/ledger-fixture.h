/* ledger-fixture.h - a fresh ledger for each test, in either backend. Failures end the test through cmocka. */
#ifndef TT_TESTS_SUPPORT_LEDGER_FIXTURE_H
#define TT_TESTS_SUPPORT_LEDGER_FIXTURE_H

#include "service/ledger.h"
#include "tests/support/postgres.h"

struct CMUnitTest;

typedef struct ledger_fixture {
    bool is_postgres;
    test_postgres server;
    temp_folder folder; /* SQLite: of the present test */
    char address[TT_TEMP_PATH + 64];
    tt_ledger *ledger; /* opened by ledger_fresh, with no bounds */
} ledger_fixture;

/* Runs cmocka's tests with SQLite, then with PostgreSQL where a server is installed and built in; the program's exit
 * status. *state of each is a ledger_fixture. */
int ledger_run_cases(const char *name, const struct CMUnitTest *cases, size_t n_cases);

/* The same with PostgreSQL alone; 77 where that cannot be tested. */
int ledger_run_postgres(const char *name, const struct CMUnitTest *cases, size_t n_cases);

/* Set-up and teardown of one test; ledger_empty makes an address where nothing is yet, and opens no ledger. */
int ledger_empty(void **state);
int ledger_fresh(void **state);
int ledger_gone(void **state);

/* Another connection to the fixture's ledger. */
tt_ledger *ledger_connect(const ledger_fixture *fixture, tt_ledger_bounds bounds);

/* A job with that text as its body: 2x, 8 x 8 pixels; the hash is kept in sha256. */
tt_job_input ledger_input(const char *owner, const char *key, const char *body, char sha256[65]);

/* Puts such a job and expects this outcome. */
tt_job ledger_expect_put(tt_ledger *ledger, const char *owner, const char *key, const char *body,
                         tt_put_outcome outcome);

/* Takes a job and expects this body; NULL: there must be none. */
tt_job ledger_expect_take(tt_ledger *ledger, const char *worker, const char *body);

/* Ends a job with that text as its result and expects that it counts, or does not. */
void ledger_expect_done(tt_ledger *ledger, const char *worker, const char *id, const char *result, bool counts);

/* Finds a job and expects this stage. */
tt_job ledger_expect_stage(tt_ledger *ledger, const char *id, tt_job_stage stage);

/* Expects that there is no such job. */
void ledger_expect_nothing(tt_ledger *ledger, const char *id);

/* Expects this text as the result; NULL: there must be none. */
void ledger_expect_result(tt_ledger *ledger, const char *id, const char *result);

/* Fails the test with the sentence unless status is TT_OK. */
void ledger_expect_ok(tt_status status, const tt_error *err);

void ledger_pause(double seconds);

#endif
