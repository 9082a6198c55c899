/* gate-jobs.c - what the ledger is asked for a request, and what its answer means. On the ledger's threads. */
#include "service/gate-private.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void gate_fail_ledger(gate_request *request, const tt_error *why)
{
    tt_log_write(&request->gate->log, TT_LOG_WARNING, "the ledger failed: %s", why->text);
    tt_metrics_add(request->gate->metrics, GATE_LEDGER_FAILURES, NULL, 1);
    gate_refuse(request, 503, "the service cannot reach its ledger: try again");
}

/* The job that the request names, where it is there and the owner's: another's looks as if there were none. */
static bool find_job(tt_ledger *ledger, gate_request *request, tt_job *job)
{
    bool found = false;
    tt_error err = {""};
    if (tt_ledger_find(ledger, request->id, &found, job, &err) != TT_OK)
        gate_fail_ledger(request, &err);
    else if (!found || strcmp(job->owner, request->owner.name) != 0)
        gate_refuse(request, 404, "there is no such job");
    else
        return true;
    return false;
}

/* Results in memory are bounded: beyond it a client is told to fetch its own a moment later. */
static bool has_room(struct tt_gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    const bool has_room = gate->result_bytes < gate->params.max_memory_bytes;
    (void)pthread_mutex_unlock(&gate->lock);
    return has_room;
}

static void answer_result(gate_request *request, const tt_job *job, const char *type, void *result, size_t n_bytes)
{
    if (request->route == GATE_EXTRA) {
        gate_extra_answer(request, result, n_bytes);
        free(result);
        return;
    }
    tt_text text = {.bytes = result, .n_bytes = n_bytes};
    gate_answer_text(request, 200, strcmp(type, "image/jpeg") == 0 ? "image/jpeg" : "image/png", &text);
    request->answer.is_picture = true;
    memcpy(request->answer.digest, job->result_sha256, sizeof request->answer.digest);
    gate_answer_count(request);
}

static void fetch_result(tt_ledger *ledger, gate_request *request, const tt_job *job)
{
    bool found = false;
    char type[48];
    void *result = NULL;
    size_t n_bytes = 0;
    tt_error err = {""};
    if (!has_room(request->gate)) {
        if (request->route == GATE_EXTRA)
            gate_refuse(request, 503, "too many results are being sent: try again");
        else
            gate_answer_status(request, 202, job);
    } else if (tt_ledger_result(ledger, request->id, &found, type, &result, &n_bytes, &err) != TT_OK)
        gate_fail_ledger(request, &err);
    else if (!found)
        gate_refuse(request, 410, "the result was thrown away");
    else
        answer_result(request, job, type, result, n_bytes);
}

/* The result itself is wanted. */
static void answer_image(tt_ledger *ledger, gate_request *request, const tt_job *job)
{
    switch (job->stage) {
    case TT_JOB_DONE:
        fetch_result(ledger, request, job);
        break;
    case TT_JOB_FAILED:
        gate_refuse(request, job->failure_code == 422 ? 422 : 500, "%s", job->failure);
        break;
    case TT_JOB_EXPIRED:
        gate_refuse(request, 410, "the result was thrown away");
        break;
    default:
        if (request->route == GATE_EXTRA)
            gate_refuse(request, 503, "the result did not come in time: try again");
        else
            gate_answer_status(request, 202, job);
    }
}

/* Answers with what is known of the job, or lets the request wait; *waits tells. */
static void look(tt_ledger *ledger, gate_request *request, tt_job *job, bool is_fresh, bool *waits)
{
    const uint64_t generation = gate_generation(request->gate);
    if (!is_fresh && !find_job(ledger, request, job))
        return;
    *waits = job->stage < TT_JOB_DONE && request->deadline > tt_clock_seconds();
    if (*waits)
        gate_wait(request, job, generation);
    else if (request->route == GATE_JOB)
        gate_answer_status(request, 200, job);
    else
        answer_image(ledger, request, job);
}

static void remove_job(tt_ledger *ledger, gate_request *request)
{
    tt_job job;
    bool found = false;
    tt_error err = {""};
    if (!find_job(ledger, request, &job))
        return;
    if (tt_ledger_remove(ledger, request->id, &found, &err) != TT_OK)
        gate_fail_ledger(request, &err);
    else {
        request->answer = (gate_answer){.code = 204};
        gate_wake_job(request->gate, request->id);
    }
}

static void answer_health(tt_ledger *ledger, gate_request *request)
{
    uint64_t counts[5];
    double oldest;
    tt_text text = {0};
    tt_error err = {""};
    if (tt_ledger_length(ledger, counts, &oldest, &err) != TT_OK) {
        gate_fail_ledger(request, &err);
        return;
    }
    tt_text_format(&text, "{\"status\":\"ok\",\"queued\":%" PRIu64 "}", counts[TT_JOB_QUEUED]);
    gate_answer_text(request, 200, "application/json", &text);
}

void gate_ask(tt_ledger *ledger, gate_request *request)
{
    bool waits = false;
    tt_job job;
    if (request->route == GATE_HEALTH)
        answer_health(ledger, request);
    else if (request->route == GATE_METRICS)
        gate_counts_answer(ledger, request);
    else if (request->method == GATE_DELETE)
        remove_job(ledger, request);
    else if (request->method != GATE_POST || request->is_accepted)
        look(ledger, request, &job, false, &waits);
    else if (gate_post(ledger, request, &job))
        look(ledger, request, &job, true, &waits);
    if (!waits)
        gate_pool_finish(request);
}
