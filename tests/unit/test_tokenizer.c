/* test_tokenizer.c - the CLIP tokenizer on a small vocabulary, its character rules, and bad vocabularies and texts. */
#include "base/text.h"
#include "text-encoder/tokenizer-characters.h"
#include "text-encoder/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const char bos_text[] = "<|startoftext|>", eos_text[] = "<|endoftext|>";

/* All printable ASCII characters without and with "</w>", then what the merges make, BOS and EOS: id order. */
static const char merges_text[] =
    "#version: 0.2\nl o\nlo w</w>\nn e\nne w\nlo w\ne r</w>\nlow er</w>\nw e\na a\naa aa\n";
static const char *const merged_tokens[] = {"lo",     "low</w>",   "ne", "new", "low",
                                            "er</w>", "lower</w>", "we", "aa",  "aaaa"};
enum { N_MERGED = sizeof merged_tokens / sizeof *merged_tokens, N_PRINTABLE = '~' - '!' + 1 };
enum { N_TOKENS = 2 * N_PRINTABLE + N_MERGED + 2 };

/* The text of each token, in order of id. */
static void token_text(int id, char text[32])
{
    if (id < 2 * N_PRINTABLE)
        snprintf(text, 32, "%c%s", '!' + id % N_PRINTABLE, id < N_PRINTABLE ? "" : "</w>");
    else if (id < 2 * N_PRINTABLE + N_MERGED)
        snprintf(text, 32, "%s", merged_tokens[id - 2 * N_PRINTABLE]);
    else
        snprintf(text, 32, "%s", id == N_TOKENS - 2 ? bos_text : eos_text);
}

