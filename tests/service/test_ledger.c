/* test_ledger.c - what both backends promise, one process and one or two connections. */
#include "base/clock.h"
#include "base/sha256.h"
#include "tests/support/ledger-fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static ledger_fixture *fixture_of(void **state)
{
    return *state;
}

static tt_ledger *ledger_of(void **state)
{
    return fixture_of(state)->ledger;
}

static void test_put_is_found(void **state)
{
    tt_ledger *ledger = ledger_of(state);
    tt_job put = ledger_expect_put(ledger, "ann", NULL, "body", TT_PUT_ACCEPTED);
    assert_int_equal(strlen(put.id), 32);
    assert_int_equal(put.stage, TT_JOB_QUEUED);

    tt_ledger *other = ledger_connect(fixture_of(state), (tt_ledger_bounds){0});
    tt_job job = ledger_expect_stage(other, put.id, TT_JOB_QUEUED);
    assert_string_equal(job.owner, "ann");
    assert_string_equal(job.type, "image/png");
    assert_string_equal(job.body_sha256, "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5");
    assert_string_equal(job.body_sha256, put.body_sha256);
    assert_string_equal(job.result_sha256, "");
    assert_int_equal(job.scale, 2);
    assert_int_equal(job.width, 8);
    assert_int_equal(job.height, 8);
    assert_int_equal(job.n_tries, 0);
    assert_true(job.age_seconds >= 0 && job.age_seconds < 60);
    ledger_expect_result(other, put.id, NULL);
    tt_ledger_close(other);

    tt_job second = ledger_expect_put(ledger, "ann", NULL, "body", TT_PUT_ACCEPTED);
    assert_string_not_equal(second.id, put.id);
}

static void test_key_is_one_job(void **state)
{
    tt_ledger *ledger = ledger_of(state);
    tt_job first = ledger_expect_put(ledger, "ann", "key_1-A", "body", TT_PUT_ACCEPTED);
    tt_job again = ledger_expect_put(ledger, "ann", "key_1-A", "body", TT_PUT_KNOWN);
    assert_string_equal(again.id, first.id);
    (void)ledger_expect_put(ledger, "ann", "key_1-A", "other body", TT_PUT_CONFLICT);
    tt_job bob = ledger_expect_put(ledger, "bob", "key_1-A", "other body", TT_PUT_ACCEPTED);
    assert_string_not_equal(bob.id, first.id);

    char sha256[65];
    tt_error err = {""};
    tt_put_outcome outcome;
    tt_job job;
    tt_job_input input = ledger_input("ann", "key_1-A", "body", sha256);
    input.scale = 4;
    ledger_expect_ok(tt_ledger_put(ledger, &input, &outcome, &job, &err), &err);
    assert_int_equal(outcome, TT_PUT_CONFLICT);

    /* Known for as long as there is a row, and free again after that. */
    (void)ledger_expect_take(ledger, "w", "body");
    ledger_expect_done(ledger, "w", first.id, "result", true);
    again = ledger_expect_put(ledger, "ann", "key_1-A", "body", TT_PUT_KNOWN);
    assert_int_equal(again.stage, TT_JOB_DONE);
    bool found;
    ledger_expect_ok(tt_ledger_remove(ledger, first.id, &found, &err), &err);
    assert_true(found);
    (void)ledger_expect_put(ledger, "ann", "key_1-A", "other body", TT_PUT_ACCEPTED);
}

static void test_bounds_hold(void **state)
{
    tt_ledger *ledger =
        ledger_connect(fixture_of(state), (tt_ledger_bounds){.max_queued = 4, .max_queued_per_owner = 2});
    tt_job first = ledger_expect_put(ledger, "ann", "k", "1", TT_PUT_ACCEPTED);
    (void)ledger_expect_put(ledger, "ann", NULL, "2", TT_PUT_ACCEPTED);
    (void)ledger_expect_put(ledger, "ann", NULL, "3", TT_PUT_OWNER_FULL);
    (void)ledger_expect_put(ledger, "ann", "k", "1", TT_PUT_KNOWN);
    (void)ledger_expect_put(ledger, "ann", "k", "2", TT_PUT_CONFLICT);
    (void)ledger_expect_put(ledger, "bob", NULL, "4", TT_PUT_ACCEPTED);
    (void)ledger_expect_put(ledger, "eve", NULL, "5", TT_PUT_ACCEPTED);
    (void)ledger_expect_put(ledger, "eve", NULL, "6", TT_PUT_FULL);

    /* A job in work counts, one that is done does not. */
    (void)ledger_expect_take(ledger, "w", "1");
    (void)ledger_expect_put(ledger, "eve", NULL, "6", TT_PUT_FULL);
    ledger_expect_done(ledger, "w", first.id, "result", true);
    (void)ledger_expect_put(ledger, "eve", NULL, "6", TT_PUT_ACCEPTED);
    (void)ledger_expect_put(ledger, "eve", NULL, "7", TT_PUT_FULL);
    tt_ledger_close(ledger);
}

