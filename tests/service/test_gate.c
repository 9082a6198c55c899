/* test_gate.c - the gate as an honest client meets it: every route, every stage of a job, waits, owners, bounds. */
#define _DEFAULT_SOURCE
#include "base/base64.h"
#include "base/sha256.h"
#include "tests/support/gate-answer.h"
#include "tests/support/gate-host.h"
#include "tests/support/small-bodies.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char picture[] = "the picture, as large as it should be";

static int start(void **state)
{
    static gate_host host;
    gate_host_prepare(&host, *state);
    gate_host_start(&host);
    *state = &host;
    return 0;
}

static int stop(void **state)
{
    gate_host_stop(*state);
    return 0;
}

static void expect_picture(http_reply reply, const char *id)
{
    char hex[65], digest[80], value[256], wanted[80];
    uint8_t bytes[32];
    tt_error err = {""};
    if (reply.code != 200)
        fail_msg("%d: %s", reply.code, reply.body);
    assert_int_equal(reply.n_body, sizeof picture);
    assert_memory_equal(reply.body, picture, sizeof picture);
    gate_answer_expect_header(&reply, "Content-Type", "image/png");
    (void)snprintf(wanted, sizeof wanted, "/v1/upscales/%s/image", id);
    if (id[0] != '\0')
        gate_answer_expect_header(&reply, "Content-Location", wanted);
    assert_int_equal(tt_sha256_hex(picture, sizeof picture, hex, &err), TT_OK);
    for (size_t i = 0; i < 32; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    memcpy(digest, "sha-256=:", 9);
    tt_base64_encode(bytes, sizeof bytes, digest + 9);
    assert_memory_equal(http_header(&reply, "Repr-Digest", value), digest, strlen(digest));
    http_reply_free(&reply);
}

/* A POST that must be accepted; its id. */
static void post(gate_host *host, uint32_t width, const char *headers, char id[TT_JOB_ID_BYTES])
{
    http_reply reply = gate_host_post(host, width, "", headers);
    if (reply.code != 202)
        fail_msg("%d: %s", reply.code, reply.body);
    gate_host_id(&reply, id);
    http_reply_free(&reply);
}

static const char *path_of(const char *method, const char *id, const char *rest)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s /v1/upscales/%s%s", method, id, rest);
    return path;
}

/* ---- a job's life */

static void test_a_jobs_life(void **state)
{
    gate_host *host = *state;
    char id[TT_JOB_ID_BYTES], value[256];
    http_reply reply = gate_host_post(host, 12, "?scale=3", "");
    assert_int_equal(reply.code, 202);
    gate_host_id(&reply, id);
    assert_true(atoi(http_header(&reply, "Retry-After", value)) > 0);
    gate_answer_expect_header(&reply, "TT-Queue-Position", "0");
    assert_string_equal(gate_answer_member(&reply, "status", value), "queued");
    assert_string_equal(gate_answer_member(&reply, "id", value), id);
    http_reply_free(&reply);

    reply = gate_host_get(host, path_of("GET", id, ""), "");
    assert_int_equal(reply.code, 200);
    assert_string_equal(gate_answer_member(&reply, "scale", value), "3");
    assert_string_equal(gate_answer_member(&reply, "width", value), "36");
    assert_string_equal(gate_answer_member(&reply, "height", value), "24");
    assert_true(atoi(http_header(&reply, "Retry-After", value)) > 0);
    http_reply_free(&reply);
    gate_host_expect(host, path_of("GET", id, "/image"), "", 202);
    gate_host_expect_metric(host, "tintype_jobs{stage=\"queued\"} ", 1, 0);

    assert_true(gate_host_work(host, picture, sizeof picture));
    reply = gate_host_get(host, path_of("GET", id, ""), "");
    assert_string_equal(gate_answer_member(&reply, "status", value), "done");
    gate_answer_expect_header(&reply, "Retry-After", "");
    http_reply_free(&reply);
    expect_picture(gate_host_get(host, path_of("GET", id, "/image"), ""), id);

    reply = gate_host_get(host, path_of("DELETE", id, ""), "");
    assert_int_equal(reply.code, 204);
    assert_int_equal(reply.n_body, 0);
    http_reply_free(&reply);
    gate_host_expect(host, path_of("GET", id, ""), "", 404);
    gate_host_expect(host, path_of("GET", id, "/image"), "", 404);
    gate_host_expect(host, path_of("DELETE", id, ""), "", 404);
    gate_host_expect_metric(host, "tintype_body_bytes ", 0, 5);
    gate_host_expect_metric(host, "tintype_result_bytes ", 0, 5);
}

