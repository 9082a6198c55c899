/* gate-counts.c - what the gate counts, and its page. */
#include "service/gate-private.h"

tt_status gate_counts_create(tt_metrics **metrics, tt_error *err)
{
    static const tt_metric table[] = {
        [GATE_N_REQUESTS] = {"requests_total", "Answered requests", TT_METRIC_COUNTER, "route,code"},
        [GATE_POST_SECONDS] = {"post_seconds", "From the head of an accepted body to its commit", TT_METRIC_HISTOGRAM,
                               NULL},
        [GATE_JOBS] = {"jobs", "Jobs in the ledger", TT_METRIC_GAUGE, "stage"},
        [GATE_OLDEST] = {"oldest_queued_seconds", "Age of the oldest job that no worker has", TT_METRIC_GAUGE, NULL},
        [GATE_CONNECTIONS] = {"connections", "Open connections", TT_METRIC_GAUGE, NULL},
        [GATE_WAITING] = {"waiting_requests", "Requests that wait for a job to end", TT_METRIC_GAUGE, NULL},
        [GATE_RECEIVED] = {"received_bytes_total", "Bytes of bodies that came", TT_METRIC_COUNTER, NULL},
        [GATE_SENT] = {"sent_bytes_total", "Bytes of answers' bodies", TT_METRIC_COUNTER, NULL},
        [GATE_BODY_BYTES] = {"body_bytes", "Bytes of bodies in memory", TT_METRIC_GAUGE, NULL},
        [GATE_RESULT_BYTES] = {"result_bytes", "Bytes of results in memory", TT_METRIC_GAUGE, NULL},
        [GATE_LEDGER_FAILURES] = {"ledger_failures_total", "Calls that the ledger failed", TT_METRIC_COUNTER, NULL},
        [GATE_CLOSED_SLOW] = {"slow_closed_total", "Connections that were too slow and were closed", TT_METRIC_COUNTER,
                              NULL},
    };
    return tt_metrics_create(table, sizeof table / sizeof table[0], metrics, err);
}

/* What is true at the moment, counted when it is asked for. */
static void set_gauges(struct tt_gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    const double values[] = {(double)gate->n_connections, (double)gate->waiting.n, (double)gate->body_bytes,
                             (double)gate->result_bytes};
    (void)pthread_mutex_unlock(&gate->lock);
    tt_metrics_set(gate->metrics, GATE_CONNECTIONS, NULL, values[0]);
    tt_metrics_set(gate->metrics, GATE_WAITING, NULL, values[1]);
    tt_metrics_set(gate->metrics, GATE_BODY_BYTES, NULL, values[2]);
    tt_metrics_set(gate->metrics, GATE_RESULT_BYTES, NULL, values[3]);
}

void gate_counts_answer(tt_ledger *ledger, gate_request *request)
{
    struct tt_gate *gate = request->gate;
    uint64_t counts[5];
    double oldest = 0;
    tt_error err = {""};
    if (tt_ledger_length(ledger, counts, &oldest, &err) != TT_OK) {
        gate_fail_ledger(request, &err);
        return;
    }
    for (int i = TT_JOB_QUEUED; i <= TT_JOB_EXPIRED; i++)
        tt_metrics_set(gate->metrics, GATE_JOBS, gate_stage_name((tt_job_stage)i), (double)counts[i]);
    tt_metrics_set(gate->metrics, GATE_OLDEST, NULL, oldest);
    set_gauges(gate);
    tt_text page = {0};
    tt_metrics_write(gate->metrics, &page);
    gate_answer_text(request, 200, "text/plain; version=0.0.4; charset=utf-8", &page);
}
