/* tokenizer.c - the tokenizer object: special tokens, words to bytes, bytes to tokens. */
#include "text-encoder/tokenizer.h"

#include "base/text.h"
#include "text-encoder/tokenizer-build.h"
#include "text-encoder/tokenizer-split.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 1 << 20, N_SPECIALS = 3 };

/* A token that is found in the raw text before anything else happens to it. */
typedef struct special {
    char *text;
    size_t n_bytes;
    int32_t id;
} special;

struct tt_tokenizer {
    uint32_t n_tokens;
    int32_t bos, eos, pad;
    special specials[N_SPECIALS]; /* BOS, EOS and the padding token, which Hugging Face makes special too */
    int32_t byte_ids[2][256];     /* [ends a word][byte]; bytes without a token become EOS, the "unknown" token */
    tt_bpe bpe;
};

/* Ids of a text that is being encoded. */
typedef struct id_list {
    int32_t *ids;
    size_t n_ids, n_room;
} id_list;

static tt_status reserve_ids(id_list *list, size_t n_more, tt_error *err)
{
    if (n_more <= list->n_room - list->n_ids)
        return TT_OK;
    const size_t n_room = (list->n_ids + n_more) * 2 + 64; /* texts are at most 1 MiB: no overflow */
    int32_t *ids = realloc(list->ids, n_room * sizeof *ids);
    if (ids == NULL)
        return tt_fail_memory(err, "the token ids of a text", n_room * sizeof *ids);
    list->ids = ids;
    list->n_room = n_room;
    return TT_OK;
}

static tt_status add_special(const json_t *vocabulary, const char *text, const char *what, special *out, int32_t *id,
                             tt_error *err)
{
    *id = tt_vocabulary_find(vocabulary, text, strlen(text));
    if (*id < 0)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the vocabulary has no token \"%.64s\"", what, text);
    if (!tt_string_copy(text, &out->text))
        return tt_fail_memory(err, "a special token", strlen(text) + 1);
    out->n_bytes = strlen(text);
    out->id = *id;
    return TT_OK;
}

static void map_bytes(tt_tokenizer *tokenizer, const json_t *vocabulary)
{
    for (int ends_word = 0; ends_word < 2; ends_word++)
        for (int byte = 0; byte < 256; byte++) {
            const tt_byte_token token = tt_byte_token_of((uint8_t)byte, ends_word != 0);
            const int32_t id = tt_vocabulary_find(vocabulary, token.text, token.n_bytes);
            tokenizer->byte_ids[ends_word][byte] = id < 0 ? tokenizer->eos : id;
        }
}

tt_status tt_tokenizer_build(const json_t *vocabulary, const char *merges, size_t n_merges_bytes, const char *pad_text,
                             const char *what, tt_tokenizer **tokenizer, tt_error *err)
{
    tt_bpe_rule *rules = NULL;
    uint32_t n_rules = 0;
    *tokenizer = NULL;
    tt_status status = tt_vocabulary_check(vocabulary, what, err);
    if (status != TT_OK)
        return status;
    tt_tokenizer *made = calloc(1, sizeof *made);
    if (made == NULL)
        return tt_fail_memory(err, "a tokenizer", sizeof *made);
    made->n_tokens = (uint32_t)json_object_size(vocabulary);
    status = add_special(vocabulary, TT_BOS_TEXT, what, &made->specials[0], &made->bos, err);
    if (status == TT_OK)
        status = add_special(vocabulary, TT_EOS_TEXT, what, &made->specials[1], &made->eos, err);
    if (status == TT_OK)
        status = add_special(vocabulary, pad_text != NULL ? pad_text : TT_EOS_TEXT, what, &made->specials[2],
                             &made->pad, err);
    if (status == TT_OK)
        status = tt_merges_parse(merges, n_merges_bytes, vocabulary, what, &rules, &n_rules, err);
    if (status == TT_OK)
        status = tt_bpe_init(&made->bpe, rules, n_rules, made->n_tokens, err);
    if (status != TT_OK) {
        tt_tokenizer_destroy(made);
        return status;
    }
    map_bytes(made, vocabulary);
    *tokenizer = made;
    return TT_OK;
}

/* The padding token's text of a tokenizer_config.json, a string or an object with "content"; NULL where none is named.
 * It points into the JSON object. */
static tt_status read_pad_text(const json_t *config, const char *what, const char **pad_text, tt_error *err)
{
    const json_t *value = json_object_get(config, "pad_token");
    *pad_text = NULL;
    if (json_is_object(value))
        value = json_object_get(value, "content");
    if (value == NULL || json_is_null(value))
        return TT_OK;
    if (!json_is_string(value) || json_string_length(value) == 0)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: \"pad_token\" of the tokenizer configuration is not a text", what);
    *pad_text = json_string_value(value);
    return TT_OK;
}

