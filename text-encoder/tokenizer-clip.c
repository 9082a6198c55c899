/* tokenizer-clip.c - a tokenizer from CLIP's published merge list. */
#include "base/file.h"
#include "base/sha256.h"
#include "text-encoder/tokenizer-build.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    MAX_PACKED_BYTES = 4 << 20,
    MAX_LIST_BYTES = 8 << 20,
    MIN_TOKENS = 514,   /* 256 bytes, 256 bytes that end a word, BOS, EOS */
    MAX_TOKENS = 49408, /* CLIP's own size */
};

static const char list_sha256[] = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a";

/* Reads the gzip file and checks its digest. */
static tt_status read_packed(const char *path, char **bytes, size_t *n_bytes, tt_error *err)
{
    char digest[65];
    tt_status status = tt_file_read(path, MAX_PACKED_BYTES, bytes, n_bytes, err);
    if (status != TT_OK)
        return status;
    status = tt_sha256_hex(*bytes, *n_bytes, digest, err);
    if (status == TT_OK && strcmp(digest, list_sha256) != 0)
        status = tt_fail(err, TT_ERROR_FORMAT,
                         "%s: is not CLIP's vocabulary bpe_simple_vocab_16e6.txt.gz: its SHA-256 begins with %.12s, "
                         "expected %.12s; fetch it again with scripts/fetch-vocabulary.sh",
                         path, digest, list_sha256);
    if (status != TT_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

/* Unpacks into a new block of at most MAX_LIST_BYTES. */
static tt_status unpack(const char *packed, size_t n_packed, const char *path, char **text, size_t *n_bytes,
                        tt_error *err)
{
    z_stream stream = {0};
    *text = malloc(MAX_LIST_BYTES);
    if (*text == NULL)
        return tt_fail_memory(err, "CLIP's vocabulary", MAX_LIST_BYTES);
    int code = inflateInit2(&stream, 15 + 16); /* 16: with a gzip header */
    if (code == Z_OK) {
        stream.next_in = (Bytef *)packed;
        stream.avail_in = (uInt)n_packed;
        stream.next_out = (Bytef *)*text;
        stream.avail_out = MAX_LIST_BYTES;
        code = inflate(&stream, Z_FINISH);
        *n_bytes = stream.total_out;
        inflateEnd(&stream);
    }
    if (code == Z_STREAM_END)
        return TT_OK;
    free(*text);
    *text = NULL;
    return tt_fail(err, TT_ERROR_FORMAT, "%s: cannot be unpacked (zlib code %d)", path, code);
}

/* Shrinks *text to its lines 2 .. n_lines + 1: the first line is a header. False when there are fewer. */
static bool take_lines(const char **text, size_t *n_bytes, uint32_t n_lines)
{
    const char *end = *text + *n_bytes;
    const char *begin = memchr(*text, '\n', *n_bytes);
    if (begin == NULL)
        return false;
    const char *at = ++begin;
    for (uint32_t i = 0; i < n_lines; i++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (at == NULL)
            return false;
        at++;
    }
    *text = begin;
    *n_bytes = (size_t)(at - begin);
    return true;
}

static bool add_token(json_t *vocabulary, const char *token, size_t n_bytes)
{
    const json_int_t id = (json_int_t)json_object_size(vocabulary);
    return json_object_setn_new(vocabulary, token, n_bytes, json_integer(id)) == 0;
}

/* The bytes in the alphabet's order: printable ones first. */
static bool add_bytes(json_t *vocabulary, bool ends_word)
{
    for (int printable = 1; printable >= 0; printable--)
        for (int byte = 0; byte < 256; byte++) {
            const tt_byte_token token = tt_byte_token_of((uint8_t)byte, ends_word);
            if (tt_byte_is_printable((uint8_t)byte) == (printable != 0) &&
                !add_token(vocabulary, token.text, token.n_bytes))
                return false;
        }
    return true;
}

/* Each line "a b" adds the token "ab". */
static bool add_merged(json_t *vocabulary, const char *text, size_t n_bytes)
{
    char joined[256];
    for (const char *end = text + n_bytes; text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t n = 0;
        for (; newline != NULL && text < newline && n < sizeof joined; text++)
            if (*text != ' ')
                joined[n++] = *text;
        if (newline == NULL || text != newline || !add_token(vocabulary, joined, n))
            return false;
        text = newline + 1;
    }
    return true;
}

/* The token that has this id, or NULL. */
static const char *token_text(json_t *vocabulary, int32_t id)
{
    const char *key;
    json_t *value;
    json_object_foreach(vocabulary, key, value) if (json_integer_value(value) == id) return key;
    return NULL;
}

/* The vocabulary object of a list of merges. */
static tt_status make_vocabulary(const char *merges, size_t n_bytes, uint32_t n_tokens, json_t **vocabulary,
                                 tt_error *err)
{
    json_t *v = json_object();
    *vocabulary = v;
    if (v != NULL && add_bytes(v, false) && add_bytes(v, true) && add_merged(v, merges, n_bytes) &&
        add_token(v, TT_BOS_TEXT, strlen(TT_BOS_TEXT)) && add_token(v, TT_EOS_TEXT, strlen(TT_EOS_TEXT)))
        return TT_OK;
    json_decref(v);
    *vocabulary = NULL;
    return tt_fail_memory(err, "CLIP's vocabulary", (size_t)n_tokens * 100);
}

/* Reads the file and cuts it to the merges of n_tokens. The merges are inside *text (free()). */
static tt_status read_merges(const char *path, uint32_t n_tokens, char **text, const char **merges, size_t *n_bytes,
                             tt_error *err)
{
    char *packed = NULL;
    size_t n_packed = 0;
    *text = NULL;
    if (n_tokens < MIN_TOKENS || n_tokens > MAX_TOKENS)
        return tt_fail(
            err, TT_ERROR_UNSUPPORTED,
            "the text encoder has %u tokens, but CLIP's vocabulary serves %d to %d: the model must bring its "
            "own vocab.json and merges.txt",
            n_tokens, MIN_TOKENS, MAX_TOKENS);
    tt_status status = read_packed(path, &packed, &n_packed, err);
    if (status == TT_OK)
        status = unpack(packed, n_packed, path, text, n_bytes, err);
    free(packed);
    if (status != TT_OK)
        return status;
    *merges = *text;
    if (take_lines(merges, n_bytes, n_tokens - MIN_TOKENS))
        return TT_OK;
    free(*text);
    *text = NULL;
    return tt_fail(err, TT_ERROR_FORMAT, "%s: holds fewer than %u merges", path, n_tokens - MIN_TOKENS);
}

tt_status tt_tokenizer_create_clip(const char *merges_gz_path, uint32_t n_tokens, int32_t pad_id,
                                   tt_tokenizer **tokenizer, tt_error *err)
{
    char *text = NULL;
    const char *merges = NULL;
    size_t n_bytes = 0;
    json_t *vocabulary = NULL;
    *tokenizer = NULL;
    if (pad_id >= 0 && (uint32_t)pad_id >= n_tokens)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the padding id %d is not below the number of tokens, %u", pad_id,
                       n_tokens);
    tt_status status = read_merges(merges_gz_path, n_tokens, &text, &merges, &n_bytes, err);
    if (status == TT_OK)
        status = make_vocabulary(merges, n_bytes, n_tokens, &vocabulary, err);
    if (status == TT_OK) {
        const char *pad_text = pad_id < 0 ? NULL : token_text(vocabulary, pad_id);
        status = tt_tokenizer_build(vocabulary, merges, n_bytes, pad_text, merges_gz_path, tokenizer, err);
    }
    json_decref(vocabulary);
    free(text);
    return status;
}

tt_status tt_tokenizer_clip_texts(const char *merges_gz_path, uint32_t n_tokens, char **vocab_json, char **merges,
                                  tt_error *err)
{
    char *text = NULL;
    const char *lines = NULL;
    size_t n_bytes = 0;
    json_t *vocabulary = NULL;
    *vocab_json = *merges = NULL;
    tt_status status = read_merges(merges_gz_path, n_tokens, &text, &lines, &n_bytes, err);
    if (status == TT_OK)
        status = make_vocabulary(lines, n_bytes, n_tokens, &vocabulary, err);
    if (status == TT_OK) {
        *vocab_json = json_dumps(vocabulary, JSON_COMPACT);
        *merges = malloc(n_bytes + 1);
        if (*vocab_json == NULL || *merges == NULL)
            status = tt_fail_memory(err, "CLIP's vocabulary", n_bytes);
    }
    if (status == TT_OK) {
        memcpy(*merges, lines, n_bytes);
        (*merges)[n_bytes] = '\0';
    } else {
        free(*vocab_json);
        free(*merges);
        *vocab_json = *merges = NULL;
    }
    json_decref(vocabulary);
    free(text);
    return status;
}
