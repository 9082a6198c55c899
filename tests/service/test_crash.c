/* test_crash.c - the service as a whole, killed over and over: what was accepted is done, once, and right.
 *
 * A real gate and two real workers on the loopback; gate and workers are killed with SIGKILL at any moment, and the
 * PostgreSQL server is crashed once. TT_TEST_JOBS and TT_TEST_SQLITE_JOBS say how many jobs are sent (200; `make
 * check-service` sends 5,000 and 500). */
#include "base/clock.h"
#include "tests/support/http-try.h"
#include "tests/support/ledger-fixture.h"
#include "tests/support/service-run.h"
#include "tests/support/small-jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double patience = 120; /* seconds for one request with all its tries */

/* What the harness keeps of a run. */
typedef struct crash_test {
    ledger_fixture *fixture;
    temp_folder folder;
    service_run run;
    small_jobs jobs;
    size_t n_jobs, n_retried;
    char (*ids)[TT_JOB_ID_BYTES];
} crash_test;

static size_t n_wanted(const ledger_fixture *fixture)
{
    const char *text = getenv(fixture->is_postgres ? "TT_TEST_JOBS" : "TT_TEST_SQLITE_JOBS");
    const size_t n = text != NULL ? strtoul(text, NULL, 10) : 0;
    return n > 0 ? n : 200;
}

static void start(crash_test *t, ledger_fixture *fixture)
{
    static const char *const gate_options[] = {"--max-queued-per-token", "20000", NULL};
    t->fixture = fixture;
    t->n_jobs = n_wanted(fixture);
    t->ids = calloc(t->n_jobs, sizeof *t->ids);
    assert_non_null(t->ids);
    temp_folder_make(&t->folder);
    small_jobs_make(&t->jobs);
    t->run = (service_run){.ledger = fixture->address,
                           .server = fixture->is_postgres ? &fixture->server : NULL,
                           .folder = t->folder.path,
                           .n_workers = 2,
                           .gate_options = gate_options,
                           .lease_seconds = 3,
                           .pause_seconds = 0.4,
                           .seed = 6};
    service_run_start(&t->run);
    small_jobs_solve(&t->jobs); /* after the fork: no driver's threads are forked */
}

/* The id in Location or Content-Location. */
static bool read_id(const http_answer *answer, char id[TT_JOB_ID_BYTES])
{
    static const char prefix[] = "/v1/upscales/";
    char value[256];
    (void)http_answer_header(answer, answer->code == 202 ? "Location" : "Content-Location", value);
    if (strncmp(value, prefix, sizeof prefix - 1) != 0 || strlen(value) < sizeof prefix - 1 + TT_JOB_ID_BYTES - 1)
        return false;
    memcpy(id, value + sizeof prefix - 1, TT_JOB_ID_BYTES - 1);
    return true;
}

/* Sends a job until it is accepted: a gate may be dead, dying or starting, and its ledger away. */
static void submit(crash_test *t, size_t i)
{
    char headers[160];
    const struct small_job *job = &t->jobs.kinds[i % SMALL_JOBS_KINDS];
    const double until = tt_clock_seconds() + patience;
    (void)snprintf(headers, sizeof headers, "Content-Type: image/png\r\nIdempotency-Key: job-%zu\r\n", i);
    for (bool is_accepted = false; !is_accepted; t->n_retried += !is_accepted) {
        http_answer answer;
        if (tt_clock_seconds() > until)
            fail_msg("job %zu was not accepted within %g s", i, patience);
        if (!http_try(t->run.port, "POST /v1/upscales?scale=2", headers, job->body, job->n_body, 20, &answer)) {
            ledger_pause(0.02);
            continue;
        }
        if (answer.code != 503 && answer.code != 202 && answer.code != 200)
            fail_msg("job %zu: %d %.300s", i, answer.code, answer.body);
        is_accepted = answer.code != 503 && read_id(&answer, t->ids[i]);
        http_answer_free(&answer);
        if (!is_accepted)
            ledger_pause(0.05);
    }
}

static void read_counts(tt_ledger *ledger, uint64_t counts[5])
{
    tt_error err = {""};
    double oldest;
    tt_status status;
    do
        status = tt_ledger_length(ledger, counts, &oldest, &err);
    while (status == TT_ERROR_NETWORK); /* it is being started again */
    ledger_expect_ok(status, &err);
}

