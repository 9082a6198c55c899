/* worker.c - the worker's loop: take a job, do it, say how it ended. */
#define _DEFAULT_SOURCE
#include "service/worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/text.h"
#include "service/heartbeat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What the loop has at hand. */
typedef struct worker_run {
    const tt_worker_params *params;
    tt_log log;
    tt_worker *worker;
    tt_ledger *ledger;
    tt_heartbeat *heartbeat;
    char name[96];     /* unique among processes of all machines */
    double away_since; /* of a ledger that is away; 0: it is there */
} worker_run;

void tt_worker_params_default(tt_worker_params *params)
{
    *params = (tt_worker_params){.bounds = {.keep_seconds = 3600, .lease_seconds = 30},
                                 .sandbox = tt_sandbox_limits_default(),
                                 .patience_seconds = 60};
}

static tt_status make_name(char name[96], tt_error *err)
{
    char host[40] = "";
    uint32_t random[2];
    if (getentropy(random, sizeof random) != 0)
        return tt_fail(err, TT_ERROR_INTERNAL, "the system gives no random bytes for a worker's name");
    if (gethostname(host, sizeof host - 1) != 0 || !tt_utf8_valid(host, strlen(host), NULL) || host[0] == '\0')
        (void)snprintf(host, sizeof host, "worker");
    (void)snprintf(name, 96, "%s-%ld-%08x%08x", host, (long)getpid(), random[0], random[1]);
    return TT_OK;
}

static bool is_told_to_stop(const worker_run *run)
{
    return run->params->stop != NULL && *run->params->stop != 0;
}

/* ---- a ledger that is away comes back, or the worker gives up */

static void rest(double seconds)
{
    const struct timespec pause = {.tv_nsec = (long)(seconds * 1e9)};
    (void)nanosleep(&pause, NULL);
}

/* True: the call should be made again. Only a ledger that is not there is worth waiting for. */
static bool try_again(worker_run *run, tt_status status, const tt_error *why)
{
    const double now = tt_clock_seconds();
    if (status == TT_OK)
        run->away_since = 0;
    if (status != TT_ERROR_NETWORK)
        return false;
    if (run->away_since == 0) {
        run->away_since = now;
        tt_log_write(&run->log, TT_LOG_WARNING, "%s", why->text);
    }
    if (now - run->away_since > run->params->patience_seconds)
        return false;
    rest(0.3);
    return true;
}

/* ---- how a job ended */

static tt_status report_done(worker_run *run, const tt_job *job, const tt_work *work, bool *counted, tt_error *err)
{
    char sha256[65];
    tt_status status = tt_sha256_hex(work->png, work->n_png_bytes, sha256, err);
    if (status != TT_OK)
        return status;
    do
        status = tt_ledger_done(run->ledger, run->name, job->id, "image/png", sha256, work->png, work->n_png_bytes,
                                counted, err);
    while (try_again(run, status, err));
    return status;
}

/* Clients are told what is wrong with what they sent, and of the service's own troubles only that there are some. */
static tt_status report_failure(worker_run *run, const tt_job *job, const tt_work *work, const char *sentence,
                                bool *counted, tt_error *err)
{
    tt_status status;
    tt_log_write(&run->log, work->is_final ? TT_LOG_INFO : TT_LOG_WARNING, "job %s failed: %s", job->id, sentence);
    if (!work->is_final)
        sentence = "the service could not make this picture larger: try again later";
    do
        status = tt_ledger_fail(run->ledger, run->name, job->id, work->is_final, work->code, sentence, counted, err);
    while (try_again(run, status, err));
    return status;
}

