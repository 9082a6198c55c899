/* test_waiting.c - a crowd waits at one gate before any worker is there, its queue is full, more come and are refused;
 * then workers start, and everybody gets the right picture. TT_TEST_CLIENTS says how many wait (200; `make
 * check-service` has 5,000). The library's own client is among those that are refused. */
#define _GNU_SOURCE
#include "base/clock.h"
#include "tests/support/ledger-fixture.h"
#include "tests/support/service-run.h"
#include "tests/support/waiting-clients.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

enum { N_OWN_CLIENTS = 4, MAX_GATE_KIB = 100 * 1024 };

/* A thread with the library's client. */
typedef struct own_client {
    pthread_t thread;
    uint16_t port;
    uint8_t grey; /* of its picture: another job than the others' */
    tt_status status;
    char message[400];
    tt_cloud_report report;
    uint32_t width, height;
} own_client;

static void *run_own_client(void *object)
{
    own_client *c = object;
    uint8_t pixels[24 * 20 * 3];
    char url[64];
    tt_cloud_params params;
    tt_image result = {0};
    const tt_image picture = {24, 20, 3, pixels};
    tt_context *context = tt_context_create();
    memset(pixels, c->grey, sizeof pixels);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", c->port);
    tt_cloud_params_default(&params);
    params.url = url;
    params.allow_upload = true;
    params.timeout_seconds = 500;
    params.max_tries = 100;
    c->status = tt_cloud_upscale(context, &params, &picture, 2, &result, &c->report);
    (void)snprintf(c->message, sizeof c->message, "%s", tt_context_message(context));
    c->width = result.width;
    c->height = result.height;
    tt_image_free(&result);
    tt_context_destroy(context);
    return NULL;
}

static size_t n_clients(void)
{
    const char *text = getenv("TT_TEST_CLIENTS");
    const size_t n = text != NULL ? strtoul(text, NULL, 10) : 0;
    return n > 0 ? n : 200;
}

static void allow_many_files(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* The most memory that the process ever had, in KiB. */
static unsigned long most_memory(pid_t pid)
{
    char path[64], line[256];
    unsigned long kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    while (fgets(line, (int)sizeof line, stream) != NULL)
        (void)sscanf(line, "VmHWM: %lu kB", &kib);
    (void)fclose(stream);
    assert_true(kib > 0);
    return kib;
}

static bool all_wait(const waiting_counts *counts, size_t n)
{
    return counts->n_waiting >= n;
}

static bool all_were_refused(const waiting_counts *counts, size_t n)
{
    return counts->n_refused >= n;
}

static bool all_are_done(const waiting_counts *counts, size_t n)
{
    return counts->n_done >= n;
}

static void start_own_clients(own_client *clients, uint16_t port)
{
    for (int i = 0; i < N_OWN_CLIENTS; i++) {
        clients[i] = (own_client){.port = port, .grey = (uint8_t)(40 * i)};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, run_own_client, &clients[i]), 0);
    }
}

static void expect_own_clients_done(own_client *clients)
{
    for (int i = 0; i < N_OWN_CLIENTS; i++) {
        own_client *c = &clients[i];
        assert_int_equal(pthread_join(c->thread, NULL), 0);
        if (c->status != TT_OK)
            fail_msg("the library's client: %s", c->message);
        assert_int_equal(c->width, 48);
        assert_int_equal(c->height, 40);
        assert_true(c->report.n_tries > 1);
    }
}

static void test_a_crowd_waits(void **state)
{
    const ledger_fixture *fixture = *state;
    const size_t n = n_clients(), n_more = n / 10, n_all = n + n_more;
    char bound[32];
    (void)snprintf(bound, sizeof bound, "%zu", n);
    const char *const options[] = {"--max-queued", bound, "--max-queued-per-token", "100000", "--max-wait",
                                   "600",          NULL};
    temp_folder folder;
    small_jobs jobs;
    own_client own[N_OWN_CLIENTS];
    temp_folder_make(&folder);
    allow_many_files();
    small_jobs_make(&jobs);
    service_run run = {.ledger = fixture->address,
                       .folder = folder.path,
                       .n_workers = 2,
                       .workers_wait = true,
                       .gate_options = options,
                       .lease_seconds = 30};
    service_run_start(&run);
    small_jobs_solve(&jobs);
    service_run_wait(&run);

    waiting_clients *clients = waiting_clients_make(run.port, n_all, 16, &jobs);
    waiting_clients_until(clients, n, all_wait, n, 200);
    const double p99 = waiting_clients_percentile(clients, 0.99), median = waiting_clients_percentile(clients, 0.5);
    const unsigned long waiting_kib = most_memory(service_run_gate(&run));
    start_own_clients(own, run.port);
    waiting_clients_until(clients, n_all, all_were_refused, n_more, 60);
    const waiting_counts full = waiting_clients_counts(clients);
    assert_int_equal(full.n_waiting, n);
    assert_int_equal(full.n_accepted, n);

    ledger_pause(1); /* so that the library's clients meet the full queue, too */
    const double begin = tt_clock_seconds();
    service_run_start_workers(&run);
    waiting_clients_until(clients, n_all, all_are_done, n_all, 400);
    expect_own_clients_done(own);
    const double seconds = tt_clock_seconds() - begin;
    const unsigned long kib = most_memory(service_run_gate(&run));
    const waiting_counts end = waiting_clients_counts(clients);
    print_message(
        "%zu clients waited at once; accepted POST: median %.1f ms, p99 %.1f ms; the gate's memory %.1f MB then "
        "and %.1f MB at most; %zu times 503, everybody answered; %zu jobs in %.1f s\n",
        n, 1e3 * median, 1e3 * p99, (double)waiting_kib / 1024, (double)kib / 1024, end.n_refused, n_all, seconds);
#ifndef __SANITIZE_ADDRESS__ /* which keeps freed memory to see it used */
    assert_true(kib <= MAX_GATE_KIB);
#endif
    waiting_clients_free(clients);
    (void)service_run_end(&run);
    small_jobs_free(&jobs);
    temp_folder_remove(&folder);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test_setup_teardown(test_a_crowd_waits, ledger_empty, ledger_gone),
};

int main(void)
{
    return ledger_run_cases("a waiting crowd", cases, sizeof cases / sizeof cases[0]);
}
