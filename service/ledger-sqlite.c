/* ledger-sqlite.c - the ledger in an SQLite file: one machine, several processes. */
#include "base/clock.h"
#include "service/ledger-backend.h"
#include "service/ledger-sqlite-private.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The columns of read_job, with parameter ?2 for the present time. */
#define JOB_COLUMNS                                                                                                    \
    "seq, id, owner, type, body_sha256, result_sha256, stage, scale, width, height, n_tries, created, leased, ended, " \
    "failure, failure_code, CASE WHEN stage = 0 THEN (SELECT count(*) FROM jobs AS o WHERE o.stage < 2 AND "           \
    "o.seq < jobs.seq AND (o.stage = 0 OR o.lease_end < ?2)) END "

/* Jobs whose last lease ran out; ?1 is the present time. */
#define POISONED "stage = 1 AND lease_end < ?1 AND n_tries >= 3"

typedef enum statement {
    PUT_FIND_KEY,
    PUT_COUNT,
    PUT_JOB,
    PUT_BODY,
    POISON_BODIES,
    POISON_JOBS,
    TAKE_JOB,
    TAKE_FIND,
    TAKE_BODY,
    EXTEND,
    DONE_JOB,
    DONE_RESULT,
    FAIL_JOB,
    DROP_BODY,
    LENGTH_COUNTS,
    LENGTH_OLDEST,
    FIND,
    RESULT,
    REMOVE,
    SWEEP_RESULTS,
    SWEEP_DONE,
    SWEEP_FAILED,
    SWEEP_EXPIRED,
    DATA_VERSION,
    N_STATEMENTS
} statement;

_Static_assert((int)N_STATEMENTS <= (int)TT_SQLITE_STATEMENTS, "room for all statements");
_Static_assert(TT_JOB_TRIES == 3, "the statements below say 3");

/* A plus sign keeps SQLite from an index whose order would have to be sorted. */
static const char *const texts[N_STATEMENTS] = {
    [PUT_FIND_KEY] = "SELECT id, body_sha256, scale FROM jobs WHERE owner = ?1 AND key = ?2",
    [PUT_COUNT] = "SELECT count(*), count(*) FILTER (WHERE owner = ?1), count(*) FILTER (WHERE stage = 0 OR "
                  "lease_end < ?2) FROM jobs WHERE stage < 2",
    [PUT_JOB] = "INSERT INTO jobs (id, owner, key, type, body_sha256, scale, width, height, created) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [PUT_BODY] = "INSERT INTO bodies (seq, bytes) VALUES (last_insert_rowid(), ?1)",
    [POISON_BODIES] = "DELETE FROM bodies WHERE seq IN (SELECT seq FROM jobs WHERE " POISONED ")",
    [POISON_JOBS] = "UPDATE jobs SET stage = 3, ended = ?1, failure = ?2, failure_code = 500 WHERE " POISONED,
    [TAKE_JOB] = "UPDATE jobs SET stage = 1, n_tries = n_tries + 1, worker = ?1, leased = ?2, lease_end = ?3 WHERE "
                 "seq = (SELECT seq FROM jobs WHERE stage < 2 AND (stage = 0 OR lease_end < ?2) AND n_tries < 3 "
                 "ORDER BY seq LIMIT 1) RETURNING seq",
    [TAKE_FIND] = "SELECT " JOB_COLUMNS "FROM jobs WHERE seq = ?1",
    [TAKE_BODY] = "SELECT bytes FROM bodies WHERE seq = ?1",
    [EXTEND] = "UPDATE jobs SET lease_end = ?3 WHERE id = ?1 AND worker = ?2 AND stage = 1",
    [DONE_JOB] = "UPDATE jobs SET stage = 2, worker = ?2, ended = ?3, result_type = ?4, result_sha256 = ?5 WHERE "
                 "id = ?1 AND stage < 2 RETURNING seq",
    [DONE_RESULT] = "INSERT INTO results (seq, bytes) VALUES (?1, ?2)",
    [FAIL_JOB] = "UPDATE jobs SET stage = CASE WHEN ?3 OR n_tries >= 3 THEN 3 ELSE 0 END, ended = ?4, failure = ?5, "
                 "failure_code = ?6 WHERE id = ?1 AND worker = ?2 AND stage = 1 RETURNING seq, stage",
    [DROP_BODY] = "DELETE FROM bodies WHERE seq = ?1",
    [LENGTH_COUNTS] = "SELECT stage, count(*) FROM jobs GROUP BY stage",
    [LENGTH_OLDEST] = "SELECT created FROM jobs WHERE stage < 2 AND +stage = 0 ORDER BY seq LIMIT 1",
    [FIND] = "SELECT " JOB_COLUMNS "FROM jobs WHERE id = ?1",
    [RESULT] = "SELECT result_type, bytes FROM jobs JOIN results USING (seq) WHERE id = ?1 AND stage = 2",
    [REMOVE] = "DELETE FROM jobs WHERE id = ?1",
    [SWEEP_RESULTS] = "DELETE FROM results WHERE seq IN (SELECT seq FROM jobs WHERE stage = 2 AND ended <= ?1)",
    [SWEEP_DONE] = "UPDATE jobs SET stage = 4, result_sha256 = NULL WHERE stage = 2 AND ended <= ?1",
    [SWEEP_FAILED] = "DELETE FROM jobs WHERE stage = 3 AND ended <= ?1",
    [SWEEP_EXPIRED] = "DELETE FROM jobs WHERE stage = 4 AND ended <= ?1",
    [DATA_VERSION] = "PRAGMA data_version",
};

