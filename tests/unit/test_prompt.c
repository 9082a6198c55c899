/* test_prompt.c - A1111's prompt grammar, cutting into chunks, and the effect of weights, on a vocabulary in which each
 * ASCII character is a token. */
#include "base/text.h"
#include "text-encoder/prompt.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { N_PRINTABLE = '~' - '!' + 1, BOS = 2 * N_PRINTABLE, EOS, N_TOKENS, INNER = TT_CHUNK_TOKENS - 2 };

/* Ids: printable characters, printable characters with "</w>", BOS, EOS. */
static tt_tokenizer *make_tokenizer(const char *config)
{
    tt_error err = {0};
    tt_tokenizer *tokenizer = NULL;
    tt_text json = {0};
    for (int id = 0; id < BOS; id++) {
        const char c = (char)('!' + id % N_PRINTABLE);
        tt_text_format(&json, "%c\"%s%c%s\": %d", id == 0 ? '{' : ',', c == '"' || c == '\\' ? "\\" : "", c,
                       id < N_PRINTABLE ? "" : "</w>", id);
    }
    tt_text_format(&json, ",\"<|startoftext|>\": %d, \"<|endoftext|>\": %d}", BOS, EOS);
    if (tt_tokenizer_create(json.bytes, json.n_bytes, "", 0, config, "test", &tokenizer, &err) != TT_OK)
        fail_msg("%s", err.text);
    tt_text_free(&json);
    return tokenizer;
}

static int make(void **state)
{
    *state = make_tokenizer(NULL);
    return 0;
}

static int destroy(void **state)
{
    tt_tokenizer_destroy(*state);
    return 0;
}

static bool is_one(float weight)
{
    return fabsf(weight - 1) == 0;
}

/* "a*1.1 b" for tokens a with weight 1.1 and b with weight 1, "|" between chunks, "-" before tokens that do not end a
 * word. Checks the frame of BOS, EOS and padding on the way. */
static void describe_chunk(const int32_t *ids, const float *weights, int32_t pad, tt_text *out)
{
    int i = 1;
    assert_int_equal(ids[0], BOS);
    assert_true(is_one(weights[0]));
    for (; i <= INNER && ids[i] != EOS; i++) {
        const bool ends_word = ids[i] >= N_PRINTABLE;
        tt_text_format(out, "%s%c%s", out->n_bytes == 0 ? "" : " ", '!' + ids[i] % N_PRINTABLE, ends_word ? "" : "-");
        if (!is_one(weights[i]))
            tt_text_format(out, "*%.4g", (double)weights[i]);
    }
    assert_int_equal(ids[i], EOS);
    assert_true(is_one(weights[i]));
    for (i++; i < TT_CHUNK_TOKENS; i++) {
        assert_int_equal(ids[i], pad);
        assert_true(is_one(weights[i]));
    }
}

static void check(const tt_tokenizer *tokenizer, const char *text, const char *expected)
{
    tt_error err = {0};
    tt_prompt prompt;
    tt_text found = {0};
    if (tt_prompt_encode(tokenizer, text, &prompt, &err) != TT_OK)
        fail_msg("\"%s\": %s", text, err.text);
    assert_true(prompt.n_chunks >= 1);
    tt_text_add_string(&found, "");
    for (uint32_t i = 0; i < prompt.n_chunks; i++) {
        if (i > 0)
            tt_text_add_string(&found, found.n_bytes == 0 ? "|" : " |");
        describe_chunk(prompt.ids + i * TT_CHUNK_TOKENS, prompt.weights + i * TT_CHUNK_TOKENS,
                       tt_tokenizer_pad(tokenizer), &found);
    }
    if (strcmp(found.bytes, expected) != 0)
        fail_msg("\"%s\" gives \"%s\", expected \"%s\"", text, found.bytes, expected);
    assert_int_equal(prompt.weighted, strchr(expected, '*') != NULL);
    tt_text_free(&found);
    tt_prompt_free(&prompt);
    assert_null(prompt.ids);
}

typedef struct grammar_case {
    const char *text, *expected;
} grammar_case;

static void check_cases(const tt_tokenizer *tokenizer, const grammar_case *cases, size_t n_cases)
{
    for (size_t i = 0; i < n_cases; i++)
        check(tokenizer, cases[i].text, cases[i].expected);
}

#define CHECK_CASES(tokenizer, cases) check_cases(tokenizer, cases, sizeof(cases) / sizeof *(cases))

