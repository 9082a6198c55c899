/* ledger.h - the jobs of the upscale service: what was accepted, who works on it, what came out.
 *
 * Six operations on the queue (put, take, extend, done, fail, length) and three on single jobs (find, result, remove),
 * with two backends: SQLite (one machine, a file) and PostgreSQL (many machines). Both promise the same:
 *
 * - A job is there once put has returned: it is on disk. A process or server that is killed at any moment loses none.
 * - Bodies and results are in the same transaction as the row that speaks of them.
 * - take gives a job to one worker for as long as its lease lasts; extend is the worker's heartbeat. A job whose lease
 *   ran out is given to the next worker that asks. After TT_JOB_TRIES leases it is failed as poison.
 * - done and fail count once: a second completion, or one by a worker that lost its lease to another that finished
 *   first, changes nothing and says so. A worker that lost its lease and is still the first to finish has done the job;
 *   fail counts only from the worker that has the lease.
 * - Oldest first; a token's jobs do not overtake its own.
 *
 * Threads: a ledger belongs to one thread; open one for each. Times are the backend's own clock, so that machines with
 * wrong clocks do no harm. */
#ifndef TT_SERVICE_LEDGER_H
#define TT_SERVICE_LEDGER_H

#include "base/error.h"

enum { TT_JOB_TRIES = 3, TT_JOB_ID_BYTES = 33 };

typedef enum tt_job_stage {
    TT_JOB_QUEUED = 0,
    TT_JOB_WORKING = 1,
    TT_JOB_DONE = 2,
    TT_JOB_FAILED = 3,
    TT_JOB_EXPIRED = 4 /* its result was thrown away: its time was over */
} tt_job_stage;

/* What a client sends. */
typedef struct tt_job_input {
    const char *owner;             /* name of the token, not the token */
    uint64_t max_queued;           /* the owner's own max_queued_per_owner; 0: as the bounds have it */
    const char *key;               /* Idempotency-Key, unique for the owner; NULL: none */
    const char *type;              /* "image/png", "image/jpeg", "application/x-tintype-latent" */
    const char *sha256;            /* hex, of the body */
    uint32_t scale, width, height; /* width, height: of the input picture, in pixels */
    const void *body;
    size_t n_body_bytes;
} tt_job_input;

/* A job as it is known, without bodies. */
typedef struct tt_job {
    char id[TT_JOB_ID_BYTES]; /* 32 hex digits, random: cannot be guessed */
    char owner[64];
    char type[48];
    char body_sha256[65], result_sha256[65]; /* hex; "" while there is no result */
    tt_job_stage stage;
    uint32_t scale, width, height;
    uint32_t n_tries;      /* leases so far */
    uint64_t position;     /* jobs that will be taken before it; QUEUED only */
    double age_seconds;    /* since it was accepted */
    double queue_seconds;  /* of these, before the last lease began */
    double work_seconds;   /* DONE: of the last lease */
    char failure[300];     /* FAILED: one sentence for the client */
    uint32_t failure_code; /* FAILED: the HTTP status that fits, 422 or 500 */
} tt_job;

/* Bounds that the ledger keeps. They belong to the process, not to the stored jobs. */
typedef struct tt_ledger_bounds {
    uint64_t max_queued;           /* queued and working jobs of all owners; 0: no bound */
    uint64_t max_queued_per_owner; /* ... of one */
    double keep_seconds;           /* results and failures are kept that long after they came; 0: 3600 */
    double lease_seconds;          /* 0: 30 */
} tt_ledger_bounds;

typedef enum tt_put_outcome {
    TT_PUT_ACCEPTED = 0,
    TT_PUT_KNOWN,     /* the owner's key with the same body and scale: *job is the job of the first time */
    TT_PUT_CONFLICT,  /* the owner's key with another body or scale */
    TT_PUT_FULL,      /* max_queued */
    TT_PUT_OWNER_FULL /* max_queued_per_owner */
} tt_put_outcome;

typedef struct tt_ledger tt_ledger;

