/* test_tokens_golden.c - token ids against Hugging Face's fast CLIP tokenizer: the full vocabulary and tiny ones, from
 * the shared oracle and from the project's own golden set. */
#include "base/file.h"
#include "text-encoder/tokenizer.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CLIP_TOKENS = 49408, TINY_TOKENS = 1024, PADDED = 77, MAX_FILE_BYTES = 64 << 20 };

/* A golden set: its tokens.json and a folder with the tiny vocabulary's vocab.json and merges.txt. */
typedef struct golden_set {
    const char *tokens, *tiny_folder;
} golden_set;

static const golden_set oracle_set = {"../shared/oracle/goldens/tokens.json", "../shared/oracle/models/sd1/tokenizer"};
static const golden_set own_set = {"tests/golden/data/tokens.json", "tests/golden/data/models/sd1/tokenizer"};

static const char *clip_vocabulary(void)
{
    static const char *const paths[] = {"share/bpe_simple_vocab_16e6.txt.gz",
                                        "../shared/oracle/vocab/bpe_simple_vocab_16e6.txt.gz"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (tt_path_is_file(paths[i]))
            return paths[i];
    return NULL;
}

/* Skips the test, saying what is absent. */
static void need(const char *path, const char *what)
{
    if (path == NULL || !tt_path_is_file(path)) {
        printf("skipped: %s is absent\n", what);
        skip();
    }
}

static json_t *load_entries(const char *path)
{
    json_error_t error;
    json_t *entries = json_load_file(path, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (entries == NULL)
        fail_msg("%s: %s", path, error.text);
    assert_true(json_is_array(entries));
    assert_true(json_array_size(entries) >= 40);
    return entries;
}

/* The ids with BOS and EOS; n_pad 0 keeps the length, else they are cut and padded to it. */
static int32_t *frame_ids(const tt_tokenizer *tokenizer, const int32_t *ids, size_t n_ids, size_t n_pad, size_t *n_out)
{
    const size_t n_kept = n_pad > 0 && n_ids > n_pad - 2 ? n_pad - 2 : n_ids;
    *n_out = n_pad > 0 ? n_pad : n_ids + 2;
    int32_t *framed = malloc(*n_out * sizeof *framed);
    assert_non_null(framed);
    for (size_t i = 0; i < *n_out; i++)
        framed[i] = tt_tokenizer_pad(tokenizer);
    framed[0] = tt_tokenizer_bos(tokenizer);
    memcpy(framed + 1, ids, n_kept * sizeof *ids);
    framed[n_kept + 1] = tt_tokenizer_eos(tokenizer);
    return framed;
}

static void check_prompt(const tt_tokenizer *tokenizer, const json_t *prompt, const json_t *expected, size_t n_pad)
{
    tt_error err = {0};
    int32_t *ids = NULL;
    size_t n_ids = 0, n_framed = 0;
    if (tt_tokenizer_encode(tokenizer, json_string_value(prompt), json_string_length(prompt), &ids, &n_ids, &err) !=
        TT_OK)
        fail_msg("\"%s\": %s", json_string_value(prompt), err.text);
    int32_t *framed = frame_ids(tokenizer, ids, n_ids, n_pad, &n_framed);
    if (n_framed != json_array_size(expected))
        fail_msg("\"%s\": %zu ids, expected %zu", json_string_value(prompt), n_framed, json_array_size(expected));
    for (size_t i = 0; i < n_framed; i++)
        if (framed[i] != json_integer_value(json_array_get(expected, i)))
            fail_msg("\"%s\": id %zu is %d, expected %d", json_string_value(prompt), i, framed[i],
                     (int)json_integer_value(json_array_get(expected, i)));
    free(framed);
    free(ids);
}

/* Checks all entries that have `key`; returns how many there were. */
static size_t check_key(const tt_tokenizer *tokenizer, const json_t *entries, const char *key, size_t n_pad)
{
    size_t n_checked = 0;
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i), *expected = json_object_get(entry, key);
        if (expected == NULL)
            continue;
        check_prompt(tokenizer, json_object_get(entry, "prompt"), expected, n_pad);
        n_checked++;
    }
    printf("%s: %zu prompts equal\n", key, n_checked);
    return n_checked;
}