/* The tables follow from A1111's documented rules: (x) times 1.1, [x] divided by 1.1, (x:n) times n. */
static void test_brackets(void **state)
{
    static const grammar_case cases[] = {
        {"", ""},
        {"   ", ""},
        {"a b", "a b"},
        {"a (b) c", "a b*1.1 c"},
        {"a ((b)) c", "a b*1.21 c"},
        {"(a (b (c)))", "a*1.1 b*1.21 c*1.331"},
        {"[a]", "a*0.9091"},
        {"[[a]] b", "a*0.8264 b"},
        {"(a [b) c]", "a*1.1 b c*0.9091"}, /* round and square brackets nest apart; b has both */
        {"(a)(b)", "a-*1.1 b*1.1"},        /* equal weights are joined before words are cut */
        {"(a)[b]", "a*1.1 b*0.9091"},
        {"()", ""},
        {"[]()", ""},
        {"(a, b), c", "a*1.1 ,*1.1 b*1.1 , c"},
    };
    CHECK_CASES(*state, cases);
}

static void test_weights(void **state)
{
    static const grammar_case cases[] = {
        {"(a:1.3)", "a*1.3"},
        {"(a b:0.5) c", "a*0.5 b*0.5 c"},
        {"((a:2) b:3)", "a*6 b*3"},
        {"(a:1.25) (b:1.25)", "a*1.25 b*1.25"},
        {"([a]:1.5)", "a*1.364"},
        {"(a:0)", "a*0"},
        {"(a:-1)", "a*-1"},
        {"(a:+.5)", "a*0.5"},
        {"(a:2.)", "a*2"},
        {"(a:1)", "a"},
        {"(a: 1.5 )", "a*1.5"},
        {"(a:00002.5000000000000000000000001)", "a*2.5"},
        {"(:1.5)", ""},
        {"(a:b:1.5)", "a*1.5 :*1.5 b*1.5"}, /* only a number before the bracket is a weight */
        {"(a:)", "a*1.1 :*1.1"},
        {"(a:x)", "a*1.1 :*1.1 x*1.1"},
        {"(a:1.2.3)", "a*1.1 :*1.1 1*1.1 .*1.1 2*1.1 .*1.1 3*1.1"}, /* no number */
        {"(a:.)", "a*1.1 :-*1.1 .*1.1"},
        {"(a:+)", "a*1.1 :-*1.1 +*1.1"},
        {"a:1", "a : 1"},
        {"a:1.5)", "a : 1 . 5 )"}, /* nothing is open */
        {"[a:2]", "a*0.9091 :*0.9091 2*0.9091"},
        {"[a:2)", "a*0.9091 :*0.9091 2*0.9091 )*0.9091"},
        {"([a:2)] b", "a*1.818 b"}, /* closes the round bracket, then the square one */
    };
    CHECK_CASES(*state, cases);
}

static void test_unbalanced_and_escapes(void **state)
{
    static const grammar_case cases[] = {
        {"(a b", "a*1.1 b*1.1"},
        {"((a", "a*1.21"},
        {"a [b", "a b*0.9091"},
        {"(a:1.3", "a*1.1 :*1.1 1*1.1 .*1.1 3*1.1"},
        {"a) b", "a ) b"},
        {"a] b", "a ] b"},
        {"(a)) b", "a*1.1 ) b"},
        {"((a) b", "a*1.21 b*1.1"},
        {"\\(a\\)", "( a )"},
        {"\\[a\\]", "[ a ]"},
        {"(\\(a\\):1.5)", "(*1.5 a*1.5 )*1.5"},
        {"(a\\:1.5)", "a*1.5"}, /* a colon cannot be escaped: the backslash is dropped, the weight counts */
        {"a\\\\b", "a \\ b"},
        {"\\a", "a"},
        {"a\\", "a"},
        {"\\\\(a)", "\\ a*1.1"},
    };
    CHECK_CASES(*state, cases);
}

static void test_break(void **state)
{
    static const grammar_case cases[] = {
        {"a BREAK b", "a | b"},
        {"a BREAK BREAK b", "a | | b"},
        {"BREAK a", "| a"},
        {"a BREAK", "a"},
        {"BREAK", ""},
        {"a,BREAK,b", "a , | , b"},
        {"(a BREAK b) c", "a*1.1 | b*1.1 c"},
        {"a (BREAK) b", "a | b"},
        {"BREAKA", "b- r- e- a- k- a"},
        {"ABREAK", "a- b- r- e- a- k"},
        {"_BREAK", "_ b- r- e- a- k"},
        {"1BREAK", "1 b- r- e- a- k"},
        {"BREAK1", "b- r- e- a- k 1"},
        {"break", "b- r- e- a- k"},
        {"a -BREAK- b", "a - | - b"},
    };
    CHECK_CASES(*state, cases);
}

/* ---- chunks ---- */

/* "a" n times with a comma instead at each index of `commas` (ended by -1), as one prompt. */
static tt_text letters(int n, const int *commas)
{
    tt_text text = {0};
    tt_text_add_string(&text, "");
    for (int i = 0; i < n; i++) {
        const bool is_comma = *commas == i;
        tt_text_add_string(&text, is_comma ? ", " : "a ");
        commas += is_comma;
    }
    return text;
}

