/* test_client.c - the client against services that do everything wrong: cut and slow ones, refusals that pass
 * and refusals that stay, restarts, cancelling. test_client_results.c has results that are none. */
#define _DEFAULT_SOURCE
#include "base/clock.h"
#include "tests/support/cloud-place.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the honest way */

static void test_at_once(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(p, cloud_place_picture(p, p->head));
    assert_int_equal(cloud_place_upscale(p), TT_OK);
    assert_int_equal(p->report.n_tries, 1);
    assert_int_equal(p->report.received_bytes, p->png.n_bytes);
    assert_int_equal(p->report.sent_bytes, p->small_png.n_bytes);
    assert_true(scripted_server_got(&p->server, 0, "POST /v1/upscales?scale=2 HTTP/1.1\r\n"));
    assert_true(scripted_server_got(&p->server, 0, "\r\nUser-Agent: tintype/"));
    assert_true(scripted_server_got(&p->server, 0, "\r\nAuthorization: Bearer " CLOUD_TOKEN "\r\n"));
    assert_true(scripted_server_got(&p->server, 0, "\r\nContent-Type: image/png\r\n"));
    assert_true(scripted_server_got(&p->server, 0, "\r\nIdempotency-Key: "));
    assert_false(scripted_server_got(&p->server, 0, "Cookie"));
    scripted_server_stop(&p->server);
}

static void test_job(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(
        p,
        {.head = CLOUD_ACCEPTED CLOUD_JSON "TT-Queue-Position: 3\r\n", .body = "{\"status\":\"queued\"}", .n_body = 19},
        {.head = CLOUD_ACCEPTED CLOUD_JSON, .body = "{\"status\":\"working\"}", .n_body = 20},
        cloud_place_picture(p, p->head));
    assert_int_equal(cloud_place_upscale(p), TT_OK);
    assert_string_equal(p->report.job, "abc");
    assert_true(scripted_server_got(&p->server, 1, "GET /v1/upscales/abc/image HTTP/1.1\r\n"));
    assert_true(scripted_server_got(&p->server, 1, "\r\nPrefer: wait=1"));
    assert_int_equal(atomic_load(&p->server.n_requests), 3);
    scripted_server_stop(&p->server);
}

/* The same picture has the same key, another scale another. */
static void test_keys(void **state)
{
    cloud_place *p = *state;
    char key[3][100];
    CLOUD_SERVE(p, cloud_place_picture(p, p->head));
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
    cloud_place *p = *state;
    CLOUD_SERVE(p, CLOUD_PROBLEM("429 Too Many Requests", "too many"), CLOUD_PROBLEM("503 Service Unavailable", "full"),
                cloud_place_picture(p, p->head));
    cloud_place_fine(p, 3);
    assert_int_equal(p->report.n_tries, 3);
}

/* Retry-After is kept. */
static void test_retry_after(void **state)
{
    cloud_place *p = *state;
    const double begun = tt_clock_seconds();
    CLOUD_SERVE(p, {.head = "503 Busy\r\nRetry-After: 1\r\n"}, cloud_place_picture(p, p->head));
    cloud_place_fine(p, 2);
    assert_true(tt_clock_seconds() - begun >= 1.0);
}

/* One that is longer than there is time ends the call at once. */
static void test_retry_after_too_long(void **state)
{
    cloud_place *p = *state;
    const double begun = tt_clock_seconds();
    p->params.timeout_seconds = 10;
    CLOUD_SERVE(p, {.head = "503 Busy\r\nRetry-After: 50\r\n"});
    cloud_place_failed(p, "too busy (503)", 1);
    assert_true(tt_clock_seconds() - begun < 5.0);
}

static void test_storm(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(p, CLOUD_PROBLEM("503 Service Unavailable", "the queue is full"));
    cloud_place_failed(p, "too busy (503: the queue is full)", 3);
}

static void test_cut_then_fine(void **state)
{
    cloud_place *p = *state;
    server_step half = cloud_place_picture(p, p->head);
    half.declared = half.n_body;
    half.n_body /= 2;
    CLOUD_SERVE(p, {.head = NULL}, half, cloud_place_picture(p, p->head));
    cloud_place_fine(p, 3);
}

static void test_cut_upload_then_fine(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(p, {.head = NULL, .n_read = 40}, cloud_place_picture(p, p->head));
    cloud_place_fine(p, 2);
}

/* A job that is asked for again after the connection broke is not sent again. */
static void test_cut_download_of_job(void **state)
{
    cloud_place *p = *state;
    server_step half = cloud_place_picture(p, p->head);
    half.declared = half.n_body;
    half.n_body /= 2;
    CLOUD_SERVE(p, {.head = CLOUD_ACCEPTED}, half, cloud_place_picture(p, p->head));
    assert_int_equal(cloud_place_upscale(p), TT_OK);
    assert_true(scripted_server_got(&p->server, 1, "GET "));
    assert_true(scripted_server_got(&p->server, 2, "GET "));
    scripted_server_stop(&p->server);
}

