/* test_gate_hostile.c - the gate as an attacker meets it. Whatever is sent, the answer is the right refusal or an ended
 * connection, nothing of it stays in memory, and the next client is served. */
#define _DEFAULT_SOURCE
#include "base/sha256.h"
#include "base/text.h"
#include "tests/support/gate-host.h"
#include "tests/support/small-bodies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static const char id[] = "0123456789abcdef0123456789abcdef";

static int start(void **state)
{
    static gate_host host;
    gate_host_prepare(&host, *state);
    host.params.idle_seconds = 1;
    host.params.body_seconds = 2;
    host.params.max_memory_bytes = host.params.limits.max_bytes;
    gate_host_start(&host);
    *state = &host;
    return 0;
}

/* Every test ends with a look at what is left. */
static int stop(void **state)
{
    gate_host *host = *state;
    gate_host_expect(host, "GET /healthz", "", 200);
    gate_host_expect_metric(host, "tintype_body_bytes ", 0, 10);
    gate_host_expect_metric(host, "tintype_result_bytes ", 0, 10);
    gate_host_expect_metric(host, "tintype_waiting_requests ", 0, 10);
    gate_host_expect_metric(host, "tintype_connections ", 1, 10);
    gate_host_stop(host);
    return 0;
}

/* Sends these bytes on a new connection and returns the code of the answer, 0 when it was closed without one. The
 * answer's body is not waited for: a connection that ends while bytes are unread takes it along. */
static int ask_raw(const gate_host *host, const char *bytes, size_t n_bytes)
{
    const int peer = http_connect(host->port);
    (void)http_send(peer, bytes, n_bytes);
    http_reply reply = http_receive(peer, 10, false);
    const int code = reply.code;
    http_reply_free(&reply);
    (void)close(peer);
    return code;
}

static int ask_text(const gate_host *host, const char *text)
{
    return ask_raw(host, text, strlen(text));
}

static void expect_text(const gate_host *host, const char *text, int code)
{
    const int got = ask_text(host, text);
    if (got != code)
        fail_msg("%.200s: %d, expected %d", text, got, code);
}

/* ---- heads */

static void test_heads(void **state)
{
    const gate_host *host = *state;
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        {"GET /healthz HTTP/1.1\r\n\r\n", 400}, /* no Host */
        {"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n", 505},
        {"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 400},
        {"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n\r\n", 411},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 411},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", 411},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", 411},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\nhello", 400},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nhello", 400},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Length: 5 5\r\n\r\nhello", 400},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello", 400},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n", 413},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Length: 8388609\r\n\r\n", 413},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", 417},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 415},
        {"POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 0\r\n\r\n", 415},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_text(host, cases[i].text, cases[i].code);
}

/* What is no HTTP at all is refused or dropped. */
static void test_garbage(void **state)
{
    const gate_host *host = *state;
    static const char *const cases[] = {"\r\n\r\nnonsense\r\n\r\n",
                                        "GET\r\n\r\n",
                                        "GET  HTTP/1.1\r\nHost: x\r\n\r\n",
                                        "nonsense nonsense nonsense\r\n\r\n",
                                        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
                                        "GET /healthz HTTP/1.1\r\nno colon here\r\n\r\n",
                                        "GET /healthz HTTP/1.1\r\n folded\r\nHost: x\r\n\r\n"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int code = ask_text(host, cases[i]);
        if (code != 0 && (code < 400 || code > 505))
            fail_msg("%s: %d", cases[i], code);
    }
    uint32_t seed = 1;
    for (int i = 0; i < 100; i++) {
        char noise[600];
        for (size_t j = 0; j < sizeof noise; j++) {
            seed = seed * 1664525 + 1013904223;
            noise[j] = (char)(seed >> 24);
        }
        memcpy(noise + sizeof noise - 4, "\r\n\r\n", 4);
        const int code = ask_raw(host, noise, sizeof noise);
        if (code != 0 && (code < 400 || code > 505))
            fail_msg("noise %d: %d", i, code);
    }
}

static void add_many(tt_text *text, const char *unit, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tt_text_add_string(text, unit);
}