/* Waits until nothing is open; the killing ends a little earlier. */
static void wait_for_all(crash_test *t, tt_ledger *ledger)
{
    const double until = tt_clock_seconds() + 60 + 0.2 * (double)t->n_jobs;
    bool is_calm = false;
    for (;;) {
        uint64_t counts[5];
        read_counts(ledger, counts);
        const uint64_t n_open = counts[TT_JOB_QUEUED] + counts[TT_JOB_WORKING];
        if (!is_calm && n_open <= t->n_jobs / 20) {
            service_run_calm(&t->run);
            is_calm = true;
        }
        if (n_open == 0)
            return;
        if (tt_clock_seconds() > until)
            fail_msg("%llu jobs are still open", (unsigned long long)n_open);
        ledger_pause(0.2);
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* One row of the ledger for each job that was accepted, all done, and no other rows. */
static void expect_ledger(crash_test *t, tt_ledger *ledger)
{
    uint64_t counts[5];
    read_counts(ledger, counts);
    assert_int_equal(counts[TT_JOB_DONE], t->n_jobs);
    assert_int_equal(counts[TT_JOB_FAILED] + counts[TT_JOB_EXPIRED], 0);
    char(*sorted)[TT_JOB_ID_BYTES] = calloc(t->n_jobs, sizeof *sorted);
    assert_non_null(sorted);
    memcpy(sorted, t->ids, t->n_jobs * sizeof *sorted);
    qsort(sorted, t->n_jobs, sizeof *sorted, by_text);
    for (size_t i = 1; i < t->n_jobs; i++)
        assert_string_not_equal(sorted[i - 1], sorted[i]);
    free(sorted);
}

static void expect_results(crash_test *t)
{
    for (size_t i = 0; i < t->n_jobs; i++) {
        const struct small_job *job = &t->jobs.kinds[i % SMALL_JOBS_KINDS];
        char path[96];
        http_answer answer;
        (void)snprintf(path, sizeof path, "GET /v1/upscales/%s/image", t->ids[i]);
        if (!http_try(t->run.port, path, "", NULL, 0, 20, &answer) || answer.code != 200)
            fail_msg("job %zu: no result: %d", i, answer.code);
        assert_int_equal(answer.n_body, job->n_result);
        assert_memory_equal(answer.body, job->result, job->n_result);
        http_answer_free(&answer);
    }
}

/* Completions that counted, as the workers say; a worker that is killed right after its commit does not say it. */
static void expect_done_once(crash_test *t)
{
    char(*said)[TT_JOB_ID_BYTES] = calloc(2 * t->n_jobs, sizeof *said);
    size_t n = 0;
    assert_non_null(said);
    for (uint32_t i = 0; i < t->run.n_workers; i++) {
        char name[32], path[TT_TEMP_PATH], line[512];
        (void)snprintf(name, sizeof name, "worker%u.log", i);
        FILE *stream = fopen(temp_folder_path(&t->folder, name, path), "r");
        assert_non_null(stream);
        while (fgets(line, (int)sizeof line, stream) != NULL && n < 2 * t->n_jobs) {
            const char *job = strstr(line, ": job ");
            if (job != NULL && strstr(line, "scale") != NULL && strstr(line, "did not count") == NULL)
                memcpy(said[n++], job + 6, TT_JOB_ID_BYTES - 1);
        }
        (void)fclose(stream);
    }
    qsort(said, n, sizeof *said, by_text);
    assert_true(n > 0);
    for (size_t i = 1; i < n; i++)
        assert_string_not_equal(said[i - 1], said[i]);
    free(said);
}

static void test_killed_over_and_over(void **state)
{
    crash_test t = {0};
    start(&t, *state);
    /* Workers are fast: the killing is given time. */
    const double pause = (8 + (double)t.n_jobs / 100) / (double)t.n_jobs;
    const double begin = tt_clock_seconds();
    for (size_t i = 0; i < t.n_jobs; i++) {
        submit(&t, i);
        ledger_pause(pause);
    }
    const double accepted = tt_clock_seconds();
    tt_ledger *ledger = ledger_connect(t.fixture, (tt_ledger_bounds){0});
    wait_for_all(&t, ledger);
    const double done = tt_clock_seconds();
    service_run_calm(&t.run);
    service_run_wait(&t.run);
    expect_ledger(&t, ledger);
    expect_results(&t);
    tt_ledger_close(ledger);
    const service_run_counts counts = service_run_end(&t.run);
    expect_done_once(&t);
    print_message("%zu jobs accepted in %.1f s (%zu requests made again) and done after %.1f s; killed: gate %u times, "
                  "workers %u times; server crashed %u times; 0 lost, 0 wrong\n",
                  t.n_jobs, accepted - begin, t.n_retried, done - begin, counts.n_gate_kills, counts.n_worker_kills,
                  counts.n_restarts);
    assert_true(counts.n_gate_kills + counts.n_worker_kills > 0);
    small_jobs_free(&t.jobs);
    free(t.ids);
    temp_folder_remove(&t.folder);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test_setup_teardown(test_killed_over_and_over, ledger_empty, ledger_gone),
};

int main(void)
{
    return ledger_run_cases("crashes", cases, sizeof cases / sizeof cases[0]);
}