/* Opens a backend by its address: "sqlite:PATH" (made when it is not there) or "postgresql://..." as libpq takes it.
 * Makes or upgrades the tables; two processes may do that at once. The schema's version is checked: a newer one is
 * refused. A PostgreSQL server that goes away is connected to again, for a few seconds in each call; a call that was
 * cut is made again: all are idempotent but take, and a take that was cut leaves a lease that runs out. After that
 * TT_ERROR_NETWORK comes back and the next call tries again. The sentences of failures never hold the address. */
tt_status tt_ledger_open(const char *address, const tt_ledger_bounds *bounds, tt_ledger **ledger, tt_error *err);
void tt_ledger_close(tt_ledger *ledger);

/* ---- the queue */

/* Commits a job, or says why not. job (filled for ACCEPTED and KNOWN) has a position. TT_ERROR_ARGUMENT: a text is
 * empty, too long for its column or no UTF-8, the key is not 1 to 64 letters, digits, '-' and '_', the hash not 64
 * lower-case hex digits. */
tt_status tt_ledger_put(tt_ledger *ledger, const tt_job_input *input, tt_put_outcome *outcome, tt_job *job,
                        tt_error *err);

/* Leases the oldest job to `worker` (a name that is unique among processes). *found false: there is none. *body is a
 * new block (free()). Jobs that had TT_JOB_TRIES leases are failed on the way. */
tt_status tt_ledger_take(tt_ledger *ledger, const char *worker, bool *found, tt_job *job, void **body,
                         size_t *n_body_bytes, tt_error *err);

/* Heartbeat: the lease begins anew. *is_mine false: it was lost (another worker has it, it is done or removed). */
tt_status tt_ledger_extend(tt_ledger *ledger, const char *worker, const char *id, bool *is_mine, tt_error *err);

/* The result, with its SHA-256 (hex). *counted false: somebody was first, or the job is gone. */
tt_status tt_ledger_done(tt_ledger *ledger, const char *worker, const char *id, const char *type, const char *sha256,
                         const void *result, size_t n_bytes, bool *counted, tt_error *err);

/* The job cannot be done (final: the input is at fault, code 422) or could not be done this time (code 500: it is
 * queued again until its tries are used up). A sentence that is too long for tt_job.failure is cut. */
tt_status tt_ledger_fail(tt_ledger *ledger, const char *worker, const char *id, bool is_final, uint32_t code,
                         const char *sentence, bool *counted, tt_error *err);

/* Jobs by stage: counts[TT_JOB_QUEUED .. TT_JOB_EXPIRED], and the age of the oldest queued one. */
tt_status tt_ledger_length(tt_ledger *ledger, uint64_t counts[5], double *oldest_seconds, tt_error *err);

/* ---- single jobs. An id may be whatever a client sent: one that is no id is not found. */

/* *found false: there never was one, or nothing is left of it. */
tt_status tt_ledger_find(tt_ledger *ledger, const char *id, bool *found, tt_job *job, tt_error *err);

/* The result of a DONE job as a new block (free()). */
tt_status tt_ledger_result(tt_ledger *ledger, const char *id, bool *found, char type[48], void **result,
                           size_t *n_bytes, tt_error *err);

/* Forgets a job and its bodies, whatever its stage. */
tt_status tt_ledger_remove(tt_ledger *ledger, const char *id, bool *found, tt_error *err);

/* ---- housekeeping */

/* Throws away results whose time is over (their rows stay as EXPIRED as long again, then go too) and fails jobs whose
 * last lease ran out. *n_changed may be NULL. Called by the gate every few seconds; harmless from several at once. */
tt_status tt_ledger_sweep(tt_ledger *ledger, uint64_t *n_changed, tt_error *err);

/* What is being waited for. */
typedef enum tt_ledger_event {
    TT_LEDGER_JOB_QUEUED = 0, /* workers */
    TT_LEDGER_JOB_ENDED = 1   /* gates */
} tt_ledger_event;

/* Waits until such an event may have happened since the last call, or `seconds` are over; false alarms are allowed, and
 * the first call is one. PostgreSQL: LISTEN. SQLite: its data_version, looked at 20 times a second. A process that is
 * killed right after its commit may leave an event unsaid: whoever waits looks again from time to time. */
tt_status tt_ledger_wait(tt_ledger *ledger, tt_ledger_event event, double seconds, tt_error *err);

#endif