/* A service that has forgotten the job, or thrown its result away, gets the picture again, but not for ever. */
static void test_forgotten(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(p, {.head = CLOUD_ACCEPTED}, CLOUD_PROBLEM("404 Not Found", "no such job"), {.head = CLOUD_ACCEPTED},
                CLOUD_PROBLEM("410 Gone", "thrown away"), cloud_place_picture(p, p->head));
    cloud_place_fine(p, 5);
}

static void test_forgotten_always(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(p, {.head = CLOUD_ACCEPTED}, CLOUD_PROBLEM("410 Gone", "gone"), {.head = CLOUD_ACCEPTED},
                CLOUD_PROBLEM("410 Gone", "gone"), {.head = CLOUD_ACCEPTED}, CLOUD_PROBLEM("410 Gone", "gone"));
    cloud_place_failed(p, "answered 410: gone", 0);
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
    cloud_place *p = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLOUD_SERVE(p, {.head = cases[i].head});
        cloud_place_failed(p, cases[i].mention, 1);
    }
}

/* A problem's detail reaches the sentence without control characters, cut, and never with the token. */
static void test_details(void **state)
{
    cloud_place *p = *state;
    static char longest[5000];
    {
        CLOUD_SERVE(p, CLOUD_PROBLEM("422 Unprocessable", "the \\u001b[31mPNG\\n is damaged"));
        cloud_place_failed(p, "PNG", 1);
    }
    {
        CLOUD_SERVE(p, CLOUD_PROBLEM("400 Bad Request", "you sent " CLOUD_TOKEN));
        cloud_place_failed(p, "answered 400", 1);
    }
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "{\"detail\":\"", 11);
    memcpy(longest + sizeof longest - 2, "\"}", 2);
    {
        CLOUD_SERVE(p, {.head = "400 Bad\r\nContent-Type: application/problem+json\r\n",
                        .body = longest,
                        .n_body = sizeof longest});
        cloud_place_failed(p, "answered 400: aaaa", 1);
    }
    {
        CLOUD_SERVE(
            p,
            {.head = "400 Bad\r\nContent-Type: application/problem+json\r\n", .body = "{\"detail\":3", .n_body = 11});
        cloud_place_failed(p, "answered 400", 1);
    }
}

/* ---- time */

static void test_slow(void **state)
{
    cloud_place *p = *state;
    const double begun = tt_clock_seconds();
    p->params.timeout_seconds = 1;
    CLOUD_SERVE(p, {.head = p->head, .delay = 30});
    cloud_place_failed(p, "was not done within 1 s", 1);
    assert_true(tt_clock_seconds() - begun < 4.0);
}

static void test_endless_queue(void **state)
{
    cloud_place *p = *state;
    p->params.timeout_seconds = 2;
    CLOUD_SERVE(p, {.head = "202 Accepted\r\nLocation: /v1/upscales/abc\r\nRetry-After: 1\r\n"});
    assert_int_equal(cloud_place_upscale(p), TT_ERROR_NETWORK);
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
    cloud_place *p = *state;
    stopper queued = {.phase = TT_CLOUD_WORK}, retry = {.phase = TT_CLOUD_RETRY};
    const double begun = tt_clock_seconds();
    p->params.progress = stop_at;
    p->params.progress_user = &queued;
    {
        CLOUD_SERVE(p, {.head = CLOUD_ACCEPTED},
                    {.head = CLOUD_ACCEPTED CLOUD_JSON, .body = "{\"status\":\"working\"}", .n_body = 20},
                    {.head = CLOUD_ACCEPTED, .delay = 0.2}, {.head = "204 No Content\r\n"});
        assert_int_equal(cloud_place_upscale(p), TT_ERROR_CANCELLED);
        const unsigned n = atomic_load(&p->server.n_requests);
        assert_true(scripted_server_got(&p->server, n - 1, "DELETE /v1/upscales/abc HTTP/1.1\r\n"));
        scripted_server_stop(&p->server);
    }
    p->params.progress_user = &retry;
    {
        CLOUD_SERVE(p, {.head = "503 Busy\r\nRetry-After: 10\r\n"});
        assert_int_equal(cloud_place_upscale(p), TT_ERROR_CANCELLED);
        assert_int_equal(atomic_load(&p->server.n_requests), 1);
        scripted_server_stop(&p->server);
    }
    assert_true(tt_clock_seconds() - begun < 5.0);
    assert_true(retry.n_calls[TT_CLOUD_RETRY] == 1);
}

/* Cancelled while the answer to a sent body is out: the job that comes of it is dropped. */
static void test_cancel_while_posting(void **state)
{
    cloud_place *p = *state;
    stopper queued = {.phase = TT_CLOUD_UPLOAD};
    p->params.progress = stop_at;
    p->params.progress_user = &queued;
    CLOUD_SERVE(p, {.head = CLOUD_ACCEPTED, .delay = 0.5}, {.head = "204 No Content\r\n"});
    assert_int_equal(cloud_place_upscale(p), TT_ERROR_CANCELLED);
    assert_int_equal(atomic_load(&p->server.n_requests), 2);
    assert_true(scripted_server_got(&p->server, 1, "DELETE /v1/upscales/abc HTTP/1.1\r\n"));
    scripted_server_stop(&p->server);
}

