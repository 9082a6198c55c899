/* test_error.c - error sentences and log lines. */
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_fail_formats_and_returns(void **state)
{
    (void)state;
    tt_error err;
    assert_int_equal(tt_fail(&err, TT_ERROR_FORMAT, "%s: expected %d, found %d", "a.png", 3, 4), TT_ERROR_FORMAT);
    assert_string_equal(err.text, "a.png: expected 3, found 4");
    assert_int_equal(tt_fail(NULL, TT_ERROR_IO, "%s", "nobody listens"), TT_ERROR_IO);
}

/* What must not reach a terminal is shown as '?'; plain UTF-8 stays. */
static void test_unsafe_characters(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *shown;
    } cases[] = {
        {"plain text", "plain text"},
        {"Gr\xc3\xbc\xc3\x9f"
         "e \xf0\x9f\x90\xb1 \xe7\x8c\xab",
         "Gr\xc3\xbc\xc3\x9f"
         "e \xf0\x9f\x90\xb1 \xe7\x8c\xab"},
        {"\033[31mred", "?[31mred"},
        {"line\nline\r\tend\x7f", "line?line??end?"},
        {"\xff\xfe", "??"},
        {"\xc3", "?"},
        {"\xe7\x8c", "??"},
        {"\xc0\xaf", "??"},
        {"\xed\xa0\x80", "???"},
        {"\xf4\x90\x80\x80", "????"},
        {"a\xc2\x9b"
         "b",
         "a?b"},
        {"x\xe2\x80\xae"
         "gnp.exe",
         "x?gnp.exe"},
        {"x\xe2\x81\xa6y", "x?y"},
        {"x\xe2\x80\xa8y", "x?y"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tt_error err;
        (void)tt_fail(&err, TT_ERROR_FORMAT, "%s", cases[i].raw);
        assert_string_equal(err.text, cases[i].shown);
    }
}

/* A long sentence is cut at the room there is, never inside a character. */
static void test_long_sentences(void **state)
{
    (void)state;
    char text[2001];
    tt_error err;
    for (int shift = 0; shift < 4; shift++) {
        memset(text, 'a', sizeof(text));
        for (size_t i = (size_t)shift; i + 4 < sizeof(text); i += 4)
            memcpy(text + i, "\xf0\x9f\x90\xb1", 4);
        text[sizeof(text) - 1] = '\0';
        (void)tt_fail(&err, TT_ERROR_FORMAT, "%s", text);
        size_t length = strlen(err.text);
        assert_in_range(length, sizeof(err.text) - 4, sizeof(err.text) - 1);
        assert_true(tt_utf8_valid(err.text, length, NULL));
        assert_memory_equal(err.text, text, length);
    }
    memset(text, '\n', sizeof(text) - 1);
    (void)tt_fail(&err, TT_ERROR_FORMAT, "%s", text);
    assert_int_equal(strspn(err.text, "?"), sizeof(err.text) - 1);
}

static void test_prefix(void **state)
{
    (void)state;
    tt_error err;
    (void)tt_fail(&err, TT_ERROR_FORMAT, "expected 3");
    tt_error_prefix(&err, "unet/config.json");
    assert_string_equal(err.text, "unet/config.json: expected 3");
    tt_error_prefix(NULL, "nobody");
    /* Arguments may come from the sentence itself. */
    (void)tt_fail(&err, TT_ERROR_FORMAT, "model: %s", err.text);
    assert_string_equal(err.text, "model: unet/config.json: expected 3");
}

static void test_memory(void **state)
{
    (void)state;
    tt_error err;
    assert_int_equal(tt_fail_memory(&err, "the latent", 4096), TT_ERROR_MEMORY);
    assert_non_null(strstr(err.text, "the latent"));
    assert_non_null(strstr(err.text, "4096 bytes"));
}

static void test_status_names(void **state)
{
    (void)state;
    assert_string_equal(tt_status_name(TT_OK), "ok");
    assert_string_equal(tt_status_name(TT_ERROR_FORMAT), "format");
    assert_string_equal(tt_status_name(TT_ERROR_INTERNAL), "internal");
    assert_string_equal(tt_status_name((tt_status)99), "unknown");
    for (int i = 0; i <= TT_ERROR_INTERNAL; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(tt_status_name((tt_status)i), tt_status_name((tt_status)j));
}

typedef struct heard {
    int n_lines;
    tt_log_level level;
    char line[2048];
} heard;

static void listen(void *user, tt_log_level level, const char *line)
{
    heard *last = user;
    last->n_lines++;
    last->level = level;
    (void)snprintf(last->line, sizeof(last->line), "%s", line);
}

static void test_log(void **state)
{
    (void)state;
    heard last = {0};
    const tt_log log = {listen, &last}, silent = {NULL, NULL};
    tt_log_write(&log, TT_LOG_WARNING, "%d of %d", 2, 3);
    assert_int_equal(last.n_lines, 1);
    assert_int_equal(last.level, TT_LOG_WARNING);
    assert_string_equal(last.line, "2 of 3");
    char text[4000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    tt_log_write(&log, TT_LOG_DEBUG, "%s", text);
    assert_int_equal(strlen(last.line), 1023);
    tt_log_write(&silent, TT_LOG_INFO, "dropped");
    tt_log_write(NULL, TT_LOG_INFO, "dropped");
    assert_int_equal(last.n_lines, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_formats_and_returns),
        cmocka_unit_test(test_unsafe_characters),
        cmocka_unit_test(test_long_sentences),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_status_names),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
