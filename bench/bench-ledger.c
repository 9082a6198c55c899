/* bench-ledger.c - jobs per second of a ledger: bench-ledger ADDRESS [JOBS [BYTES [THREADS]]].
 *
 * Puts JOBS (5000) bodies of BYTES (100000) one by one, as many again from THREADS (2) connections at once, then takes
 * and finishes all from as many. The address should be that of an empty ledger. */
#include "base/clock.h"
#include "service/ledger.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_THREADS = 64 };

static const char sha256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

typedef struct bench_thread {
    pthread_t thread;
    const char *address;
    unsigned number;
    size_t n_jobs, n_bytes; /* to put; takers count what they finish */
    const char *bytes;
    tt_status status;
    tt_error err;
} bench_thread;

static void *put_jobs(void *user)
{
    bench_thread *t = user;
    tt_ledger *ledger = NULL;
    const tt_job_input input = {.owner = "bench",
                                .type = "image/png",
                                .sha256 = sha256,
                                .scale = 2,
                                .width = 256,
                                .height = 256,
                                .body = t->bytes,
                                .n_body_bytes = t->n_bytes};
    t->status = tt_ledger_open(t->address, NULL, &ledger, &t->err);
    for (size_t i = 0; i < t->n_jobs && t->status == TT_OK; i++) {
        tt_put_outcome outcome;
        tt_job job;
        t->status = tt_ledger_put(ledger, &input, &outcome, &job, &t->err);
    }
    tt_ledger_close(ledger);
    return NULL;
}

static void *finish_jobs(void *user)
{
    bench_thread *t = user;
    tt_ledger *ledger = NULL;
    char worker[32];
    bool found = true, counted;
    (void)snprintf(worker, sizeof(worker), "bench-%u", t->number);
    t->n_jobs = 0;
    t->status = tt_ledger_open(t->address, NULL, &ledger, &t->err);
    while (found && t->status == TT_OK) {
        tt_job job;
        void *body;
        size_t n_bytes;
        t->status = tt_ledger_take(ledger, worker, &found, &job, &body, &n_bytes, &t->err);
        if (found && t->status == TT_OK) {
            t->status =
                tt_ledger_done(ledger, worker, job.id, "image/png", sha256, t->bytes, t->n_bytes, &counted, &t->err);
            t->n_jobs++;
        }
        free(body);
    }
    tt_ledger_close(ledger);
    return NULL;
}

/* Runs a function in n threads and prints the rate of what they did. */
static tt_status measure(const char *what, void *(*run)(void *), bench_thread *threads, unsigned n, tt_error *err)
{
    size_t n_jobs = 0;
    tt_status status = TT_OK;
    double begin = tt_clock_seconds();
    unsigned n_started = 0;
    while (n_started < n && pthread_create(&threads[n_started].thread, NULL, run, &threads[n_started]) == 0)
        n_started++;
    for (unsigned i = 0; i < n_started; i++) {
        (void)pthread_join(threads[i].thread, NULL);
        n_jobs += threads[i].n_jobs;
        if (status == TT_OK && threads[i].status != TT_OK) {
            status = threads[i].status;
            *err = threads[i].err;
        }
    }
    double seconds = tt_clock_seconds() - begin;
    printf("%-20s %u connections  %6zu jobs  %7.2f s  %7.0f jobs/s\n", what, n_started, n_jobs, seconds,
           (double)n_jobs / seconds);
    return status;
}

int main(int argc, char **argv)
{
    size_t n_jobs = argc > 2 ? strtoul(argv[2], NULL, 10) : 5000,
           n_bytes = argc > 3 ? strtoul(argv[3], NULL, 10) : 100000;
    unsigned n = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 2;
    static bench_thread threads[MAX_THREADS];
    tt_error err = {""};
    char *bytes = calloc(1, n_bytes + 1);
    if (argc < 2 || argc > 5 || n < 1 || n > MAX_THREADS || bytes == NULL) {
        fprintf(stderr, "usage: bench-ledger ADDRESS [JOBS [BYTES [THREADS]]]\n");
        free(bytes);
        return 2;
    }
    for (unsigned i = 0; i < MAX_THREADS; i++)
        threads[i] =
            (bench_thread){.address = argv[1], .number = i, .n_jobs = n_jobs, .n_bytes = n_bytes, .bytes = bytes};
    tt_status status = measure("put", put_jobs, threads, 1, &err);
    for (unsigned i = 0; i < n; i++)
        threads[i].n_jobs = n_jobs / n;
    if (status == TT_OK)
        status = measure("put", put_jobs, threads, n, &err);
    if (status == TT_OK)
        status = measure("take and done", finish_jobs, threads, n, &err);
    if (status != TT_OK)
        fprintf(stderr, "bench-ledger: %s\n", err.text);
    free(bytes);
    return status == TT_OK ? 0 : 1;
}
