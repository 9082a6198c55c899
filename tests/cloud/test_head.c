/* test_head.c - header lines from strangers, and which addresses are taken. */
#include "cloud/http-head.h"
#include "cloud/http-url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void line(tt_http_answer *answer, const char *text)
{
    /* A block of exactly that length: a byte too many is found by the sanitizer. */
    const size_t n = strlen(text);
    char *bytes = malloc(n ? n : 1);
    assert_non_null(bytes);
    memcpy(bytes, text, n);
    tt_http_head_line(bytes, n, answer);
    free(bytes);
}

static void test_values(void **state)
{
    (void)state;
    tt_http_answer answer = {0};
    line(&answer, "HTTP/1.1 200 OK\r\n");
    assert_true(answer.retry_after < 0);
    line(&answer, "content-type:\t Image/PNG; charset=x\r\n");
    line(&answer, "Retry-After: 7\r\n");
    line(&answer, "TT-Queue-Position: 12\r\n");
    line(&answer, "location: /v1/upscales/abc\r\n");
    line(&answer, "Repr-Digest: sha-512=:AAAA:, sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\r\n");
    assert_string_equal(answer.type, "image/png");
    assert_true(answer.retry_after == 7.0);
    assert_int_equal(answer.queue_position, 12);
    assert_string_equal(answer.location, "/v1/upscales/abc");
    assert_string_equal(answer.digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    line(&answer, "HTTP/1.1 202 Accepted\r\n");
    assert_string_equal(answer.type, "");
    assert_string_equal(answer.location, "");
    assert_string_equal(answer.digest, "");
    assert_true(answer.retry_after < 0);
}

/* What is malformed or too long counts as not said. */
static void test_hostile(void **state)
{
    static const char *const lines[] = {"",
                                        "\r\n",
                                        ":",
                                        "Location",
                                        "Location:",
                                        "Location: \r\n",
                                        "Location: /a\x1b[2J\r\n",
                                        "Location: /\x80\r\n",
                                        "Retry-After: -5\r\n",
                                        "Retry-After: 1e9\r\n",
                                        "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
                                        "TT-Queue-Position: 99999999999999999999\r\n",
                                        "Repr-Digest: sha-256=:AAAA:\r\n",
                                        "Repr-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\r\n",
                                        "Repr-Digest: sha-256=::\r\n",
                                        "Repr-Digest: xsha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\r\n",
                                        "HTTP\r\n",
                                        "HTTP/"};
    (void)state;
    char *longest = malloc(70001);
    assert_non_null(longest);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        tt_http_answer answer = {.retry_after = -1};
        line(&answer, lines[i]);
        assert_string_equal(answer.location, "");
        assert_string_equal(answer.digest, "");
        assert_true(answer.retry_after < 0);
        assert_int_equal(answer.queue_position, 0);
    }
    for (size_t n = 500; n <= 70000; n += 500) {
        tt_http_answer answer = {0};
        memset(longest, 'a', n);
        memcpy(longest, "Location: ", 10);
        longest[n] = '\0';
        line(&answer, longest);
        assert_int_equal(strlen(answer.location), n == 500 ? 490 : 0);
        memcpy(longest, "Content-Type:", 13);
        line(&answer, longest);
        assert_string_equal(answer.type, "");
    }
    free(longest);
}

static void test_addresses(void **state)
{
    static const char *const taken[] = {"https://example.org",   "https://example.org:8443/a/b-c",
                                        "HTTPS://Example.org",   "https://[2001:db8::1]:1",
                                        "http://127.0.0.1:8080", "http://127.255.3.4",
                                        "http://localhost:1/x",  "http://[::1]:65535",
                                        "https://10.0.0.1"};
    static const char *const refused[] = {"",
                                          "example.org",
                                          "ftp://example.org",
                                          "file:///etc/passwd",
                                          "http://example.org",
                                          "http://10.0.0.1",
                                          "http://127.1",
                                          "http://127.0.0.1.example.org",
                                          "http://127.0.0.256",
                                          "http://0127.0.0.1",
                                          "http://2130706433",
                                          "http://localhost.example.org",
                                          "http://localhost@example.org",
                                          "https://user:pass@example.org",
                                          "https://example.org/",
                                          "https://example.org?a",
                                          "https://example.org#a",
                                          "https://example.org/a%2e",
                                          "https://example.org/../a",
                                          "https://example.org//a",
                                          "https://exa mple.org",
                                          "https://example.org:0",
                                          "https://example.org:65536",
                                          "https://example.org:",
                                          "https://example.org\r\nX: y",
                                          "https://",
                                          "https://[::1",
                                          "http://[::ffff:127.0.0.1]",
                                          "https://example.org\\@evil",
                                          "http://127.0.0.1\\@example.org"};
    char longest[700];
    (void)state;
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (!tt_http_url_allowed(taken[i]))
            fail_msg("%s should be taken", taken[i]);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (tt_http_url_allowed(refused[i]))
            fail_msg("%s should be refused", refused[i]);
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "https://", 8);
    longest[sizeof longest - 1] = '\0';
    assert_false(tt_http_url_allowed(longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_hostile),
                                       cmocka_unit_test(test_addresses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
