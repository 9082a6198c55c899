/* fake-worker.c - a thread that resizes. */
#define _DEFAULT_SOURCE
#include "tests/support/fake-worker.h"

#include "base/sha256.h"
#include "image/png-write.h"
#include "image/read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const char name[] = "fake-worker";

/* In a thread cmocka cannot end the test. */
static void need(bool is_true, const char *what)
{
    if (!is_true) {
        (void)fprintf(stderr, "fake worker: %s\n", what);
        abort();
    }
}

/* The body's picture, larger; for a latent, grey. */
static void enlarge(const tt_job *job, const void *body, size_t n_bytes, tt_image *out)
{
    const tt_image_limits limits = tt_image_limits_device();
    tt_image in = {0};
    tt_error err = {""};
    const uint32_t width = job->width * job->scale, height = job->height * job->scale;
    if (strcmp(job->type, "image/png") == 0) {
        need(tt_image_decode(body, n_bytes, "the body", &limits, 3, &in, &err) == TT_OK, err.text);
        need(tt_image_resize(&in, width, height, out, &err) == TT_OK, err.text);
        tt_image_free(&in);
        return;
    }
    *out = (tt_image){width, height, 3, calloc(3, (size_t)width * height)};
    need(out->pixels != NULL, "no memory");
}

static void complete(fake_worker *worker, tt_ledger *ledger, const tt_job *job, const void *body, size_t n_bytes)
{
    tt_image larger = {0};
    tt_text png = {0};
    char sha256[65];
    bool counted = false;
    tt_error err = {""};
    atomic_store(&worker->n_body_bytes, n_bytes);
    enlarge(job, body, n_bytes, &larger);
    need(tt_png_encode(&larger, NULL, &png, &err) == TT_OK, err.text);
    need(tt_sha256_hex(png.bytes, png.n_bytes, sha256, &err) == TT_OK, err.text);
    need(tt_ledger_done(ledger, name, job->id, "image/png", sha256, png.bytes, png.n_bytes, &counted, &err) == TT_OK,
         err.text);
    tt_text_free(&png);
    tt_image_free(&larger);
    atomic_fetch_add(&worker->n_done, counted ? 1u : 0u);
}

static void *run(void *user)
{
    fake_worker *worker = user;
    const struct timespec pause = {.tv_nsec = 20000000};
    tt_ledger *ledger = NULL;
    tt_error err = {""};
    need(tt_ledger_open(worker->address, &(tt_ledger_bounds){0}, &ledger, &err) == TT_OK, err.text);
    while (!atomic_load(&worker->is_stopping)) {
        tt_job job;
        void *body = NULL;
        size_t n_bytes = 0;
        bool found = false;
        if (!atomic_load(&worker->is_holding))
            need(tt_ledger_take(ledger, name, &found, &job, &body, &n_bytes, &err) == TT_OK, err.text);
        if (found)
            complete(worker, ledger, &job, body, n_bytes);
        else
            (void)nanosleep(&pause, NULL);
        free(body);
    }
    tt_ledger_close(ledger);
    return NULL;
}

void fake_worker_start(fake_worker *worker, const char *address)
{
    const bool is_holding = atomic_load(&worker->is_holding);
    *worker = (fake_worker){.is_holding = is_holding};
    (void)snprintf(worker->address, sizeof worker->address, "%s", address);
    assert_int_equal(pthread_create(&worker->thread, NULL, run, worker), 0);
}

void fake_worker_stop(fake_worker *worker)
{
    atomic_store(&worker->is_stopping, true);
    assert_int_equal(pthread_join(worker->thread, NULL), 0);
}
