/* gate-waiting.c - requests that wait for a job to end. The ledger says that some job ended, not which. Jobs are taken
 * oldest first, so the list is kept by age, and a look at it ends where only queued jobs are left. */
#define _GNU_SOURCE
#include "service/gate-private.h"

#include "base/clock.h"

#include <math.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 32, MOST_QUEUED = 32 /* that are looked at before a look ends */ };

static const double watch_seconds = 0.25, sweep_seconds = 5;

/* ---- the list; with the lock held */

static void unlink_request(struct tt_gate *gate, gate_request *request)
{
    if (request->before != NULL)
        request->before->next = request->next;
    else
        gate->waiting.first = request->next;
    if (request->next != NULL)
        request->next->before = request->before;
    else
        gate->waiting.last = request->before;
    gate->waiting.n--;
}

/* By age; most are younger than all that are there. */
static void link_request(struct tt_gate *gate, gate_request *request)
{
    gate_request *before = gate->waiting.last;
    while (before != NULL && before->accepted > request->accepted)
        before = before->before;
    request->before = before;
    request->next = before != NULL ? before->next : gate->waiting.first;
    if (before != NULL)
        before->next = request;
    else
        gate->waiting.first = request;
    if (request->next != NULL)
        request->next->before = request;
    else
        gate->waiting.last = request;
    gate->waiting.n++;
}

static void wake(struct tt_gate *gate, gate_request *request)
{
    unlink_request(gate, request);
    gate_pool_push(gate, request);
}

uint64_t gate_generation(struct tt_gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    const uint64_t generation = gate->generation;
    (void)pthread_mutex_unlock(&gate->lock);
    return generation;
}

void gate_wait(gate_request *request, const tt_job *job, uint64_t generation)
{
    struct tt_gate *gate = request->gate;
    request->accepted = tt_clock_seconds() - job->age_seconds;
    (void)pthread_mutex_lock(&gate->lock);
    if (gate->draining)
        request->deadline = 0;
    if (gate->draining || gate->generation != generation)
        gate_pool_push(gate, request);
    else
        link_request(gate, request);
    (void)pthread_mutex_unlock(&gate->lock);
}

void gate_wake_job(struct tt_gate *gate, const char *id)
{
    (void)pthread_mutex_lock(&gate->lock);
    for (gate_request *request = gate->waiting.first, *next; request != NULL; request = next) {
        next = request->next;
        if (strcmp(request->id, id) == 0)
            wake(gate, request);
    }
    (void)pthread_mutex_unlock(&gate->lock);
}

/* The client has closed its side: a suspended connection is not looked at by libmicrohttpd. */
static bool is_gone(const gate_request *request)
{
    char byte;
    return request->peer != NULL && recv(request->peer->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void gate_wake_late(struct tt_gate *gate, double now, bool everybody)
{
    for (gate_request *request = gate->waiting.first, *next; request != NULL; request = next) {
        next = request->next;
        if (!everybody && request->deadline > now && !is_gone(request))
            continue;
        request->deadline = 0;
        wake(gate, request);
    }
}

/* ---- the watcher */

/* Up to BATCH different jobs younger than *from, which moves on: a place in the list that survives its changes. */
static size_t next_jobs(struct tt_gate *gate, double *from, char ids[BATCH][TT_JOB_ID_BYTES])
{
    const double begin = *from;
    size_t n = 0;
    (void)pthread_mutex_lock(&gate->lock);
    for (gate_request *request = gate->waiting.first; request != NULL; request = request->next) {
        const bool is_same = n > 0 && strcmp(ids[n - 1], request->id) == 0;
        if (n == BATCH && !is_same)
            break;
        if (request->accepted <= begin)
            continue;
        *from = request->accepted;
        if (!is_same)
            memcpy(ids[n++], request->id, TT_JOB_ID_BYTES);
    }
    (void)pthread_mutex_unlock(&gate->lock);
    return n;
}

/* Looks at the oldest jobs that are waited for and wakes those that ended. */
static tt_status look_for_ended(struct tt_gate *gate, tt_ledger *ledger, tt_error *err)
{
    char ids[BATCH][TT_JOB_ID_BYTES];
    double from = -HUGE_VAL;
    size_t n_queued = 0;
    for (size_t n; n_queued < MOST_QUEUED && (n = next_jobs(gate, &from, ids)) > 0;)
        for (size_t i = 0; i < n; i++) {
            tt_job job;
            bool found = false;
            const tt_status status = tt_ledger_find(ledger, ids[i], &found, &job, err);
            if (status != TT_OK)
                return status;
            if (!found || job.stage >= TT_JOB_DONE)
                gate_wake_job(gate, ids[i]);
            n_queued += found && job.stage == TT_JOB_QUEUED;
        }
    return TT_OK;
}

/* One wait and what follows from it. */
static tt_status watch_once(struct tt_gate *gate, tt_ledger *ledger, double *swept_at, tt_error *err)
{
    tt_status status = tt_ledger_wait(ledger, TT_LEDGER_JOB_ENDED, watch_seconds, err);
    if (status != TT_OK)
        return status;
    (void)pthread_mutex_lock(&gate->lock);
    gate->generation++;
    (void)pthread_mutex_unlock(&gate->lock);
    status = look_for_ended(gate, ledger, err);
    if (status == TT_OK && tt_clock_seconds() - *swept_at > sweep_seconds) {
        status = tt_ledger_sweep(ledger, NULL, err);
        *swept_at = tt_clock_seconds();
    }
    return status;
}

static bool is_ending(struct tt_gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    const bool ending = gate->ending;
    (void)pthread_mutex_unlock(&gate->lock);
    return ending;
}

void *gate_watch(void *object)
{
    struct tt_gate *gate = object;
    tt_ledger *ledger = NULL;
    tt_error err = {""};
    double swept_at = 0;
    const struct timespec pause = {.tv_nsec = 250 * 1000000L};
    while (!is_ending(gate)) {
        tt_status status =
            ledger != NULL ? TT_OK : tt_ledger_open(gate->params.ledger, &gate->params.bounds, &ledger, &err);
        if (status == TT_OK)
            status = watch_once(gate, ledger, &swept_at, &err);
        if (status == TT_OK)
            continue;
        tt_log_write(&gate->log, TT_LOG_WARNING, "the ledger failed: %s", err.text);
        tt_metrics_add(gate->metrics, GATE_LEDGER_FAILURES, NULL, 1);
        (void)nanosleep(&pause, NULL);
    }
    tt_ledger_close(ledger);
    return NULL;
}