/* An owner's own bound stands for the ledger's, whichever is larger. */
static void test_owners_own_bounds(void **state)
{
    static const struct {
        const char *owner;
        uint64_t max_queued;
    } cases[] = {{"few", 1}, {"usual", 0}, {"many", 3}};
    tt_ledger *ledger = ledger_connect(fixture_of(state), (tt_ledger_bounds){.max_queued_per_owner = 2});
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint64_t n_allowed = cases[i].max_queued > 0 ? cases[i].max_queued : 2;
        char sha256[65];
        tt_job_input input = ledger_input(cases[i].owner, NULL, "body", sha256);
        input.max_queued = cases[i].max_queued;
        for (uint64_t n = 0; n <= n_allowed; n++) {
            tt_error err = {""};
            tt_put_outcome outcome;
            tt_job job;
            ledger_expect_ok(tt_ledger_put(ledger, &input, &outcome, &job, &err), &err);
            assert_int_equal(outcome, n < n_allowed ? TT_PUT_ACCEPTED : TT_PUT_OWNER_FULL);
        }
    }
    tt_ledger_close(ledger);
}

static void test_oldest_first(void **state)
{
    tt_ledger *ledger = ledger_of(state);
    char body[16], id[10][TT_JOB_ID_BYTES];
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(body, sizeof(body), "%u", i);
        tt_job job = ledger_expect_put(ledger, i % 3 == 0 ? "ann" : "bob", NULL, body, TT_PUT_ACCEPTED);
        assert_int_equal(job.position, i);
        memcpy(id[i], job.id, sizeof(id[i]));
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(ledger_expect_stage(ledger, id[9], TT_JOB_QUEUED).position, 9 - i);
        (void)snprintf(body, sizeof(body), "%u", i);
        tt_job job = ledger_expect_take(ledger, "w", body);
        assert_string_equal(job.id, id[i]);
        assert_int_equal(job.n_tries, 1);
        assert_int_equal(job.position, 0);
        if (i == 8)
            break;
    }
    ledger_expect_done(ledger, "w", id[4], "result", true);
    assert_int_equal(ledger_expect_stage(ledger, id[9], TT_JOB_QUEUED).position, 0);
    (void)ledger_expect_take(ledger, "w", "9");
    (void)ledger_expect_take(ledger, "w", NULL);
}

static bool extend(tt_ledger *ledger, const char *worker, const char *id)
{
    tt_error err = {""};
    bool is_mine;
    ledger_expect_ok(tt_ledger_extend(ledger, worker, id, &is_mine, &err), &err);
    return is_mine;
}

static void test_lease_runs_out(void **state)
{
    tt_ledger *ledger = ledger_connect(fixture_of(state), (tt_ledger_bounds){.lease_seconds = 1});
    tt_job job = ledger_expect_put(ledger, "ann", NULL, "1", TT_PUT_ACCEPTED);
    tt_job later = ledger_expect_put(ledger, "ann", NULL, "2", TT_PUT_ACCEPTED);
    (void)ledger_expect_take(ledger, "w1", "1");
    assert_int_equal(ledger_expect_stage(ledger, later.id, TT_JOB_QUEUED).position, 0);

    /* A heartbeat keeps it; nobody else's does. */
    for (int i = 0; i < 4; i++) {
        ledger_pause(0.35);
        assert_true(extend(ledger, "w1", job.id));
        assert_false(extend(ledger, "w2", job.id));
    }
    ledger_pause(1.1);
    assert_int_equal(ledger_expect_stage(ledger, later.id, TT_JOB_QUEUED).position, 1);
    tt_job again = ledger_expect_take(ledger, "w2", "1");
    assert_string_equal(again.id, job.id);
    assert_int_equal(again.n_tries, 2);
    assert_true(again.queue_seconds > 0.5);
    assert_false(extend(ledger, "w1", job.id));
    assert_true(extend(ledger, "w2", job.id));
    ledger_expect_done(ledger, "w2", job.id, "result", true);
    assert_false(extend(ledger, "w2", job.id));
    tt_ledger_close(ledger);
}

