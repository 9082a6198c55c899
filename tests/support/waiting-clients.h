/* waiting-clients.h - thousands of clients of a gate in one process: each sends a picture, is told its job, and waits
 * for the result on the same connection. One that is refused with 503 comes back after Retry-After. */
#ifndef TT_TESTS_WAITING_CLIENTS_H
#define TT_TESTS_WAITING_CLIENTS_H

#include "tests/support/small-jobs.h"

#include <stdbool.h>

typedef struct waiting_clients waiting_clients;

typedef struct waiting_counts {
    size_t n_waiting, n_done;
    size_t n_accepted, n_refused; /* answers: 202; 503 with Retry-After */
} waiting_counts;

/* n clients of a gate at this port of the loopback. At most n_at_once send at a time. */
waiting_clients *waiting_clients_make(uint16_t port, size_t n, size_t n_at_once, const small_jobs *jobs);

/* Lets all clients below n_started be at work until enough of them wait, are refused or are done; fails the test after
 * `seconds`. jobs must be solved before results come. */
void waiting_clients_until(waiting_clients *clients, size_t n_started, bool (*enough)(const waiting_counts *, size_t),
                           size_t wanted, double seconds);
waiting_counts waiting_clients_counts(const waiting_clients *clients);

/* Seconds from the connection to the 202, at this share (0.99) of all that were accepted. */
double waiting_clients_percentile(const waiting_clients *clients, double share);
void waiting_clients_free(waiting_clients *clients);

#endif
