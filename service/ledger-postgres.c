/* ledger-postgres.c - the ledger in a PostgreSQL server: many machines. Every operation is one statement, and thereby
 * one transaction, that may be made again after the connection was cut. */
#include "service/ledger-backend.h"
#include "service/ledger-postgres-private.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* Within that many of a bound puts count one after the other, so that the bound is exact; far from it they run side by
 * side. It is also the number of puts that may run at once without going over a bound. */
enum { BOUND_SLACK = 64 };

typedef enum statement {
    PUT,
    TAKE,
    EXTEND,
    DONE,
    DONE_BY_ME,
    FAIL,
    LENGTH,
    FIND,
    RESULT,
    REMOVE,
    SWEEP,
    N_STATEMENTS
} statement;

_Static_assert((int)N_STATEMENTS <= (int)TT_PG_STATEMENTS, "room for all statements");
_Static_assert(TT_JOB_TRIES == 3, "the statements below say 3");

/* The columns of read_job, from tintype_jobs AS j. */
#define JOB_COLUMNS                                                                                                    \
    "j.id, j.owner, j.type, j.body_sha256, j.result_sha256, j.stage::int8, j.scale::int8, j.width::int8, "             \
    "j.height::int8, j.n_tries::int8, extract(epoch FROM clock_timestamp() - j.created)::float8, "                     \
    "extract(epoch FROM CASE WHEN j.n_tries = 0 THEN clock_timestamp() ELSE j.leased END - j.created)::float8, "       \
    "extract(epoch FROM j.ended - j.leased)::float8, j.failure, j.failure_code::int8, "                                \
    "CASE WHEN j.stage = 0 THEN (SELECT count(*) FROM tintype_jobs o WHERE o.stage < 2 AND o.seq < j.seq AND "         \
    "(o.stage = 0 OR o.lease_end < clock_timestamp())) END "

enum { N_JOB_COLUMNS = 16 };

/* Fails jobs whose last lease ran out; $1 is the sentence. */
#define POISON                                                                                                         \
    "WITH lost AS MATERIALIZED (SELECT seq FROM tintype_jobs WHERE stage = 1 AND lease_end < clock_timestamp() AND "   \
    "n_tries >= 3 FOR UPDATE SKIP LOCKED), "                                                                           \
    "poison AS (UPDATE tintype_jobs j SET stage = 3, ended = clock_timestamp(), failure = $1, failure_code = 500 "     \
    "FROM lost WHERE j.seq = lost.seq RETURNING j.seq), "                                                              \
    "poison_body AS (DELETE FROM tintype_bodies b USING poison WHERE b.seq = poison.seq) "

/* A number of milliseconds as an interval. */
#define MS(parameter) parameter "::int8 * interval '1 millisecond'"

