/* gguf-text.c - see gguf-text.h. */
#include "tests/support/gguf-text.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void add_number(tt_text *out, uint64_t value, unsigned n_bytes)
{
    for (unsigned i = 0; i < n_bytes; i++) {
        char byte = (char)(uint8_t)(i < 8 ? value >> 8 * i : 0);
        tt_text_add(out, &byte, 1);
    }
}

static void add_repeated(tt_text *out, uint64_t n, unsigned value)
{
    char byte = (char)(uint8_t)value;
    for (uint64_t i = 0; i < n; i++)
        tt_text_add(out, &byte, 1);
}

static void add_word(tt_text *out, const char *word, size_t n_word)
{
    char *end = NULL;
    if (word[0] == '$')
        add_number(out, n_word - 1, 8);
    if (word[0] == '$' || word[0] == '=') {
        tt_text_add(out, word + 1, n_word - 1);
        return;
    }
    bool is_plain = word[0] >= '0' && word[0] <= '9';
    uint64_t number = strtoull(word + !is_plain, &end, 0);
    if (word[0] == '~') {
        while (out->n_bytes % number != 0)
            add_repeated(out, 1, 0);
        return;
    }
    if ((!is_plain && word[0] != '*') || *end != ':')
        fail_msg("no such word: %.*s", (int)n_word, word);
    unsigned second = (unsigned)strtoul(end + 1, NULL, 0);
    if (is_plain)
        add_number(out, number, second);
    else
        add_repeated(out, number, second);
}

uint8_t *gguf_block(const char *text, size_t *n_bytes)
{
    tt_text out = {0};
    tt_text_add(&out, "", 0);
    for (const char *word = text; *word != '\0';) {
        size_t n_word = strcspn(word, " ");
        if (n_word > 0)
            add_word(&out, word, n_word);
        word += n_word + (word[n_word] == ' ');
    }
    *n_bytes = out.n_bytes;
    if (out.failed)
        return NULL;
    /* A block of exactly this size, so that a sanitizer sees the first byte read beyond it. */
    uint8_t *bytes = malloc(out.n_bytes + (out.n_bytes == 0));
    if (bytes != NULL && out.n_bytes > 0)
        memcpy(bytes, out.bytes, out.n_bytes);
    tt_text_free(&out);
    return bytes;
}