tt_status tt_tokenizer_create(const char *vocab_json, size_t n_vocab_bytes, const char *merges, size_t n_merges_bytes,
                              const char *config_text, const char *what, tt_tokenizer **tokenizer, tt_error *err)
{
    json_t *vocabulary = NULL, *config = NULL;
    const char *pad_text = NULL;
    *tokenizer = NULL;
    tt_status status = tt_json_parse(vocab_json, n_vocab_bytes, what, &vocabulary, err);
    if (status == TT_OK && config_text != NULL)
        status = tt_json_parse(config_text, strlen(config_text), what, &config, err);
    if (status == TT_OK)
        status = read_pad_text(config, what, &pad_text, err);
    if (status == TT_OK)
        status = tt_tokenizer_build(vocabulary, merges, n_merges_bytes, pad_text, what, tokenizer, err);
    json_decref(config);
    json_decref(vocabulary);
    return status;
}

void tt_tokenizer_destroy(tt_tokenizer *tokenizer)
{
    if (tokenizer == NULL)
        return;
    for (int i = 0; i < N_SPECIALS; i++)
        free(tokenizer->specials[i].text);
    tt_bpe_free(&tokenizer->bpe);
    free(tokenizer);
}

uint32_t tt_tokenizer_size(const tt_tokenizer *tokenizer)
{
    return tokenizer->n_tokens;
}

int32_t tt_tokenizer_bos(const tt_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int32_t tt_tokenizer_eos(const tt_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

int32_t tt_tokenizer_pad(const tt_tokenizer *tokenizer)
{
    return tokenizer->pad;
}

/* Encodes one word of code points behind the ids that the list has. */
static tt_status encode_word(const tt_tokenizer *tokenizer, tt_bpe_workspace *workspace, const int32_t *points,
                             size_t n_points, id_list *list, tt_error *err)
{
    tt_status status = reserve_ids(list, 4 * n_points, err);
    if (status != TT_OK)
        return status;
    int32_t *ids = list->ids + list->n_ids;
    uint8_t bytes[4];
    size_t n = 0;
    for (size_t i = 0; i < n_points; i++) {
        const size_t n_bytes = tt_utf8_put(points[i], bytes);
        for (size_t j = 0; j < n_bytes; j++) {
            const bool ends_word = i + 1 == n_points && j + 1 == n_bytes;
            ids[n++] = tokenizer->byte_ids[ends_word][bytes[j]];
        }
    }
    status = tt_bpe_merge_word(&tokenizer->bpe, workspace, ids, &n, err);
    list->n_ids += n;
    return status;
}

/* Encodes text that has no special tokens in it. */
static tt_status encode_plain(const tt_tokenizer *tokenizer, tt_bpe_workspace *workspace, const char *text,
                              size_t n_bytes, id_list *list, tt_error *err)
{
    tt_points points;
    size_t begin = 0, end = 0;
    tt_status status = tt_normalize(text, n_bytes, &points, err);
    tt_splitter splitter = {.text = &points};
    while (status == TT_OK && tt_splitter_next(&splitter, &begin, &end))
        status = encode_word(tokenizer, workspace, points.points + begin, end - begin, list, err);
    free(points.points);
    return status;
}

/* The longest special token that begins at `text`, or NULL. */
static const special *find_special(const tt_tokenizer *tokenizer, const char *text, size_t n_bytes)
{
    const special *best = NULL;
    for (int i = 0; i < N_SPECIALS; i++) {
        const special *candidate = &tokenizer->specials[i];
        if (candidate->n_bytes <= n_bytes && memcmp(text, candidate->text, candidate->n_bytes) == 0 &&
            (best == NULL || candidate->n_bytes > best->n_bytes))
            best = candidate;
    }
    return best;
}

static tt_status encode_all(const tt_tokenizer *tokenizer, tt_bpe_workspace *workspace, const char *text,
                            size_t n_bytes, id_list *list, tt_error *err)
{
    size_t begin = 0;
    tt_status status = TT_OK;
    for (size_t at = 0; at <= n_bytes && status == TT_OK;) {
        const special *found = at < n_bytes ? find_special(tokenizer, text + at, n_bytes - at) : NULL;
        if (found == NULL && at < n_bytes) {
            at++;
            continue;
        }
        if (at > begin)
            status = encode_plain(tokenizer, workspace, text + begin, at - begin, list, err);
        if (found == NULL)
            break;
        if (status == TT_OK)
            status = reserve_ids(list, 1, err);
        if (status == TT_OK)
            list->ids[list->n_ids++] = found->id;
        begin = at += found->n_bytes;
    }
    return status;
}

tt_status tt_tokenizer_encode(const tt_tokenizer *tokenizer, const char *text, size_t n_bytes, int32_t **ids,
                              size_t *n_ids, tt_error *err)
{
    size_t bad = 0;
    *ids = NULL;
    *n_ids = 0;
    if (n_bytes > MAX_TEXT_BYTES)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the text has %zu bytes, at most %d are allowed: shorten it", n_bytes,
                       MAX_TEXT_BYTES);
    if (!tt_utf8_valid(text, n_bytes, &bad))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "the text is not well-formed UTF-8 at byte %zu: convert it to UTF-8 first", bad);
    id_list list = {0};
    tt_bpe_workspace workspace = {0};
    tt_status status = reserve_ids(&list, 1, err); /* so that an empty text gives an array too */
    if (status == TT_OK)
        status = encode_all(tokenizer, &workspace, text, n_bytes, &list, err);
    tt_bpe_workspace_free(&workspace);
    if (status != TT_OK) {
        free(list.ids);
        return status;
    }
    *ids = list.ids;
    *n_ids = list.n_ids;
    return TT_OK;
}
