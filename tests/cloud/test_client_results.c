/* test_client_results.c - the client and results that are none: damaged, of another size or type, giant, hostile. */
#include "tests/support/cloud-place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_wrong_digest(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(p, cloud_place_picture(p, p->wrong_head));
    cloud_place_failed(p, "SHA-256 is another", 3);
}

static void test_wrong_digest_then_fine(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(p, {.head = CLOUD_ACCEPTED}, cloud_place_picture(p, p->wrong_head), cloud_place_picture(p, p->head));
    cloud_place_fine(p, 3);
}

static void test_no_digest(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(p, cloud_place_picture(p, "200 OK\r\nContent-Type: image/png\r\n"));
    cloud_place_failed(p, "without its SHA-256", 1);
}

static void test_wrong_size(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(p, {.head = p->small_head, .body = p->small_png.bytes, .n_body = p->small_png.n_bytes});
    cloud_place_failed(p, "a picture of 12 x 12 pixels instead of 24 x 24", 1);
}

static void test_wrong_types(void **state)
{
    cloud_place *p = *state;
    {
        CLOUD_SERVE(p, cloud_place_picture(p, p->jpeg_head));
        cloud_place_failed(p, "sent image/png and called it image/jpeg", 1);
    }
    {
        CLOUD_SERVE(p, {.head = "200 OK\r\nContent-Type: text/html\r\n", .body = "<html>", .n_body = 6});
        cloud_place_failed(p, "sent \"text/html\" instead of a picture", 1);
    }
    {
        CLOUD_SERVE(p, {.head = "200 OK\r\n"});
        cloud_place_failed(p, "instead of a picture", 1);
    }
}

/* A picture whose head and checksum are right and whose data are not. */
static void test_damaged_picture(void **state)
{
    cloud_place *p = *state;
    tt_text cut = {0};
    char head[400];
    tt_text_add(&cut, p->png.bytes, p->png.n_bytes / 2);
    cloud_place_head(head, "image/png", &cut, true);
    CLOUD_SERVE(p, {.head = head, .body = cut.bytes, .n_body = cut.n_bytes});
    cloud_place_failed(p, "the service's picture", 1);
    tt_text_free(&cut);
}

static void test_giant(void **state)
{
    cloud_place *p = *state;
    {
        CLOUD_SERVE(p, {.head = p->head, .declared = (size_t)1 << 40});
        cloud_place_failed(p, "larger than it can be", 1);
    }
    {
        CLOUD_SERVE(p, {.head = p->head, .no_length = true, .n_endless = (size_t)1 << 30});
        cloud_place_failed(p, "larger than it can be", 1);
    }
}

static void test_endless_head(void **state)
{
    cloud_place *p = *state;
    tt_text head = {0};
    tt_text_add_string(&head, "200 OK\r\n");
    for (int i = 0; i < 4000; i++)
        tt_text_format(&head, "X-Header-%d: something that nobody reads\r\n", i);
    CLOUD_SERVE(p, {.head = head.bytes});
    cloud_place_failed(p, "larger than it can be", 1);
    tt_text_free(&head);
}

static void test_no_http(void **state)
{
    cloud_place *p = *state;
    CLOUD_SERVE(p, {.head = "\r\n\x01\x02\x03 this is no HTTP"});
    p->params.max_tries = 1;
    cloud_place_failed(p, "Unsupported HTTP version", 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, cloud_place_setup, cloud_place_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_wrong_digest), TEST(test_wrong_digest_then_fine), TEST(test_no_digest), TEST(test_wrong_size),
        TEST(test_wrong_types),  TEST(test_damaged_picture),        TEST(test_giant),     TEST(test_endless_head),
        TEST(test_no_http)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
