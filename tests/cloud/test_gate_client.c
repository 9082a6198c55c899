/* test_gate_client.c - the client and a real gate: pictures, latents, tokens, full queues, cancelling, TLS. The worker
 * is a thread that resizes. */
#define _DEFAULT_SOURCE
#include "base/clock.h"
#include "service/tokens.h"
#include "tests/support/fake-worker.h"
#include "tests/support/gate-host.h"
#include "tests/support/relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { SIDE = 16, DAY = 86400 };

typedef struct place {
    gate_host host;
    fake_worker worker;
    tt_context *context;
    tt_cloud_params params;
    tt_cloud_report report;
    tt_image image, out;
    char url[64];
} place;

static int setup(void **state)
{
    place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    gate_host_prepare(&p->host, NULL);
    p->context = tt_context_create();
    p->image = (tt_image){SIDE, SIDE, 3, calloc(3, (size_t)SIDE * SIDE)};
    assert_non_null(p->image.pixels);
    for (size_t i = 0; i < (size_t)3 * SIDE * SIDE; i++)
        p->image.pixels[i] = (uint8_t)(i * 11);
    tt_cloud_params_default(&p->params);
    p->params.allow_upload = true;
    p->params.timeout_seconds = 30;
    p->params.url = p->url;
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    place *p = *state;
    tt_image_free(&p->image);
    tt_image_free(&p->out);
    tt_context_destroy(p->context);
    free(p);
    return 0;
}

static void start(place *p)
{
    gate_host_start(&p->host);
    fake_worker_start(&p->worker, p->host.address);
    (void)snprintf(p->url, sizeof p->url, "http://127.0.0.1:%u", p->host.port);
}

static void stop(place *p)
{
    fake_worker_stop(&p->worker);
    gate_host_stop(&p->host);
}

static tt_status upscale(place *p)
{
    tt_image_free(&p->out);
    return tt_cloud_upscale(p->context, &p->params, &p->image, 2, &p->out, &p->report);
}

static void expect_fine(place *p)
{
    if (upscale(p) != TT_OK)
        fail_msg("%s", tt_context_message(p->context));
    assert_int_equal(p->out.width, 2 * SIDE);
}

static void expect_failed(place *p, const char *mention)
{
    assert_int_equal(upscale(p), TT_ERROR_NETWORK);
    if (strstr(tt_context_message(p->context), mention) == NULL)
        fail_msg("\"%s\" should mention \"%s\"", tt_context_message(p->context), mention);
    assert_null(p->out.pixels);
}

/* One picture is one job, however often it is sent. */
static void test_picture(void **state)
{
    place *p = *state;
    start(p);
    expect_fine(p);
    assert_int_equal(strlen(p->report.job), TT_JOB_ID_BYTES - 1);
    expect_fine(p);
    assert_int_equal(atomic_load(&p->worker.n_done), 1);
    p->image.pixels[0] ^= 1;
    expect_fine(p);
    assert_int_equal(atomic_load(&p->worker.n_done), 2);
    stop(p);
}

static tt_status upscale_latent(place *p, const char *hash)
{
    float values[4 * 4 * 4] = {0};
    const tt_latent latent = {4, 4, 4, values};
    tt_image_free(&p->out);
    return tt_cloud_upscale_latent(p->context, &p->params, &latent, hash, 8, 2, &p->out, &p->report);
}

static void test_latent(void **state)
{
    static const char *const hashes[] = {"b481ac1755"};
    place *p = *state;
    p->host.params.model_hashes = hashes;
    p->host.params.n_model_hashes = 1;
    start(p);
    if (upscale_latent(p, "b481ac1755") != TT_OK)
        fail_msg("%s", tt_context_message(p->context));
    assert_int_equal(p->out.width, 64);
    assert_int_equal(upscale_latent(p, "0000000000"), TT_ERROR_NETWORK);
    assert_non_null(strstr(tt_context_message(p->context), "no model whose hash begins with 0000000000"));
    stop(p);
}

static void test_tokens(void **state)
{
    place *p = *state;
    char token[64], line[160], path[TT_TEMP_PATH], wrong[64];
    tt_error err = {""};
    assert_int_equal(tt_token_make("phone", token, line, &err), TT_OK);
    temp_folder_write_text(&p->host.folder, "tokens", line);
    p->host.params.tokens_path = temp_folder_path(&p->host.folder, "tokens", path);
    start(p);
    expect_failed(p, "wants a token; give one (401");
    (void)snprintf(wrong, sizeof wrong, "x%s", token + 1);
    p->params.token = wrong;
    expect_failed(p, "does not take the token; check it (403");
    p->params.token = token;
    expect_fine(p);
    stop(p);
}

static void test_late_job(void **state)
{
    place *p = *state;
    atomic_store(&p->worker.is_holding, true);
    start(p);
    p->params.timeout_seconds = 2;
    expect_failed(p, "was not done within 2 s");
    /* It was dropped, as nobody would have come back for it. */
    gate_host_expect_metric(&p->host, "tintype_jobs{stage=\"queued\"} ", 0, 2);
    stop(p);
}

static bool stop_when_queued(void *user, const tt_cloud_progress *progress)
{
    bool *was_queued = user;
    *was_queued |= progress->phase == TT_CLOUD_QUEUED && progress->seconds > 0.3;
    return !*was_queued;
}

