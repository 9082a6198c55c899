/* test_client.c - the client against services that do everything wrong: damaged, slow, cut, giant and hostile answers,
 * refusals that pass and refusals that stay. */
#define _DEFAULT_SOURCE
#include "base/base64.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "image/png-write.h"
#include "tests/support/scripted-server.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 12, LARGE = 2 * SIDE };

#define TOKEN "secret-TOKEN_0123456789"
#define ACCEPTED "202 Accepted\r\nLocation: /v1/upscales/abc\r\nRetry-After: 0\r\n"
#define JSON "Content-Type: application/json\r\n"
#define PROBLEM(code, detail)                                                                                          \
    {                                                                                                                  \
        .head = code "\r\nContent-Type: application/problem+json\r\nRetry-After: 0\r\n",                               \
        .body = "{\"detail\":\"" detail "\"}", .n_body = sizeof "{\"detail\":\"" detail "\"}" - 1                      \
    }

typedef struct place {
    scripted_server server;
    tt_context *context;
    tt_cloud_params params;
    tt_cloud_report report;
    tt_image image, out;
    char url[64];
    tt_text png, small_png; /* of the right size; of the draft's own */
    char head[400], small_head[400], jpeg_head[400], wrong_head[400];
} place;

/* "200 OK" with type and digest. */
static void make_head(char head[400], const char *type, const tt_text *body, bool is_right)
{
    char hex[65], base64[48];
    uint8_t digest[32];
    assert_int_equal(tt_sha256_hex(body->bytes, body->n_bytes, hex, NULL), TT_OK);
    for (size_t i = 0; i < sizeof digest; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        digest[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    digest[7] = (uint8_t)(digest[7] ^ !is_right);
    tt_base64_encode(digest, sizeof digest, base64);
    (void)snprintf(head, 400, "200 OK\r\nContent-Type: %s\r\nRepr-Digest: sha-256=:%s:\r\n", type, base64);
}

static void make_picture(uint32_t side, tt_image *image, tt_text *png)
{
    *image = (tt_image){side, side, 3, malloc((size_t)3 * side * side)};
    assert_non_null(image->pixels);
    for (size_t i = 0; i < (size_t)3 * side * side; i++)
        image->pixels[i] = (uint8_t)(i * 37);
    assert_int_equal(tt_png_encode(image, NULL, png, NULL), TT_OK);
}

static int setup(void **state)
{
    place *p = calloc(1, sizeof *p);
    tt_image large;
    assert_non_null(p);
    p->context = tt_context_create();
    make_picture(SIDE, &p->image, &p->small_png);
    make_picture(LARGE, &large, &p->png);
    tt_image_free(&large);
    make_head(p->head, "image/png", &p->png, true);
    make_head(p->wrong_head, "image/png", &p->png, false);
    make_head(p->jpeg_head, "image/jpeg", &p->png, true);
    make_head(p->small_head, "image/png", &p->small_png, true);
    tt_cloud_params_default(&p->params);
    p->params.allow_upload = true;
    p->params.timeout_seconds = 20;
    p->params.max_tries = 3;
    p->params.url = p->url;
    p->params.token = TOKEN;
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    place *p = *state;
    tt_image_free(&p->image);
    tt_image_free(&p->out);
    tt_text_free(&p->png);
    tt_text_free(&p->small_png);
    tt_context_destroy(p->context);
    free(p);
    return 0;
}

static void serve(place *p, const server_step *steps, size_t n_steps)
{
    scripted_server_start(&p->server, steps, n_steps);
    (void)snprintf(p->url, sizeof p->url, "http://127.0.0.1:%u", p->server.port);
}

#define SERVE(p, ...)                                                                                                  \
    const server_step steps[] = {__VA_ARGS__};                                                                         \
    serve(p, steps, sizeof steps / sizeof steps[0])

static server_step picture(const place *p, const char *head)
{
    return (server_step){.head = head, .body = p->png.bytes, .n_body = p->png.n_bytes};
}

static tt_status upscale(place *p)
{
    return tt_cloud_upscale(p->context, &p->params, &p->image, 2, &p->out, &p->report);
}

static void expect_fine(place *p, unsigned n_requests)
{
    if (upscale(p) != TT_OK)
        fail_msg("%s", tt_context_message(p->context));
    assert_int_equal(p->out.width, LARGE);
    assert_int_equal(p->out.n_channels, 3);
    assert_int_equal(atomic_load(&p->server.n_requests), n_requests);
    scripted_server_stop(&p->server);
}

/* Fails with this sentence after so many requests, and without a picture. */
static void expect_failed(place *p, const char *mention, unsigned n_requests)
{
    assert_int_equal(upscale(p), TT_ERROR_NETWORK);
    const char *message = tt_context_message(p->context);
    if (strstr(message, mention) == NULL)
        fail_msg("\"%s\" should mention \"%s\"", message, mention);
    assert_null(strstr(message, TOKEN));
    for (const char *c = message; *c; c++)
        assert_true((unsigned char)*c >= 0x20);
    assert_null(p->out.pixels);
    if (n_requests > 0)
        assert_int_equal(atomic_load(&p->server.n_requests), n_requests);
    scripted_server_stop(&p->server);
}

/* ---- the honest way */

static void test_at_once(void **state)
{
    place *p = *state;
    SERVE(p, picture(p, p->head));
    assert_int_equal(upscale(p), TT_OK);
    assert_int_equal(p->report.n_tries, 1);
    assert_int_equal(p->report.received_bytes, p->png.n_bytes);
    assert_int_equal(p->report.sent_bytes, p->small_png.n_bytes);
    assert_true(scripted_server_got(&p->server, 0, "POST /v1/upscales?scale=2 HTTP/1.1\r\n"));
    assert_true(scripted_server_got(&p->server, 0, "\r\nUser-Agent: tintype/"));
    assert_true(scripted_server_got(&p->server, 0, "\r\nAuthorization: Bearer " TOKEN "\r\n"));
    assert_true(scripted_server_got(&p->server, 0, "\r\nContent-Type: image/png\r\n"));
    assert_true(scripted_server_got(&p->server, 0, "\r\nIdempotency-Key: "));
    assert_false(scripted_server_got(&p->server, 0, "Cookie"));
    scripted_server_stop(&p->server);
}

static void test_job(void **state)
{
    place *p = *state;
    SERVE(p, {.head = ACCEPTED JSON "TT-Queue-Position: 3\r\n", .body = "{\"status\":\"queued\"}", .n_body = 19},
          {.head = ACCEPTED JSON, .body = "{\"status\":\"working\"}", .n_body = 20}, picture(p, p->head));
    assert_int_equal(upscale(p), TT_OK);
    assert_string_equal(p->report.job, "abc");
    assert_true(scripted_server_got(&p->server, 1, "GET /v1/upscales/abc/image HTTP/1.1\r\n"));
    assert_true(scripted_server_got(&p->server, 1, "\r\nPrefer: wait=1"));
    assert_int_equal(atomic_load(&p->server.n_requests), 3);
    scripted_server_stop(&p->server);
}

/* The same picture has the same key, another scale another. */
static void test_keys(void **state)
{
    place *p = *state;
    char key[3][100];
    SERVE(p, picture(p, p->head));
    for (uint32_t i = 0; i < 3; i++) {
        tt_image out;
        (void)tt_cloud_upscale(p->context, &p->params, &p->image, i < 2 ? 2 : 3, &out, NULL);
        tt_image_free(&out);
        const char *at = strstr(p->server.requests[i].bytes, "Idempotency-Key: ");
        assert_non_null(at);
        (void)snprintf(key[i], sizeof key[i], "%.64s", at + 17);
        assert_int_equal(strspn(key[i], "0123456789abcdef"), 64);
    }
    assert_string_equal(key[0], key[1]);
    assert_string_not_equal(key[0], key[2]);
    scripted_server_stop(&p->server);
}

/* ---- refusals that pass */

static void test_busy_then_fine(void **state)
{
    place *p = *state;
    SERVE(p, PROBLEM("429 Too Many Requests", "too many"), PROBLEM("503 Service Unavailable", "full"),
          picture(p, p->head));
    expect_fine(p, 3);
    assert_int_equal(p->report.n_tries, 3);
}

/* Retry-After is kept. */
static void test_retry_after(void **state)
{
    place *p = *state;
    const double begun = tt_clock_seconds();
    SERVE(p, {.head = "503 Busy\r\nRetry-After: 1\r\n"}, picture(p, p->head));
    expect_fine(p, 2);
    assert_true(tt_clock_seconds() - begun >= 1.0);
}

/* One that is longer than there is time ends the call at once. */
static void test_retry_after_too_long(void **state)
{
    place *p = *state;
    const double begun = tt_clock_seconds();
    p->params.timeout_seconds = 10;
    SERVE(p, {.head = "503 Busy\r\nRetry-After: 50\r\n"});
    expect_failed(p, "too busy (503)", 1);
    assert_true(tt_clock_seconds() - begun < 5.0);
}

static void test_storm(void **state)
{
    place *p = *state;
    SERVE(p, PROBLEM("503 Service Unavailable", "the queue is full"));
    expect_failed(p, "too busy (503: the queue is full)", 3);
}

static void test_cut_then_fine(void **state)
{
    place *p = *state;
    server_step half = picture(p, p->head);
    half.declared = half.n_body;
    half.n_body /= 2;
    SERVE(p, {.head = NULL}, half, picture(p, p->head));
    expect_fine(p, 3);
}

static void test_cut_upload_then_fine(void **state)
{
    place *p = *state;
    SERVE(p, {.head = NULL, .n_read = 40}, picture(p, p->head));
    expect_fine(p, 2);
}

/* A job that is asked for again after the connection broke is not sent again. */
static void test_cut_download_of_job(void **state)
{
    place *p = *state;
    server_step half = picture(p, p->head);
    half.declared = half.n_body;
    half.n_body /= 2;
    SERVE(p, {.head = ACCEPTED}, half, picture(p, p->head));
    assert_int_equal(upscale(p), TT_OK);
    assert_true(scripted_server_got(&p->server, 1, "GET "));
    assert_true(scripted_server_got(&p->server, 2, "GET "));
    scripted_server_stop(&p->server);
}

/* A service that has forgotten the job, or thrown its result away, gets the picture again, but not for ever. */
static void test_forgotten(void **state)
{
    place *p = *state;
    SERVE(p, {.head = ACCEPTED}, PROBLEM("404 Not Found", "no such job"), {.head = ACCEPTED},
          PROBLEM("410 Gone", "thrown away"), picture(p, p->head));
    expect_fine(p, 5);
}

static void test_forgotten_always(void **state)
{
    place *p = *state;
    SERVE(p, {.head = ACCEPTED}, PROBLEM("410 Gone", "gone"), {.head = ACCEPTED}, PROBLEM("410 Gone", "gone"),
          {.head = ACCEPTED}, PROBLEM("410 Gone", "gone"));
    expect_failed(p, "answered 410: gone", 0);
}

/* ---- refusals that stay */

static void test_refusals(void **state)
{
    static const struct {
        const char *head, *mention;
    } cases[] = {{"400 Bad Request\r\n", "answered 400"},
                 {"401 Unauthorized\r\n", "does not take the token; check it (401"},
                 {"403 Forbidden\r\n", "does not take the token; check it (403"},
                 {"413 Too Large\r\n", "answered 413"},
                 {"422 Unprocessable\r\n", "answered 422"},
                 {"301 Moved\r\nLocation: https://evil.example/\r\n", "points to \"https://evil.example/\" (301)"},
                 {"307 Moved\r\nLocation: http://127.0.0.1:1/\r\n", "which is not followed"},
                 {"204 No Content\r\n", "answered 204"},
                 {"202 Accepted\r\n", "did not name the job"},
                 {"202 Accepted\r\nLocation: /v1/upscales/../../etc\r\n", "did not name the job"},
                 {"202 Accepted\r\nLocation: /v1/upscales/\r\n", "did not name the job"},
                 {"202 Accepted\r\nLocation: /v1/upscales/a b\r\n", "did not name the job"},
                 {"202 Accepted\r\nLocation: https://evil.example/\r\n", "did not name the job"}};
    place *p = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        SERVE(p, {.head = cases[i].head});
        expect_failed(p, cases[i].mention, 1);
    }
}

/* A problem's detail reaches the sentence without control characters, cut, and never with the token. */
static void test_details(void **state)
{
    place *p = *state;
    static char longest[5000];
    {
        SERVE(p, PROBLEM("422 Unprocessable", "the \\u001b[31mPNG\\n is damaged"));
        expect_failed(p, "PNG", 1);
    }
    {
        SERVE(p, PROBLEM("400 Bad Request", "you sent " TOKEN));
        expect_failed(p, "answered 400", 1);
    }
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "{\"detail\":\"", 11);
    memcpy(longest + sizeof longest - 2, "\"}", 2);
    {
        SERVE(p, {.head = "400 Bad\r\nContent-Type: application/problem+json\r\n",
                  .body = longest,
                  .n_body = sizeof longest});
        expect_failed(p, "answered 400: aaaa", 1);
    }
    {
        SERVE(p,
              {.head = "400 Bad\r\nContent-Type: application/problem+json\r\n", .body = "{\"detail\":3", .n_body = 11});
        expect_failed(p, "answered 400", 1);
    }
}

