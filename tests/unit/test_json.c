/* test_json.c - JSON from untrusted files: limits, types and ranges. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *parse(const char *text)
{
    json_t *root;
    tt_error err = {""};
    if (tt_json_parse(text, strlen(text), "test.json", &root, &err) != TT_OK)
        fail_msg("%s", err.text);
    return root;
}

static void test_refused_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *mention;
    } cases[] = {
        {"", "JSON"},
        {"   ", "JSON"},
        {"[]", "object"},
        {"[1, 2]", "object"},
        {"5", "JSON"},
        {"{", "JSON"},
        {"}", "JSON"},
        {"{\"a\": 1,}", "JSON"},
        {"{\"a\": 1} x", "JSON"},
        {"{\"a\": 1, \"a\": 2}", "duplicate"},
        {"{\"o\": {\"b\": 1, \"\\u0062\": 2}}", "duplicate"},
        {"{\"a\": NaN}", "JSON"},
        {"{\"a\": Infinity}", "JSON"},
        {"{\"a\": 1e999}", "JSON"},
        {"{\"a\": 99999999999999999999}", "JSON"},
        {"{\"a\": 01}", "JSON"},
        {"{\"a\": \"\\u0000\"}", "JSON"},
        {"{\"a\": \"\xff\"}", "JSON"},
        {"{\"a\": \"\xed\xa0\x80\"}", "JSON"},
        {"{\"a\": \"line\nbreak\"}", "JSON"},
        {"{'a': 1}", "JSON"},
        {"{\"a\": 1 /* why */}", "JSON"},
        {"\xef\xbb\xbf{}", "JSON"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *root = (json_t *)state;
        tt_error err = {""};
        assert_int_equal(tt_json_parse(cases[i].text, strlen(cases[i].text), "unet/config.json", &root, &err),
                         TT_ERROR_FORMAT);
        assert_null(root);
        assert_memory_equal(err.text, "unet/config.json: ", 18);
        if (strstr(err.text, cases[i].mention) == NULL)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_null(strchr(err.text, '\n'));
    }
}

/* The text ends where it is said to end, not at a terminator. */
static void test_length_counts(void **state)
{
    (void)state;
    json_t *root;
    char *text = malloc(8);
    assert_non_null(text);
    memcpy(text, "{\"a\": 1}", 8);
    assert_int_equal(tt_json_parse(text, 8, "t", &root, NULL), TT_OK);
    json_decref(root);
    assert_int_equal(tt_json_parse(text, 7, "t", &root, NULL), TT_ERROR_FORMAT);
    free(text);
    assert_int_equal(tt_json_parse("{}}}", 2, "t", &root, NULL), TT_OK);
    json_decref(root);
    assert_int_equal(tt_json_parse("{}\0", 3, "t", &root, NULL), TT_ERROR_FORMAT);
}

/* {"a":{"a":...1...}}, n levels. */
static char *nested(int n)
{
    char *text = malloc((size_t)n * 6 + 2);
    size_t used = 0;
    assert_non_null(text);
    for (int i = 0; i < n; i++, used += 5)
        memcpy(text + used, "{\"a\":", 5);
    text[used++] = '1';
    memset(text + used, '}', (size_t)n);
    text[used + (size_t)n] = '\0';
    return text;
}

static void test_depth(void **state)
{
    (void)state;
    json_t *root;
    tt_error err;
    char *good = nested(64), *bad = nested(65), *far = nested(50000);
    json_decref(parse(good));
    assert_int_equal(tt_json_parse(bad, strlen(bad), "deep", &root, &err), TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "65 levels"));
    assert_int_equal(tt_json_parse(far, strlen(far), "deep", &root, &err), TT_ERROR_FORMAT);
    free(good);
    free(bad);
    free(far);
}

/* Brackets and quotes inside texts are no structure. */
static void test_brackets_in_texts(void **state)
{
    (void)state;
    char text[1024] = "{\"a\": \"\\\"";
    memset(text + strlen(text), '[', 500);
    (void)strcat(text, "\\\\\"}");
    json_t *root = parse(text);
    const char *value = NULL;
    assert_int_equal(tt_json_get_text(root, "a", &value, NULL), TT_OK);
    assert_int_equal(strlen(value), 502);
    json_decref(root);
}

static void test_value_count(void **state)
{
    (void)state;
    enum { N = 2100000 };
    json_t *root;
    tt_error err;
    char *text = malloc(2 * N + 16);
    assert_non_null(text);
    size_t used = 6;
    memcpy(text, "{\"a\":[", 6);
    for (int i = 0; i < N; i++) {
        text[used++] = '1';
        text[used++] = i + 1 < N ? ',' : ']';
    }
    text[used++] = '}';
    assert_int_equal(tt_json_parse(text, used, "large", &root, &err), TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "values"));
    free(text);
}

static const char example[] =
    "{\"u\": 8, \"zero\": 0, \"big\": 4294967295, \"over\": 4294967296, \"neg\": -1, \"real\": 8.0, \"frac\": 8.5,"
    " \"huge\": 1e300, \"text\": \"caf\xc3\xa9\", \"t\": true, \"f\": false, \"nil\": null, \"obj\": {\"x\": 1},"
    " \"list\": [320, 640, 1280.0], \"empty\": [], \"mixed\": [1, \"2\"], \"negs\": [1, -2], \"nested\": [[1]]}";

