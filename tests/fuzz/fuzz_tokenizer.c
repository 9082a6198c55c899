/* fuzz_tokenizer.c - texts, prompts and vocabularies. The first byte says which: even, the rest is a prompt for a fixed
 * vocabulary; odd, the rest is vocab.json, merges.txt, tokenizer_config.json and a text with zero bytes between them.
 */
#include "base/text.h"
#include "text-encoder/prompt.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A small vocabulary: ASCII letters and symbols, two merges. */
static tt_tokenizer *make_fixed(void)
{
    static const char merges[] = "t h\nth e</w>\n";
    tt_tokenizer *tokenizer = NULL;
    tt_text json = {0};
    int id = 0;
    for (int c = '#'; c < 127; c++) {
        if (c == '\\')
            continue;
        tt_text_format(&json, "%c\"%c\": %d, \"%c</w>\": %d", id == 0 ? '{' : ',', c, id, c, id + 1);
        id += 2;
    }
    tt_text_format(&json, ",\"th\":%d,\"the</w>\":%d,\"<|startoftext|>\":%d,\"<|endoftext|>\":%d}", id, id + 1, id + 2,
                   id + 3);
    if (tt_tokenizer_create(json.bytes, json.n_bytes, merges, strlen(merges), "{\"pad_token\":\"$\"}", "fixed",
                            &tokenizer, NULL) != TT_OK)
        abort();
    tt_text_free(&json);
    return tokenizer;
}

/* Every id must be one of the vocabulary. */
static void check_ids(const tt_tokenizer *tokenizer, const int32_t *ids, size_t n_ids)
{
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= tt_tokenizer_size(tokenizer))
            abort();
}

static void encode(const tt_tokenizer *tokenizer, const char *text, size_t n_bytes)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    if (tt_tokenizer_encode(tokenizer, text, n_bytes, &ids, &n_ids, NULL) == TT_OK)
        check_ids(tokenizer, ids, n_ids);
    free(ids);
}

static void encode_prompt(const tt_tokenizer *tokenizer, const char *text)
{
    tt_prompt prompt;
    tt_error err;
    if (tt_prompt_encode(tokenizer, text, &prompt, &err) != TT_OK)
        return;
    check_ids(tokenizer, prompt.ids, (size_t)prompt.n_chunks * TT_CHUNK_TOKENS);
    tt_prompt_free(&prompt);
}

/* Takes a string off the front; the terminator of the whole block ends the last one. */
static const char *take(const char **at, const char *end)
{
    const char *begin = *at;
    *at += strlen(begin);
    if (*at < end)
        (*at)++;
    return begin;
}

static void build(const char *at, const char *end)
{
    const char *vocabulary = take(&at, end), *merges = take(&at, end), *config = take(&at, end);
    tt_tokenizer *tokenizer = NULL;
    tt_error err;
    if (tt_tokenizer_create(vocabulary, strlen(vocabulary), merges, strlen(merges), *config != '\0' ? config : NULL,
                            "fuzz", &tokenizer, &err) == TT_OK)
        encode(tokenizer, at, (size_t)(end - at));
    tt_tokenizer_destroy(tokenizer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = malloc(size);
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if (data[0] % 2 == 1) {
        build(text, text + size - 1);
    } else {
        tt_tokenizer *tokenizer = make_fixed();
        encode(tokenizer, text, size - 1);
        encode_prompt(tokenizer, text);
        tt_tokenizer_destroy(tokenizer);
    }
    free(text);
    return 0;
}