/* ---- results that are none */

static void test_wrong_digest(void **state)
{
    place *p = *state;
    SERVE(p, picture(p, p->wrong_head));
    expect_failed(p, "SHA-256 is another", 3);
}

static void test_wrong_digest_then_fine(void **state)
{
    place *p = *state;
    SERVE(p, {.head = ACCEPTED}, picture(p, p->wrong_head), picture(p, p->head));
    expect_fine(p, 3);
}

static void test_no_digest(void **state)
{
    place *p = *state;
    SERVE(p, picture(p, "200 OK\r\nContent-Type: image/png\r\n"));
    expect_failed(p, "without its SHA-256", 1);
}

static void test_wrong_size(void **state)
{
    place *p = *state;
    SERVE(p, {.head = p->small_head, .body = p->small_png.bytes, .n_body = p->small_png.n_bytes});
    expect_failed(p, "a picture of 12 x 12 pixels instead of 24 x 24", 1);
}

static void test_wrong_types(void **state)
{
    place *p = *state;
    {
        SERVE(p, picture(p, p->jpeg_head));
        expect_failed(p, "sent image/png and called it image/jpeg", 1);
    }
    {
        SERVE(p, {.head = "200 OK\r\nContent-Type: text/html\r\n", .body = "<html>", .n_body = 6});
        expect_failed(p, "sent \"text/html\" instead of a picture", 1);
    }
    {
        SERVE(p, {.head = "200 OK\r\n"});
        expect_failed(p, "instead of a picture", 1);
    }
}

