/* gate-deadlines.c - who is too slow is closed: heads, bodies and readers of answers; and waits end in time. */
#define _GNU_SOURCE
#include "service/gate-private.h"

#include "base/clock.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { TICK_MS = 250, SLOWEST_READER = 65536 /* bytes a second */ };

gate_connection *gate_connection_open(struct tt_gate *gate, int descriptor)
{
    gate_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->descriptor = descriptor;
    connection->since = tt_clock_seconds();
    (void)pthread_mutex_lock(&gate->lock);
    connection->next = gate->connections;
    if (connection->next != NULL)
        connection->next->before = connection;
    gate->connections = connection;
    gate->n_connections++;
    (void)pthread_mutex_unlock(&gate->lock);
    return connection;
}

void gate_connection_close(struct tt_gate *gate, gate_connection *connection)
{
    if (connection == NULL)
        return;
    (void)pthread_mutex_lock(&gate->lock);
    if (connection->before != NULL)
        connection->before->next = connection->next;
    else
        gate->connections = connection->next;
    if (connection->next != NULL)
        connection->next->before = connection->before;
    gate->n_connections--;
    (void)pthread_mutex_unlock(&gate->lock);
    free(connection);
}

void gate_connection_now(struct tt_gate *gate, gate_connection *connection, gate_activity activity, size_t n_to_send)
{
    const double now = tt_clock_seconds();
    if (connection == NULL)
        return;
    (void)pthread_mutex_lock(&gate->lock);
    if (connection->activity != GATE_CLOSED) {
        if (connection->activity != activity)
            connection->since = now;
        connection->activity = activity;
        connection->last_at = now;
        connection->n_to_send = n_to_send;
    }
    (void)pthread_mutex_unlock(&gate->lock);
}

static bool is_late(const tt_gate_params *params, const gate_connection *connection, double now)
{
    switch (connection->activity) {
    case GATE_READS_HEAD:
        return now - connection->since > params->idle_seconds;
    case GATE_READS_BODY:
        return now - connection->last_at > params->idle_seconds || now - connection->since > params->body_seconds;
    case GATE_SENDS:
        return now - connection->since > params->body_seconds + (double)connection->n_to_send / SLOWEST_READER;
    default:
        return false;
    }
}

/* libmicrohttpd has no answer while a body arrives, so the words of the 408 are put on the wire here, and it then finds
 * the connection ended. The descriptor is open: connections leave the list before it is closed. */
static void close_late(struct tt_gate *gate, gate_connection *connection)
{
    static const char too_slow[] =
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        "Content-Length: 97\r\n\r\n"
        "{\"type\":\"about:blank\",\"title\":\"Request Timeout\",\"status\":408,\"detail\":\"the body came too "
        "slowly\"}";
    if (connection->activity == GATE_READS_BODY)
        (void)send(connection->descriptor, too_slow, sizeof too_slow - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(connection->descriptor, SHUT_RDWR);
    connection->activity = GATE_CLOSED;
    tt_metrics_add(gate->metrics, GATE_CLOSED_SLOW, NULL, 1);
}

void *gate_keep_time(void *object)
{
    struct tt_gate *gate = object;
    const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    for (bool ending = false; !ending;) {
        (void)nanosleep(&tick, NULL);
        const double now = tt_clock_seconds();
        (void)pthread_mutex_lock(&gate->lock);
        for (gate_connection *c = gate->connections; c != NULL; c = c->next)
            if (is_late(&gate->params, c, now))
                close_late(gate, c);
        gate_wake_late(gate, now, false);
        ending = gate->ending;
        (void)pthread_mutex_unlock(&gate->lock);
    }
    return NULL;
}