static void expect_poisoned(tt_ledger *ledger, const char *id)
{
    tt_job job = ledger_expect_stage(ledger, id, TT_JOB_FAILED);
    assert_int_equal(job.n_tries, TT_JOB_TRIES);
    assert_int_equal(job.failure_code, 500);
    assert_non_null(strstr(job.failure, "three workers"));
}

static void test_poison_fails_after_three(void **state)
{
    tt_error err = {""};
    uint64_t n_changed;
    tt_ledger *ledger = ledger_connect(fixture_of(state), (tt_ledger_bounds){.lease_seconds = 0.02});
    tt_job by_take = ledger_expect_put(ledger, "ann", NULL, "1", TT_PUT_ACCEPTED);
    for (int i = 0; i < TT_JOB_TRIES; i++) {
        (void)ledger_expect_take(ledger, "w", "1");
        ledger_pause(0.05);
    }
    (void)ledger_expect_take(ledger, "w", NULL);
    expect_poisoned(ledger, by_take.id);
    ledger_expect_done(ledger, "w", by_take.id, "too late", false);

    tt_job by_sweep = ledger_expect_put(ledger, "ann", NULL, "2", TT_PUT_ACCEPTED);
    for (int i = 0; i < TT_JOB_TRIES; i++) {
        (void)ledger_expect_take(ledger, "w", "2");
        ledger_pause(0.05);
    }
    ledger_expect_ok(tt_ledger_sweep(ledger, &n_changed, &err), &err);
    assert_int_equal(n_changed, 1);
    expect_poisoned(ledger, by_sweep.id);
    ledger_expect_ok(tt_ledger_sweep(ledger, &n_changed, &err), &err);
    assert_int_equal(n_changed, 0);
    tt_ledger_close(ledger);
}

static void test_done_counts_once(void **state)
{
    tt_ledger *ledger = ledger_connect(fixture_of(state), (tt_ledger_bounds){.lease_seconds = 0.1});
    tt_job job = ledger_expect_put(ledger, "ann", NULL, "1", TT_PUT_ACCEPTED);
    (void)ledger_expect_take(ledger, "w1", "1");
    ledger_expect_done(ledger, "w1", job.id, "result", true);
    ledger_expect_done(ledger, "w1", job.id, "result", false);
    ledger_expect_done(ledger, "w2", job.id, "another result", false);
    ledger_expect_result(ledger, job.id, "result");
    job = ledger_expect_stage(ledger, job.id, TT_JOB_DONE);
    assert_string_equal(job.result_sha256, "f6a214f7a5fcda0c2cee9660b7fc29f5649e3c68aad48e20e950137c98913a68");
    assert_true(job.work_seconds >= 0 && job.work_seconds < 60);
    (void)ledger_expect_take(ledger, "w1", NULL);

    /* A worker that lost its lease is first all the same; the one that has it now comes too late. */
    job = ledger_expect_put(ledger, "ann", NULL, "2", TT_PUT_ACCEPTED);
    (void)ledger_expect_take(ledger, "w1", "2");
    ledger_pause(0.15);
    (void)ledger_expect_take(ledger, "w2", "2");
    ledger_expect_done(ledger, "w1", job.id, "by w1", true);
    ledger_expect_done(ledger, "w2", job.id, "by w2", false);
    ledger_expect_result(ledger, job.id, "by w1");
    tt_ledger_close(ledger);
}

static bool fail_job(tt_ledger *ledger, const char *worker, const char *id, bool is_final, uint32_t code,
                     const char *sentence)
{
    tt_error err = {""};
    bool counted;
    ledger_expect_ok(tt_ledger_fail(ledger, worker, id, is_final, code, sentence, &counted, &err), &err);
    return counted;
}