static void test_cancel(void **state)
{
    place *p = *state;
    bool was_queued = false;
    const double begun = tt_clock_seconds();
    atomic_store(&p->worker.is_holding, true);
    start(p);
    p->params.progress = stop_when_queued;
    p->params.progress_user = &was_queued;
    assert_int_equal(upscale(p), TT_ERROR_CANCELLED);
    assert_true(was_queued);
    assert_true(tt_clock_seconds() - begun < 3.0);
    gate_host_expect_metric(&p->host, "tintype_jobs{stage=\"queued\"} ", 0, 2);
    stop(p);
}

/* Releases the worker a second after the queue was full. */
static void *release(void *user)
{
    const struct timespec second = {.tv_sec = 1};
    atomic_bool *is_holding = user;
    (void)nanosleep(&second, NULL);
    atomic_store(is_holding, false);
    return NULL;
}

static void test_full_queue(void **state)
{
    place *p = *state;
    pthread_t thread;
    p->host.params.bounds.max_queued = 1;
    atomic_store(&p->worker.is_holding, true);
    start(p);
    http_reply reply = gate_host_post(&p->host, 8, "", "");
    assert_int_equal(reply.code, 202);
    http_reply_free(&reply);
    assert_int_equal(pthread_create(&thread, NULL, release, &p->worker.is_holding), 0);
    expect_fine(p);
    assert_true(p->report.n_tries > 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    stop(p);
}

/* ---- TLS */

/* One call through a relay with this certificate, trusting that one (NULL: the system's). Only a trusted service sees
 * anything of the request. */
static void call_through(place *p, const char *certificate, const char *trusted, const char *mention)
{
    relay r = {0};
    char path[TT_TEMP_PATH];
    relay_start(&r, p->host.port, &p->host.folder, certificate);
    (void)snprintf(p->url, sizeof p->url, "https://127.0.0.1:%u", r.port);
    p->params.ca_file = trusted ? temp_folder_path(&p->host.folder, trusted, path) : NULL;
    if (mention == NULL)
        expect_fine(p);
    else
        expect_failed(p, mention);
    relay_stop(&r);
    assert_true(certificate == NULL || (r.sent.n_bytes > 0) == (mention == NULL)); /* else a greeting comes as it is */
    assert_int_equal(relay_saw(&r, "POST /v1/upscales?scale=2", 25), mention == NULL);
    relay_free(&r);
}

static void test_certificates(void **state)
{
    place *p = *state;
    const temp_folder *folder = &p->host.folder;
    relay_certificate(folder, "good", "IP:127.0.0.1", -DAY, DAY);
    relay_certificate(folder, "other-host", "DNS:example.org,IP:127.0.0.2", -DAY, DAY);
    relay_certificate(folder, "expired", "IP:127.0.0.1", -2 * DAY, -DAY);
    relay_certificate(folder, "early", "IP:127.0.0.1", DAY, 2 * DAY);
    start(p);
    call_through(p, "good", "good.pem", NULL);
    p->image.pixels[0] ^= 1;
    call_through(p, "good", NULL, "is not trusted");
    call_through(p, "good", "other-host.pem", "is not trusted");
    call_through(p, "other-host", "other-host.pem", "is not trusted");
    call_through(p, "expired", "expired.pem", "is not trusted");
    call_through(p, "early", "early.pem", "is not trusted");
    call_through(p, NULL, "good.pem", "cannot be reached");
    p->params.ca_file = "/no/such/file.pem";
    assert_int_equal(upscale(p), TT_ERROR_IO);
    stop(p);
}

/* ---- what is on the wire */

/* A PNG of pixels and nothing else: the chunks that it may have. */
static void check_chunks(const relay *r)
{
    static const char *const forbidden[] = {"tEXt", "iTXt", "zTXt", "eXIf", "tIME", "XML:", "parameters", "Software"};
    assert_true(relay_saw(r, "\x89PNG\r\n\x1a\n", 8));
    assert_true(relay_saw(r, "IEND", 4));
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        if (relay_saw(r, forbidden[i], strlen(forbidden[i])))
            fail_msg("\"%s\" was sent", forbidden[i]);
}

static void test_wire(void **state)
{
    place *p = *state;
    relay r = {0};
    start(p);
    relay_start(&r, p->host.port, NULL, NULL);
    (void)snprintf(p->url, sizeof p->url, "http://127.0.0.1:%u", r.port);
    expect_fine(p);
    relay_stop(&r);
    check_chunks(&r);
    relay_free(&r);
    stop(p);
}

/* The way to the service breaks in the middle of the body, for good. */
static void test_cut(void **state)
{
    place *p = *state;
    relay r = {.break_after = 500};
    start(p);
    p->params.max_tries = 2;
    relay_start(&r, p->host.port, NULL, NULL);
    (void)snprintf(p->url, sizeof p->url, "http://127.0.0.1:%u", r.port);
    expect_failed(p, "cannot be reached or broke off");
    relay_stop(&r);
    relay_free(&r);
    stop(p);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_picture),      TEST(test_latent), TEST(test_tokens),
                                       TEST(test_late_job),     TEST(test_cancel), TEST(test_full_queue),
                                       TEST(test_certificates), TEST(test_wire),   TEST(test_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