/* A picture whose head and checksum are right and whose data are not. */
static void test_damaged_picture(void **state)
{
    place *p = *state;
    tt_text cut = {0};
    char head[400];
    tt_text_add(&cut, p->png.bytes, p->png.n_bytes / 2);
    make_head(head, "image/png", &cut, true);
    SERVE(p, {.head = head, .body = cut.bytes, .n_body = cut.n_bytes});
    expect_failed(p, "the service's picture", 1);
    tt_text_free(&cut);
}

static void test_giant(void **state)
{
    place *p = *state;
    {
        SERVE(p, {.head = p->head, .declared = (size_t)1 << 40});
        expect_failed(p, "larger than it can be", 1);
    }
    {
        SERVE(p, {.head = p->head, .no_length = true, .n_endless = (size_t)1 << 30});
        expect_failed(p, "larger than it can be", 1);
    }
}

static void test_endless_head(void **state)
{
    place *p = *state;
    tt_text head = {0};
    tt_text_add_string(&head, "200 OK\r\n");
    for (int i = 0; i < 4000; i++)
        tt_text_format(&head, "X-Header-%d: something that nobody reads\r\n", i);
    SERVE(p, {.head = head.bytes});
    expect_failed(p, "larger than it can be", 1);
    tt_text_free(&head);
}