static int count_inner(const int32_t *chunk)
{
    int n = 0;
    while (chunk[n + 1] != EOS)
        n++;
    return n;
}

/* Encodes letters(n, commas) and compares the number of tokens of each chunk; `expected` ends with -1. */
static void check_lengths(const tt_tokenizer *tokenizer, int n, const int *commas, const int *expected)
{
    tt_prompt prompt;
    tt_error err = {0};
    tt_text text = letters(n, commas);
    assert_int_equal(tt_prompt_encode(tokenizer, text.bytes, &prompt, &err), TT_OK);
    uint32_t i = 0;
    for (; expected[i] >= 0; i++) {
        assert_true(i < prompt.n_chunks);
        assert_int_equal(count_inner(prompt.ids + i * TT_CHUNK_TOKENS), expected[i]);
    }
    assert_int_equal(prompt.n_chunks, i);
    tt_prompt_free(&prompt);
    tt_text_free(&text);
}

#define LIST(...) ((const int[]){__VA_ARGS__, -1})

static void test_chunks(void **state)
{
    check_lengths(*state, 0, LIST(-1), LIST(0));
    check_lengths(*state, 75, LIST(-1), LIST(75));
    check_lengths(*state, 76, LIST(-1), LIST(75, 1));
    check_lengths(*state, 151, LIST(-1), LIST(75, 75, 1));
    check_lengths(*state, 81, LIST(70), LIST(71, 10));    /* the phrase after the comma moves on as a whole */
    check_lengths(*state, 80, LIST(55), LIST(56, 24));    /* 20 tokens back: still moved */
    check_lengths(*state, 80, LIST(54), LIST(75, 5));     /* 21 tokens back: too far */
    check_lengths(*state, 80, LIST(74), LIST(75, 5));     /* the comma is the last token */
    check_lengths(*state, 80, LIST(70, 75), LIST(75, 5)); /* the first token that does not fit is a comma itself */
    check_lengths(*state, 75, LIST(70), LIST(75));        /* nothing has to move */
    check_lengths(*state, 160, LIST(60, 130), LIST(61, 70, 29));
}

static void test_chunk_limit(void **state)
{
    tt_prompt prompt;
    tt_error err = {0};
    tt_text text = letters(64 * INNER, LIST(-1));
    assert_int_equal(tt_prompt_encode(*state, text.bytes, &prompt, &err), TT_OK);
    assert_int_equal(prompt.n_chunks, 64);
    tt_prompt_free(&prompt);
    tt_text_add_string(&text, "a");
    assert_int_equal(tt_prompt_encode(*state, text.bytes, &prompt, &err), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "64 chunks"));
    assert_null(prompt.ids);
    assert_null(prompt.weights);
    tt_text_free(&text);
}

static void test_padding(void **state)
{
    tt_prompt prompt;
    tt_tokenizer *tokenizer = make_tokenizer("{\"pad_token\": \"~\"}");
    (void)state;
    assert_int_equal(tt_tokenizer_pad(tokenizer), '~' - '!');
    assert_int_equal(tt_prompt_encode(tokenizer, "a (b)", &prompt, NULL), TT_OK);
    assert_int_equal(tt_prompt_pad(tokenizer, &prompt, 3, NULL), TT_OK);
    assert_int_equal(prompt.n_chunks, 3);
    assert_true(prompt.weighted);
    for (uint32_t i = 0; i < 3; i++) {
        tt_text found = {0};
        tt_text_add_string(&found, "");
        describe_chunk(prompt.ids + i * TT_CHUNK_TOKENS, prompt.weights + i * TT_CHUNK_TOKENS, '~' - '!', &found);
        assert_string_equal(found.bytes, i == 0 ? "a b*1.1" : "");
        tt_text_free(&found);
    }
    assert_int_equal(tt_prompt_pad(tokenizer, &prompt, 2, NULL), TT_OK); /* has enough already */
    assert_int_equal(prompt.n_chunks, 3);
    tt_error err = {0};
    assert_int_equal(tt_prompt_pad(tokenizer, &prompt, 65, &err), TT_ERROR_ARGUMENT);
    tt_prompt_free(&prompt);
    tt_tokenizer_destroy(tokenizer);
}

/* ---- bad input ---- */

