/* gate-host.h - a gate of a test's own, on a free port of the loopback with an empty ledger, and a worker that is the
 * test itself. Failures of the harness end the test through cmocka. */
#ifndef TT_TESTS_GATE_HOST_H
#define TT_TESTS_GATE_HOST_H

#include "service/gate.h"
#include "tests/support/http-peer.h"
#include "tests/support/postgres.h"

typedef struct gate_host {
    temp_folder folder;
    char address[TT_TEMP_PATH + 64]; /* of the ledger */
    tt_gate_params params;           /* change them between prepare and start */
    tt_gate *gate;
    uint16_t port;
    tt_ledger *ledger; /* the worker's */
} gate_host;

struct CMUnitTest;

/* Runs cmocka's tests with SQLite, then with PostgreSQL where a server is installed and built in; the program's exit
 * status. *state of each is what gate_host_prepare wants. */
int gate_host_run(const char *name, const struct CMUnitTest *cases, size_t n_cases);

/* The folder, an empty ledger, and params for a test: a free port, short times, 64 connections. server NULL: SQLite. */
void gate_host_prepare(gate_host *host, const test_postgres *server);
void gate_host_start(gate_host *host);
void gate_host_stop(gate_host *host);

/* Takes one job and completes it with this result; false: there was none. */
bool gate_host_work(gate_host *host, const void *result, size_t n_bytes);

/* Takes one job and fails it. */
void gate_host_fail(gate_host *host, bool is_final, uint32_t code, const char *sentence);

/* One number of /metrics by the beginning of its line; waits up to `seconds` for it to become `wanted`. */
void gate_host_expect_metric(const gate_host *host, const char *line, double wanted, double seconds);

/* POST /v1/upscales with a grey PNG of width x 8 and these header lines ("Name: value\r\n...") more. */
http_reply gate_host_post(const gate_host *host, uint32_t width, const char *query, const char *headers);

/* A request without body: "GET /healthz", and header lines. */
http_reply gate_host_get(const gate_host *host, const char *method_and_path, const char *headers);

/* The id in the Location header. */
void gate_host_id(const http_reply *reply, char id[TT_JOB_ID_BYTES]);

/* The same request, of which the code alone matters. */
void gate_host_expect(const gate_host *host, const char *method_and_path, const char *headers, int code);

#endif