static void test_no_http(void **state)
{
    place *p = *state;
    SERVE(p, {.head = "\r\n\x01\x02\x03 this is no HTTP"});
    p->params.max_tries = 1;
    expect_failed(p, "Unsupported HTTP version", 1);
}

/* ---- time */

static void test_slow(void **state)
{
    place *p = *state;
    const double begun = tt_clock_seconds();
    p->params.timeout_seconds = 1;
    SERVE(p, {.head = p->head, .delay = 30});
    expect_failed(p, "was not done within 1 s", 1);
    assert_true(tt_clock_seconds() - begun < 4.0);
}

static void test_endless_queue(void **state)
{
    place *p = *state;
    p->params.timeout_seconds = 2;
    SERVE(p, {.head = "202 Accepted\r\nLocation: /v1/upscales/abc\r\nRetry-After: 1\r\n"});
    assert_int_equal(upscale(p), TT_ERROR_NETWORK);
    assert_non_null(strstr(tt_context_message(p->context), "was not done within 2 s"));
    /* Without a state file nobody could come back for the job. */
    const unsigned n = atomic_load(&p->server.n_requests);
    assert_true(n >= 3 && n <= 5);
    assert_true(scripted_server_got(&p->server, n - 1, "DELETE /v1/upscales/abc HTTP/1.1\r\n"));
    scripted_server_stop(&p->server);
}