static const char *const texts[N_STATEMENTS] = {
    /* $1 id, $2 owner, $3 key, $4 type, $5 hash, $6 scale, $7 width, $8 height, $9 and $10 bounds, $11 body */
    [PUT] = "WITH same AS (SELECT id, body_sha256, scale FROM tintype_jobs WHERE id = $1 OR (owner = $2 AND key = $3) "
            "ORDER BY id = $1 DESC LIMIT 1), "
            "busy AS (SELECT count(*) AS n, count(*) FILTER (WHERE owner = $2) AS n_own, count(*) FILTER (WHERE "
            "stage = 0 OR lease_end < clock_timestamp()) AS n_ahead FROM tintype_jobs WHERE stage < 2), "
            "job AS (INSERT INTO tintype_jobs (id, owner, key, type, body_sha256, scale, width, height) "
            "SELECT $1, $2, $3, $4::text, $5::text, $6::int, $7::int, $8::int FROM busy WHERE n < $9::int8 AND n_own < "
            "$10::int8 AND "
            "NOT EXISTS (SELECT FROM same) ON CONFLICT DO NOTHING RETURNING seq), "
            "body AS (INSERT INTO tintype_bodies (seq, bytes) SELECT seq, $11::bytea FROM job) "
            "SELECT (SELECT count(*) FROM job), n, n_own, n_ahead, same.id, same.body_sha256, same.scale::int8 "
            "FROM busy LEFT JOIN same ON true",
    /* $1 sentence of poison, $2 worker, $3 lease */
    [TAKE] =
        POISON ", next AS MATERIALIZED (SELECT seq FROM tintype_jobs WHERE stage < 2 AND (stage = 0 OR "
               "lease_end < clock_timestamp()) AND n_tries < 3 ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED), "
               "j AS (UPDATE tintype_jobs t SET stage = 1, n_tries = n_tries + 1, worker = $2, "
               "leased = clock_timestamp(), lease_end = clock_timestamp() + " MS(
                   "$3") " FROM next WHERE "
                         "t.seq = next.seq RETURNING t.*) "
                         "SELECT " JOB_COLUMNS ", (SELECT count(*) FROM poison), b.bytes FROM (VALUES (1)) AS one(row) "
                         "LEFT JOIN j ON true LEFT JOIN tintype_bodies b ON b.seq = j.seq",
    [EXTEND] = "WITH j AS (UPDATE tintype_jobs SET lease_end = clock_timestamp() + " MS(
        "$3") " WHERE id = $1 AND "
              "worker = $2 AND stage = 1 RETURNING seq) SELECT count(*) FROM j",
    /* $1 id, $2 worker, $3 type, $4 hash, $5 result */
    [DONE] = "WITH j AS (UPDATE tintype_jobs SET stage = 2, worker = $2, ended = clock_timestamp(), result_type = $3, "
             "result_sha256 = $4 WHERE id = $1 AND stage < 2 RETURNING seq), "
             "kept AS (INSERT INTO tintype_results (seq, bytes) SELECT seq, $5::bytea FROM j), "
             "gone AS (DELETE FROM tintype_bodies b USING j WHERE b.seq = j.seq) SELECT count(*) FROM j",
    [DONE_BY_ME] = "SELECT count(*) FROM tintype_jobs WHERE id = $1 AND worker = $2 AND result_sha256 = $3 AND "
                   "stage = 2",
    /* $1 id, $2 worker, $3 is final, $4 code, $5 sentence */
    [FAIL] = "WITH j AS (UPDATE tintype_jobs SET stage = CASE WHEN $3::int8 = 1 OR n_tries >= 3 THEN 3 ELSE 0 END, "
             "ended = clock_timestamp(), failure_code = $4, failure = $5 WHERE id = $1 AND worker = $2 AND stage = 1 "
             "RETURNING seq, stage), "
             "gone AS (DELETE FROM tintype_bodies b USING j WHERE b.seq = j.seq AND j.stage = 3) "
             "SELECT count(*), count(*) FILTER (WHERE stage = 3) FROM j",
    [LENGTH] = "SELECT count(*) FILTER (WHERE stage = 0), count(*) FILTER (WHERE stage = 1), "
               "count(*) FILTER (WHERE stage = 2), count(*) FILTER (WHERE stage = 3), "
               "count(*) FILTER (WHERE stage = 4), (SELECT extract(epoch FROM clock_timestamp() - created)::float8 "
               "FROM tintype_jobs WHERE stage < 2 AND stage = 0 ORDER BY seq LIMIT 1) "
               "FROM tintype_jobs WHERE stage IN (0, 1, 2, 3, 4)",
    [FIND] = "SELECT " JOB_COLUMNS "FROM tintype_jobs j WHERE id = $1",
    [RESULT] = "SELECT j.result_type, r.bytes FROM tintype_jobs j JOIN tintype_results r USING (seq) WHERE j.id = $1 "
               "AND j.stage = 2",
    [REMOVE] = "WITH j AS (DELETE FROM tintype_jobs WHERE id = $1 RETURNING seq) SELECT count(*) FROM j",
    /* $1 sentence of poison, $2 time that results are kept */
    [SWEEP] = POISON
    ", old AS MATERIALIZED (SELECT seq FROM tintype_jobs WHERE stage = 2 AND ended <= clock_timestamp() - " MS(
        "$2") " "
              "LIMIT 10000 FOR UPDATE SKIP LOCKED), "
              "expired AS (UPDATE tintype_jobs j SET stage = 4, result_sha256 = NULL FROM old WHERE j.seq = old.seq "
              "RETURNING j.seq), "
              "gone AS (DELETE FROM tintype_results r USING expired WHERE r.seq = expired.seq), "
              "over AS MATERIALIZED (SELECT seq FROM tintype_jobs WHERE (stage = 3 AND ended <= clock_timestamp() "
              "- " MS("$2") ") "
                            "OR (stage = 4 AND ended <= clock_timestamp() - 2 * " MS(
                                "$2") ") LIMIT 10000 FOR UPDATE SKIP LOCKED), "
                                      "forgotten AS (DELETE FROM tintype_jobs j USING over WHERE j.seq = over.seq "
                                      "RETURNING j.seq) "
                                      "SELECT (SELECT count(*) FROM poison), (SELECT count(*) FROM expired), (SELECT "
                                      "count(*) FROM forgotten)",
};