static void test_failures(void **state)
{
    gate_host *host = *state;
    char id[TT_JOB_ID_BYTES], value[128];
    post(host, 8, "", id);
    gate_host_fail(host, true, 422, "the picture is damaged at byte 7");
    gate_answer_expect_problem(gate_host_get(host, path_of("GET", id, "/image"), ""), 422, "damaged at byte 7");
    http_reply reply = gate_host_get(host, path_of("GET", id, ""), "");
    assert_int_equal(reply.code, 200);
    assert_string_equal(gate_answer_member(&reply, "status", value), "failed");
    assert_string_equal(gate_answer_member(&reply, "detail", value), "the picture is damaged at byte 7");
    http_reply_free(&reply);

    post(host, 9, "", id);
    for (int i = 0; i < TT_JOB_TRIES; i++)
        gate_host_fail(host, false, 500, "no memory");
    gate_answer_expect_problem(gate_host_get(host, path_of("GET", id, "/image"), ""), 500, "");
}

/* ---- waiting */

/* A worker that needs half a second for one job. */
static void *work_later(void *object)
{
    (void)usleep(500000);
    while (!gate_host_work(object, picture, sizeof picture))
        (void)usleep(10000);
    return NULL;
}

static void test_waits_for_the_result(void **state)
{
    gate_host *host = *state;
    char id[TT_JOB_ID_BYTES], value[128];
    pthread_t worker;
    assert_int_equal(pthread_create(&worker, NULL, work_later, host), 0);
    expect_picture(gate_host_post(host, 8, "", "Prefer: respond-async, wait=20\r\n"), "");
    assert_int_equal(pthread_join(worker, NULL), 0);

    post(host, 9, "", id);
    assert_int_equal(pthread_create(&worker, NULL, work_later, host), 0);
    expect_picture(gate_host_get(host, path_of("GET", id, "/image"), "Prefer: wait=20\r\n"), id);
    assert_int_equal(pthread_join(worker, NULL), 0);

    post(host, 10, "", id);
    assert_int_equal(pthread_create(&worker, NULL, work_later, host), 0);
    http_reply reply = gate_host_get(host, path_of("GET", id, ""), "Prefer: wait=20\r\n");
    assert_string_equal(gate_answer_member(&reply, "status", value), "done");
    http_reply_free(&reply);
    assert_int_equal(pthread_join(worker, NULL), 0);
}

static void test_wait_ends(void **state)
{
    gate_host *host = *state;
    char id[TT_JOB_ID_BYTES], value[128];
    http_reply reply = gate_host_post(host, 8, "", "Prefer: wait=1\r\n");
    assert_int_equal(reply.code, 202);
    gate_host_id(&reply, id);
    assert_true(atof(gate_answer_member(&reply, "age_seconds", value)) >= 0.9);
    http_reply_free(&reply);
    reply = gate_host_get(host, path_of("GET", id, ""), "Prefer: wait=1\r\n");
    assert_int_equal(reply.code, 200);
    assert_string_equal(gate_answer_member(&reply, "status", value), "queued");
    http_reply_free(&reply);
}

/* Twenty clients wait for a job each, and two for the same; a worker does them one by one. */
static void test_many_wait(void **state)
{
    enum { N = 21 };
    gate_host *host = *state;
    int peers[N];
    for (int i = 0; i < N; i++) {
        tt_text body = {0};
        char head[256];
        small_png(8 + (uint32_t)i % (N - 1), 8, true, &body);
        (void)snprintf(head, sizeof head,
                       "POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nPrefer: wait=30\r\n"
                       "Idempotency-Key: key-%d\r\nContent-Length: %zu\r\n\r\n",
                       i % (N - 1), body.n_bytes);
        peers[i] = http_connect(host->port);
        assert_true(http_send_text(peers[i], head) && http_send(peers[i], body.bytes, body.n_bytes));
        tt_text_free(&body);
    }
    gate_host_expect_metric(host, "tintype_waiting_requests ", N, 10);
    for (int i = 0; i < N - 1; i++)
        assert_true(gate_host_work(host, picture, sizeof picture));
    assert_false(gate_host_work(host, picture, sizeof picture));
    for (int i = 0; i < N; i++) {
        expect_picture(http_receive(peers[i], 10, true), "");
        (void)close(peers[i]);
    }
    gate_host_expect_metric(host, "tintype_waiting_requests ", 0, 5);
    gate_host_expect_metric(host, "tintype_result_bytes ", 0, 5);
}