typedef struct stopper {
    tt_cloud_phase phase;
    unsigned n_calls[6];
} stopper;

static bool stop_at(void *user, const tt_cloud_progress *progress)
{
    stopper *s = user;
    s->n_calls[progress->phase]++;
    return progress->phase != s->phase;
}

static void test_cancel(void **state)
{
    place *p = *state;
    stopper queued = {.phase = TT_CLOUD_WORK}, retry = {.phase = TT_CLOUD_RETRY};
    const double begun = tt_clock_seconds();
    p->params.progress = stop_at;
    p->params.progress_user = &queued;
    {
        SERVE(p, {.head = ACCEPTED}, {.head = ACCEPTED JSON, .body = "{\"status\":\"working\"}", .n_body = 20},
              {.head = ACCEPTED, .delay = 0.2}, {.head = "204 No Content\r\n"});
        assert_int_equal(upscale(p), TT_ERROR_CANCELLED);
        const unsigned n = atomic_load(&p->server.n_requests);
        assert_true(scripted_server_got(&p->server, n - 1, "DELETE /v1/upscales/abc HTTP/1.1\r\n"));
        scripted_server_stop(&p->server);
    }
    p->params.progress_user = &retry;
    {
        SERVE(p, {.head = "503 Busy\r\nRetry-After: 10\r\n"});
        assert_int_equal(upscale(p), TT_ERROR_CANCELLED);
        assert_int_equal(atomic_load(&p->server.n_requests), 1);
        scripted_server_stop(&p->server);
    }
    assert_true(tt_clock_seconds() - begun < 5.0);
    assert_true(retry.n_calls[TT_CLOUD_RETRY] == 1);
}