static tt_pg_query begin(statement which)
{
    return (tt_pg_query){.index = (int)which, .text = texts[which]};
}

static int64_t ms_of(double seconds)
{
    return (int64_t)(seconds * 1000);
}

/* Runs a query whose first column is all that is wanted. */
static tt_status run_for_count(tt_pg *pg, const tt_pg_query *query, int64_t *count, bool *was_cut, tt_error *err)
{
    PGresult *result = NULL;
    tt_status status = tt_pg_run(pg, query, &result, was_cut, err);
    *count = status == TT_OK ? tt_pg_int(result, 0) : 0;
    PQclear(result);
    return status;
}

/* A clock that was put back between two events must not make a negative time. */
static double seconds(const PGresult *result, int column)
{
    double value = tt_pg_double(result, column);
    return value > 0 ? value : 0;
}

/* The row of a statement with JOB_COLUMNS. */
static void read_job(const PGresult *result, tt_job *job)
{
    *job = (tt_job){.stage = (tt_job_stage)tt_pg_int(result, 5)};
    tt_pg_text(result, 0, job->id, sizeof(job->id));
    tt_pg_text(result, 1, job->owner, sizeof(job->owner));
    tt_pg_text(result, 2, job->type, sizeof(job->type));
    tt_pg_text(result, 3, job->body_sha256, sizeof(job->body_sha256));
    tt_pg_text(result, 4, job->result_sha256, sizeof(job->result_sha256));
    job->scale = (uint32_t)tt_pg_int(result, 6);
    job->width = (uint32_t)tt_pg_int(result, 7);
    job->height = (uint32_t)tt_pg_int(result, 8);
    job->n_tries = (uint32_t)tt_pg_int(result, 9);
    job->age_seconds = seconds(result, 10);
    job->queue_seconds = seconds(result, 11);
    if (job->stage == TT_JOB_DONE || job->stage == TT_JOB_EXPIRED)
        job->work_seconds = seconds(result, 12);
    if (job->stage == TT_JOB_FAILED) {
        tt_pg_text(result, 13, job->failure, sizeof(job->failure));
        job->failure_code = (uint32_t)tt_pg_int(result, 14);
    }
    job->position = (uint64_t)tt_pg_int(result, 15);
}

static tt_status find(void *self, const char *id, bool *found, tt_job *job, tt_error *err)
{
    tt_pg_query query = begin(FIND);
    PGresult *result = NULL;
    tt_pg_add_text(&query, id);
    tt_status status = tt_pg_run(self, &query, &result, NULL, err);
    *found = status == TT_OK && PQntuples(result) > 0;
    if (*found)
        read_job(result, job);
    PQclear(result);
    return status;
}

/* ---- put */

/* What one run of the statement saw. */
typedef struct put_view {
    bool is_put, is_known, is_conflict;
    uint64_t n, n_own, n_ahead;
    char known_id[TT_JOB_ID_BYTES];
} put_view;