static void test_deleted_while_waiting(void **state)
{
    gate_host *host = *state;
    char id[TT_JOB_ID_BYTES], head[256];
    post(host, 8, "", id);
    const int peer = http_connect(host->port);
    (void)snprintf(head, sizeof head, "%s HTTP/1.1\r\nHost: x\r\nPrefer: wait=30\r\n\r\n",
                   path_of("GET", id, "/image"));
    assert_true(http_send_text(peer, head));
    gate_host_expect_metric(host, "tintype_waiting_requests ", 1, 10);
    gate_host_expect(host, path_of("DELETE", id, ""), "", 204);
    gate_answer_expect_problem(http_receive(peer, 10, true), 404, "no such job");
    (void)close(peer);
}

static void *stop_gate(void *object)
{
    gate_host *host = object;
    tt_gate_stop(host->gate);
    host->gate = NULL;
    return NULL;
}

static void test_stop_while_waiting(void **state)
{
    gate_host *host = *state;
    char id[TT_JOB_ID_BYTES], head[256], value[256];
    pthread_t stopper;
    post(host, 8, "", id);
    const int waiting = http_connect(host->port), idle = http_connect(host->port);
    (void)snprintf(head, sizeof head, "%s HTTP/1.1\r\nHost: x\r\nPrefer: wait=30\r\n\r\n",
                   path_of("GET", id, "/image"));
    assert_true(http_send_text(waiting, head));
    gate_host_expect_metric(host, "tintype_waiting_requests ", 1, 10);
    assert_int_equal(pthread_create(&stopper, NULL, stop_gate, host), 0);
    http_reply reply = http_receive(waiting, 10, true);
    assert_int_equal(reply.code, 202);
    assert_string_equal(http_header(&reply, "Connection", value), "close");
    gate_host_id(&reply, id);
    http_reply_free(&reply);
    assert_int_equal(pthread_join(stopper, NULL), 0);
    assert_true(http_is_closed(waiting, 5));
    assert_true(http_is_closed(idle, 5));
    (void)close(waiting);
    (void)close(idle);
}

/* ---- keys, owners, bounds */

static void test_same_key(void **state)
{
    gate_host *host = *state;
    static const char key[] = "Idempotency-Key: aZ09-_\r\n";
    char first[TT_JOB_ID_BYTES], second[TT_JOB_ID_BYTES];
    post(host, 8, key, first);
    post(host, 8, key, second);
    assert_string_equal(first, second);
    gate_answer_expect_problem(gate_host_post(host, 9, "", key), 409, "Idempotency-Key");
    gate_answer_expect_problem(gate_host_post(host, 8, "?scale=3", key), 409, "Idempotency-Key");
    post(host, 8, "", second);
    assert_string_not_equal(first, second);
    assert_true(gate_host_work(host, picture, sizeof picture));
    expect_picture(gate_host_post(host, 8, "", key), first); /* known, and done by now */
}

static int start_with_tokens(void **state)
{
    static gate_host host;
    static char path[TT_TEMP_PATH];
    char ada[65], bob[65], text[400];
    tt_error err = {""};
    gate_host_prepare(&host, *state);
    assert_int_equal(tt_sha256_hex("ada-secret", 10, ada, &err), TT_OK);
    assert_int_equal(tt_sha256_hex("bob-secret", 10, bob, &err), TT_OK);
    (void)snprintf(text, sizeof text, "ada %s 2\nbob %s\n", ada, bob);
    temp_folder_write_text(&host.folder, "tokens", text);
    host.params.tokens_path = temp_folder_path(&host.folder, "tokens", path);
    host.params.public_url = "https://pictures.example/sharp";
    host.params.bounds.max_queued = 3;
    host.params.bounds.max_queued_per_owner = 1; /* Ada has her own */
    gate_host_start(&host);
    *state = &host;
    return 0;
}