/* Cancelled while the answer to a sent body is out: the job that comes of it is dropped. */
static void test_cancel_while_posting(void **state)
{
    place *p = *state;
    stopper queued = {.phase = TT_CLOUD_UPLOAD};
    p->params.progress = stop_at;
    p->params.progress_user = &queued;
    SERVE(p, {.head = ACCEPTED, .delay = 0.5}, {.head = "204 No Content\r\n"});
    assert_int_equal(upscale(p), TT_ERROR_CANCELLED);
    assert_int_equal(atomic_load(&p->server.n_requests), 2);
    assert_true(scripted_server_got(&p->server, 1, "DELETE /v1/upscales/abc HTTP/1.1\r\n"));
    scripted_server_stop(&p->server);
}

/* ---- restarts */

static void test_resume(void **state)
{
    place *p = *state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    p->params.state_path = temp_folder_path(&folder, "state", path);
    p->params.timeout_seconds = 1;
    const server_step steps[] = {
        {.head = ACCEPTED}, {.head = ACCEPTED, .delay = 5}, picture(p, p->head), picture(p, p->head)};
    serve(p, steps, 2);
    assert_int_equal(upscale(p), TT_ERROR_NETWORK);
    assert_non_null(strstr(tt_context_message(p->context), "the same call goes on waiting"));
    assert_int_equal(temp_folder_count(&folder), 1);
    p->server.n_steps = 4;
    p->params.timeout_seconds = 20;
    assert_int_equal(upscale(p), TT_OK); /* same service, same picture: the job is asked for, nothing is sent */
    assert_true(p->report.is_resumed);
    assert_int_equal(p->report.sent_bytes, 0);
    assert_true(scripted_server_got(&p->server, 2, "GET /v1/upscales/abc/image "));
    assert_int_equal(temp_folder_count(&folder), 0);
    scripted_server_stop(&p->server);
    temp_folder_remove(&folder);
}

/* ---- before anything is sent */

static void expect_refused(place *p, tt_status status, const char *mention)
{
    assert_int_equal(tt_cloud_upscale(p->context, &p->params, &p->image, 2, &p->out, &p->report), status);
    if (strstr(tt_context_message(p->context), mention) == NULL)
        fail_msg("\"%s\" should mention \"%s\"", tt_context_message(p->context), mention);
}

static void test_not_sent(void **state)
{
    place *p = *state;
    SERVE(p, picture(p, p->head));
    p->params.allow_upload = false;
    expect_refused(p, TT_ERROR_ARGUMENT, "without permission");
    p->params.allow_upload = true;
    p->params.max_bytes = 50;
    expect_refused(p, TT_ERROR_NETWORK, "at most 50 may be");
    p->params.max_bytes = 1 << 20;
    p->params.token = "with space";
    expect_refused(p, TT_ERROR_ARGUMENT, "no bearer token");
    p->params.token = "line\r\nX-Evil: 1";
    expect_refused(p, TT_ERROR_ARGUMENT, "no bearer token");
    p->params.token = "";
    expect_refused(p, TT_ERROR_ARGUMENT, "no bearer token");
    p->params.token = NULL;
    p->params.max_tries = 0;
    expect_refused(p, TT_ERROR_ARGUMENT, "tried 1 to 100 times");
    p->params.max_tries = 1;
    p->params.timeout_seconds = 0;
    expect_refused(p, TT_ERROR_ARGUMENT, "waited for");
    p->params.timeout_seconds = 5;
    p->params.url = "http://example.org";
    expect_refused(p, TT_ERROR_ARGUMENT, "unencrypted");
    p->params.url = NULL;
    expect_refused(p, TT_ERROR_ARGUMENT, "no service");
    assert_int_equal(atomic_load(&p->server.n_requests), 0);
    scripted_server_stop(&p->server);
}