static sqlite3_stmt *prepared(tt_sqlite *s, statement which)
{
    return tt_sqlite_statement(s, (int)which, texts[which]);
}

/* ---- times: milliseconds since 1970 in the file, seconds outside */

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A clock that was put back between two events must not make a negative time. */
static double seconds_between(int64_t from, int64_t to)
{
    return to > from ? (double)(to - from) / 1000 : 0;
}

static int64_t ms_of(double seconds)
{
    return (int64_t)(seconds * 1000);
}

/* ---- rows */

static void read_times(sqlite3_stmt *q, int column, int64_t now, tt_job *job)
{
    int64_t created = sqlite3_column_int64(q, column), leased = sqlite3_column_int64(q, column + 1);
    job->age_seconds = seconds_between(created, now);
    job->queue_seconds = job->n_tries == 0 ? job->age_seconds : seconds_between(created, leased);
    if (job->stage == TT_JOB_DONE || job->stage == TT_JOB_EXPIRED)
        job->work_seconds = job->n_tries == 0 ? 0 : seconds_between(leased, sqlite3_column_int64(q, column + 2));
}

/* The row of a statement with JOB_COLUMNS. */
static void read_job(sqlite3_stmt *q, int64_t now, tt_job *job)
{
    *job = (tt_job){.stage = (tt_job_stage)sqlite3_column_int(q, 6)};
    tt_sqlite_column_text(q, 1, job->id, sizeof(job->id));
    tt_sqlite_column_text(q, 2, job->owner, sizeof(job->owner));
    tt_sqlite_column_text(q, 3, job->type, sizeof(job->type));
    tt_sqlite_column_text(q, 4, job->body_sha256, sizeof(job->body_sha256));
    tt_sqlite_column_text(q, 5, job->result_sha256, sizeof(job->result_sha256));
    job->scale = (uint32_t)sqlite3_column_int64(q, 7);
    job->width = (uint32_t)sqlite3_column_int64(q, 8);
    job->height = (uint32_t)sqlite3_column_int64(q, 9);
    job->n_tries = (uint32_t)sqlite3_column_int64(q, 10);
    read_times(q, 11, now, job);
    if (job->stage == TT_JOB_FAILED) {
        tt_sqlite_column_text(q, 14, job->failure, sizeof(job->failure));
        job->failure_code = (uint32_t)sqlite3_column_int64(q, 15);
    }
    job->position = (uint64_t)sqlite3_column_int64(q, 16);
}