static tt_tokenizer *make_clip(uint32_t n_tokens)
{
    tt_error err = {0};
    tt_tokenizer *tokenizer = NULL;
    if (tt_tokenizer_create_clip(clip_vocabulary(), n_tokens, -1, &tokenizer, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(tt_tokenizer_size(tokenizer), n_tokens);
    return tokenizer;
}

static tt_tokenizer *make_from_folder(const char *folder)
{
    tt_error err = {0};
    tt_tokenizer *tokenizer = NULL;
    char *vocabulary_path = tt_path_join(folder, "vocab.json"), *merges_path = tt_path_join(folder, "merges.txt");
    char *vocabulary = NULL, *merges = NULL;
    size_t n_vocabulary = 0, n_merges = 0;
    if (tt_file_read(vocabulary_path, MAX_FILE_BYTES, &vocabulary, &n_vocabulary, &err) != TT_OK ||
        tt_file_read(merges_path, MAX_FILE_BYTES, &merges, &n_merges, &err) != TT_OK ||
        tt_tokenizer_create(vocabulary, n_vocabulary, merges, n_merges, NULL, folder, &tokenizer, &err) != TT_OK)
        fail_msg("%s", err.text);
    free(vocabulary);
    free(merges);
    free(vocabulary_path);
    free(merges_path);
    return tokenizer;
}

static void test_clip_vocabulary(void **state)
{
    const golden_set *set = *state;
    need(set->tokens, set->tokens);
    need(clip_vocabulary(), "CLIP's vocabulary (scripts/fetch-vocabulary.sh)");
    json_t *entries = load_entries(set->tokens);
    tt_tokenizer *tokenizer = make_clip(CLIP_TOKENS);
    assert_int_equal(check_key(tokenizer, entries, "hf_fast", 0), json_array_size(entries));
    assert_int_equal(check_key(tokenizer, entries, "hf_fast_77", PADDED), json_array_size(entries));
    tt_tokenizer_destroy(tokenizer);
    json_decref(entries);
}

static void test_tiny_vocabulary(void **state)
{
    const golden_set *set = *state;
    need(set->tokens, set->tokens);
    json_t *entries = load_entries(set->tokens);
    tt_tokenizer *tokenizer = make_from_folder(set->tiny_folder);
    assert_int_equal(tt_tokenizer_size(tokenizer), TINY_TOKENS);
    assert_int_equal(check_key(tokenizer, entries, "tiny1024_77", PADDED), json_array_size(entries));
    check_key(tokenizer, entries, "tiny1024", 0);
    tt_tokenizer_destroy(tokenizer);
    json_decref(entries);
}

/* The first 510 merges of CLIP's list are the oracle's tiny vocabulary. */
static void test_clip_vocabulary_cut(void **state)
{
    const golden_set *set = *state;
    need(set->tokens, set->tokens);
    need(clip_vocabulary(), "CLIP's vocabulary (scripts/fetch-vocabulary.sh)");
    json_t *entries = load_entries(set->tokens);
    tt_tokenizer *tokenizer = make_clip(TINY_TOKENS);
    assert_int_equal(check_key(tokenizer, entries, "tiny1024_77", PADDED), json_array_size(entries));
    tt_tokenizer_destroy(tokenizer);
    json_decref(entries);
}

/* SD2 pads with "!", which Hugging Face makes a special token: ids seen there, 3306 = "hello</w>", 320 = "a</w>". */
static void test_exclamation_mark_padding(void **state)
{
    static const int32_t expected[] = {3306, 0, 0, 320, 0, 321};
    tt_error err = {0};
    tt_tokenizer *tokenizer = NULL;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    (void)state;
    need(clip_vocabulary(), "CLIP's vocabulary (scripts/fetch-vocabulary.sh)");
    assert_int_equal(tt_tokenizer_create_clip(clip_vocabulary(), CLIP_TOKENS, 0, &tokenizer, &err), TT_OK);
    assert_int_equal(tt_tokenizer_pad(tokenizer), 0);
    assert_int_equal(tt_tokenizer_encode(tokenizer, "hello!! a!b", 11, &ids, &n_ids, &err), TT_OK);
    assert_int_equal(n_ids, sizeof expected / sizeof *expected);
    assert_memory_equal(ids, expected, sizeof expected);
    free(ids);
    tt_tokenizer_destroy(tokenizer);
}

int main(void)
{
    golden_set oracle = oracle_set, own = own_set;
    const struct CMUnitTest tests[] = {
        {"oracle, CLIP vocabulary", test_clip_vocabulary, NULL, NULL, &oracle},
        {"oracle, vocab.json and merges.txt", test_tiny_vocabulary, NULL, NULL, &oracle},
        {"oracle, cut CLIP vocabulary", test_clip_vocabulary_cut, NULL, NULL, &oracle},
        {"own set, CLIP vocabulary", test_clip_vocabulary, NULL, NULL, &own},
        {"own set, vocab.json and merges.txt", test_tiny_vocabulary, NULL, NULL, &own},
        cmocka_unit_test(test_exclamation_mark_padding),
    };
    return cmocka_run_group_tests_name("tokens_golden", tests, NULL, NULL);
}
