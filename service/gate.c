/* gate.c - starts and stops the gate's threads, in an order in which nothing is asked of what is not there. */
#include "service/gate-private.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void tt_gate_params_default(tt_gate_params *params)
{
    *params = (tt_gate_params){
        .address = "127.0.0.1",
        .port = 8188,
        .bounds = {.max_queued = 20000, .max_queued_per_owner = 1000, .keep_seconds = 3600, .lease_seconds = 30},
        .limits = tt_body_limits_default(),
        .max_connections = 6000,
        .max_wait_seconds = 30,
        .idle_seconds = 15,
        .body_seconds = 60,
        .n_ledger_threads = 4,
        .max_memory_bytes = (size_t)32 << 20,
        .drain_seconds = 5};
}

static tt_status check_params(const tt_gate_params *params, tt_error *err)
{
    if (params->ledger == NULL || params->address == NULL)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a gate needs a ledger and an address to listen at");
    if (params->max_connections == 0 || params->n_ledger_threads == 0 || params->n_ledger_threads > 64)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a gate needs at least one connection and 1 to 64 ledger threads");
    if (!(params->idle_seconds > 0) || !(params->body_seconds > 0) || !(params->max_wait_seconds >= 0))
        return tt_fail(err, TT_ERROR_ARGUMENT, "a gate's times must be above 0");
    if (params->limits.max_bytes == 0 || params->max_memory_bytes < params->limits.max_bytes)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the memory for bodies is %zu bytes, the largest body has %zu",
                       params->max_memory_bytes, params->limits.max_bytes);
    return TT_OK;
}

static void free_gate(struct tt_gate *gate)
{
    for (size_t i = 0; i < gate->params.n_model_hashes && gate->model_hashes != NULL; i++)
        free(gate->model_hashes[i]);
    free(gate->model_hashes);
    for (size_t i = 0; i < sizeof gate->texts / sizeof gate->texts[0]; i++)
        free(gate->texts[i]);
    tt_metrics_destroy(gate->metrics);
    tt_tokens_free(gate->tokens);
    (void)pthread_cond_destroy(&gate->quiet);
    (void)pthread_cond_destroy(&gate->work);
    (void)pthread_mutex_destroy(&gate->lock);
    free(gate);
}

/* The gate's own copies of all strings. */
static tt_status copy_texts(struct tt_gate *gate, tt_error *err)
{
    tt_gate_params *params = &gate->params;
    const char **const texts[] = {&params->address, &params->ledger, &params->tokens_path, &params->public_url};
    bool is_fine = true;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        is_fine = is_fine && tt_string_copy(*texts[i], &gate->texts[i]);
        *texts[i] = gate->texts[i];
    }
    if (params->n_model_hashes > 0)
        gate->model_hashes = calloc(params->n_model_hashes, sizeof *gate->model_hashes);
    for (size_t i = 0; i < params->n_model_hashes && gate->model_hashes != NULL; i++)
        is_fine = is_fine && tt_string_copy(params->model_hashes[i], &gate->model_hashes[i]);
    params->model_hashes = (const char *const *)gate->model_hashes;
    return is_fine && (params->n_model_hashes == 0 || gate->model_hashes != NULL)
               ? TT_OK
               : tt_fail_memory(err, "the gate's settings", 1024);
}

static tt_status start_thread(pthread_t *thread, bool *is_there, void *(*run)(void *), struct tt_gate *gate,
                              tt_error *err)
{
    *is_there = pthread_create(thread, NULL, run, gate) == 0;
    return *is_there ? TT_OK : tt_fail(err, TT_ERROR_MEMORY, "the system starts no thread for the gate");
}

/* Ledgers before the door: a gate that cannot reach its ledger takes no connection. */
static tt_status start_parts(struct tt_gate *gate, tt_error *err)
{
    tt_status status = copy_texts(gate, err);
    if (status == TT_OK)
        status = tt_tokens_read(gate->params.tokens_path, &gate->tokens, err);
    if (status == TT_OK)
        status = gate_counts_create(&gate->metrics, err);
    if (status == TT_OK)
        status = gate_pool_start(gate, err);
    if (status == TT_OK)
        status = start_thread(&gate->watcher, &gate->has_watcher, gate_watch, gate, err);
    if (status == TT_OK)
        status = start_thread(&gate->timekeeper, &gate->has_timekeeper, gate_keep_time, gate, err);
    return status == TT_OK ? gate_http_start(gate, err) : status;
}

tt_status tt_gate_start(const tt_gate_params *params, tt_gate **gate, tt_error *err)
{
    *gate = NULL;
    const tt_status checked = check_params(params, err);
    if (checked != TT_OK)
        return checked;
    struct tt_gate *made = calloc(1, sizeof *made);
    if (made == NULL)
        return tt_fail_memory(err, "a gate", sizeof *made);
    made->params = *params;
    made->log = (tt_log){params->log, params->log_user};
    (void)pthread_mutex_init(&made->lock, NULL);
    (void)pthread_cond_init(&made->work, NULL);
    (void)pthread_cond_init(&made->quiet, NULL);
    const tt_status status = start_parts(made, err);
    if (status != TT_OK) {
        tt_gate_stop(made);
        return status;
    }
    *gate = made;
    return TT_OK;
}

uint16_t tt_gate_port(const tt_gate *gate)
{
    return gate->port;
}

/* Waits, with the lock held, until *count is 0. seconds < 0: as long as it takes. */
static void wait_until_none(struct tt_gate *gate, const size_t *count, double seconds)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)seconds;
    int code = 0;
    while (*count > 0 && code != ETIMEDOUT)
        code = seconds < 0 ? pthread_cond_wait(&gate->quiet, &gate->lock)
                           : pthread_cond_timedwait(&gate->quiet, &gate->lock, &until);
}

/* From here on nothing is suspended any more: those that wait are answered, new requests are refused. */
static void drain(struct tt_gate *gate)
{
    const MHD_socket listening = MHD_quiesce_daemon(gate->daemon);
    if (listening != MHD_INVALID_SOCKET)
        (void)close(listening);
    (void)pthread_mutex_lock(&gate->lock);
    gate->draining = true;
    gate_wake_late(gate, 0, true);
    wait_until_none(gate, &gate->n_suspended, -1);
    wait_until_none(gate, &gate->n_requests, gate->params.drain_seconds);
    (void)pthread_mutex_unlock(&gate->lock);
}

void tt_gate_stop(tt_gate *gate)
{
    if (gate == NULL)
        return;
    if (gate->daemon != NULL) {
        drain(gate);
        MHD_stop_daemon(gate->daemon);
    }
    gate_pool_end(gate);
    if (gate->has_watcher)
        (void)pthread_join(gate->watcher, NULL);
    if (gate->has_timekeeper)
        (void)pthread_join(gate->timekeeper, NULL);
    free_gate(gate);
}