/* Finds a job inside an operation. */
static bool find_job(tt_sqlite *s, const char *id, tt_job *job)
{
    int64_t now = now_ms();
    sqlite3_stmt *q = prepared(s, FIND);
    tt_sqlite_string(s, q, 1, id);
    tt_sqlite_int(s, q, 2, now);
    bool found = tt_sqlite_row(s, q);
    if (found)
        read_job(q, now, job);
    tt_sqlite_reset(q);
    return found;
}

static void run_with_int(tt_sqlite *s, statement which, int64_t value)
{
    sqlite3_stmt *q = prepared(s, which);
    tt_sqlite_int(s, q, 1, value);
    (void)tt_sqlite_run(s, q);
}

/* ---- put */

/* True: the owner's key is taken; the outcome says by what. */
static bool put_known(tt_sqlite *s, const tt_job_input *input, tt_put_outcome *outcome, tt_job *job)
{
    char id[TT_JOB_ID_BYTES], sha256[65];
    if (input->key == NULL)
        return false;
    sqlite3_stmt *q = prepared(s, PUT_FIND_KEY);
    tt_sqlite_string(s, q, 1, input->owner);
    tt_sqlite_string(s, q, 2, input->key);
    bool found = tt_sqlite_row(s, q);
    if (found) {
        tt_sqlite_column_text(q, 0, id, sizeof(id));
        tt_sqlite_column_text(q, 1, sha256, sizeof(sha256));
        bool is_same = strcmp(sha256, input->sha256) == 0 && sqlite3_column_int64(q, 2) == (int64_t)input->scale;
        *outcome = is_same ? TT_PUT_KNOWN : TT_PUT_CONFLICT;
    }
    tt_sqlite_reset(q);
    if (found && *outcome == TT_PUT_KNOWN)
        (void)find_job(s, id, job);
    return found;
}

/* True: there is room, and so many jobs come first. */
static bool put_has_room(tt_sqlite *s, const tt_job_input *input, tt_put_outcome *outcome, uint64_t *position)
{
    uint64_t n = 0, n_own = 0;
    const uint64_t owner_bound = tt_job_owner_bound(input, &s->bounds);
    sqlite3_stmt *q = prepared(s, PUT_COUNT);
    tt_sqlite_string(s, q, 1, input->owner);
    tt_sqlite_int(s, q, 2, now_ms());
    if (tt_sqlite_row(s, q)) {
        n = (uint64_t)sqlite3_column_int64(q, 0);
        n_own = (uint64_t)sqlite3_column_int64(q, 1);
        *position = (uint64_t)sqlite3_column_int64(q, 2);
    }
    tt_sqlite_reset(q);
    *outcome = TT_PUT_ACCEPTED;
    if (s->bounds.max_queued > 0 && n >= s->bounds.max_queued)
        *outcome = TT_PUT_FULL;
    else if (owner_bound > 0 && n_own >= owner_bound)
        *outcome = TT_PUT_OWNER_FULL;
    return *outcome == TT_PUT_ACCEPTED;
}

static void put_rows(tt_sqlite *s, const tt_job_input *input, const char *id)
{
    sqlite3_stmt *q = prepared(s, PUT_JOB);
    tt_sqlite_string(s, q, 1, id);
    tt_sqlite_string(s, q, 2, input->owner);
    tt_sqlite_string(s, q, 3, input->key);
    tt_sqlite_string(s, q, 4, input->type);
    tt_sqlite_string(s, q, 5, input->sha256);
    tt_sqlite_int(s, q, 6, input->scale);
    tt_sqlite_int(s, q, 7, input->width);
    tt_sqlite_int(s, q, 8, input->height);
    tt_sqlite_int(s, q, 9, now_ms());
    (void)tt_sqlite_run(s, q);
    q = prepared(s, PUT_BODY);
    tt_sqlite_bytes(s, q, 1, input->body, input->n_body_bytes);
    (void)tt_sqlite_run(s, q);
}