/* 256x256 pixels of noise, the worst that a draft can be, stay below 200 KB. */
static void test_largest_draft(void **state)
{
    enum { DRAFT = 256, MOST = 200000 };
    place *p = *state;
    tt_image noise = {DRAFT, DRAFT, 3, malloc((size_t)3 * DRAFT * DRAFT)}, out;
    uint32_t x = 1;
    assert_non_null(noise.pixels);
    for (size_t i = 0; i < (size_t)3 * DRAFT * DRAFT; i++) {
        x = x * 1664525 + 1013904223;
        noise.pixels[i] = (uint8_t)(x >> 24);
    }
    SERVE(p, {.head = "400 Bad Request\r\n"});
    assert_int_equal(tt_cloud_upscale(p->context, &p->params, &noise, 2, &out, &p->report), TT_ERROR_NETWORK);
    print_message("a draft of 256x256 pixels of noise: %llu bytes\n", (unsigned long long)p->report.sent_bytes);
    assert_in_range(p->report.sent_bytes, 1000, MOST);
    tt_image_free(&noise);
    scripted_server_stop(&p->server);
}

static void test_latent(void **state)
{
    place *p = *state;
    float values[4 * 32 * 32];
    tt_latent latent = {4, 32, 32, values};
    tt_image out;
    for (size_t i = 0; i < 4 * 32 * 32; i++)
        values[i] = (float)i * 0.01f - 20.0f;
    SERVE(p, {.head = "422 No Model\r\n"});
    assert_int_equal(tt_cloud_upscale_latent(p->context, &p->params, &latent, "0123456789", 8, 2, &out, &p->report),
                     TT_ERROR_NETWORK);
    print_message("a latent of 4x32x32: %llu bytes\n", (unsigned long long)p->report.sent_bytes);
    assert_int_equal(p->report.sent_bytes, 8244);
    assert_true(scripted_server_got(&p->server, 0, "\r\nContent-Type: application/x-tintype-latent\r\n"));
    assert_true(scripted_server_got(&p->server, 0, "\r\n\r\nTTL1\x04"));
    assert_true(scripted_server_got(&p->server, 0, "0123456789"));
    values[77] = 1e9f;
    assert_int_equal(tt_cloud_upscale_latent(p->context, &p->params, &latent, "0123456789", 8, 2, &out, NULL),
                     TT_ERROR_FORMAT);
    values[77] = 0;
    assert_int_equal(tt_cloud_upscale_latent(p->context, &p->params, &latent, "", 8, 2, &out, NULL),
                     TT_ERROR_UNSUPPORTED);
    assert_int_equal(tt_cloud_upscale_latent(p->context, &p->params, &latent, "xyz", 8, 2, &out, NULL),
                     TT_ERROR_ARGUMENT);
    assert_int_equal(atomic_load(&p->server.n_requests), 1);
    scripted_server_stop(&p->server);
}

static void test_nobody_there(void **state)
{
    place *p = *state;
    SERVE(p, picture(p, p->head));
    scripted_server_stop(&p->server);
    assert_int_equal(upscale(p), TT_ERROR_NETWORK);
    assert_non_null(strstr(tt_context_message(p->context), "cannot be reached"));
    assert_int_equal(p->report.n_tries, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_at_once),
                                       TEST(test_job),
                                       TEST(test_keys),
                                       TEST(test_busy_then_fine),
                                       TEST(test_retry_after),
                                       TEST(test_retry_after_too_long),
                                       TEST(test_storm),
                                       TEST(test_cut_then_fine),
                                       TEST(test_cut_upload_then_fine),
                                       TEST(test_cut_download_of_job),
                                       TEST(test_forgotten),
                                       TEST(test_forgotten_always),
                                       TEST(test_refusals),
                                       TEST(test_details),
                                       TEST(test_wrong_digest),
                                       TEST(test_wrong_digest_then_fine),
                                       TEST(test_no_digest),
                                       TEST(test_wrong_size),
                                       TEST(test_wrong_types),
                                       TEST(test_damaged_picture),
                                       TEST(test_giant),
                                       TEST(test_endless_head),
                                       TEST(test_no_http),
                                       TEST(test_slow),
                                       TEST(test_endless_queue),
                                       TEST(test_cancel),
                                       TEST(test_cancel_while_posting),
                                       TEST(test_resume),
                                       TEST(test_not_sent),
                                       TEST(test_largest_draft),
                                       TEST(test_latent),
                                       TEST(test_nobody_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
