/* test_problem.c - refusals as JSON. */
#include "service/problem.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_members(void **state)
{
    (void)state;
    tt_text text = {0};
    tt_error err = {""};
    json_t *root;
    const char *title = NULL, *detail = NULL, *type = NULL;
    uint32_t status = 0;
    assert_int_equal(tt_problem_write(422, "the \"picture\"\nis \xc3\xa4 mess", &text, &err), TT_OK);
    assert_int_equal(tt_json_parse(text.bytes, text.n_bytes, "problem", &root, &err), TT_OK);
    assert_int_equal(tt_json_get_text(root, "type", &type, &err), TT_OK);
    assert_int_equal(tt_json_get_text(root, "title", &title, &err), TT_OK);
    assert_int_equal(tt_json_get_text(root, "detail", &detail, &err), TT_OK);
    assert_int_equal(tt_json_get_u32(root, "status", 0, 999, &status, &err), TT_OK);
    assert_string_equal(type, "about:blank");
    assert_string_equal(title, "Unprocessable Content");
    assert_string_equal(detail, "the \"picture\"\nis \xc3\xa4 mess");
    assert_int_equal(status, 422);
    assert_int_equal(json_object_size(root), 4);
    json_decref(root);
    tt_text_free(&text);
}

static void test_no_text(void **state)
{
    (void)state;
    tt_text text = {0};
    tt_error err = {""};
    assert_int_equal(tt_problem_write(400, "\xff", &text, &err), TT_ERROR_INTERNAL);
    assert_int_equal(text.n_bytes, 0);
    assert_string_not_equal(err.text, "");
    tt_text_free(&text);
}

static void test_titles(void **state)
{
    (void)state;
    assert_string_equal(tt_http_status_title(404), "Not Found");
    assert_string_equal(tt_http_status_title(429), "Too Many Requests");
    assert_string_equal(tt_http_status_title(503), "Service Unavailable");
    assert_string_equal(tt_http_status_title(499), "Client Error");
    assert_string_equal(tt_http_status_title(599), "Server Error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_no_text),
        cmocka_unit_test(test_titles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
