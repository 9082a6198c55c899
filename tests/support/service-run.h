/* service-run.h - a real gate and real workers as processes, killed and started again over and over, for as long as a
 * test wants. A keeper process owns them, so that they are killed at any moment of what the test is doing. */
#ifndef TT_TESTS_SERVICE_RUN_H
#define TT_TESTS_SERVICE_RUN_H

#include "tests/support/postgres.h"

#include <stdint.h>
#include <sys/types.h>

enum { SERVICE_RUN_WORKERS = 4 };

typedef struct service_run {
    const char *ledger;          /* address */
    const test_postgres *server; /* is crashed and started again once, after a few kills; NULL: none */
    const char *folder;          /* of the programs' output: "gate.log", "worker0.log", ... */
    uint16_t port;               /* of the gate; filled by service_run_start */
    uint32_t n_workers;
    bool workers_wait;               /* until service_run_start_workers */
    const char *const *gate_options; /* more of them, ended by NULL; NULL: none */
    double lease_seconds;
    double pause_seconds; /* between kills, on average; 0: nobody is killed */
    unsigned seed;
    pid_t keeper;
} service_run;

/* What the keeper did; read when it has ended. */
typedef struct service_run_counts {
    unsigned n_gate_kills, n_worker_kills, n_restarts; /* of the server */
} service_run_counts;

/* Starts the keeper, which starts the programs. The gate may not listen yet. */
void service_run_start(service_run *run);

void service_run_start_workers(const service_run *run);

/* From now on nobody is killed. */
void service_run_calm(const service_run *run);

/* Ends all in order. Fails when a program ended by itself in between (but for those whose server was away). */
service_run_counts service_run_end(service_run *run);

/* The process of the gate as it is now; only where nobody is killed. */
pid_t service_run_gate(const service_run *run);

/* Waits until the gate answers. */
void service_run_wait(const service_run *run);

#endif
