/* test_ledger_processes.c - several processes on one ledger: races, kill -9, a server that is started again. */
#include "tests/support/ledger-children.h"
#include "tests/support/ledger-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_CHILDREN = 4, MAX_RECORDS = 100000 };

/* Jobs as the children have written them down. */
typedef struct record_list {
    size_t n;
    struct record {
        char id[TT_JOB_ID_BYTES];
        unsigned long number;
    } * records;
} record_list;

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct record *)a)->id, ((const struct record *)b)->id);
}

static record_list read_records(const char *path)
{
    record_list list = {.records = calloc(MAX_RECORDS, sizeof(struct record))};
    FILE *stream = fopen(path, "r");
    assert_non_null(list.records);
    assert_non_null(stream);
    while (list.n < MAX_RECORDS &&
           fscanf(stream, "%32s %lu\n", list.records[list.n].id, &list.records[list.n].number) == 2)
        list.n++;
    (void)fclose(stream);
    qsort(list.records, list.n, sizeof(list.records[0]), by_id);
    return list;
}

static void expect_all_different(const record_list *list)
{
    for (size_t i = 1; i < list->n; i++)
        assert_true(by_id(&list->records[i - 1], &list->records[i]) < 0);
}

static void read_counts(tt_ledger *ledger, uint64_t counts[5])
{
    tt_error err = {""};
    double oldest;
    ledger_expect_ok(tt_ledger_length(ledger, counts, &oldest, &err), &err);
}

/* A folder for the records, and the fixture's address. */
typedef struct stage {
    const ledger_fixture *fixture;
    temp_folder folder;
    char accepted[TT_TEMP_PATH], done[TT_TEMP_PATH];
} stage;

static stage stage_make(void **state)
{
    stage s = {.fixture = *state};
    temp_folder_make(&s.folder);
    (void)temp_folder_path(&s.folder, "accepted", s.accepted);
    (void)temp_folder_path(&s.folder, "done", s.done);
    return s;
}

static ledger_child child_of(const stage *s, unsigned number, const char *record)
{
    return (ledger_child){.address = s->fixture->address, .number = number, .record = record};
}

/* Four processes put 500 jobs, then four take them: each exactly once. */
static void test_each_job_once(void **state)
{
    stage s = stage_make(state);
    pid_t pids[N_CHILDREN];
    uint64_t counts[5];
    for (unsigned i = 0; i < N_CHILDREN; i++) {
        ledger_child child = child_of(&s, i, s.accepted);
        child.n_jobs = 125;
        pids[i] = ledger_fork(ledger_put_jobs, &child);
    }
    for (unsigned i = 0; i < N_CHILDREN; i++)
        ledger_join(pids[i]);
    read_counts(s.fixture->ledger, counts);
    assert_int_equal(counts[TT_JOB_QUEUED], 500);
    for (unsigned i = 0; i < N_CHILDREN; i++) {
        ledger_child child = child_of(&s, i, s.done);
        child.n_jobs = 1;
        pids[i] = ledger_fork(ledger_work, &child);
    }
    for (unsigned i = 0; i < N_CHILDREN; i++)
        ledger_join(pids[i]);

    record_list accepted = read_records(s.accepted), done = read_records(s.done);
    assert_int_equal(accepted.n, 500);
    assert_int_equal(done.n, 500);
    expect_all_different(&done);
    for (size_t i = 0; i < done.n; i++) {
        assert_string_equal(done.records[i].id, accepted.records[i].id);
        assert_int_equal(done.records[i].number, accepted.records[i].number);
        assert_int_equal(ledger_expect_stage(s.fixture->ledger, done.records[i].id, TT_JOB_DONE).n_tries, 1);
    }
    free(accepted.records);
    free(done.records);
    temp_folder_remove(&s.folder);
}

/* Processes that put at the same moment do not go over a bound. */
static void test_bounds_hold_in_a_race(void **state)
{
    stage s = stage_make(state);
    pid_t pids[N_CHILDREN];
    uint64_t counts[5];
    for (unsigned i = 0; i < N_CHILDREN; i++) {
        ledger_child child = child_of(&s, i, s.accepted);
        child.n_jobs = 60;
        child.bounds = (tt_ledger_bounds){.max_queued = 101, .max_queued_per_owner = 47};
        pids[i] = ledger_fork(ledger_put_jobs, &child);
    }
    for (unsigned i = 0; i < N_CHILDREN; i++)
        ledger_join(pids[i]);
    record_list accepted = read_records(s.accepted);
    assert_int_equal(accepted.n, 101);
    read_counts(s.fixture->ledger, counts);
    assert_int_equal(counts[TT_JOB_QUEUED], 101);
    free(accepted.records);
    temp_folder_remove(&s.folder);
}

/* Several processes find no tables at the same moment. */
static void test_first_opens_race(void **state)
{
    stage s = stage_make(state);
    pid_t pids[8];
    for (unsigned i = 0; i < 8; i++) {
        ledger_child child = child_of(&s, i, s.accepted);
        child.n_jobs = 3;
        pids[i] = ledger_fork(ledger_put_jobs, &child);
    }
    for (unsigned i = 0; i < 8; i++)
        ledger_join(pids[i]);
    tt_ledger *ledger = ledger_connect(s.fixture, (tt_ledger_bounds){0});
    uint64_t counts[5];
    read_counts(ledger, counts);
    assert_int_equal(counts[TT_JOB_QUEUED], 24);
    tt_ledger_close(ledger);
    temp_folder_remove(&s.folder);
}