static void test_owners(void **state)
{
    gate_host *host = *state;
    static const char ada[] = "Authorization: Bearer ada-secret\r\nIdempotency-Key: k\r\n";
    static const char bob[] = "Authorization: Bearer bob-secret\r\nIdempotency-Key: k\r\n";
    char id[TT_JOB_ID_BYTES + 64], value[256];
    gate_answer_expect_problem(gate_host_post(host, 8, "", "Authorization: Bearer x\r\n"), 403, "token");
    http_reply reply = gate_host_post(host, 8, "", "");
    gate_answer_expect_header(&reply, "WWW-Authenticate", "Bearer");
    gate_answer_expect_problem(reply, 401, "token");
    gate_host_expect(host, "GET /healthz", "", 200);

    reply = gate_host_post(host, 8, "", ada);
    assert_int_equal(reply.code, 202);
    (void)http_header(&reply, "Location", value);
    assert_memory_equal(value, "https://pictures.example/sharp/v1/upscales/", 43);
    memcpy(id, value + 43, TT_JOB_ID_BYTES);
    http_reply_free(&reply);

    /* Bob's key of the same name is another one, and Ada's job does not exist for him. */
    reply = gate_host_post(host, 9, "", bob);
    assert_int_equal(reply.code, 202);
    http_reply_free(&reply);
    gate_host_expect(host, path_of("GET", id, ""), bob, 404);
    gate_host_expect(host, path_of("GET", id, "/image"), bob, 404);
    gate_host_expect(host, path_of("DELETE", id, ""), bob, 404);
    gate_host_expect(host, path_of("GET", id, ""), "", 401);
    gate_host_expect(host, path_of("GET", id, ""), ada, 200);
}

static void test_bounds(void **state)
{
    gate_host *host = *state;
    static const char ada[] = "Authorization: Bearer ada-secret\r\n", bob[] = "Authorization: Bearer bob-secret\r\n";
    char value[256];
    for (uint32_t i = 0; i < 2; i++) {
        http_reply reply = gate_host_post(host, 8 + i, "", ada);
        assert_int_equal(reply.code, 202);
        http_reply_free(&reply);
    }
    http_reply reply = gate_host_post(host, 10, "", ada);
    assert_true(atoi(http_header(&reply, "Retry-After", value)) > 0);
    gate_answer_expect_problem(reply, 429, "too many jobs of this token");
    reply = gate_host_post(host, 8, "", bob);
    assert_int_equal(reply.code, 202);
    http_reply_free(&reply);
    reply = gate_host_post(host, 9, "", bob);
    assert_true(atoi(http_header(&reply, "Retry-After", value)) > 0);
    gate_answer_expect_problem(reply, 503, "queue is full");
    gate_host_expect_metric(host, "tintype_requests_total{route=\"upscales\",code=\"429\"} ", 1, 0);
}

static int start_forgetful(void **state)
{
    static gate_host host;
    static const char *const hashes[] = {"00112233445566778899"};
    gate_host_prepare(&host, *state);
    host.params.bounds.keep_seconds = 0.5;
    host.params.model_hashes = hashes;
    host.params.n_model_hashes = 1;
    gate_host_start(&host);
    *state = &host;
    return 0;
}

static void test_expired(void **state)
{
    gate_host *host = *state;
    char id[TT_JOB_ID_BYTES];
    tt_error err = {""};
    post(host, 8, "", id);
    assert_true(gate_host_work(host, picture, sizeof picture));
    (void)usleep(700000);
    assert_int_equal(tt_ledger_sweep(host->ledger, NULL, &err), TT_OK);
    gate_answer_expect_problem(gate_host_get(host, path_of("GET", id, "/image"), ""), 410, "thrown away");
}

static void test_latents(void **state)
{
    gate_host *host = *state;
    static const char head[] = "POST /v1/upscales HTTP/1.1\r\nContent-Type: application/x-tintype-latent\r\n";
    static const char *const hashes[] = {"0011223344", "00112233445566778899aabbccddeeff", "0011223345"};
    for (int i = 0; i < 3; i++) {
        tt_text body = {0};
        small_latent(4, 4, 4, 8, hashes[i], &body);
        http_reply reply = http_ask(host->port, head, body.bytes, body.n_bytes);
        tt_text_free(&body);
        if (i == 2)
            gate_answer_expect_problem(reply, 422, "0011223345");
        else {
            assert_int_equal(reply.code, 202);
            http_reply_free(&reply);
        }
    }
}

/* ---- the rest */

