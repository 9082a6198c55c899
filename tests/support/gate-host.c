/* gate-host.c - starts and feeds a gate. */
#define _DEFAULT_SOURCE
#include "tests/support/gate-host.h"

#include "base/clock.h"
#include "base/sha256.h"
#include "tests/support/small-bodies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const char worker_name[] = "test-worker";

static void expect_ok(tt_status status, const tt_error *err)
{
    if (status != TT_OK)
        fail_msg("%s", err->text);
}

static int start_server(void **state)
{
    test_postgres *server = calloc(1, sizeof *server);
    assert_non_null(server);
    test_postgres_start(server);
    *state = server;
    return 0;
}

static int end_server(void **state)
{
    test_postgres_end(*state);
    free(*state);
    return 0;
}

int gate_host_run(const char *name, const struct CMUnitTest *cases, size_t n_cases)
{
    char group[64];
    (void)snprintf(group, sizeof group, "%s, SQLite", name);
    int n_failed = _cmocka_run_group_tests(group, cases, n_cases, NULL, NULL);
    (void)snprintf(group, sizeof group, "%s, PostgreSQL", name);
    if (test_postgres_is_there())
        n_failed += _cmocka_run_group_tests(group, cases, n_cases, start_server, end_server);
    return n_failed;
}

static void make_ledger(gate_host *host, const test_postgres *server)
{
    char path[TT_TEMP_PATH];
    if (server == NULL)
        (void)snprintf(host->address, sizeof host->address, "sqlite:%s", temp_folder_path(&host->folder, "jobs", path));
    else {
        test_postgres_sql(server, "SET client_min_messages = error; DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        (void)snprintf(host->address, sizeof host->address, "%s", server->address);
    }
}

void gate_host_prepare(gate_host *host, const test_postgres *server)
{
    *host = (gate_host){0};
    temp_folder_make(&host->folder);
    make_ledger(host, server);
    tt_gate_params_default(&host->params);
    host->params.port = 0;
    host->params.ledger = host->address;
    host->params.max_connections = 64;
    host->params.n_ledger_threads = 2;
    host->params.drain_seconds = 2;
}

void gate_host_start(gate_host *host)
{
    tt_error err = {""};
    expect_ok(tt_ledger_open(host->address, &host->params.bounds, &host->ledger, &err), &err);
    expect_ok(tt_gate_start(&host->params, &host->gate, &err), &err);
    host->port = tt_gate_port(host->gate);
    assert_int_not_equal(host->port, 0);
}

void gate_host_stop(gate_host *host)
{
    tt_gate_stop(host->gate);
    tt_ledger_close(host->ledger);
    temp_folder_remove(&host->folder);
}

static bool take(gate_host *host, tt_job *job)
{
    void *body = NULL;
    size_t n_bytes = 0;
    bool found = false;
    tt_error err = {""};
    expect_ok(tt_ledger_take(host->ledger, worker_name, &found, job, &body, &n_bytes, &err), &err);
    free(body);
    return found;
}

bool gate_host_work(gate_host *host, const void *result, size_t n_bytes)
{
    tt_job job;
    char sha256[65];
    bool counted = false;
    tt_error err = {""};
    if (!take(host, &job))
        return false;
    expect_ok(tt_sha256_hex(result, n_bytes, sha256, &err), &err);
    expect_ok(tt_ledger_done(host->ledger, worker_name, job.id, "image/png", sha256, result, n_bytes, &counted, &err),
              &err);
    assert_true(counted);
    return true;
}

void gate_host_fail(gate_host *host, bool is_final, uint32_t code, const char *sentence)
{
    tt_job job;
    bool counted = false;
    tt_error err = {""};
    assert_true(take(host, &job));
    expect_ok(tt_ledger_fail(host->ledger, worker_name, job.id, is_final, code, sentence, &counted, &err), &err);
    assert_true(counted);
}

http_reply gate_host_get(const gate_host *host, const char *method_and_path, const char *headers)
{
    char head[2048];
    (void)snprintf(head, sizeof head, "%s HTTP/1.1\r\n%s", method_and_path, headers);
    return http_ask(host->port, head, NULL, 0);
}

http_reply gate_host_post(const gate_host *host, uint32_t width, const char *query, const char *headers)
{
    char head[2048];
    tt_text body = {0};
    small_png(width, 8, true, &body);
    (void)snprintf(head, sizeof head, "POST /v1/upscales%s HTTP/1.1\r\nContent-Type: image/png\r\n%s", query, headers);
    http_reply reply = http_ask(host->port, head, body.bytes, body.n_bytes);
    tt_text_free(&body);
    return reply;
}

void gate_host_id(const http_reply *reply, char id[TT_JOB_ID_BYTES])
{
    static const char prefix[] = "/v1/upscales/";
    char location[256];
    (void)http_header(reply, "Location", location);
    assert_memory_equal(location, prefix, sizeof prefix - 1);
    assert_int_equal(strlen(location), sizeof prefix - 1 + TT_JOB_ID_BYTES - 1);
    memcpy(id, location + sizeof prefix - 1, TT_JOB_ID_BYTES);
}

void gate_host_expect(const gate_host *host, const char *method_and_path, const char *headers, int code)
{
    http_reply reply = gate_host_get(host, method_and_path, headers);
    if (reply.code != code)
        fail_msg("%s: %d, expected %d: %s", method_and_path, reply.code, code, reply.body);
    http_reply_free(&reply);
}

static double read_metric(const gate_host *host, const char *line)
{
    http_reply reply = gate_host_get(host, "GET /metrics", "");
    double value = -1;
    for (const char *at = reply.code == 200 ? reply.body : NULL; at != NULL; at = strchr(at + 1, '\n'))
        if (strncmp(at + (*at == '\n'), line, strlen(line)) == 0)
            value = strtod(at + (*at == '\n') + strlen(line), NULL);
    http_reply_free(&reply);
    return value;
}

void gate_host_expect_metric(const gate_host *host, const char *line, double wanted, double seconds)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    const double until = tt_clock_seconds() + seconds;
    double found;
    while ((found = read_metric(host, line)) != wanted && tt_clock_seconds() < until)
        (void)nanosleep(&pause, NULL);
    if (found != wanted)
        fail_msg("%s is %g, expected %g", line, found, wanted);
}