/* ---- restarts */

static void test_resume(void **state)
{
    cloud_place *p = *state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    p->params.state_path = temp_folder_path(&folder, "state", path);
    p->params.timeout_seconds = 1;
    const server_step steps[] = {{.head = CLOUD_ACCEPTED},
                                 {.head = CLOUD_ACCEPTED, .delay = 5},
                                 cloud_place_picture(p, p->head),
                                 cloud_place_picture(p, p->head)};
    cloud_place_serve(p, steps, 2);
    assert_int_equal(cloud_place_upscale(p), TT_ERROR_NETWORK);
    assert_non_null(strstr(tt_context_message(p->context), "the same call goes on waiting"));
    assert_int_equal(temp_folder_count(&folder), 1);
    p->server.n_steps = 4;
    p->params.timeout_seconds = 20;
    assert_int_equal(cloud_place_upscale(p),
                     TT_OK); /* same service, same picture: the job is asked for, nothing is sent */
    assert_true(p->report.is_resumed);
    assert_int_equal(p->report.sent_bytes, 0);
    assert_true(scripted_server_got(&p->server, 2, "GET /v1/upscales/abc/image "));
    assert_int_equal(temp_folder_count(&folder), 0);
    scripted_server_stop(&p->server);
    temp_folder_remove(&folder);
}

/* A job that failed is forgotten here and there, so that the next call makes a new one. */
static void test_failed_job(void **state)
{
    cloud_place *p = *state;
    temp_folder folder;
    char path[TT_TEMP_PATH];
    temp_folder_make(&folder);
    p->params.state_path = temp_folder_path(&folder, "state", path);
    CLOUD_SERVE(p, {.head = CLOUD_ACCEPTED}, CLOUD_PROBLEM("422 Unprocessable", "the picture is damaged"),
                {.head = "204 No Content\r\n"});
    assert_int_equal(cloud_place_upscale(p), TT_ERROR_NETWORK);
    assert_non_null(strstr(tt_context_message(p->context), "answered 422: the picture is damaged"));
    assert_true(scripted_server_got(&p->server, 2, "DELETE /v1/upscales/abc "));
    assert_int_equal(temp_folder_count(&folder), 0);
    scripted_server_stop(&p->server);
    temp_folder_remove(&folder);
}

/* ---- before anything is sent */

static void expect_refused(cloud_place *p, tt_status status, const char *mention)
{
    assert_int_equal(tt_cloud_upscale(p->context, &p->params, &p->image, 2, &p->out, &p->report), status);
    if (strstr(tt_context_message(p->context), mention) == NULL)
        fail_msg("\"%s\" should mention \"%s\"", tt_context_message(p->context), mention);
}

static void test_not_sent(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(p, cloud_place_picture(p, p->head));
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
    cloud_place *p = *state;
    tt_image noise = {DRAFT, DRAFT, 3, malloc((size_t)3 * DRAFT * DRAFT)}, out;
    uint32_t x = 1;
    assert_non_null(noise.pixels);
    for (size_t i = 0; i < (size_t)3 * DRAFT * DRAFT; i++) {
        x = x * 1664525 + 1013904223;
        noise.pixels[i] = (uint8_t)(x >> 24);
    }
    CLOUD_SERVE(p, {.head = "400 Bad Request\r\n"});
    assert_int_equal(tt_cloud_upscale(p->context, &p->params, &noise, 2, &out, &p->report), TT_ERROR_NETWORK);
    print_message("a draft of 256x256 pixels of noise: %llu bytes\n", (unsigned long long)p->report.sent_bytes);
    assert_in_range(p->report.sent_bytes, 1000, MOST);
    tt_image_free(&noise);
    scripted_server_stop(&p->server);
}

static void test_latent(void **state)
{
    cloud_place *p = *state;
    float values[4 * 32 * 32];
    tt_latent latent = {4, 32, 32, values};
    tt_image out;
    for (size_t i = 0; i < 4 * 32 * 32; i++)
        values[i] = (float)i * 0.01f - 20.0f;
    CLOUD_SERVE(p, {.head = "422 No Model\r\n"});
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
    cloud_place *p = *state;
    CLOUD_SERVE(p, cloud_place_picture(p, p->head));
    scripted_server_stop(&p->server);
    assert_int_equal(cloud_place_upscale(p), TT_ERROR_NETWORK);
    assert_non_null(strstr(tt_context_message(p->context), "cannot be reached"));
    assert_int_equal(p->report.n_tries, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, cloud_place_setup, cloud_place_teardown)
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
                                       TEST(test_slow),
                                       TEST(test_endless_queue),
                                       TEST(test_cancel),
                                       TEST(test_cancel_while_posting),
                                       TEST(test_resume),
                                       TEST(test_failed_job),
                                       TEST(test_not_sent),
                                       TEST(test_largest_draft),
                                       TEST(test_latent),
                                       TEST(test_nobody_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