static void test_fail_is_final_or_tried_again(void **state)
{
    tt_ledger *ledger = ledger_of(state);
    tt_job job = ledger_expect_put(ledger, "ann", NULL, "1", TT_PUT_ACCEPTED);
    assert_false(fail_job(ledger, "w", job.id, true, 422, "nobody has it"));
    (void)ledger_expect_take(ledger, "w", "1");
    assert_false(fail_job(ledger, "other", job.id, true, 422, "not its own"));
    assert_true(fail_job(ledger, "w", job.id, true, 422, "the picture is damaged"));
    assert_false(fail_job(ledger, "w", job.id, true, 500, "again"));
    job = ledger_expect_stage(ledger, job.id, TT_JOB_FAILED);
    assert_int_equal(job.failure_code, 422);
    assert_string_equal(job.failure, "the picture is damaged");
    ledger_expect_done(ledger, "w", job.id, "result", false);

    job = ledger_expect_put(ledger, "ann", NULL, "2", TT_PUT_ACCEPTED);
    for (unsigned i = 1; i <= TT_JOB_TRIES; i++) {
        assert_int_equal(ledger_expect_take(ledger, "w", "2").n_tries, i);
        assert_true(fail_job(ledger, "w", job.id, false, 500, "no memory"));
        tt_job now = ledger_expect_stage(ledger, job.id, i < TT_JOB_TRIES ? TT_JOB_QUEUED : TT_JOB_FAILED);
        assert_string_equal(now.failure, i < TT_JOB_TRIES ? "" : "no memory");
    }
    (void)ledger_expect_take(ledger, "w", NULL);
}

static void test_sweep_expires(void **state)
{
    tt_error err = {""};
    uint64_t n;
    tt_ledger *ledger = ledger_connect(fixture_of(state), (tt_ledger_bounds){.keep_seconds = 1.5});
    tt_job done = ledger_expect_put(ledger, "ann", NULL, "1", TT_PUT_ACCEPTED);
    tt_job failed = ledger_expect_put(ledger, "ann", NULL, "2", TT_PUT_ACCEPTED);
    tt_job queued = ledger_expect_put(ledger, "ann", NULL, "3", TT_PUT_ACCEPTED);
    (void)ledger_expect_take(ledger, "w", "1");
    (void)ledger_expect_take(ledger, "w", "2");
    ledger_expect_done(ledger, "w", done.id, "result", true);
    assert_true(fail_job(ledger, "w", failed.id, true, 422, "damaged"));
    ledger_expect_ok(tt_ledger_sweep(ledger, &n, &err), &err);
    assert_int_equal(n, 0);
    ledger_expect_result(ledger, done.id, "result");

    ledger_pause(1.6);
    ledger_expect_ok(tt_ledger_sweep(ledger, &n, &err), &err);
    assert_int_equal(n, 2);
    assert_string_equal(ledger_expect_stage(ledger, done.id, TT_JOB_EXPIRED).result_sha256, "");
    ledger_expect_result(ledger, done.id, NULL);
    ledger_expect_nothing(ledger, failed.id);

    ledger_pause(1.5);
    ledger_expect_ok(tt_ledger_sweep(ledger, NULL, &err), &err);
    ledger_expect_nothing(ledger, done.id);
    (void)ledger_expect_stage(ledger, queued.id, TT_JOB_QUEUED);
    tt_ledger_close(ledger);
}

static void test_remove_forgets(void **state)
{
    tt_error err = {""};
    bool found;
    tt_ledger *ledger = ledger_of(state);
    tt_job queued = ledger_expect_put(ledger, "ann", NULL, "1", TT_PUT_ACCEPTED);
    ledger_expect_ok(tt_ledger_remove(ledger, queued.id, &found, &err), &err);
    assert_true(found);
    ledger_expect_nothing(ledger, queued.id);
    ledger_expect_ok(tt_ledger_remove(ledger, queued.id, &found, &err), &err);
    assert_false(found);
    (void)ledger_expect_take(ledger, "w", NULL);

    tt_job working = ledger_expect_put(ledger, "ann", NULL, "2", TT_PUT_ACCEPTED);
    (void)ledger_expect_take(ledger, "w", "2");
    ledger_expect_ok(tt_ledger_remove(ledger, working.id, &found, &err), &err);
    assert_false(extend(ledger, "w", working.id));
    ledger_expect_done(ledger, "w", working.id, "result", false);

    tt_job done = ledger_expect_put(ledger, "ann", NULL, "3", TT_PUT_ACCEPTED);
    (void)ledger_expect_take(ledger, "w", "3");
    ledger_expect_done(ledger, "w", done.id, "result", true);
    ledger_expect_ok(tt_ledger_remove(ledger, done.id, &found, &err), &err);
    ledger_expect_result(ledger, done.id, NULL);
}