static void test_u32(void **state)
{
    (void)state;
    json_t *root = parse(example);
    static const struct {
        const char *key;
        tt_status status;
        uint32_t value;
    } cases[] = {
        {"u", TT_OK, 8},
        {"zero", TT_OK, 0},
        {"big", TT_OK, UINT32_MAX},
        {"real", TT_OK, 8},
        {"nil", TT_OK, 77},
        {"missing", TT_OK, 77},
        {"over", TT_ERROR_FORMAT, 77},
        {"neg", TT_ERROR_FORMAT, 77},
        {"frac", TT_ERROR_FORMAT, 77},
        {"huge", TT_ERROR_FORMAT, 77},
        {"text", TT_ERROR_FORMAT, 77},
        {"t", TT_ERROR_FORMAT, 77},
        {"obj", TT_ERROR_FORMAT, 77},
        {"list", TT_ERROR_FORMAT, 77},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t value = 77;
        tt_error err = {""};
        assert_int_equal(tt_json_get_u32(root, cases[i].key, 0, UINT32_MAX, &value, &err), cases[i].status);
        assert_int_equal(value, cases[i].value);
        assert_true((cases[i].status == TT_OK) == (strstr(err.text, cases[i].key) == NULL));
    }
    uint32_t value = 77;
    tt_error err;
    assert_int_equal(tt_json_get_u32(root, "u", 9, 10, &value, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text, "\"u\": expected a whole number from 9 to 10, found 8");
    assert_int_equal(tt_json_get_u32(root, "u", 1, 7, &value, &err), TT_ERROR_FORMAT);
    assert_int_equal(tt_json_get_u32(root, "u", 8, 8, &value, &err), TT_OK);
    json_decref(root);
}

static void test_other_getters(void **state)
{
    (void)state;
    json_t *root = parse(example);
    tt_error err;
    double number = 7.5;
    bool flag = true;
    const char *text = "default";
    assert_int_equal(tt_json_get_f64(root, "frac", &number, &err), TT_OK);
    assert_true(number == 8.5);
    assert_int_equal(tt_json_get_f64(root, "neg", &number, &err), TT_OK);
    assert_true(number == -1.0);
    assert_int_equal(tt_json_get_f64(root, "nil", &number, &err), TT_OK);
    assert_true(number == -1.0);
    assert_int_equal(tt_json_get_f64(root, "text", &number, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text, "\"text\": expected a number, found \"caf\xc3\xa9\"");
    assert_int_equal(tt_json_get_bool(root, "f", &flag, &err), TT_OK);
    assert_false(flag);
    assert_int_equal(tt_json_get_bool(root, "t", &flag, &err), TT_OK);
    assert_true(flag);
    assert_int_equal(tt_json_get_bool(root, "zero", &flag, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text, "\"zero\": expected true or false, found 0");
    assert_int_equal(tt_json_get_bool(root, "missing", &flag, &err), TT_OK);
    assert_true(flag);
    assert_int_equal(tt_json_get_text(root, "nil", &text, &err), TT_OK);
    assert_string_equal(text, "default");
    assert_int_equal(tt_json_get_text(root, "text", &text, &err), TT_OK);
    assert_string_equal(text, "caf\xc3\xa9");
    assert_int_equal(tt_json_get_text(root, "obj", &text, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text, "\"obj\": expected a text, found an object");
    assert_int_equal(tt_json_get_text(root, "list", &text, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text, "\"list\": expected a text, found an array of 3");
    assert_int_equal(tt_json_get_text(root, "t", &text, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text, "\"t\": expected a text, found true");
    assert_int_equal(tt_json_get_text(root, "frac", &text, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text, "\"frac\": expected a text, found 8.5");
    json_decref(root);
}

static void test_lists(void **state)
{
    (void)state;
    json_t *root = parse(example);
    uint32_t items[4] = {1, 2, 3, 4}, n = 77;
    tt_error err;
    assert_int_equal(tt_json_get_u32_list(root, "list", 1, 4096, items, 4, &n, &err), TT_OK);
    assert_int_equal(n, 3);
    assert_true(items[0] == 320 && items[1] == 640 && items[2] == 1280 && items[3] == 4);
    assert_int_equal(tt_json_get_u32_list(root, "u", 1, 4096, items, 4, &n, &err), TT_OK);
    assert_true(n == 1 && items[0] == 8);
    n = 77;
    assert_int_equal(tt_json_get_u32_list(root, "nil", 1, 9, items, 4, &n, &err), TT_OK);
    assert_int_equal(tt_json_get_u32_list(root, "missing", 1, 9, items, 4, &n, &err), TT_OK);
    assert_int_equal(n, 77);
    static const char *const bad[] = {"empty", "mixed", "negs", "nested", "text", "t", "zero", "obj"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(tt_json_get_u32_list(root, bad[i], 1, 4096, items, 4, &n, &err), TT_ERROR_FORMAT);
        assert_non_null(strstr(err.text, bad[i]));
    }
    assert_int_equal(tt_json_get_u32_list(root, "list", 1, 4096, items, 2, &n, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text, "\"list\": expected a list of 1 to 2 numbers, found 3");
    assert_int_equal(tt_json_get_u32_list(root, "list", 1, 1000, items, 4, &n, &err), TT_ERROR_FORMAT);
    assert_string_equal(err.text, "\"list\": expected a whole number from 1 to 1000, found 1280");
    assert_int_equal(n, 77);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_texts),     cmocka_unit_test(test_length_counts), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_brackets_in_texts), cmocka_unit_test(test_value_count),   cmocka_unit_test(test_u32),
        cmocka_unit_test(test_other_getters),     cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
