/* test_base64.c - RFC 4648's own examples, all lengths there and back, and what is no base64. */
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_examples(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"", ""},
                 {"f", "Zg=="},
                 {"fo", "Zm8="},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg=="},
                 {"fooba", "Zm9vYmE="},
                 {"foobar", "Zm9vYmFy"},
                 {"\xff\xef\xbe", "/+++"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[16];
        uint8_t bytes[16];
        size_t n = 99;
        tt_base64_encode(cases[i].bytes, strlen(cases[i].bytes), text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(tt_base64_length(strlen(cases[i].bytes)), strlen(text));
        assert_true(tt_base64_decode(text, strlen(text), bytes, &n));
        assert_int_equal(n, strlen(cases[i].bytes));
        assert_memory_equal(bytes, cases[i].bytes, n);
    }
}

static void test_there_and_back(void **state)
{
    (void)state;
    uint8_t bytes[67], back[72];
    char text[93];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 151 + 7);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        size_t n_back = 99;
        memset(text, 'x', sizeof text);
        tt_base64_encode(bytes, n, text);
        assert_int_equal(strlen(text), tt_base64_length(n));
        assert_true(tt_base64_decode(text, strcspn(text, "="), back, &n_back)); /* without its padding */
        assert_int_equal(n_back, n);
        assert_memory_equal(back, bytes, n);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "Z", "Zg=", "=", "==", "====", "Zg==Zg==", "Zm9v\n", "Zm 9", "Zm9-", "Zm_v", "Z===", "A\xff=="};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[16];
        size_t n;
        if (tt_base64_decode(cases[i], strlen(cases[i]), bytes, &n))
            fail_msg("\"%s\" was taken", cases[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