static tt_status put(void *self, const tt_job_input *input, const char *id, tt_put_outcome *outcome, tt_job *job,
                     tt_error *err)
{
    tt_sqlite *s = self;
    uint64_t position = 0;
    tt_sqlite_begin(s);
    if (!put_known(s, input, outcome, job) && put_has_room(s, input, outcome, &position)) {
        put_rows(s, input, id);
        tt_job_from_input(input, id, position, job);
        s->has_own_event[TT_LEDGER_JOB_QUEUED] = true;
    }
    return tt_sqlite_commit(s, err);
}

/* ---- take and extend */

static uint64_t fail_poisoned(tt_sqlite *s)
{
    int64_t now = now_ms();
    run_with_int(s, POISON_BODIES, now);
    sqlite3_stmt *q = prepared(s, POISON_JOBS);
    tt_sqlite_int(s, q, 1, now);
    tt_sqlite_string(s, q, 2, tt_job_poison_sentence());
    uint64_t n = tt_sqlite_run(s, q);
    if (n > 0)
        s->has_own_event[TT_LEDGER_JOB_ENDED] = true;
    return n;
}

/* The lease; 0 when there is no job. */
static int64_t lease_oldest(tt_sqlite *s, const char *worker)
{
    int64_t now = now_ms(), seq = 0;
    sqlite3_stmt *q = prepared(s, TAKE_JOB);
    tt_sqlite_string(s, q, 1, worker);
    tt_sqlite_int(s, q, 2, now);
    tt_sqlite_int(s, q, 3, now + ms_of(s->bounds.lease_seconds));
    if (tt_sqlite_row(s, q))
        seq = sqlite3_column_int64(q, 0);
    tt_sqlite_reset(q);
    return seq;
}

static void read_taken(tt_sqlite *s, int64_t seq, tt_job *job, void **body, size_t *n_body_bytes)
{
    int64_t now = now_ms();
    sqlite3_stmt *q = prepared(s, TAKE_FIND);
    tt_sqlite_int(s, q, 1, seq);
    tt_sqlite_int(s, q, 2, now);
    if (tt_sqlite_row(s, q))
        read_job(q, now, job);
    tt_sqlite_reset(q);
    q = prepared(s, TAKE_BODY);
    tt_sqlite_int(s, q, 1, seq);
    if (tt_sqlite_row(s, q))
        tt_sqlite_column_block(s, q, 0, body, n_body_bytes);
    tt_sqlite_reset(q);
}

static tt_status take(void *self, const char *worker, bool *found, tt_job *job, void **body, size_t *n_body_bytes,
                      tt_error *err)
{
    tt_sqlite *s = self;
    tt_sqlite_begin(s);
    (void)fail_poisoned(s);
    int64_t seq = lease_oldest(s, worker);
    if (seq != 0)
        read_taken(s, seq, job, body, n_body_bytes);
    tt_status status = tt_sqlite_commit(s, err);
    *found = status == TT_OK && seq != 0;
    if (status != TT_OK) {
        free(*body);
        *body = NULL;
    }
    return status;
}

static tt_status extend(void *self, const char *worker, const char *id, bool *is_mine, tt_error *err)
{
    tt_sqlite *s = self;
    tt_sqlite_begin(s);
    sqlite3_stmt *q = prepared(s, EXTEND);
    tt_sqlite_string(s, q, 1, id);
    tt_sqlite_string(s, q, 2, worker);
    tt_sqlite_int(s, q, 3, now_ms() + ms_of(s->bounds.lease_seconds));
    uint64_t n = tt_sqlite_run(s, q);
    tt_status status = tt_sqlite_commit(s, err);
    *is_mine = status == TT_OK && n > 0;
    return status;
}

/* ---- done and fail */

