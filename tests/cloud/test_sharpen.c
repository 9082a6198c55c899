/* test_sharpen.c - tt_sharpen: who does it, why, and what is left of a job that the device took over. */
#include "tests/support/golden.h"
#include "tests/support/scripted-server.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 24 };

static tt_context *context;
static tt_upscaler *upscaler;
static tt_image draft, local;

static int set_up(void **state)
{
    tt_upscaler_params params;
    (void)state;
    context = golden_context();
    tt_upscaler_params_default(&params);
    params.path = "models/tintype-x2.safetensors";
    assert_int_equal(tt_upscaler_load(context, &params, &upscaler), TT_OK);
    draft = (tt_image){SIDE, SIDE, 3, malloc((size_t)3 * SIDE * SIDE)};
    assert_non_null(draft.pixels);
    for (size_t i = 0; i < (size_t)3 * SIDE * SIDE; i++)
        draft.pixels[i] = (uint8_t)(i * i);
    assert_int_equal(tt_upscale(upscaler, &draft, 2, NULL, NULL, &local), TT_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tt_image_free(&draft);
    tt_image_free(&local);
    tt_upscaler_destroy(upscaler);
    tt_context_destroy(context);
    return 0;
}

static tt_sharpen_params params_for(tt_sharpen_by by, const char *url)
{
    tt_sharpen_params p;
    tt_sharpen_params_default(&p);
    p.by = by;
    p.upscaler = upscaler;
    p.cloud.url = url;
    p.cloud.allow_upload = true;
    p.cloud.max_tries = 1;
    return p;
}

/* The device's own picture came, and the reason says why. */
static void expect_local(const tt_sharpen_params *p, const char *reason)
{
    tt_image out;
    tt_sharpen_report report;
    if (tt_sharpen(context, p, &draft, &out, &report) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    assert_int_equal(report.by, TT_SHARPEN_LOCAL);
    if (strstr(report.reason, reason) == NULL)
        fail_msg("\"%s\" should mention \"%s\"", report.reason, reason);
    assert_int_equal(out.width, 2 * SIDE);
    assert_memory_equal(out.pixels, local.pixels, (size_t)3 * 4 * SIDE * SIDE);
    tt_image_free(&out);
}

static void test_local(void **state)
{
    (void)state;
    tt_sharpen_params p = params_for(TT_SHARPEN_LOCAL, NULL);
    expect_local(&p, "");
    p = params_for(TT_SHARPEN_AUTO, NULL);
    expect_local(&p, "no service is set");
    p = params_for(TT_SHARPEN_AUTO, "http://127.0.0.1:1");
    p.cloud.allow_upload = false;
    expect_local(&p, "not allowed");
    p.cloud.allow_upload = true;
    p.route_detail = 1.0;
    expect_local(&p, "below 1.000");
    p.route_detail = 0.0;
    expect_local(&p, "cannot be reached");
    p.cloud.url = "http://example.org";
    expect_local(&p, "unencrypted");
}

/* A job that the service has taken and then fails is dropped, and so is what a restart would look for. */
static void test_taken_over(void **state)
{
    static const server_step steps[] = {{.head = "202 Accepted\r\nLocation: /v1/upscales/abc\r\n"},
                                        {.head = "503 Busy\r\n"},
                                        {.head = "204 No Content\r\n"}};
    temp_folder folder;
    char path[TT_TEMP_PATH], url[64];
    scripted_server server;
    (void)state;
    temp_folder_make(&folder);
    scripted_server_start(&server, steps, 3);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", server.port);
    tt_sharpen_params p = params_for(TT_SHARPEN_AUTO, url);
    p.cloud.state_path = temp_folder_path(&folder, "state", path);
    expect_local(&p, "too busy (503)");
    assert_true(scripted_server_got(&server, 2, "DELETE /v1/upscales/abc "));
    assert_int_equal(temp_folder_count(&folder), 0);
    scripted_server_stop(&server);
    temp_folder_remove(&folder);
}

static void test_refusals(void **state)
{
    tt_image out;
    (void)state;
    tt_sharpen_params p = params_for(TT_SHARPEN_CLOUD, "http://127.0.0.1:1");
    assert_int_equal(tt_sharpen(context, &p, &draft, &out, NULL), TT_ERROR_NETWORK);
    assert_int_equal(tt_sharpen(context, &p, NULL, &out, NULL), TT_ERROR_ARGUMENT);
    p.cloud.url = NULL;
    assert_int_equal(tt_sharpen(context, &p, &draft, &out, NULL), TT_ERROR_ARGUMENT);
    p = params_for(TT_SHARPEN_AUTO, NULL);
    p.scale = 5;
    assert_int_equal(tt_sharpen(context, &p, &draft, &out, NULL), TT_ERROR_ARGUMENT);
    p.scale = 2;
    p.upscaler = NULL;
    assert_int_equal(tt_sharpen(context, &p, &draft, &out, NULL), TT_ERROR_ARGUMENT);
    assert_null(out.pixels);
}

static bool stop(void *user, uint32_t tile, uint32_t n_tiles)
{
    (void)user;
    (void)tile;
    (void)n_tiles;
    return false;
}

static void test_cancel(void **state)
{
    tt_image out;
    (void)state;
    tt_sharpen_params p = params_for(TT_SHARPEN_LOCAL, NULL);
    p.local_progress = stop;
    assert_int_equal(tt_sharpen(context, &p, &draft, &out, NULL), TT_ERROR_CANCELLED);
    assert_null(out.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_local), cmocka_unit_test(test_taken_over),
                                       cmocka_unit_test(test_refusals), cmocka_unit_test(test_cancel)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