static void test_length_counts(void **state)
{
    tt_error err = {""};
    uint64_t counts[5];
    double oldest;
    tt_ledger *ledger = ledger_of(state);
    ledger_expect_ok(tt_ledger_length(ledger, counts, &oldest, &err), &err);
    assert_true(counts[0] + counts[1] + counts[2] + counts[3] + counts[4] == 0 && oldest == 0);
    for (int i = 0; i < 5; i++)
        (void)ledger_expect_put(ledger, "ann", NULL, "body", TT_PUT_ACCEPTED);
    tt_job done = ledger_expect_take(ledger, "w", "body"), failed = ledger_expect_take(ledger, "w", "body");
    (void)ledger_expect_take(ledger, "w", "body");
    ledger_expect_done(ledger, "w", done.id, "result", true);
    assert_true(fail_job(ledger, "w", failed.id, true, 422, "damaged"));
    ledger_pause(0.05);
    ledger_expect_ok(tt_ledger_length(ledger, counts, &oldest, &err), &err);
    const uint64_t want[5] = {2, 1, 1, 1, 0};
    assert_memory_equal(counts, want, sizeof(want));
    assert_true(oldest >= 0.05 && oldest < 60);
}

/* ---- waiting */

static double wait_seconds(tt_ledger *ledger, tt_ledger_event event, double seconds)
{
    tt_error err = {""};
    double begin = tt_clock_seconds();
    ledger_expect_ok(tt_ledger_wait(ledger, event, seconds, &err), &err);
    return tt_clock_seconds() - begin;
}

typedef struct late_work {
    const ledger_fixture *fixture;
    char id[TT_JOB_ID_BYTES]; /* "": put a job, else end that one */
} late_work;

static void *work_late(void *user)
{
    const late_work *work = user;
    tt_error err = {""};
    tt_ledger *ledger = NULL;
    tt_job job;
    tt_put_outcome outcome;
    bool counted;
    const char sha256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const tt_job_input input = {
        .owner = "bob", .type = "image/png", .sha256 = sha256, .scale = 2, .width = 8, .height = 8};
    ledger_pause(0.3);
    if (tt_ledger_open(work->fixture->address, NULL, &ledger, &err) != TT_OK)
        return NULL;
    if (work->id[0] == '\0')
        (void)tt_ledger_put(ledger, &input, &outcome, &job, &err);
    else
        (void)tt_ledger_done(ledger, "w", work->id, "image/png", sha256, NULL, 0, &counted, &err);
    tt_ledger_close(ledger);
    return NULL;
}

