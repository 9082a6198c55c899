/* gate-pool.c - a few threads, each with a ledger of its own, take requests from one queue. */
#include "service/gate-private.h"

#include <stdlib.h>
#include <string.h>

typedef struct ledger_thread {
    struct tt_gate *gate;
    tt_ledger *ledger;
} ledger_thread;

void gate_pool_push(struct tt_gate *gate, gate_request *request)
{
    request->before = gate->queue.last;
    request->next = NULL;
    if (gate->queue.last != NULL)
        gate->queue.last->next = request;
    else
        gate->queue.first = request;
    gate->queue.last = request;
    gate->queue.n++;
    (void)pthread_cond_signal(&gate->work);
}

bool gate_pool_submit(gate_request *request)
{
    struct tt_gate *gate = request->gate;
    (void)pthread_mutex_lock(&gate->lock);
    const bool is_open = !gate->draining;
    gate->n_suspended += is_open;
    (void)pthread_mutex_unlock(&gate->lock);
    if (!is_open)
        return false;
    /* Suspended before anybody could resume it. */
    MHD_suspend_connection(request->connection);
    (void)pthread_mutex_lock(&gate->lock);
    gate_pool_push(gate, request);
    (void)pthread_mutex_unlock(&gate->lock);
    return true;
}

/* It counts as suspended until it is resumed, so that whoever sees none may stop libmicrohttpd. Once resumed it may be
 * answered and gone at any moment. */
void gate_pool_finish(gate_request *request)
{
    struct tt_gate *gate = request->gate;
    (void)pthread_mutex_lock(&gate->lock);
    request->answer.closes |= gate->draining;
    (void)pthread_mutex_unlock(&gate->lock);
    MHD_resume_connection(request->connection);
    (void)pthread_mutex_lock(&gate->lock);
    gate->n_suspended--;
    (void)pthread_cond_broadcast(&gate->quiet);
    (void)pthread_mutex_unlock(&gate->lock);
}

/* The next request; NULL: the threads are to end. */
static gate_request *pop(struct tt_gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    while (gate->queue.first == NULL && !gate->ending)
        (void)pthread_cond_wait(&gate->work, &gate->lock);
    gate_request *request = gate->queue.first;
    if (request != NULL) {
        gate->queue.first = request->next;
        if (request->next != NULL)
            request->next->before = NULL;
        else
            gate->queue.last = NULL;
        gate->queue.n--;
        request->next = request->before = NULL;
    }
    (void)pthread_mutex_unlock(&gate->lock);
    return request;
}

static void *run_thread(void *object)
{
    ledger_thread *thread = object;
    for (gate_request *request; (request = pop(thread->gate)) != NULL;)
        gate_ask(thread->ledger, request);
    tt_ledger_close(thread->ledger);
    free(thread);
    return NULL;
}

static tt_status start_thread(struct tt_gate *gate, tt_error *err)
{
    ledger_thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL)
        return tt_fail_memory(err, "a thread for the ledger", sizeof *thread);
    thread->gate = gate;
    tt_status status = tt_ledger_open(gate->params.ledger, &gate->params.bounds, &thread->ledger, err);
    if (status == TT_OK && pthread_create(&gate->ledger_threads[gate->n_ledger_threads], NULL, run_thread, thread) != 0)
        status = tt_fail(err, TT_ERROR_MEMORY, "the system starts no thread for the ledger");
    if (status == TT_OK) {
        gate->n_ledger_threads++;
        return TT_OK;
    }
    tt_ledger_close(thread->ledger);
    free(thread);
    return status;
}

tt_status gate_pool_start(struct tt_gate *gate, tt_error *err)
{
    const uint32_t n = gate->params.n_ledger_threads;
    gate->ledger_threads = calloc(n, sizeof *gate->ledger_threads);
    if (gate->ledger_threads == NULL)
        return tt_fail_memory(err, "threads for the ledger", n * sizeof *gate->ledger_threads);
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < n && status == TT_OK; i++)
        status = start_thread(gate, err);
    return status;
}

void gate_pool_end(struct tt_gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->ending = true;
    (void)pthread_cond_broadcast(&gate->work);
    (void)pthread_mutex_unlock(&gate->lock);
    for (uint32_t i = 0; i < gate->n_ledger_threads; i++)
        (void)pthread_join(gate->ledger_threads[i], NULL);
    free(gate->ledger_threads);
}