static tt_status done(void *self, const char *worker, const char *id, const char *type, const char *sha256,
                      const void *result, size_t n_bytes, bool *counted, tt_error *err)
{
    tt_sqlite *s = self;
    tt_sqlite_begin(s);
    sqlite3_stmt *q = prepared(s, DONE_JOB);
    tt_sqlite_string(s, q, 1, id);
    tt_sqlite_string(s, q, 2, worker);
    tt_sqlite_int(s, q, 3, now_ms());
    tt_sqlite_string(s, q, 4, type);
    tt_sqlite_string(s, q, 5, sha256);
    int64_t seq = tt_sqlite_row(s, q) ? sqlite3_column_int64(q, 0) : 0;
    tt_sqlite_reset(q);
    if (seq != 0) {
        q = prepared(s, DONE_RESULT);
        tt_sqlite_int(s, q, 1, seq);
        tt_sqlite_bytes(s, q, 2, result, n_bytes);
        (void)tt_sqlite_run(s, q);
        run_with_int(s, DROP_BODY, seq);
        s->has_own_event[TT_LEDGER_JOB_ENDED] = true;
    }
    tt_status status = tt_sqlite_commit(s, err);
    *counted = status == TT_OK && seq != 0;
    return status;
}

static tt_status fail(void *self, const char *worker, const char *id, bool is_final, uint32_t code,
                      const char *sentence, bool *counted, tt_error *err)
{
    tt_sqlite *s = self;
    tt_sqlite_begin(s);
    sqlite3_stmt *q = prepared(s, FAIL_JOB);
    tt_sqlite_string(s, q, 1, id);
    tt_sqlite_string(s, q, 2, worker);
    tt_sqlite_int(s, q, 3, is_final);
    tt_sqlite_int(s, q, 4, now_ms());
    tt_sqlite_string(s, q, 5, sentence);
    tt_sqlite_int(s, q, 6, code);
    bool found = tt_sqlite_row(s, q);
    int64_t seq = found ? sqlite3_column_int64(q, 0) : 0;
    bool has_ended = found && sqlite3_column_int(q, 1) == TT_JOB_FAILED;
    tt_sqlite_reset(q);
    if (has_ended)
        run_with_int(s, DROP_BODY, seq);
    if (found)
        s->has_own_event[has_ended ? TT_LEDGER_JOB_ENDED : TT_LEDGER_JOB_QUEUED] = true;
    tt_status status = tt_sqlite_commit(s, err);
    *counted = status == TT_OK && found;
    return status;
}

/* ---- reading */

static tt_status length(void *self, uint64_t counts[5], double *oldest_seconds, tt_error *err)
{
    tt_sqlite *s = self;
    tt_sqlite_clear(s);
    sqlite3_stmt *q = prepared(s, LENGTH_COUNTS);
    while (tt_sqlite_row(s, q)) {
        int64_t stage = sqlite3_column_int64(q, 0);
        if (stage >= 0 && stage < 5)
            counts[stage] = (uint64_t)sqlite3_column_int64(q, 1);
    }
    tt_sqlite_reset(q);
    q = prepared(s, LENGTH_OLDEST);
    if (tt_sqlite_row(s, q))
        *oldest_seconds = seconds_between(sqlite3_column_int64(q, 0), now_ms());
    tt_sqlite_reset(q);
    return tt_sqlite_status(s, err);
}

static tt_status find(void *self, const char *id, bool *found, tt_job *job, tt_error *err)
{
    tt_sqlite *s = self;
    tt_sqlite_clear(s);
    *found = find_job(s, id, job);
    return tt_sqlite_status(s, err);
}

static tt_status result(void *self, const char *id, bool *found, char type[48], void **bytes, size_t *n_bytes,
                        tt_error *err)
{
    tt_sqlite *s = self;
    tt_sqlite_clear(s);
    sqlite3_stmt *q = prepared(s, RESULT);
    tt_sqlite_string(s, q, 1, id);
    if (tt_sqlite_row(s, q)) {
        tt_sqlite_column_text(q, 0, type, 48);
        tt_sqlite_column_block(s, q, 1, bytes, n_bytes);
        *found = *bytes != NULL;
    }
    tt_sqlite_reset(q);
    return tt_sqlite_status(s, err);
}