static void test_methods(void **state)
{
    gate_host *host = *state;
    char id[TT_JOB_ID_BYTES];
    post(host, 8, "", id);
    assert_true(gate_host_work(host, picture, sizeof picture));
    http_reply reply = gate_host_get(host, "OPTIONS /v1/upscales", "");
    assert_int_equal(reply.code, 204);
    gate_answer_expect_header(&reply, "Allow", "POST, OPTIONS");
    http_reply_free(&reply);
    reply = gate_host_get(host, path_of("OPTIONS", id, ""), "");
    gate_answer_expect_header(&reply, "Allow", "GET, HEAD, DELETE, OPTIONS");
    http_reply_free(&reply);
    reply = gate_host_get(host, path_of("HEAD", id, "/image"), "");
    assert_int_equal(reply.code, 200);
    assert_int_equal(reply.n_body, 0);
    gate_answer_expect_header(&reply, "Content-Length", "38");
    http_reply_free(&reply);
    reply = gate_host_get(host, path_of("DELETE", id, "/image"), "");
    gate_answer_expect_header(&reply, "Allow", "GET, HEAD, OPTIONS");
    gate_answer_expect_problem(reply, 405, "method");
    gate_host_expect(host, "PUT /v1/upscales", "", 405);
    gate_host_expect(host, "GET /v1/upscales", "", 405);
    gate_host_expect(host, "BREW /healthz", "", 405);
    gate_host_expect(host, "HEAD /healthz", "", 200);
    gate_host_expect(host, "OPTIONS *", "", 204);
    gate_host_expect(host, "GET /", "", 404);
}

static void test_accept(void **state)
{
    gate_host *host = *state;
    static const struct {
        const char *header;
        int code;
    } cases[] = {{"Accept: */*\r\n", 202},
                 {"Accept: image/*;q=0.5\r\n", 202},
                 {"Accept: text/html, IMAGE/PNG;q=0.1\r\n", 202},
                 {"Accept: text/html\r\nAccept: image/png\r\n", 202},
                 {"Accept: image/webp\r\n", 406},
                 {"Accept: image/png;q=0\r\n", 406},
                 {"Accept: image/pngx, application/json\r\n", 406}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_reply reply = gate_host_post(host, 8, "", cases[i].header);
        if (reply.code != cases[i].code)
            fail_msg("%s: %d", cases[i].header, reply.code);
        http_reply_free(&reply);
    }
}

static void test_health_and_metrics(void **state)
{
    gate_host *host = *state;
    char id[TT_JOB_ID_BYTES];
    post(host, 8, "", id);
    http_reply reply = gate_host_get(host, "GET /healthz", "");
    assert_string_equal(reply.body, "{\"status\":\"ok\",\"queued\":1}");
    http_reply_free(&reply);
    gate_host_expect_metric(host, "tintype_post_seconds_count ", 1, 0);
    gate_host_expect_metric(host, "tintype_requests_total{route=\"upscales\",code=\"202\"} ", 1, 0);
    gate_host_expect_metric(host, "tintype_ledger_failures_total ", 0, 0);
    gate_host_expect_metric(host, "tintype_connections ", 1, 5);
}

/* ---- A1111's form */

static http_reply ask_extra(gate_host *host, const char *prefix, const char *rest)
{
    static const char head[] = "POST /sdapi/v1/extra-single-image HTTP/1.1\r\nContent-Type: application/json\r\n";
    tt_text png = {0}, form = {0};
    char text[1024];
    small_png(16, 8, true, &png);
    assert_true(tt_base64_length(png.n_bytes) < sizeof text);
    tt_base64_encode(png.bytes, png.n_bytes, text);
    tt_text_format(&form, "{\"resize_mode\": 0, \"image\": \"%s%s\"%s}", prefix, text, rest);
    http_reply reply = http_ask(host->port, head, form.bytes, form.n_bytes);
    tt_text_free(&png);
    tt_text_free(&form);
    return reply;
}