/* Does one job. A failure is the ledger's or the worker's own. */
static tt_status do_job(worker_run *run, const tt_job *job, const void *body, size_t n_body_bytes, tt_error *err)
{
    tt_error why = {""};
    tt_work work = {0};
    bool counted = false;
    const double begin = tt_clock_seconds();
    tt_heartbeat_job(run->heartbeat, job->id);
    const tt_status done =
        tt_worker_do(run->worker, job, body, n_body_bytes, tt_heartbeat_is_mine, run->heartbeat, &work, &why);
    tt_status status = TT_OK;
    if (done == TT_OK)
        status = report_done(run, job, &work, &counted, err);
    else if (done != TT_ERROR_CANCELLED)
        status = report_failure(run, job, &work, why.text, &counted, err);
    tt_heartbeat_job(run->heartbeat, NULL);
    free(work.png);
    tt_log_write(&run->log, TT_LOG_INFO, "job %s: %u x %u, scale %u, try %u, %.3f s%s", job->id, job->width,
                 job->height, job->scale, job->n_tries, tt_clock_seconds() - begin,
                 counted ? "" : ", which did not count");
    return status == TT_OK && work.is_broken ? tt_fail(err, done, "%s", why.text) : status;
}

/* Takes a job and does it; *found false: there was none. */
static tt_status take_one(worker_run *run, bool *found, tt_error *err)
{
    tt_job job;
    void *body = NULL;
    size_t n_body_bytes = 0;
    tt_status status;
    *found = false;
    do
        status = tt_ledger_take(run->ledger, run->name, found, &job, &body, &n_body_bytes, err);
    while (try_again(run, status, err) && !is_told_to_stop(run));
    if (status == TT_OK && *found)
        status = do_job(run, &job, body, n_body_bytes, err);
    free(body);
    return status;
}

static tt_status work_until_stopped(worker_run *run, uint64_t *n_jobs, tt_error *err)
{
    static const double wait_seconds = 0.5; /* so long a stop may go unnoticed */
    tt_status status = TT_OK;
    while (status == TT_OK && !is_told_to_stop(run) &&
           (run->params->max_jobs == 0 || *n_jobs < run->params->max_jobs)) {
        bool found = false;
        status = take_one(run, &found, err);
        *n_jobs += found;
        if (status == TT_OK && !found) {
            status = tt_ledger_wait(run->ledger, TT_LEDGER_JOB_QUEUED, wait_seconds, err);
            status = try_again(run, status, err) ? TT_OK : status;
        }
    }
    /* One that was told to stop while its ledger was away has nothing more to do. */
    return status == TT_ERROR_NETWORK && is_told_to_stop(run) ? TT_OK : status;
}

static tt_status open_ledger(worker_run *run, tt_error *err)
{
    tt_status status;
    do
        status = tt_ledger_open(run->params->ledger, &run->params->bounds, &run->ledger, err);
    while (try_again(run, status, err) && !is_told_to_stop(run));
    return status;
}

/* The worker's parts first: its sandbox is forked from a process that knows nothing yet. */
static tt_status open_parts(worker_run *run, tt_error *err)
{
    tt_status status = make_name(run->name, err);
    if (status == TT_OK)
        status = tt_worker_open(run->params, &run->worker, err);
    if (status == TT_OK)
        status = open_ledger(run, err);
    if (status == TT_OK)
        status = tt_heartbeat_start(run->params->ledger, &run->params->bounds, run->name, &run->heartbeat, err);
    return status;
}

tt_status tt_worker_run(const tt_worker_params *params, uint64_t *n_jobs, tt_error *err)
{
    worker_run run = {.params = params, .log = {params->log, params->log_user}};
    uint64_t n = 0;
    if (params->ledger == NULL)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a worker needs a ledger");
    tt_status status = open_parts(&run, err);
    if (status == TT_OK) {
        tt_log_write(&run.log, TT_LOG_INFO, "%s takes jobs", run.name);
        status = work_until_stopped(&run, &n, err);
    }
    tt_heartbeat_stop(run.heartbeat);
    tt_ledger_close(run.ledger);
    tt_worker_close(run.worker);
    if (n_jobs != NULL)
        *n_jobs = n;
    /* Compilers of drivers that are built on LLVM delete their temporary files when a signal comes, and what is being
     * compiled fails. A job in work has been given back, so the end is as good as asked for. */
    if (status == TT_ERROR_DEVICE && is_told_to_stop(&run)) {
        tt_log_write(&run.log, TT_LOG_WARNING, "told to stop while this failed: %s", err->text);
        status = TT_OK;
    }
    return status;
}
