/* test_tokens.c - files of tokens, good and bad; looking tokens up; making them. */
#include "service/tokens.h"

#include "base/sha256.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static temp_folder folder;

static int set_up(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_folder_remove(&folder);
    return 0;
}

static tt_status read_text(const char *text, tt_tokens **tokens, tt_error *err)
{
    char path[TT_TEMP_PATH];
    temp_folder_write_text(&folder, "tokens", text);
    return tt_tokens_read(temp_folder_path(&folder, "tokens", path), tokens, err);
}

static uint32_t code_of(const tt_tokens *tokens, const char *authorization, tt_token_owner *owner)
{
    uint32_t code = 999;
    const bool found = tt_tokens_find(tokens, authorization, owner, &code);
    assert_int_equal(found, code == 0);
    return code;
}

static void test_lookup(void **state)
{
    (void)state;
    char ada[65], bob[65], text[400], header[400];
    tt_tokens *tokens;
    tt_token_owner owner;
    tt_error err = {""};
    assert_int_equal(tt_sha256_hex("ada-token", 9, ada, &err), TT_OK);
    assert_int_equal(tt_sha256_hex("bob", 3, bob, &err), TT_OK);
    (void)snprintf(text, sizeof text, "# who\n\nada %s\n  bob.2\t%s 7\r\n", ada, bob);
    assert_int_equal(read_text(text, &tokens, &err), TT_OK);

    assert_int_equal(code_of(tokens, "Bearer ada-token", &owner), 0);
    assert_string_equal(owner.name, "ada");
    assert_int_equal(owner.max_queued, 0);
    assert_int_equal(code_of(tokens, "bearer  bob", &owner), 0);
    assert_string_equal(owner.name, "bob.2");
    assert_int_equal(owner.max_queued, 7);

    static const char *const none[] = {"", "Basic YTpi", "Bearer", "Bearer ", "Bearer a b", "Bearer a\"b", "ada-token"};
    assert_int_equal(code_of(tokens, NULL, &owner), 401);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(code_of(tokens, none[i], &owner), 401);
    (void)snprintf(header, sizeof header, "Bearer %s", ada); /* the digest is no token */
    static const char *const unknown[] = {"Bearer ada-toke", "Bearer ada-tokenn", "Bearer ADA-TOKEN", "Bearer x"};
    assert_int_equal(code_of(tokens, header, &owner), 403);
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_int_equal(code_of(tokens, unknown[i], &owner), 403);
        assert_string_equal(owner.name, "");
    }
    memset(header + 7, 'a', 300);
    header[307] = '\0';
    assert_int_equal(code_of(tokens, header, &owner), 401); /* longer than any token */
    tt_tokens_free(tokens);
}

static void test_no_file(void **state)
{
    (void)state;
    tt_tokens *tokens;
    tt_token_owner owner;
    tt_error err = {""};
    assert_int_equal(tt_tokens_read(NULL, &tokens, &err), TT_OK);
    assert_int_equal(code_of(tokens, NULL, &owner), 0);
    assert_string_equal(owner.name, "anyone");
    tt_tokens_free(tokens);
}

static void test_bad_files(void **state)
{
    (void)state;
    static const char digest[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static const char *const formats[] = {"",
                                          "# nothing\n",
                                          "ada\n",
                                          "ada %.63s\n",
                                          "ada %s0\n",
                                          "ada %s 0\n",
                                          "ada %s -1\n",
                                          "ada %s 5x\n",
                                          "ada %s 5 6\n",
                                          "a/b %s\n",
                                          "ada %s\nbob %s\n",
                                          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa %s\n"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        char text[400];
        tt_tokens *tokens = (tt_tokens *)state;
        tt_error err = {""};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(text, sizeof text, formats[i], digest, digest);
#pragma GCC diagnostic pop
        if (read_text(text, &tokens, &err) != TT_ERROR_FORMAT)
            fail_msg("taken: %s", text);
        assert_null(tokens);
        assert_non_null(strstr(err.text, "tokens: "));
        assert_null(strstr(err.text, digest));
    }
    tt_tokens *tokens;
    tt_error err = {""};
    assert_int_equal(tt_tokens_read("/nonexistent/tokens", &tokens, &err), TT_ERROR_IO);
    temp_folder_write(&folder, "binary", "ada\0x", 5);
    char path[TT_TEMP_PATH];
    assert_int_equal(tt_tokens_read(temp_folder_path(&folder, "binary", path), &tokens, &err), TT_ERROR_FORMAT);
}

static void test_many(void **state)
{
    (void)state;
    static char text[200 * 80];
    char token[32], digest[65];
    size_t n = 0;
    tt_tokens *tokens;
    tt_token_owner owner;
    tt_error err = {""};
    for (int i = 0; i < 200; i++) {
        (void)snprintf(token, sizeof token, "Bearer t%d", i);
        assert_int_equal(tt_sha256_hex(token + 7, strlen(token + 7), digest, &err), TT_OK);
        n += (size_t)snprintf(text + n, sizeof text - n, "n%d %s\n", i, digest);
    }
    assert_int_equal(read_text(text, &tokens, &err), TT_OK);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(token, sizeof token, "Bearer t%d", i);
        assert_int_equal(code_of(tokens, token, &owner), 0);
        assert_int_equal(owner.name[0], 'n');
        assert_string_equal(owner.name + 1, token + 8);
    }
    tt_tokens_free(tokens);
}

static void test_new_token(void **state)
{
    (void)state;
    char token[64], other[64], line[160], header[80];
    tt_tokens *tokens;
    tt_token_owner owner;
    tt_error err = {""};
    assert_int_equal(tt_token_make("carol", other, line, &err), TT_OK);
    assert_int_equal(tt_token_make("carol", token, line, &err), TT_OK);
    assert_int_equal(strlen(token), 43);
    assert_string_not_equal(token, other);
    assert_null(strstr(line, token));
    assert_int_equal(read_text(line, &tokens, &err), TT_OK);
    (void)snprintf(header, sizeof header, "Bearer %s", token);
    assert_int_equal(code_of(tokens, header, &owner), 0);
    assert_string_equal(owner.name, "carol");
    tt_tokens_free(tokens);
    assert_int_equal(tt_token_make("two words", token, line, &err), TT_ERROR_ARGUMENT);
    assert_int_equal(tt_token_make("", token, line, &err), TT_ERROR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup), cmocka_unit_test(test_no_file),   cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_many),   cmocka_unit_test(test_new_token),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