static void check_refused(const tt_tokenizer *tokenizer, const char *text, tt_status status, const char *reason)
{
    tt_prompt prompt;
    tt_error err = {0};
    assert_int_equal(tt_prompt_encode(tokenizer, text, &prompt, &err), status);
    if (strstr(err.text, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, reason);
    assert_null(prompt.ids);
    assert_null(prompt.weights);
    assert_int_equal(prompt.n_chunks, 0);
}

static void test_refusals(void **state)
{
    check_refused(*state, "a <lora:style:0.8> b", TT_ERROR_UNSUPPORTED, "<lora:style:0.8>");
    check(*state, "<lora", "< l- o- r- a");
    check_refused(*state, "a (b\xc3", TT_ERROR_ARGUMENT, "at byte 4");
    check_refused(*state, "(a:10001)", TT_ERROR_ARGUMENT, "weight beyond 10000");
    check_refused(*state, "(((a:100):100):-2)", TT_ERROR_ARGUMENT, "weight beyond 10000");
    check_refused(*state, "(a:99999999999999999999999999999999999999999999999999)", TT_ERROR_ARGUMENT, "weight beyond");
}

/* unit n times, then tail. */
static char *repeat(const char *unit, size_t n, const char *tail)
{
    const size_t n_unit = strlen(unit);
    char *text = malloc(n_unit * n + strlen(tail) + 1);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        memcpy(text + i * n_unit, unit, n_unit);
    strcpy(text + n * n_unit, tail);
    return text;
}

/* 100 KB and more of brackets must be parsed in linear time. */
static void test_long_prompts(void **state)
{
    enum { N = 100000 };
    const double begin = (double)clock() / CLOCKS_PER_SEC;
    char *open = repeat("(", N, ""), *open_and_text = repeat("(", N, "a"), *square = repeat("[", N, "a");
    char *pairs = repeat("(]", N, "a"), *breaks = repeat("xBREAK", N, ""), *words = repeat("(a ", N, "");
    char *huge = repeat("a", (1 << 20) + 1, "");
    check(*state, open, "");
    check_refused(*state, open_and_text, TT_ERROR_ARGUMENT, "weight beyond");
    check(*state, square, "a*0");
    check_refused(*state, pairs, TT_ERROR_ARGUMENT, "weight beyond");
    check_refused(*state, breaks, TT_ERROR_ARGUMENT, "64 chunks");
    check_refused(*state, words, TT_ERROR_ARGUMENT, "weight beyond");
    check_refused(*state, huge, TT_ERROR_ARGUMENT, "1048577 bytes");
    assert_true((double)clock() / CLOCKS_PER_SEC - begin < 30);
    free(open);
    free(open_and_text);
    free(square);
    free(pairs);
    free(breaks);
    free(words);
    free(huge);
}

/* ---- weights on embeddings ---- */

static void test_apply_weights(void **state)
{
    enum { WIDTH = 3, N = TT_CHUNK_TOKENS * WIDTH };
    float weights[TT_CHUNK_TOKENS], hidden[N], original[N];
    double before = 0, after = 0;
    (void)state;
    for (int i = 0; i < TT_CHUNK_TOKENS; i++)
        weights[i] = i == 5 ? 1.5F : i == 6 ? 0.5F : 1.0F;
    for (int i = 0; i < N; i++) {
        original[i] = hidden[i] = (float)(i % 7) - 1.5F + 0.01F * (float)i;
        before += (double)hidden[i];
    }
    tt_prompt_apply_weights(weights, hidden, WIDTH);
    for (int i = 0; i < N; i++)
        after += (double)hidden[i];
    assert_true(fabs(after - before) < 1e-4 * fabs(before)); /* the mean is what it was */
    const float unit = hidden[0] / original[0];              /* the factor that restored it, for weight 1 */
    for (int i = 0; i < N; i++)
        assert_true(fabsf(hidden[i] - original[i] * weights[i / WIDTH] * unit) < 1e-5F);
    assert_true(fabsf(unit - 1) > 1e-4F);
}

static void test_apply_weights_without_mean(void **state)
{
    float weights[TT_CHUNK_TOKENS] = {0}, hidden[TT_CHUNK_TOKENS];
    (void)state;
    for (int i = 0; i < TT_CHUNK_TOKENS; i++)
        hidden[i] = 1;
    tt_prompt_apply_weights(weights, hidden, 1);
    for (int i = 0; i < TT_CHUNK_TOKENS; i++)
        assert_true(fabsf(hidden[i]) == 0); /* and not NaN */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_brackets, make, destroy),
        cmocka_unit_test_setup_teardown(test_weights, make, destroy),
        cmocka_unit_test_setup_teardown(test_unbalanced_and_escapes, make, destroy),
        cmocka_unit_test_setup_teardown(test_break, make, destroy),
        cmocka_unit_test_setup_teardown(test_chunks, make, destroy),
        cmocka_unit_test_setup_teardown(test_chunk_limit, make, destroy),
        cmocka_unit_test(test_padding),
        cmocka_unit_test_setup_teardown(test_refusals, make, destroy),
        cmocka_unit_test_setup_teardown(test_long_prompts, make, destroy),
        cmocka_unit_test(test_apply_weights),
        cmocka_unit_test(test_apply_weights_without_mean),
    };
    return cmocka_run_group_tests_name("prompt", tests, NULL, NULL);
}
