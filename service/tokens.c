/* tokens.c - the file of tokens, looking one up, making one. */
#include "service/tokens.h"

#include "base/file.h"
#include "base/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { MAX_FILE_BYTES = 4 << 20, MAX_TOKEN = 256, N_DIGITS = 64, N_RANDOM = 32 };

typedef struct token_line {
    tt_token_owner owner;
    char sha256[N_DIGITS + 1];
} token_line;

struct tt_tokens {
    bool anyone; /* no file */
    size_t n;
    token_line *lines;
};

static bool is_name(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    const size_t n = strlen(name);
    return n > 0 && n < sizeof((tt_token_owner *)0)->name && strspn(name, allowed) == n;
}

static bool is_digest(const char *text)
{
    return strlen(text) == N_DIGITS && strspn(text, "0123456789abcdef") == N_DIGITS;
}

/* Two or three words; the line is taken apart. */
static tt_status read_line(char *line, const char *path, size_t number, token_line *out, tt_error *err)
{
    char *state = NULL;
    const char *name = strtok_r(line, " \t\r", &state), *digest = strtok_r(NULL, " \t\r", &state);
    const char *most = strtok_r(NULL, " \t\r", &state), *more = strtok_r(NULL, " \t\r", &state);
    if (digest == NULL || more != NULL || !is_name(name) || !is_digest(digest))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: line %zu is not NAME SHA256 [MAX-QUEUED]: make one with tintype-gate --new-token NAME",
                       path, number);
    *out = (token_line){0};
    memcpy(out->owner.name, name, strlen(name));
    memcpy(out->sha256, digest, N_DIGITS);
    if (most == NULL)
        return TT_OK;
    char *end;
    out->owner.max_queued = strtoull(most, &end, 10);
    if (most[0] < '0' || most[0] > '9' || *end != '\0' || out->owner.max_queued == 0)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: line %zu: the number of jobs is \"%s\", expected 1 or more", path,
                       number, most);
    return TT_OK;
}

static tt_status add_line(tt_tokens *tokens, const token_line *line, const char *path, size_t number, tt_error *err)
{
    for (size_t i = 0; i < tokens->n; i++)
        if (strcmp(tokens->lines[i].sha256, line->sha256) == 0)
            return tt_fail(err, TT_ERROR_FORMAT, "%s: line %zu: the token of %s is there twice", path, number,
                           line->owner.name);
    if ((tokens->n & (tokens->n + 1)) == 0) { /* 0, 1, 3, 7, ...: full */
        token_line *lines = realloc(tokens->lines, (2 * tokens->n + 1) * sizeof *lines);
        if (lines == NULL)
            return tt_fail_memory(err, "tokens", (2 * tokens->n + 1) * sizeof *lines);
        tokens->lines = lines;
    }
    tokens->lines[tokens->n++] = *line;
    return TT_OK;
}

static tt_status read_lines(tt_tokens *tokens, char *text, const char *path, tt_error *err)
{
    tt_status status = TT_OK;
    size_t number = 0;
    for (char *line = text, *next; line != NULL && status == TT_OK; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        number++;
        token_line found;
        if (line[strspn(line, " \t\r")] == '\0' || line[0] == '#')
            continue;
        status = read_line(line, path, number, &found, err);
        if (status == TT_OK)
            status = add_line(tokens, &found, path, number, err);
    }
    if (status == TT_OK && tokens->n == 0)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: holds no token: make one with tintype-gate --new-token NAME", path);
    return status;
}

tt_status tt_tokens_read(const char *path, tt_tokens **tokens, tt_error *err)
{
    tt_tokens *made = calloc(1, sizeof *made);
    *tokens = NULL;
    if (made == NULL)
        return tt_fail_memory(err, "tokens", sizeof *made);
    made->anyone = path == NULL;
    char *text = NULL;
    size_t n_bytes = 0;
    tt_status status = path == NULL ? TT_OK : tt_file_read(path, MAX_FILE_BYTES, &text, &n_bytes, err);
    if (status == TT_OK && text != NULL && strlen(text) != n_bytes)
        status = tt_fail(err, TT_ERROR_FORMAT, "%s: is not a text file", path);
    if (status == TT_OK && text != NULL)
        status = read_lines(made, text, path, err);
    free(text);
    if (status != TT_OK) {
        tt_tokens_free(made);
        return status;
    }
    *tokens = made;
    return TT_OK;
}

void tt_tokens_free(tt_tokens *tokens)
{
    if (tokens == NULL)
        return;
    free(tokens->lines);
    free(tokens);
}

/* The token in "Bearer TOKEN", NULL when the header is something else. */
static const char *bearer(const char *authorization)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
    if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0)
        return NULL;
    const char *token = authorization + 7;
    token += strspn(token, " ");
    const size_t n = strlen(token);
    return n > 0 && n <= MAX_TOKEN && strspn(token, allowed) == n ? token : NULL;
}

/* 1 when they are equal, else 0, in a time that does not depend on where they differ. */
static unsigned same_digest(const char *a, const char *b)
{
    unsigned difference = 0;
    for (size_t i = 0; i < N_DIGITS; i++)
        difference |= (unsigned)(a[i] ^ b[i]) & 0xff;
    return ((difference - 1) >> 8) & 1;
}

bool tt_tokens_find(const tt_tokens *tokens, const char *authorization, tt_token_owner *owner, uint32_t *code)
{
    *owner = (tt_token_owner){0};
    *code = 0;
    if (tokens->anyone) {
        memcpy(owner->name, "anyone", sizeof "anyone");
        return true;
    }
    const char *token = bearer(authorization);
    char digest[N_DIGITS + 1];
    if (token == NULL || tt_sha256_hex(token, strlen(token), digest, NULL) != TT_OK) {
        *code = 401;
        return false;
    }
    size_t found = tokens->n; /* all lines are looked at, whatever matches */
    for (size_t i = 0; i < tokens->n; i++)
        found = same_digest(digest, tokens->lines[i].sha256) ? i : found;
    if (found == tokens->n) {
        *code = 403;
        return false;
    }
    *owner = tokens->lines[found].owner;
    return true;
}

/* 256 random bits as 43 characters of base64url. */
static void write_token(const uint8_t random[N_RANDOM], char token[64])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0, n_bits = 0;
    for (size_t i = 0; i < N_RANDOM; i++) {
        bits = bits << 8 | random[i];
        for (n_bits += 8; n_bits >= 6; n_bits -= 6)
            *token++ = digits[bits >> (n_bits - 6) & 63];
    }
    *token++ = digits[bits << (6 - n_bits) & 63];
    *token = '\0';
}

tt_status tt_token_make(const char *name, char token[64], char line[160], tt_error *err)
{
    uint8_t random[N_RANDOM];
    char digest[N_DIGITS + 1];
    if (!is_name(name))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "the name of a token is \"%s\", expected 1 to 63 letters, digits, '-', '_' and '.'", name);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return tt_fail(err, TT_ERROR_IO, "the system gives no random numbers");
    write_token(random, token);
    const tt_status status = tt_sha256_hex(token, strlen(token), digest, err);
    if (status == TT_OK)
        (void)snprintf(line, 160, "%s %s", name, digest);
    return status;
}