static put_view read_put(const PGresult *result, const tt_job_input *input)
{
    put_view view = {.is_put = tt_pg_int(result, 0) > 0};
    char sha256[65];
    view.n = (uint64_t)tt_pg_int(result, 1);
    view.n_own = (uint64_t)tt_pg_int(result, 2);
    view.n_ahead = (uint64_t)tt_pg_int(result, 3);
    tt_pg_text(result, 4, view.known_id, sizeof(view.known_id));
    tt_pg_text(result, 5, sha256, sizeof(sha256));
    bool is_same = strcmp(sha256, input->sha256) == 0 && tt_pg_int(result, 6) == (int64_t)input->scale;
    view.is_known = view.known_id[0] != '\0' && is_same;
    view.is_conflict = view.known_id[0] != '\0' && !is_same;
    return view;
}

static int64_t bound_less(uint64_t bound, int64_t slack)
{
    return bound == 0 ? INT64_MAX : (int64_t)bound - slack;
}

static tt_status run_put(tt_pg *pg, const tt_job_input *input, const char *id, bool is_locked, put_view *view,
                         tt_error *err)
{
    int64_t slack = is_locked ? 0 : BOUND_SLACK;
    tt_pg_query query = begin(PUT);
    PGresult *result = NULL;
    query.is_locked = is_locked;
    tt_pg_add_text(&query, id);
    tt_pg_add_text(&query, input->owner);
    tt_pg_add_text(&query, input->key);
    tt_pg_add_text(&query, input->type);
    tt_pg_add_text(&query, input->sha256);
    tt_pg_add_int(&query, input->scale);
    tt_pg_add_int(&query, input->width);
    tt_pg_add_int(&query, input->height);
    tt_pg_add_int(&query, bound_less(pg->bounds.max_queued, slack));
    tt_pg_add_int(&query, bound_less(tt_job_owner_bound(input, &pg->bounds), slack));
    tt_pg_add_bytes(&query, input->body, input->n_body_bytes);
    tt_status status = tt_pg_run(pg, &query, &result, NULL, err);
    if (status == TT_OK)
        *view = read_put(result, input);
    PQclear(result);
    return status;
}

static bool is_over(uint64_t n, uint64_t bound)
{
    return bound > 0 && n >= bound;
}

/* Runs the statement until it has decided: near a bound it is run once more behind the lock, and where the owner's key
 * came from another process at the same moment, it is seen the next time. */
static tt_status put_decide(tt_pg *pg, const tt_job_input *input, const char *id, tt_put_outcome *outcome,
                            put_view *view, tt_error *err)
{
    const uint64_t owner_bound = tt_job_owner_bound(input, &pg->bounds);
    tt_status status = run_put(pg, input, id, false, view, err);
    while (status == TT_OK && !view->is_put && !view->is_known && !view->is_conflict &&
           !is_over(view->n, pg->bounds.max_queued) && !is_over(view->n_own, owner_bound))
        status = run_put(pg, input, id, true, view, err);
    if (view->is_put)
        *outcome = TT_PUT_ACCEPTED;
    else if (view->is_known)
        *outcome = strcmp(view->known_id, id) == 0 ? TT_PUT_ACCEPTED : TT_PUT_KNOWN; /* a run that was cut counted */
    else if (view->is_conflict)
        *outcome = TT_PUT_CONFLICT;
    else
        *outcome = is_over(view->n, pg->bounds.max_queued) ? TT_PUT_FULL : TT_PUT_OWNER_FULL;
    return status;
}

static tt_status put(void *self, const tt_job_input *input, const char *id, tt_put_outcome *outcome, tt_job *job,
                     tt_error *err)
{
    tt_pg *pg = self;
    for (;;) {
        put_view view = {0};
        bool found = true;
        tt_status status = put_decide(pg, input, id, outcome, &view, err);
        if (status == TT_OK && *outcome == TT_PUT_ACCEPTED) {
            tt_job_from_input(input, id, view.n_ahead, job);
            tt_pg_notify(pg, TT_LEDGER_JOB_QUEUED);
        } else if (status == TT_OK && *outcome == TT_PUT_KNOWN) {
            status = find(pg, view.known_id, &found, job, err);
        }
        if (status != TT_OK || found)
            return status;
        /* The known job was removed in between: this one is the first of its key now. */
    }
}