static void test_long_heads(void **state)
{
    const gate_host *host = *state;
    static const struct {
        const char *before, *unit, *behind;
        size_t n;
        int code;
    } cases[] = {
        {"GET /", "a", " HTTP/1.1\r\nHost: x\r\n\r\n", 1500, 414},
        {"GET /", "a", " HTTP/1.1\r\nHost: x\r\n\r\n", 100000, 414},
        {"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", "a", "\r\n\r\n", 4500, 431},
        {"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", "a", "\r\n\r\n", 100000, 431},
        {"GET /healthz HTTP/1.1\r\nHost: x\r\n", "A: b\r\n", "\r\n", 5000, 431},
        {"GET /healthz?", "a=b&", " HTTP/1.1\r\nHost: x\r\n\r\n", 20, 200},
        {"POST /v1/upscales?", "scale=2&", " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 2, 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tt_text text = {0};
        tt_text_add_string(&text, cases[i].before);
        add_many(&text, cases[i].unit, cases[i].n);
        tt_text_add_string(&text, cases[i].behind);
        /* A client that goes on sending while it is refused may see its connection end before the answer. */
        const int code = ask_raw(host, text.bytes, text.n_bytes);
        if (code != cases[i].code && (cases[i].n < 5000 || code != 0))
            fail_msg("%s...: %d, expected %d", cases[i].before, code, cases[i].code);
        tt_text_free(&text);
    }
}

static void test_paths(void **state)
{
    const gate_host *host = *state;
    static const char *const paths[] = {
        "/v1/upscales/%s/",
        "/v1/upscales/%s/image/",
        "/v1/upscales/%s/imag",
        "/v1/upscales/%s/../%s",
        "/v1/upscales/../upscales",
        "/v1/upscales/../../etc/passwd",
        "/v1/upscales//%s",
        "//v1/upscales/%s",
        "/v1/upscales/%s0",
        "/v1/upscales/%.31s",
        "/v1/upscales/%.31sA",
        "/v1/upscales/%.31sg",
        "/v1/upscales/%.31s'",
        "/v1/upscales/%s%%00",
        "/v1/upscales/%%30%.31s",
        "/v1/upscales/%s%%2fimage",
        "/v1/upscales/%%2e%%2e/",
        "/v1/upscales/*",
        "/v1/upscales/",
        "/V1/upscales/%s",
        "/v1/upscales/%.30s--",
        "/v1/upscales/%.16s\xff",
        "http://evil/v1/upscales/%s",
        "/metrics/",
        "/healthz/..",
        "/sdapi/v1/extra-single-image/",
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char path[256], request[300];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(path, sizeof path, paths[i], id, id);
#pragma GCC diagnostic pop
        (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
        expect_text(host, request, 404);
        (void)snprintf(request, sizeof request, "DELETE %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
        expect_text(host, request, 404);
    }
}

static void test_bad_values(void **state)
{
    const gate_host *host = *state;
    static const struct {
        const char *query, *headers;
        int code;
    } cases[] = {
        {"?scale=1", "", 400},
        {"?scale=5", "", 400},
        {"?scale=2x", "", 400},
        {"?scale=", "", 400},
        {"?scale", "", 400},
        {"?scale=-2", "", 400},
        {"?scale=2&scale=2", "", 400},
        {"?scale=%32", "", 400},
        {"?scale=22", "", 400},
        {"?scale=2.0", "", 400},
        {"?scale=4&x=1", "", 202},
        {"?%73cale=9", "", 202},
        {"", "Idempotency-Key: \r\n", 400},
        {"", "Idempotency-Key: a b\r\n", 400},
        {"", "Idempotency-Key: a/b\r\n", 400},
        {"", "Idempotency-Key: a\r\nIdempotency-Key: a\r\n", 400},
        {"", "Idempotency-Key: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 400},
        {"", "Idempotency-Key: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 202},
        {"", "Content-Type: image/png\r\n", 400}, /* twice */
        {"", "Prefer: wait=-5\r\nPrefer: wait=x, wait\r\n", 202},
        {"", "Prefer: waiting=9, ,;=,wait\r\n", 202},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_reply reply = gate_host_post(host, 8, cases[i].query, cases[i].headers);
        if (reply.code != cases[i].code)
            fail_msg("%s %s: %d, expected %d", cases[i].query, cases[i].headers, reply.code, cases[i].code);
        http_reply_free(&reply);
    }
}

/* ---- bodies */

static void expect_body(const gate_host *host, const char *type, const void *bytes, size_t n_bytes, int code)
{
    char head[128];
    (void)snprintf(head, sizeof head, "POST /v1/upscales HTTP/1.1\r\nContent-Type: %s\r\n", type);
    http_reply reply = http_ask(host->port, head, bytes, n_bytes);
    if (reply.code != code)
        fail_msg("%s, %zu bytes: %d, expected %d", type, n_bytes, reply.code, code);
    http_reply_free(&reply);
}

static void test_bodies(void **state)
{
    const gate_host *host = *state;
    const size_t n_noise = (size_t)8 << 20;
    uint8_t *noise = malloc(n_noise);
    assert_non_null(noise);
    for (size_t i = 0; i < n_noise; i++)
        noise[i] = (uint8_t)(i * 2654435761u >> 13);
    expect_body(host, "image/png", noise, n_noise, 415);
    expect_body(host, "application/x-tintype-latent", noise, n_noise, 415);
    expect_body(host, "text/html", noise, n_noise, 415); /* said by the head, and read away */
    memcpy(noise, "\x89PNG\r\n\x1a\n", 8);
    expect_body(host, "image/png", noise, n_noise, 422);
    memcpy(noise, "\xff\xd8\xff\xe0", 4);
    expect_body(host, "image/jpeg", noise, n_noise, 422);
    free(noise);

    tt_text bomb = {0}, jpeg = {0};
    small_png(65535, 65535, false, &bomb);
    small_jpeg(65500, 65500, &jpeg);
    expect_body(host, "image/png", bomb.bytes, bomb.n_bytes, 422);
    expect_body(host, "image/jpeg", bomb.bytes, bomb.n_bytes, 415);
    expect_body(host, "image/jpeg", jpeg.bytes, jpeg.n_bytes, 422);
    tt_text_free(&bomb);
    tt_text_free(&jpeg);
    gate_host_expect_metric(host, "tintype_jobs{stage=\"queued\"} ", 0, 0);
}

/* All bodies together may have 8 MiB here: the one that would pass that is refused, and nobody else. */
static void test_memory_for_bodies(void **state)
{
    const gate_host *host = *state;
    static const char head[] = "POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
                               "Content-Length: 7340032\r\n\r\n";
    const size_t n_part = (size_t)5 << 20, n_rest = (size_t)2 << 20;
    char *zeros = calloc(1, n_part);
    assert_non_null(zeros);
    const int first = http_connect(host->port), second = http_connect(host->port);
    assert_true(http_send_text(first, head) && http_send(first, zeros, n_part));
    gate_host_expect_metric(host, "tintype_received_bytes_total ", (double)n_part, 10);
    assert_true(http_send_text(second, head) && http_send(second, zeros, n_part));
    assert_true(http_send(first, zeros, n_rest) && http_send(second, zeros, n_rest));
    http_reply reply = http_receive(first, 10, true);
    assert_int_equal(reply.code, 415); /* it was heard to its end */
    http_reply_free(&reply);
    reply = http_receive(second, 10, true);
    assert_int_equal(reply.code, 503);
    http_reply_free(&reply);
    (void)close(first);
    (void)close(second);
    free(zeros);
}

/* ---- connections */

static void test_pipelined(void **state)
{
    const gate_host *host = *state;
    const int peer = http_connect(host->port);
    char text[512];
    (void)snprintf(text, sizeof text,
                   "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/upscales/%s HTTP/1.1\r\nHost: x\r\n\r\n"
                   "POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 5\r\n\r\n"
                   "helloHEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
                   id);
    static const int codes[] = {200, 404, 415, 200};
    assert_true(http_send_text(peer, text));
    for (int i = 0; i < 4; i++) {
        http_reply reply = http_receive(peer, 10, i != 3);
        assert_int_equal(reply.code, codes[i]);
        http_reply_free(&reply);
    }
    (void)close(peer);
}

static void test_cut_off(void **state)
{
    const gate_host *host = *state;
    static const char request[] = "POST /v1/upscales?scale=2 HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
                                  "Content-Length: 1000\r\n\r\nonly so much of the body";
    for (size_t n = 0; n < sizeof request; n += 3) {
        const int peer = http_connect(host->port);
        (void)http_send(peer, request, n);
        if (n % 2 == 0) { /* ended by a reset */
            const struct linger now = {.l_onoff = 1};
            (void)setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        (void)close(peer);
    }
}

/* Slow senders: one of heads, one of bodies that says nothing more, one that sends a byte now and then. */
static void test_slow(void **state)
{
    const gate_host *host = *state;
    const int head = http_connect(host->port), silent = http_connect(host->port), slow = http_connect(host->port);
    static const char begin[] = "POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
                                "Content-Length: 1000\r\n\r\n";
    assert_true(http_send_text(head, "GET /healthz HTT"));
    assert_true(http_send_text(silent, begin) && http_send_text(slow, begin));
    for (int i = 0; i < 40 && http_send_text(slow, "x"); i++) {
        (void)http_send_text(head, "P");
        (void)usleep(100000);
    }
    http_reply reply = http_receive(silent, 10, true);
    assert_int_equal(reply.code, 408);
    assert_non_null(strstr(reply.body, "\"status\":408"));
    http_reply_free(&reply);
    assert_true(http_is_closed(silent, 5));
    assert_true(http_is_closed(head, 5));
    gate_host_expect_metric(host, "tintype_slow_closed_total ", 3, 5);
    (void)close(head);
    (void)close(silent);
    (void)close(slow);
}

static void test_gone_while_waiting(void **state)
{
    enum { N = 20 };
    gate_host *host = *state;
    http_reply reply = gate_host_post(host, 8, "", "");
    char job[TT_JOB_ID_BYTES], text[256];
    gate_host_id(&reply, job);
    http_reply_free(&reply);
    (void)snprintf(text, sizeof text, "GET /v1/upscales/%s/image HTTP/1.1\r\nHost: x\r\nPrefer: wait=600\r\n\r\n", job);
    int peers[N];
    for (int i = 0; i < N; i++) {
        peers[i] = http_connect(host->port);
        assert_true(http_send_text(peers[i], text));
    }
    gate_host_expect_metric(host, "tintype_waiting_requests ", N, 10);
    for (int i = 0; i < N; i++)
        (void)close(peers[i]);
    gate_host_expect_metric(host, "tintype_waiting_requests ", 0, 10);
    assert_true(gate_host_work(host, "x", 1));
}

/* Beyond the bound a connection is told so; when others end there is room again. */
static void test_too_many(void **state)
{
    enum { N = 70 };
    gate_host *host = *state;
    int peers[N];
    for (int i = 0; i < N; i++)
        peers[i] = http_connect(host->port);
    int n_refused = 0;
    for (int i = N - 1; i >= 64; i--) {
        (void)http_send_text(peers[i], "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        http_reply reply = http_receive(peers[i], 10, true);
        n_refused += reply.code == 503;
        http_reply_free(&reply);
    }
    assert_true(n_refused > 0);
    for (int i = 0; i < N; i++)
        (void)close(peers[i]);
}

/* A token that is not known must not get in by any spelling; a refused body is read away, so that the 401 is seen. */
static void test_tokens(void **state)
{
    static gate_host host;
    static char path[TT_TEMP_PATH];
    char sha256[65], text[128];
    tt_error err = {""};
    gate_host_prepare(&host, *state);
    assert_int_equal(tt_sha256_hex("secret", 6, sha256, &err), TT_OK);
    (void)snprintf(text, sizeof text, "ada %s\n", sha256);
    temp_folder_write_text(&host.folder, "tokens", text);
    host.params.tokens_path = temp_folder_path(&host.folder, "tokens", path);
    gate_host_start(&host);
    static const struct {
        const char *headers;
        int code;
    } cases[] = {{"Authorization: Bearer secret\r\nAuthorization: Bearer secret\r\n", 400},
                 {"Authorization: Bearer secret\r\n", 202},
                 {"Authorization: Bearer Secret\r\n", 403},
                 {"Authorization: Bearer secret,x\r\n", 401},
                 {"Authorization: secret\r\n", 401},
                 {"Authorization: \r\n", 401},
                 {"Authorization: Basic c2VjcmV0\r\n", 401},
                 {"Authorization: Bearer \xff\xfe\r\n", 401}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_reply reply = gate_host_post(&host, 8, "", cases[i].headers);
        if (reply.code != cases[i].code)
            fail_msg("%s: %d", cases[i].headers, reply.code);
        http_reply_free(&reply);
    }
    const size_t n = (size_t)8 << 20;
    char *zeros = calloc(1, n);
    assert_non_null(zeros);
    expect_body(&host, "image/png", zeros, n, 401);
    free(zeros);
    gate_host_expect(&host, "POST /sdapi/v1/extra-single-image", "Content-Length: 0\r\n", 401);
    gate_host_stop(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_heads, start, stop),
        cmocka_unit_test_setup_teardown(test_garbage, start, stop),
        cmocka_unit_test_setup_teardown(test_long_heads, start, stop),
        cmocka_unit_test_setup_teardown(test_paths, start, stop),
        cmocka_unit_test_setup_teardown(test_bad_values, start, stop),
        cmocka_unit_test_setup_teardown(test_bodies, start, stop),
        cmocka_unit_test_setup_teardown(test_memory_for_bodies, start, stop),
        cmocka_unit_test_setup_teardown(test_pipelined, start, stop),
        cmocka_unit_test_setup_teardown(test_cut_off, start, stop),
        cmocka_unit_test_setup_teardown(test_slow, start, stop),
        cmocka_unit_test_setup_teardown(test_gone_while_waiting, start, stop),
        cmocka_unit_test_setup_teardown(test_too_many, start, stop),
        cmocka_unit_test(test_tokens),
    };
    return gate_host_run("hostile clients of the gate", tests, sizeof tests / sizeof tests[0]);
}