static void expect_wakes(const ledger_fixture *fixture, tt_ledger_event event, const char *id)
{
    pthread_t thread;
    late_work work = {.fixture = fixture};
    (void)snprintf(work.id, sizeof(work.id), "%s", id);
    assert_int_equal(pthread_create(&thread, NULL, work_late, &work), 0);
    double seconds = 0;
    while (seconds < 0.2) /* false alarms are allowed */
        seconds += wait_seconds(fixture->ledger, event, 20);
    assert_true(seconds < 10);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_wait_wakes(void **state)
{
    const ledger_fixture *fixture = fixture_of(state);
    tt_job job = ledger_expect_put(fixture->ledger, "ann", NULL, "1", TT_PUT_ACCEPTED);
    (void)ledger_expect_take(fixture->ledger, "w", "1");
    /* The first wait returns at once: what was before it is unknown. */
    assert_true(wait_seconds(fixture->ledger, TT_LEDGER_JOB_QUEUED, 20) < 10);
    assert_true(wait_seconds(fixture->ledger, TT_LEDGER_JOB_ENDED, 20) < 10);
    assert_true(wait_seconds(fixture->ledger, TT_LEDGER_JOB_QUEUED, 0.3) >= 0.29);
    assert_true(wait_seconds(fixture->ledger, TT_LEDGER_JOB_ENDED, 0.3) >= 0.29);
    expect_wakes(fixture, TT_LEDGER_JOB_QUEUED, "");
    expect_wakes(fixture, TT_LEDGER_JOB_ENDED, job.id);

    /* An event between two waits is not missed, whoever caused it. */
    (void)wait_seconds(fixture->ledger, TT_LEDGER_JOB_QUEUED, 0.2);
    (void)ledger_expect_put(fixture->ledger, "ann", NULL, "2", TT_PUT_ACCEPTED);
    assert_true(wait_seconds(fixture->ledger, TT_LEDGER_JOB_QUEUED, 20) < 10);
}

/* ---- hostile values */

static const char *const hostile_ids[] = {
    "",
    "0",
    "../../../../etc/passwd",
    "0123456789abcdef0123456789abcdef0",
    "0123456789ABCDEF0123456789ABCDEF",
    "' OR 1=1; DROP TABLE jobs; --    ",
    "%s%n%s%n%s%n%s%n%s%n%s%n%s%n%s%n",
    "0123456789abcdef0123456789abcde\n",
    "0123456789abcdef0123456789abcdef",
};

static void test_hostile_ids(void **state)
{
    tt_ledger *ledger = ledger_of(state);
    tt_error err = {""};
    bool found = true;
    tt_job job = ledger_expect_put(ledger, "ann", NULL, "body", TT_PUT_ACCEPTED);
    (void)ledger_expect_take(ledger, "w", "body");
    for (size_t i = 0; i < sizeof(hostile_ids) / sizeof(hostile_ids[0]); i++) {
        ledger_expect_nothing(ledger, hostile_ids[i]);
        ledger_expect_result(ledger, hostile_ids[i], NULL);
        assert_false(extend(ledger, "w", hostile_ids[i]));
        assert_false(fail_job(ledger, "w", hostile_ids[i], true, 422, "no"));
        ledger_expect_done(ledger, "w", hostile_ids[i], "result", false);
        ledger_expect_ok(tt_ledger_remove(ledger, hostile_ids[i], &found, &err), &err);
        assert_false(found);
    }
    (void)ledger_expect_stage(ledger, job.id, TT_JOB_WORKING);
}

static void expect_refused(tt_ledger *ledger, const tt_job_input *input, const char *mention)
{
    tt_error err = {""};
    tt_put_outcome outcome;
    tt_job job;
    assert_int_equal(tt_ledger_put(ledger, input, &outcome, &job, &err), TT_ERROR_ARGUMENT);
    if (strstr(err.text, mention) == NULL)
        fail_msg("the sentence should mention \"%s\": %s", mention, err.text);
}

static void test_hostile_texts(void **state)
{
    tt_ledger *ledger = ledger_of(state);
    char sha256[65], long_text[4097];
    memset(long_text, 'x', sizeof(long_text));
    long_text[sizeof(long_text) - 1] = '\0';
    const char *const owners[] = {"", long_text, long_text + 4096 - 64, "two\nlines", "\xff\xfe", "\xc3"};
    for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
        tt_job_input input = ledger_input(owners[i], NULL, "body", sha256);
        expect_refused(ledger, &input, "owner");
    }
    const char *const keys[] = {"", long_text, long_text + 4096 - 65, "a b", "a'b", "\xc3\xa9", "a/b"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        tt_job_input input = ledger_input("ann", keys[i], "body", sha256);
        expect_refused(ledger, &input, "idempotency key");
    }
    tt_job_input input = ledger_input("ann", NULL, "body", sha256);
    input.type = long_text + 4096 - 48;
    expect_refused(ledger, &input, "type");
    input = ledger_input("ann", NULL, "body", sha256);
    input.sha256 = "ABC";
    expect_refused(ledger, &input, "SHA-256");
    input = ledger_input("ann", NULL, "body", sha256);
    input.body = NULL;
    expect_refused(ledger, &input, "missing");
    input = ledger_input("ann", NULL, "body", sha256);
    input.width = 0;
    expect_refused(ledger, &input, "makes no sense");

    /* What fits exactly is kept exactly. */
    const char *longest = long_text + 4096 - 63;
    tt_job job = ledger_expect_put(ledger, longest, long_text + 4096 - 64, "body", TT_PUT_ACCEPTED);
    assert_string_equal(ledger_expect_stage(ledger, job.id, TT_JOB_QUEUED).owner, longest);
    job = ledger_expect_put(ledger, "O'Brien; DROP TABLE jobs -- \xc3\xa9\xe2\x82\xac", NULL, "b", TT_PUT_ACCEPTED);
    job = ledger_expect_stage(ledger, job.id, TT_JOB_QUEUED);
    assert_string_equal(job.owner, "O'Brien; DROP TABLE jobs -- \xc3\xa9\xe2\x82\xac");
}