static void test_extra(void **state)
{
    gate_host *host = *state;
    char wanted[128], encoded[80], value[128];
    pthread_t worker;
    tt_base64_encode(picture, sizeof picture, encoded);
    (void)snprintf(wanted, sizeof wanted, "{\"image\":\"%s\",\"html_info\":\"\"}", encoded);
    static const char *const prefixes[] = {"", "data:image/png;base64,"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&worker, NULL, work_later, host), 0);
        http_reply reply = ask_extra(host, prefixes[i], ", \"upscaling_resize\": 2.0, \"upscaler_1\": \"R-ESRGAN\"");
        assert_int_equal(pthread_join(worker, NULL), 0);
        assert_int_equal(reply.code, 200);
        assert_string_equal(reply.body, wanted);
        assert_string_equal(gate_answer_member(&reply, "html_info", value), "");
        http_reply_free(&reply);
    }
    gate_answer_expect_problem(ask_extra(host, "", ", \"upscaling_resize\": 2.5"), 422, "upscaling_resize");
    gate_answer_expect_problem(ask_extra(host, "", ", \"upscaling_resize\": \"2\""), 422, "upscaling_resize");
    gate_answer_expect_problem(ask_extra(host, "*", ""), 422, "base64");
    gate_answer_expect_problem(ask_extra(host, "AAAA", ""), 415, "neither");
    gate_answer_expect_problem(ask_extra(host, "", ", \"image\": \"\""), 422, "JSON");
    static const char head[] = "POST /sdapi/v1/extra-single-image HTTP/1.1\r\n";
    gate_answer_expect_problem(http_ask(host->port, head, "{}", 2), 422, "image");
    gate_answer_expect_problem(http_ask(host->port, head, "", 0), 422, "JSON");
    tt_text many = {0};
    tt_text_add_string(&many, "{\"a\":[0");
    for (int i = 0; i < 5000; i++)
        tt_text_add_string(&many, ",0");
    tt_text_add_string(&many, "]}");
    gate_answer_expect_problem(http_ask(host->port, head, many.bytes, many.n_bytes), 422, "too many values");
    tt_text_free(&many);
    gate_host_expect_metric(host, "tintype_result_bytes ", 0, 5);
    gate_host_expect_metric(host, "tintype_body_bytes ", 0, 5);
}

/* ---- what a gate refuses to start with */

static void test_refused_params(void **state)
{
    gate_host host;
    tt_gate *gate = NULL;
    tt_error err = {""};
    gate_host_prepare(&host, *state);
    const tt_gate_params good = host.params;
    host.params.address = "0.0.0.0"; /* without tokens */
    assert_int_equal(tt_gate_start(&host.params, &gate, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "tokens"));
    host.params.address = "localhost";
    assert_int_equal(tt_gate_start(&host.params, &gate, &err), TT_ERROR_ARGUMENT);
    host.params = good;
    host.params.ledger = "nonsense:";
    assert_int_not_equal(tt_gate_start(&host.params, &gate, &err), TT_OK);
    host.params = good;
    host.params.max_connections = 100000000;
    assert_int_equal(tt_gate_start(&host.params, &gate, &err), TT_ERROR_ARGUMENT);
    host.params = good;
    host.params.tokens_path = "/nonexistent/tokens";
    assert_int_equal(tt_gate_start(&host.params, &gate, &err), TT_ERROR_IO);
    host.params = good;
    host.params.max_memory_bytes = 5;
    assert_int_equal(tt_gate_start(&host.params, &gate, &err), TT_ERROR_ARGUMENT);
    assert_null(gate);

    /* A port that is taken is said, and nothing is left behind. */
    host.params = good;
    gate_host_start(&host);
    host.params.port = host.port;
    assert_int_equal(tt_gate_start(&host.params, &gate, &err), TT_ERROR_NETWORK);
    gate_host_expect(&host, "GET /healthz", "", 200);
    gate_host_stop(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_jobs_life, start, stop),
        cmocka_unit_test_setup_teardown(test_failures, start, stop),
        cmocka_unit_test_setup_teardown(test_waits_for_the_result, start, stop),
        cmocka_unit_test_setup_teardown(test_wait_ends, start, stop),
        cmocka_unit_test_setup_teardown(test_many_wait, start, stop),
        cmocka_unit_test_setup_teardown(test_deleted_while_waiting, start, stop),
        cmocka_unit_test_setup_teardown(test_stop_while_waiting, start, stop),
        cmocka_unit_test_setup_teardown(test_same_key, start, stop),
        cmocka_unit_test_setup_teardown(test_owners, start_with_tokens, stop),
        cmocka_unit_test_setup_teardown(test_bounds, start_with_tokens, stop),
        cmocka_unit_test_setup_teardown(test_expired, start_forgetful, stop),
        cmocka_unit_test_setup_teardown(test_latents, start_forgetful, stop),
        cmocka_unit_test_setup_teardown(test_methods, start, stop),
        cmocka_unit_test_setup_teardown(test_accept, start, stop),
        cmocka_unit_test_setup_teardown(test_health_and_metrics, start, stop),
        cmocka_unit_test_setup_teardown(test_extra, start, stop),
        cmocka_unit_test(test_refused_params),
    };
    return gate_host_run("gate", tests, sizeof tests / sizeof tests[0]);
}