/* ---- take and extend */

/* Columns behind those of the job. */
enum { TAKE_N_POISONED = N_JOB_COLUMNS, TAKE_BYTES };

static tt_status take(void *self, const char *worker, bool *found, tt_job *job, void **body, size_t *n_body_bytes,
                      tt_error *err)
{
    tt_pg *pg = self;
    tt_pg_query query = begin(TAKE);
    PGresult *result = NULL;
    tt_pg_add_text(&query, tt_job_poison_sentence());
    tt_pg_add_text(&query, worker);
    tt_pg_add_int(&query, ms_of(pg->bounds.lease_seconds));
    tt_status status = tt_pg_run(pg, &query, &result, NULL, err);
    if (status == TT_OK && PQgetisnull(result, 0, 0) == 0) {
        read_job(result, job);
        status = tt_pg_block(result, TAKE_BYTES, body, n_body_bytes, err);
        *found = status == TT_OK;
    }
    if (status == TT_OK && tt_pg_int(result, TAKE_N_POISONED) > 0)
        tt_pg_notify(pg, TT_LEDGER_JOB_ENDED);
    PQclear(result);
    return status;
}

static tt_status extend(void *self, const char *worker, const char *id, bool *is_mine, tt_error *err)
{
    tt_pg *pg = self;
    tt_pg_query query = begin(EXTEND);
    int64_t n = 0;
    tt_pg_add_text(&query, id);
    tt_pg_add_text(&query, worker);
    tt_pg_add_int(&query, ms_of(pg->bounds.lease_seconds));
    tt_status status = run_for_count(pg, &query, &n, NULL, err);
    *is_mine = n > 0;
    return status;
}

/* ---- done and fail */

/* After a cut: was it this call that ended the job? */
static tt_status was_done_by_me(tt_pg *pg, const char *worker, const char *id, const char *sha256, int64_t *n,
                                tt_error *err)
{
    tt_pg_query query = begin(DONE_BY_ME);
    tt_pg_add_text(&query, id);
    tt_pg_add_text(&query, worker);
    tt_pg_add_text(&query, sha256);
    return run_for_count(pg, &query, n, NULL, err);
}

static tt_status done(void *self, const char *worker, const char *id, const char *type, const char *sha256,
                      const void *result, size_t n_bytes, bool *counted, tt_error *err)
{
    tt_pg *pg = self;
    tt_pg_query query = begin(DONE);
    int64_t n = 0;
    bool was_cut = false;
    tt_pg_add_text(&query, id);
    tt_pg_add_text(&query, worker);
    tt_pg_add_text(&query, type);
    tt_pg_add_text(&query, sha256);
    tt_pg_add_bytes(&query, result, n_bytes);
    tt_status status = run_for_count(pg, &query, &n, &was_cut, err);
    if (status == TT_OK && n == 0 && was_cut)
        status = was_done_by_me(pg, worker, id, sha256, &n, err);
    if (n > 0)
        tt_pg_notify(pg, TT_LEDGER_JOB_ENDED);
    *counted = n > 0;
    return status;
}

static tt_status fail(void *self, const char *worker, const char *id, bool is_final, uint32_t code,
                      const char *sentence, bool *counted, tt_error *err)
{
    tt_pg *pg = self;
    tt_pg_query query = begin(FAIL);
    PGresult *result = NULL;
    tt_pg_add_text(&query, id);
    tt_pg_add_text(&query, worker);
    tt_pg_add_int(&query, is_final);
    tt_pg_add_int(&query, code);
    tt_pg_add_text(&query, sentence);
    tt_status status = tt_pg_run(pg, &query, &result, NULL, err);
    *counted = status == TT_OK && tt_pg_int(result, 0) > 0;
    if (*counted)
        tt_pg_notify(pg, tt_pg_int(result, 1) > 0 ? TT_LEDGER_JOB_ENDED : TT_LEDGER_JOB_QUEUED);
    PQclear(result);
    return status;
}

/* ---- reading */