/* A worker's sentence may quote what a stranger sent: it is cut between characters and has no control characters. */
static void test_hostile_sentences(void **state)
{
    tt_ledger *ledger = ledger_of(state);
    char sentence[1001];
    for (size_t i = 0; i < 1000; i += 2)
        memcpy(sentence + i, i == 0 ? "x\x1b" : "\xc3\xa9", 2);
    sentence[1000] = '\0';
    tt_job job = ledger_expect_put(ledger, "ann", NULL, "1", TT_PUT_ACCEPTED);
    (void)ledger_expect_take(ledger, "w", "1");
    assert_true(fail_job(ledger, "w", job.id, true, 422, sentence));
    job = ledger_expect_stage(ledger, job.id, TT_JOB_FAILED);
    assert_int_equal(strlen(job.failure), 298);
    assert_memory_equal(job.failure, "x?\xc3\xa9", 4);
    job = ledger_expect_put(ledger, "ann", NULL, "2", TT_PUT_ACCEPTED);
    (void)ledger_expect_take(ledger, "w", "2");
    assert_true(fail_job(ledger, "w", job.id, true, 422, "\xff\xfe '; DROP TABLE jobs; --"));
    assert_string_equal(ledger_expect_stage(ledger, job.id, TT_JOB_FAILED).failure, "?? '; DROP TABLE jobs; --");
}

/* Bytes come back as they were: as a body and as a result. */
static void round_trip(tt_ledger *ledger, const uint8_t *bytes, size_t n_bytes)
{
    char sha256[65], type[48];
    tt_error err = {""};
    tt_put_outcome outcome;
    tt_job job;
    bool found, counted;
    void *back;
    size_t n_back;
    ledger_expect_ok(tt_sha256_hex(bytes, n_bytes, sha256, &err), &err);
    tt_job_input input = {
        .owner = "ann", .type = "image/png", .sha256 = sha256, .scale = 2, .width = 8, .height = 8, .body = bytes};
    input.n_body_bytes = n_bytes;
    ledger_expect_ok(tt_ledger_put(ledger, &input, &outcome, &job, &err), &err);
    ledger_expect_ok(tt_ledger_take(ledger, "w", &found, &job, &back, &n_back, &err), &err);
    assert_true(found && n_back == n_bytes && memcmp(back, bytes, n_bytes) == 0);
    free(back);
    ledger_expect_ok(tt_ledger_done(ledger, "w", job.id, "image/png", sha256, bytes, n_bytes, &counted, &err), &err);
    assert_true(counted);
    ledger_expect_ok(tt_ledger_result(ledger, job.id, &found, type, &back, &n_back, &err), &err);
    assert_true(found && n_back == n_bytes && memcmp(back, bytes, n_bytes) == 0);
    free(back);
}

static void test_bytes_come_back(void **state)
{
    const size_t n_large = (size_t)8 << 20;
    uint8_t *large = malloc(n_large);
    assert_non_null(large);
    for (size_t i = 0; i < n_large; i++)
        large[i] = (uint8_t)(i * 2654435761u >> 13);
    round_trip(ledger_of(state), (const uint8_t *)"", 0);
    round_trip(ledger_of(state), (const uint8_t *)"\0\0\\x00'\0\xff", 9);
    round_trip(ledger_of(state), large, n_large);
    free(large);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test_setup_teardown(test_put_is_found, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_key_is_one_job, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_bounds_hold, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_owners_own_bounds, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_oldest_first, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_lease_runs_out, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_poison_fails_after_three, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_done_counts_once, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_fail_is_final_or_tried_again, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_sweep_expires, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_remove_forgets, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_length_counts, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_wait_wakes, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_hostile_ids, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_hostile_texts, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_hostile_sentences, ledger_fresh, ledger_gone),
    cmocka_unit_test_setup_teardown(test_bytes_come_back, ledger_fresh, ledger_gone),
};

int main(void)
{
    return ledger_run_cases("ledger", cases, sizeof(cases) / sizeof(cases[0]));
}
