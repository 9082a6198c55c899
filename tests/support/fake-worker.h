/* fake-worker.h - takes jobs from a ledger and completes them with pictures of the right size, which no network made.
 */
#ifndef TT_TESTS_FAKE_WORKER_H
#define TT_TESTS_FAKE_WORKER_H

#include "service/ledger.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct fake_worker {
    char address[1100];
    pthread_t thread;
    atomic_bool is_stopping, is_holding; /* holding: jobs wait in the queue */
    atomic_uint n_done;
    atomic_size_t n_body_bytes; /* of the last job */
} fake_worker;

void fake_worker_start(fake_worker *worker, const char *address);
void fake_worker_stop(fake_worker *worker);

#endif