static tt_status length(void *self, uint64_t counts[5], double *oldest_seconds, tt_error *err)
{
    tt_pg_query query = begin(LENGTH);
    PGresult *result = NULL;
    tt_status status = tt_pg_run(self, &query, &result, NULL, err);
    for (int i = 0; i < 5 && status == TT_OK; i++)
        counts[i] = (uint64_t)tt_pg_int(result, i);
    if (status == TT_OK)
        *oldest_seconds = seconds(result, 5);
    PQclear(result);
    return status;
}

static tt_status result_of(void *self, const char *id, bool *found, char type[48], void **bytes, size_t *n_bytes,
                           tt_error *err)
{
    tt_pg_query query = begin(RESULT);
    PGresult *result = NULL;
    tt_pg_add_text(&query, id);
    tt_status status = tt_pg_run(self, &query, &result, NULL, err);
    if (status == TT_OK && PQntuples(result) > 0) {
        tt_pg_text(result, 0, type, 48);
        status = tt_pg_block(result, 1, bytes, n_bytes, err);
        *found = status == TT_OK;
    }
    PQclear(result);
    return status;
}

/* ---- remove and sweep */

static tt_status remove_job(void *self, const char *id, bool *found, tt_error *err)
{
    tt_pg_query query = begin(REMOVE);
    int64_t n = 0;
    tt_pg_add_text(&query, id);
    tt_status status = run_for_count(self, &query, &n, NULL, err);
    *found = n > 0;
    if (*found)
        tt_pg_notify(self, TT_LEDGER_JOB_ENDED);
    return status;
}

static tt_status sweep(void *self, uint64_t *n_changed, tt_error *err)
{
    tt_pg *pg = self;
    tt_pg_query query = begin(SWEEP);
    PGresult *result = NULL;
    tt_pg_add_text(&query, tt_job_poison_sentence());
    tt_pg_add_int(&query, ms_of(pg->bounds.keep_seconds));
    tt_status status = tt_pg_run(pg, &query, &result, NULL, err);
    for (int i = 0; i < 3 && status == TT_OK; i++)
        *n_changed += (uint64_t)tt_pg_int(result, i);
    if (*n_changed > 0)
        tt_pg_notify(pg, TT_LEDGER_JOB_ENDED);
    PQclear(result);
    return status;
}

static tt_status wait_for(void *self, tt_ledger_event event, double wanted_seconds, tt_error *err)
{
    return tt_pg_wait(self, event, wanted_seconds, err);
}

/* ---- open and close */

static void close_ledger(void *self)
{
    tt_pg *pg = self;
    tt_pg_disconnect(pg);
    free(pg->address);
    free(pg);
}

static const tt_ledger_backend postgres_backend = {
    .close = close_ledger,
    .put = put,
    .take = take,
    .extend = extend,
    .done = done,
    .fail = fail,
    .length = length,
    .find = find,
    .result = result_of,
    .remove = remove_job,
    .sweep = sweep,
    .wait = wait_for,
};

/* libpq's own sentence would quote the address, and a password may be in it. */
static tt_status check_address(const char *address, tt_error *err)
{
    PQconninfoOption *options = PQconninfoParse(address, NULL);
    if (options == NULL)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "the ledger's PostgreSQL address is malformed: expected postgresql://USER@HOST:PORT/DATABASE");
    PQconninfoFree(options);
    return TT_OK;
}

tt_status tt_ledger_postgres_open(const char *address, const tt_ledger_bounds *bounds,
                                  const tt_ledger_backend **backend, void **self, tt_error *err)
{
    tt_status status = check_address(address, err);
    if (status != TT_OK)
        return status;
    tt_pg *pg = calloc(1, sizeof(*pg));
    if (pg == NULL || !tt_string_copy(address, &pg->address)) {
        free(pg);
        return tt_fail_memory(err, "a ledger", sizeof(*pg));
    }
    pg->bounds = *bounds;
    status = tt_pg_connect(pg, err);
    if (status != TT_OK) {
        close_ledger(pg);
        return status;
    }
    *backend = &postgres_backend;
    *self = pg;
    return TT_OK;
}
