/* test_text.c - growing texts and the UTF-8 check. */
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_grows(void **state)
{
    (void)state;
    tt_text text = {0};
    tt_error err;
    for (int i = 0; i < 1000; i++)
        tt_text_format(&text, "%d,", i);
    tt_text_add_string(&text, "end");
    tt_text_add(&text, "\0x", 2);
    assert_int_equal(text.n_bytes, 10 * 2 + 90 * 3 + 900 * 4 + 3 + 2);
    assert_memory_equal(text.bytes, "0,1,2,", 6);
    assert_string_equal(text.bytes + text.n_bytes - 10, ",999,end");
    assert_int_equal(text.bytes[text.n_bytes], '\0');
    assert_int_equal(tt_text_status(&text, &err), TT_OK);
    tt_text_free(&text);
    assert_null(text.bytes);
    assert_int_equal(text.capacity, 0);
    tt_text_free(&text);
}

static void test_empty_additions(void **state)
{
    (void)state;
    tt_text text = {0};
    tt_text_add(&text, NULL, 0);
    assert_string_equal(text.bytes, "");
    tt_text_format(&text, "%s", "");
    assert_int_equal(text.n_bytes, 0);
    tt_text_free(&text);
}

/* After memory ran out nothing is added, and the status says so. */
static void test_failure_stays(void **state)
{
    (void)state;
    tt_text text = {0};
    tt_error err;
    tt_text_add_string(&text, "kept");
    tt_text_add(&text, "x", SIZE_MAX - 2);
    assert_true(text.failed);
    tt_text_add_string(&text, "more");
    tt_text_format(&text, "%d", 5);
    assert_string_equal(text.bytes, "kept");
    assert_int_equal(tt_text_status(&text, &err), TT_ERROR_MEMORY);
    assert_non_null(strstr(err.text, "memory"));
    tt_text_free(&text);
    assert_int_equal(tt_text_status(&text, &err), TT_OK);
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n_bytes, bad; /* bad == n_bytes: well-formed */
    } cases[] = {
        {"", 0, 0},
        {"plain", 5, 5},
        {"\0", 1, 1},
        {"\x7f\xc2\x80\xdf\xbf", 5, 5},
        {"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 12, 12},
        {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8, 8},
        {"a\x80", 2, 1},
        {"ab\xbf", 3, 2},
        {"\xc0\x80", 2, 0},
        {"\xc1\xbf", 2, 0},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xf0\x8f\xbf\xbf", 4, 0},
        {"\xed\xa0\x80", 3, 0},
        {"\xed\xbf\xbf", 3, 0},
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xf5\x80\x80\x80", 4, 0},
        {"\xff", 1, 0},
        {"x\xc3", 2, 1},
        {"x\xe7\x8c", 3, 1},
        {"x\xf0\x9f\x90", 4, 1},
        {"\xe7\x8c\x41", 3, 0},
        {"\xf0\x9f\x90\xc3", 4, 0},
        {"\xc3\xc3\xbc", 3, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t bad = 77;
        bool well_formed = cases[i].bad == cases[i].n_bytes;
        assert_int_equal(tt_utf8_valid(cases[i].bytes, cases[i].n_bytes, &bad), well_formed);
        assert_int_equal(bad, well_formed ? 77 : cases[i].bad);
        assert_int_equal(tt_utf8_valid(cases[i].bytes, cases[i].n_bytes, NULL), well_formed);
    }
}

/* Every code point by the rule of its encoding, surrogates refused, and every cut of it refused. */
static void test_every_code_point(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x110000; point++) {
        char bytes[4];
        size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
        for (size_t i = n; i-- > 0;)
            bytes[i] = (char)((i == 0 ? marks[n] : 0x80) | (point >> 6 * (n - 1 - i) & (i == 0 ? 0x7f : 0x3f)));
        bool is_surrogate = point >= 0xd800 && point < 0xe000;
        if (tt_utf8_valid(bytes, n, NULL) == is_surrogate)
            fail_msg("U+%04X", point);
        if (n > 1 && tt_utf8_valid(bytes, n - 1, NULL))
            fail_msg("U+%04X cut", point);
    }
}

static void test_string_copy(void **state)
{
    (void)state;
    char *copy = (char *)state;
    assert_true(tt_string_copy(NULL, &copy));
    assert_null(copy);
    assert_true(tt_string_copy("a b", &copy));
    assert_string_equal(copy, "a b");
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows), cmocka_unit_test(test_empty_additions),  cmocka_unit_test(test_failure_stays),
        cmocka_unit_test(test_utf8),  cmocka_unit_test(test_every_code_point), cmocka_unit_test(test_string_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