/* ---- remove and sweep */

static tt_status remove_job(void *self, const char *id, bool *found, tt_error *err)
{
    tt_sqlite *s = self;
    tt_sqlite_begin(s);
    sqlite3_stmt *q = prepared(s, REMOVE);
    tt_sqlite_string(s, q, 1, id);
    uint64_t n = tt_sqlite_run(s, q);
    s->has_own_event[TT_LEDGER_JOB_ENDED] = true;
    tt_status status = tt_sqlite_commit(s, err);
    *found = status == TT_OK && n > 0;
    return status;
}

static uint64_t sweep_older(tt_sqlite *s, statement which, int64_t limit)
{
    sqlite3_stmt *q = prepared(s, which);
    tt_sqlite_int(s, q, 1, limit);
    return tt_sqlite_run(s, q);
}

static tt_status sweep(void *self, uint64_t *n_changed, tt_error *err)
{
    tt_sqlite *s = self;
    int64_t keep = ms_of(s->bounds.keep_seconds), limit = now_ms() - keep;
    tt_sqlite_begin(s);
    *n_changed = fail_poisoned(s);
    *n_changed += sweep_older(s, SWEEP_EXPIRED, limit - keep);
    *n_changed += sweep_older(s, SWEEP_FAILED, limit);
    (void)sweep_older(s, SWEEP_RESULTS, limit);
    *n_changed += sweep_older(s, SWEEP_DONE, limit);
    return tt_sqlite_commit(s, err);
}

/* ---- wait */

/* Changes when another connection has committed. */
static int64_t data_version(tt_sqlite *s)
{
    sqlite3_stmt *q = prepared(s, DATA_VERSION);
    int64_t version = tt_sqlite_row(s, q) ? sqlite3_column_int64(q, 0) : 0;
    tt_sqlite_reset(q);
    return version;
}

static tt_status wait_for(void *self, tt_ledger_event event, double seconds, tt_error *err)
{
    tt_sqlite *s = self;
    double end = tt_clock_seconds() + seconds;
    tt_sqlite_clear(s);
    int64_t version = data_version(s);
    while (s->code == SQLITE_OK && version == s->seen_version[event] && !s->has_own_event[event]) {
        double left = end - tt_clock_seconds();
        if (left <= 0)
            break;
        const struct timespec pause = {.tv_nsec = (long)((left < 0.05 ? left : 0.05) * 1e9)};
        (void)nanosleep(&pause, NULL);
        version = data_version(s);
    }
    s->seen_version[event] = version;
    s->has_own_event[event] = false;
    return tt_sqlite_status(s, err);
}

/* ---- open and close */

static void close_ledger(void *self)
{
    tt_sqlite_disconnect(self);
    free(self);
}

static const tt_ledger_backend sqlite_backend = {
    .close = close_ledger,
    .put = put,
    .take = take,
    .extend = extend,
    .done = done,
    .fail = fail,
    .length = length,
    .find = find,
    .result = result,
    .remove = remove_job,
    .sweep = sweep,
    .wait = wait_for,
};

tt_status tt_ledger_sqlite_open(const char *path, const tt_ledger_bounds *bounds, const tt_ledger_backend **backend,
                                void **self, tt_error *err)
{
    tt_sqlite *s = malloc(sizeof(*s));
    if (s == NULL)
        return tt_fail_memory(err, "a ledger", sizeof(*s));
    tt_status status = tt_sqlite_connect(s, path, err);
    if (status != TT_OK) {
        free(s);
        return status;
    }
    s->bounds = *bounds;
    *backend = &sqlite_backend;
    *self = s;
    return TT_OK;
}