/* ---- kill -9 */

/* Every accepted job is there with the right result, or used up its leases under workers that were killed. Whatever
 * else is there was committed by a process that died before it could write that down. */
static void expect_nothing_lost(const stage *s, const record_list *accepted)
{
    tt_ledger *ledger = s->fixture->ledger;
    tt_error err = {""};
    uint64_t n_poisoned = 0, counts[5];
    for (size_t i = 0; i < accepted->n; i++) {
        char result[80];
        tt_job job;
        bool found;
        (void)snprintf(result, sizeof(result), "result of job %lu", accepted->records[i].number);
        ledger_expect_ok(tt_ledger_find(ledger, accepted->records[i].id, &found, &job, &err), &err);
        assert_true(found);
        n_poisoned += job.stage == TT_JOB_FAILED;
        if (job.stage == TT_JOB_FAILED)
            assert_int_equal(job.n_tries, TT_JOB_TRIES);
        else
            ledger_expect_result(ledger, job.id, result);
    }
    read_counts(ledger, counts);
    print_message("%zu accepted, %llu done, %llu failed after three killed workers\n", accepted->n,
                  (unsigned long long)counts[TT_JOB_DONE], (unsigned long long)counts[TT_JOB_FAILED]);
    assert_int_equal(counts[TT_JOB_QUEUED] + counts[TT_JOB_WORKING] + counts[TT_JOB_EXPIRED], 0);
    assert_true(counts[TT_JOB_DONE] + counts[TT_JOB_FAILED] >= accepted->n);
    assert_true(n_poisoned <= accepted->n / 10);
}

/* A job that was written down as done by two workers would have counted twice. */
static void expect_done_once(const stage *s)
{
    record_list done = read_records(s->done);
    assert_true(done.n > 0);
    expect_all_different(&done);
    free(done.records);
}

/* A worker takes what is left until nothing is: leases of the dead run out first. */
static void work_off(const stage *s)
{
    ledger_child child = child_of(s, 99, s->done);
    child.bounds.lease_seconds = 0.2;
    child.n_jobs = 1;
    for (int i = 0; i < 3; i++) {
        ledger_pause(0.4);
        ledger_join(ledger_fork(ledger_work, &child));
    }
}

static void test_kill_loses_nothing(void **state)
{
    stage s = stage_make(state);
    pid_t pids[N_CHILDREN];
    ledger_child children[N_CHILDREN];
    for (unsigned i = 0; i < N_CHILDREN; i++) {
        children[i] = child_of(&s, i, i % 2 == 0 ? s.accepted : s.done);
        children[i].bounds.lease_seconds = 0.2;
        pids[i] = ledger_fork(i % 2 == 0 ? ledger_put_jobs : ledger_work, &children[i]);
    }
    srand(6);
    for (unsigned round = 0; round < 40; round++) {
        unsigned i = round % N_CHILDREN;
        ledger_pause(0.02 + 0.08 * rand() / RAND_MAX);
        ledger_kill(pids[i]);
        pids[i] = ledger_fork(i % 2 == 0 ? ledger_put_jobs : ledger_work, &children[i]);
    }
    for (unsigned i = 0; i < N_CHILDREN; i++)
        ledger_kill(pids[i]);
    work_off(&s);
    record_list accepted = read_records(s.accepted);
    assert_true(accepted.n > 20);
    expect_all_different(&accepted);
    expect_nothing_lost(&s, &accepted);
    expect_done_once(&s);
    free(accepted.records);
    temp_folder_remove(&s.folder);
}

/* ---- PostgreSQL goes away in the middle and comes back: nobody notices but by waiting */

static void test_server_restarts(void **state)
{
    const ledger_fixture *fixture = *state;
    pid_t pids[N_CHILDREN];
    if (!fixture->is_postgres)
        skip(); /* there is no server that could be started again */
    stage s = stage_make(state);
    for (unsigned i = 0; i < N_CHILDREN; i++) {
        ledger_child child = child_of(&s, i, i % 2 == 0 ? s.accepted : s.done);
        child.bounds.lease_seconds = 1;
        pids[i] = ledger_fork(i % 2 == 0 ? ledger_put_jobs : ledger_work, &child);
    }
    for (unsigned round = 0; round < 3; round++) {
        ledger_pause(0.3);
        test_postgres_command(&fixture->server, round % 2 == 0 ? "stop" : "crash");
        ledger_pause(0.3);
        test_postgres_command(&fixture->server, "again");
    }
    ledger_pause(0.5);
    for (unsigned i = 0; i < N_CHILDREN; i++)
        ledger_kill(pids[i]);
    ledger_pause(1);
    work_off(&s);
    record_list accepted = read_records(s.accepted);
    assert_true(accepted.n > 20);
    expect_nothing_lost(&s, &accepted);
    expect_done_once(&s);
    free(accepted.records);
    temp_folder_remove(&s.folder);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test_setup_teardown(test_each_job_once, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_bounds_hold_in_a_race, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_first_opens_race, ledger_empty, ledger_gone),
    cmocka_unit_test_setup_teardown(test_kill_loses_nothing, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_server_restarts, ledger_fresh, ledger_gone),
};

int main(void)
{
    return ledger_run_cases("ledger and processes", cases, sizeof(cases) / sizeof(cases[0]));
}