static tt_text vocabulary_json(void)
{
    tt_text json = {0};
    for (int id = 0; id < N_TOKENS; id++) {
        char text[32];
        token_text(id, text);
        tt_text_format(&json, "%s\"", id == 0 ? "{" : ", ");
        for (const char *c = text; *c != '\0'; c++)
            tt_text_format(&json, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
        tt_text_format(&json, "\": %d", id);
    }
    tt_text_add_string(&json, "}");
    assert_int_equal(tt_text_status(&json, NULL), TT_OK);
    return json;
}

static tt_tokenizer *make_tokenizer(const char *config)
{
    tt_error err = {0};
    tt_tokenizer *tokenizer = NULL;
    tt_text json = vocabulary_json();
    if (tt_tokenizer_create(json.bytes, json.n_bytes, merges_text, strlen(merges_text), config, "small", &tokenizer,
                            &err) != TT_OK)
        fail_msg("%s", err.text);
    tt_text_free(&json);
    return tokenizer;
}

/* Encodes n_bytes and compares the tokens' texts, joined with blanks. */
static void check_bytes(const tt_tokenizer *tokenizer, const char *text, size_t n_bytes, const char *expected)
{
    tt_error err = {0};
    tt_text found = {0};
    int32_t *ids = NULL;
    size_t n_ids = 0;
    if (tt_tokenizer_encode(tokenizer, text, n_bytes, &ids, &n_ids, &err) != TT_OK)
        fail_msg("\"%s\": %s", text, err.text);
    assert_non_null(ids);
    tt_text_add_string(&found, "");
    for (size_t i = 0; i < n_ids; i++) {
        char token[32];
        assert_in_range(ids[i], 0, N_TOKENS - 1);
        token_text(ids[i], token);
        tt_text_format(&found, "%s%s", i == 0 ? "" : " ", token);
    }
    assert_string_equal(found.bytes, expected);
    tt_text_free(&found);
    free(ids);
}

static void check(const tt_tokenizer *tokenizer, const char *text, const char *expected)
{
    check_bytes(tokenizer, text, strlen(text), expected);
}

static void test_merges(void **state)
{
    tt_tokenizer *tokenizer = make_tokenizer(NULL);
    (void)state;
    assert_int_equal(tt_tokenizer_size(tokenizer), N_TOKENS);
    assert_int_equal(tt_tokenizer_bos(tokenizer), N_TOKENS - 2);
    assert_int_equal(tt_tokenizer_eos(tokenizer), N_TOKENS - 1);
    assert_int_equal(tt_tokenizer_pad(tokenizer), N_TOKENS - 1);
    check(tokenizer, "", "");
    check(tokenizer, " \t\n ", "");
    check(tokenizer, "low", "low</w>");
    check(tokenizer, "lower", "lower</w>");
    check(tokenizer, "lowers", "low e r s</w>"); /* "er</w>" only ends a word; "lo w" goes before "w e" */
    check(tokenizer, "wet", "we t</w>");
    check(tokenizer, "newer", "new er</w>");
    check(tokenizer, "LOW  Low\tlow", "low</w> low</w> low</w>");
    check(tokenizer, "aaaa", "aa a a</w>"); /* the last a is a</w>: two pairs are left, the first one merges */
    check(tokenizer, "aaaaaaaaa", "aaaa aaaa a</w>");
    tt_tokenizer_destroy(tokenizer);
}

static void test_split_pattern(void **state)
{
    tt_tokenizer *tokenizer = make_tokenizer(NULL);
    (void)state;
    check(tokenizer, "it's", "i t</w> ' s</w>");
    check(tokenizer, "'re've'm'll'd't", "' r e</w> ' v e</w> ' m</w> ' l l</w> ' d</w> ' t</w>");
    check(tokenizer, "'tis", "' t</w> i s</w>");
    check(tokenizer, "!'s", "! '</w> s</w>"); /* a run of symbols takes the apostrophe first */
    check(tokenizer, "a12b", "a</w> 1</w> 2</w> b</w>");
    check(tokenizer, "x,y", "x</w> ,</w> y</w>");
    check(tokenizer, "?!-_", "? ! - _</w>");
    tt_tokenizer_destroy(tokenizer);
}

static void test_special_tokens(void **state)
{
    tt_tokenizer *tokenizer = make_tokenizer(NULL);
    (void)state;
    check(tokenizer, "x<|startoftext|>y", "x</w> <|startoftext|> y</w>");
    check(tokenizer, "<|endoftext|><|endoftext|>", "<|endoftext|> <|endoftext|>");
    check(tokenizer, "<|startoftext", "< |</w> s t a r t o f t e x t</w>");
    /* Other letter case: no special token, but the pattern still cuts it off from what follows. */
    check(tokenizer, "<|EndOfText|>!", "< |</w> e n d o f t e x t</w> | ></w> !</w>");
    check(tokenizer, "!<|EndOfText|>!", "! < |</w> e n d o f t e x t</w> | > !</w>");
    tt_tokenizer_destroy(tokenizer);
}

static void test_padding_token(void **state)
{
    static const char *const configs[] = {"{\"pad_token\": \"!\"}", "{\"pad_token\": {\"content\": \"!\"}}"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        tt_tokenizer *tokenizer = make_tokenizer(configs[i]);
        assert_int_equal(tt_tokenizer_pad(tokenizer), 0);
        check(tokenizer, "x!!y", "x</w> ! ! y</w>"); /* the padding token is special inside texts too */
        tt_tokenizer_destroy(tokenizer);
    }
    tt_tokenizer *tokenizer = make_tokenizer("{\"pad_token\": null, \"model_max_length\": 77}");
    assert_int_equal(tt_tokenizer_pad(tokenizer), N_TOKENS - 1);
    tt_tokenizer_destroy(tokenizer);
}

static void test_unknown_bytes(void **state)
{
    tt_tokenizer *tokenizer = make_tokenizer(NULL);
    (void)state;
    check(tokenizer, "\xc3\xa9", "<|endoftext|> <|endoftext|>"); /* two bytes, neither has a token */
    check_bytes(tokenizer, "a\0b", 3, "a</w> <|endoftext|> b</w>");
    tt_tokenizer_destroy(tokenizer);
}

/* ---- characters ---- */

static void check_points(const char *text, const int32_t *expected, size_t n_expected)
{
    tt_points points;
    assert_int_equal(tt_normalize(text, strlen(text), &points, NULL), TT_OK);
    assert_int_equal(points.n_points, n_expected);
    assert_memory_equal(points.points, expected, n_expected * sizeof *expected);
    free(points.points);
}

#define CHECK_POINTS(text, ...)                                                                                        \
    check_points(text, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void test_normalisation(void **state)
{
    (void)state;
    CHECK_POINTS("E\xcc\x81", 0xe9);           /* E + acute composes, then lower case */
    CHECK_POINTS("s\xcc\x87\xcc\xa3", 0x1e69); /* dot above, dot below: reordered and composed */
    CHECK_POINTS("\xe2\x84\xab", 0xe5);        /* Angstrom sign is A with ring */
    CHECK_POINTS("\xef\xac\x81", 0xfb01);      /* the fi ligature is only a compatibility character */
    CHECK_POINTS("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", 0xac01);  /* Hangul L V T */
    CHECK_POINTS("\xea\xb0\x80\xe1\x86\xa7", 0xac00, 0x11a7);      /* U+11A7 is no trailing consonant */
    CHECK_POINTS("\xc4\xb0I\xc4\xb1", 'i', 0x307, 'i', 0x131);     /* dotted capital I, dotless i */
    CHECK_POINTS("\xce\xa3\xce\x91\xce\xa3", 0x3c3, 0x3b1, 0x3c3); /* no final sigma */
    CHECK_POINTS("a \xc2\xa0\t\xe3\x80\x80 b", 'a', ' ', 'b');
    CHECK_POINTS("a\xe2\x80\x8b"
                 "b",
                 'a', 0x200b, 'b'); /* the zero width space is no white space */
    CHECK_POINTS("\xc2\x85\x1c", ' ', 0x1c);
}

static void test_kinds(void **state)
{
    (void)state;
    assert_int_equal(tt_char_kind_of('a'), TT_CHAR_LETTER);
    assert_int_equal(tt_char_kind_of(0x732b), TT_CHAR_LETTER);
    assert_int_equal(tt_char_kind_of(0x2b0), TT_CHAR_LETTER);  /* modifier letter */
    assert_int_equal(tt_char_kind_of(0x2167), TT_CHAR_NUMBER); /* roman numeral */
    assert_int_equal(tt_char_kind_of(0xbd), TT_CHAR_NUMBER);
    assert_int_equal(tt_char_kind_of(0x2028), TT_CHAR_SPACE);
    assert_int_equal(tt_char_kind_of(0x85), TT_CHAR_SPACE);
    assert_int_equal(tt_char_kind_of(0x301), TT_CHAR_OTHER);
    assert_int_equal(tt_char_kind_of('_'), TT_CHAR_OTHER);
}

/* ---- limits ---- */

static double seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* Words and runs of marks of 1 MiB must not take quadratic time: that would be hours, the bound is generous. */
static void test_long_texts(void **state)
{
    static const char *const patterns[] = {"a", "\xcc\x81\xcc\xa3", "lower", "!"};
    enum { N_BYTES = 1 << 20 };
    char *text = malloc(N_BYTES + 1);
    tt_tokenizer *tokenizer = make_tokenizer(NULL);
    int32_t *ids = NULL;
    size_t n_ids = 0;
    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        const size_t n = strlen(patterns[i]), n_text = N_BYTES / n * n;
        for (size_t at = 0; at < N_BYTES; at++)
            text[at] = patterns[i][at % n];
        const double begin = seconds();
        assert_int_equal(tt_tokenizer_encode(tokenizer, text, n_text, &ids, &n_ids, NULL), TT_OK);
        assert_true(seconds() - begin < 30);
        assert_true(n_ids >= n_text / 8);
        free(ids);
    }
    tt_error err = {0};
    memset(text, 'a', N_BYTES + 1);
    assert_int_equal(tt_tokenizer_encode(tokenizer, text, N_BYTES + 1, &ids, &n_ids, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "1048577 bytes"));
    assert_null(ids);
    tt_tokenizer_destroy(tokenizer);
    free(text);
}

static void test_bad_utf8(void **state)
{
    tt_tokenizer *tokenizer = make_tokenizer(NULL);
    tt_error err = {0};
    int32_t *ids = NULL;
    size_t n_ids = 0;
    (void)state;
    assert_int_equal(tt_tokenizer_encode(tokenizer, "abc\xff", 4, &ids, &n_ids, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "at byte 3"));
    assert_null(ids);
    tt_tokenizer_destroy(tokenizer);
}

/* ---- bad vocabularies ---- */

static void check_refused(const char *vocabulary, const char *merges, const char *config, const char *reason)
{
    tt_error err = {0};
    tt_tokenizer *tokenizer = NULL;
    assert_int_equal(
        tt_tokenizer_create(vocabulary, strlen(vocabulary), merges, strlen(merges), config, "v.json", &tokenizer, &err),
        TT_ERROR_FORMAT);
    assert_null(tokenizer);
    if (strstr(err.text, reason) == NULL || strstr(err.text, "v.json") == NULL)
        fail_msg("\"%s\" does not say \"%s\" of v.json", err.text, reason);
}

#define SPECIALS "\"<|startoftext|>\": 0, \"<|endoftext|>\": 1"

static void test_bad_vocabularies(void **state)
{
    (void)state;
    check_refused("[1, 2]", "", NULL, "");
    check_refused("{\"a\": 0", "", NULL, "");
    check_refused("{}", "", NULL, "0 tokens");
    check_refused("{" SPECIALS ", \"a\": 1}", "", NULL, "two tokens");
    check_refused("{" SPECIALS ", \"a\": 3}", "", NULL, "has id 3");
    check_refused("{" SPECIALS ", \"a\": -1}", "", NULL, "has id -1");
    check_refused("{" SPECIALS ", \"a\": 2.0}", "", NULL, "not a whole number");
    check_refused("{" SPECIALS ", \"a\": 2, \"a\": 3}", "", NULL, "");
    check_refused("{\"a\": 0, \"<|endoftext|>\": 1}", "", NULL, "<|startoftext|>");
    check_refused("{\"<|startoftext|>\": 0, \"a\": 1}", "", NULL, "<|endoftext|>");
    check_refused("{" SPECIALS "}", "", "{\"pad_token\": \"x\"}", "\"x\"");
    check_refused("{" SPECIALS "}", "", "{\"pad_token\": 7}", "pad_token");
    check_refused("{" SPECIALS "}", "", "nonsense", "");
}

static void test_bad_merges(void **state)
{
    static const char vocabulary[] = "{" SPECIALS ", \"a\": 2, \"b\": 3, \"ab\": 4}";
    static const char other_ends[] = "\r\na b\r\n\r\na b";
    (void)state;
    check_refused(vocabulary, "#version: 0.2\na b\nb a\n", NULL, "line 3");
    check_refused(vocabulary, "a c\n", NULL, "line 1");
    check_refused(vocabulary, "a b c\n", NULL, "line 1");
    check_refused(vocabulary, "ab\n", NULL, "line 1");
    check_refused(vocabulary, "a b\n b\n", NULL, "line 2");
    check_refused(vocabulary, "a b\na \n", NULL, "line 2");
    check_refused(vocabulary, "a b\n#version: 0.2\n", NULL, "line 2"); /* only the first line may be the header */

    tt_tokenizer *tokenizer = NULL; /* other line ends, blank lines and a missing last line end are fine */
    assert_int_equal(tt_tokenizer_create(vocabulary, strlen(vocabulary), other_ends, strlen(other_ends), NULL, "v.json",
                                         &tokenizer, NULL),
                     TT_OK);
    tt_tokenizer_destroy(tokenizer);
}

static void test_clip_file_is_checked(void **state)
{
    tt_error err = {0};
    tt_tokenizer *tokenizer = NULL;
    (void)state;
    assert_int_equal(tt_tokenizer_create_clip("no/such/file.gz", 1024, -1, &tokenizer, &err), TT_ERROR_IO);
    assert_non_null(strstr(err.text, "no/such/file.gz"));
    assert_int_equal(tt_tokenizer_create_clip("tests/unit/test_tokenizer.c", 1024, -1, &tokenizer, &err),
                     TT_ERROR_FORMAT);
    assert_non_null(strstr(err.text, "SHA-256"));
    assert_int_equal(tt_tokenizer_create_clip("any", 513, -1, &tokenizer, &err), TT_ERROR_UNSUPPORTED);
    assert_int_equal(tt_tokenizer_create_clip("any", 49409, -1, &tokenizer, &err), TT_ERROR_UNSUPPORTED);
    assert_int_equal(tt_tokenizer_create_clip("any", 1024, 1024, &tokenizer, &err), TT_ERROR_ARGUMENT);
    assert_null(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges),         cmocka_unit_test(test_split_pattern),
        cmocka_unit_test(test_special_tokens), cmocka_unit_test(test_padding_token),
        cmocka_unit_test(test_unknown_bytes),  cmocka_unit_test(test_normalisation),
        cmocka_unit_test(test_kinds),          cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_bad_utf8),       cmocka_unit_test(test_bad_vocabularies),
        cmocka_unit_test(test_bad_merges),     cmocka_unit_test(test_clip_file_is_checked),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
