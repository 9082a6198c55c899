/* tokenizer-vocabulary.c - checks of vocab.json and reading of merges.txt. */
#include "text-encoder/tokenizer-vocabulary.h"

#include "text-encoder/tokenizer-characters.h"

#include <stdlib.h>
#include <string.h>

bool tt_byte_is_printable(uint8_t byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte != 0xad);
}

/* Printable Latin-1 bytes stand for themselves, the others follow in order from U+0100. */
static int32_t byte_character(uint8_t byte)
{
    if (tt_byte_is_printable(byte))
        return byte;
    int32_t n_before = 0;
    for (uint8_t other = 0; other < byte; other++)
        n_before += !tt_byte_is_printable(other);
    return 0x100 + n_before;
}

tt_byte_token tt_byte_token_of(uint8_t byte, bool ends_word)
{
    tt_byte_token token = {0};
    uint8_t bytes[4];
    token.n_bytes = tt_utf8_put(byte_character(byte), bytes);
    memcpy(token.text, bytes, token.n_bytes);
    if (ends_word) {
        memcpy(token.text + token.n_bytes, "</w>", 4);
        token.n_bytes += 4;
    }
    return token;
}

static tt_status check_id(const char *token, const json_t *value, size_t n_tokens, bool *seen, const char *what,
                          tt_error *err)
{
    if (!json_is_integer(value))
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the id of token \"%.64s\" is not a whole number", what, token);
    const json_int_t id = json_integer_value(value);
    if (id < 0 || (uint64_t)id >= n_tokens)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: token \"%.64s\" has id %lld, but %zu tokens need ids 0 to %zu", what,
                       token, (long long)id, n_tokens, n_tokens - 1);
    if (seen[id])
        return tt_fail(err, TT_ERROR_FORMAT, "%s: id %lld is given to two tokens, one of them \"%.64s\"", what,
                       (long long)id, token);
    seen[id] = true;
    return TT_OK;
}

tt_status tt_vocabulary_check(const json_t *vocabulary, const char *what, tt_error *err)
{
    const size_t n_tokens = json_object_size(vocabulary);
    if (n_tokens == 0 || n_tokens > TT_MAX_TOKENS)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: has %zu tokens, expected 1 to %d", what, n_tokens, TT_MAX_TOKENS);
    bool *seen = calloc(n_tokens, sizeof *seen);
    if (seen == NULL)
        return tt_fail_memory(err, "checking a vocabulary", n_tokens);
    tt_status status = TT_OK;
    json_t *object = (json_t *)vocabulary; /* jansson's iterators take no const */
    for (void *at = json_object_iter(object); at != NULL && status == TT_OK; at = json_object_iter_next(object, at))
        status = check_id(json_object_iter_key(at), json_object_iter_value(at), n_tokens, seen, what, err);
    free(seen);
    return status;
}

int32_t tt_vocabulary_find(const json_t *vocabulary, const char *token, size_t n_bytes)
{
    const json_t *value = json_object_getn(vocabulary, token, n_bytes);
    return value == NULL ? -1 : (int32_t)json_integer_value(value);
}

/* One line of merges.txt. */
typedef struct merge_line {
    const char *text;
    size_t n_bytes;
    size_t number; /* from 1, for sentences */
} merge_line;

/* Splits "left right" and looks all three tokens up. joined has room for the line. */
static tt_status parse_line(merge_line line, const json_t *vocabulary, const char *what, char *joined,
                            tt_bpe_rule *rule, tt_error *err)
{
    const char *blank = memchr(line.text, ' ', line.n_bytes);
    const size_t n_left = blank == NULL ? 0 : (size_t)(blank - line.text);
    const size_t n_right = blank == NULL ? 0 : line.n_bytes - n_left - 1;
    if (n_left == 0 || n_right == 0 || memchr(blank + 1, ' ', n_right) != NULL)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: line %zu of the merges is not two tokens with a blank between them",
                       what, line.number);
    memcpy(joined, line.text, n_left);
    memcpy(joined + n_left, blank + 1, n_right);
    const int32_t left = tt_vocabulary_find(vocabulary, line.text, n_left);
    const int32_t right = tt_vocabulary_find(vocabulary, blank + 1, n_right);
    const int32_t id = tt_vocabulary_find(vocabulary, joined, n_left + n_right);
    if (left < 0 || right < 0 || id < 0)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: line %zu of the merges, \"%.*s\", names a token that the vocabulary does not have", what,
                       line.number, line.n_bytes < 64 ? (int)line.n_bytes : 64, line.text);
    *rule = (tt_bpe_rule){(uint32_t)left, (uint32_t)right, 0, (uint32_t)id};
    return TT_OK;
}

/* Takes the next line off the text, without its end. */
static merge_line next_line(const char **text, size_t *n_bytes, size_t number)
{
    const char *newline = memchr(*text, '\n', *n_bytes);
    merge_line line = {*text, newline == NULL ? *n_bytes : (size_t)(newline - *text), number};
    const size_t n_used = line.n_bytes + (newline != NULL);
    *text += n_used;
    *n_bytes -= n_used;
    if (line.n_bytes > 0 && line.text[line.n_bytes - 1] == '\r')
        line.n_bytes--;
    return line;
}

static bool is_skipped(merge_line line)
{
    static const char header[] = "#version";
    const size_t n = sizeof header - 1;
    return line.n_bytes == 0 || (line.number == 1 && line.n_bytes >= n && memcmp(line.text, header, n) == 0);
}

static size_t count_lines(const char *text, size_t n_bytes, size_t *n_longest)
{
    size_t n_lines = 0;
    for (*n_longest = 0; n_bytes > 0; n_lines++) {
        const merge_line line = next_line(&text, &n_bytes, 0);
        if (line.n_bytes > *n_longest)
            *n_longest = line.n_bytes;
    }
    return n_lines;
}

tt_status tt_merges_parse(const char *text, size_t n_bytes, const json_t *vocabulary, const char *what,
                          tt_bpe_rule **rules, uint32_t *n_rules, tt_error *err)
{
    size_t n_longest = 0;
    const size_t n_lines = count_lines(text, n_bytes, &n_longest);
    *rules = NULL;
    *n_rules = 0;
    if (n_lines > TT_MAX_TOKENS)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: has %zu merges, expected at most %d", what, n_lines, TT_MAX_TOKENS);
    char *joined = malloc(n_longest + 1);
    *rules = calloc(n_lines + 1, sizeof **rules);
    tt_status status = TT_OK;
    if (joined == NULL || *rules == NULL)
        status = tt_fail_memory(err, "the tokenizer's merges", (n_lines + 1) * sizeof **rules + n_longest);
    for (size_t number = 1; n_bytes > 0 && status == TT_OK; number++) {
        const merge_line line = next_line(&text, &n_bytes, number);
        if (is_skipped(line))
            continue;
        tt_bpe_rule *rule = &(*rules)[*n_rules];
        status = parse_line(line, vocabulary, what, joined, rule, err);
        rule->rank = (*n_rules)++;
    }
    free(joined);
    if (status != TT_OK) {
        free(*rules);
        *rules = NULL;
    }
    return status;
}
