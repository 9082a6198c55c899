/* error.c - the one sentence of a failure, made safe to show on a terminal. */
#include "base/error.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The code point of a well-formed sequence of `length` bytes. */
static uint32_t code_point(const unsigned char *bytes, size_t length)
{
    if (length == 1)
        return bytes[0];
    uint32_t point = bytes[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        point = point << 6 | (bytes[i] & 0x3fu);
    return point;
}

/* Control characters, and the marks that turn the writing direction around. */
static bool is_unsafe(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point <= 0x9f) || (point >= 0x202a && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0x2028 || point == 0x2029;
}

/* Length that the first byte of a sequence announces; 1 for bytes that cannot begin one. */
static size_t sequence_length(unsigned char first)
{
    if (first < 0xc2 || first > 0xf4)
        return 1;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Copies text into out (n_bytes with the terminator); everything that is not plain UTF-8 text becomes '?'. Never ends
 * inside a sequence. */
static void copy_safe(char *out, size_t n_bytes, const char *text)
{
    size_t n_text = strlen(text), used = 0;
    for (size_t i = 0; i < n_text;) {
        size_t length = sequence_length((unsigned char)text[i]);
        bool whole = i + length <= n_text && tt_utf8_valid(text + i, length, NULL);
        if (!whole)
            length = 1;
        bool safe = whole && !is_unsafe(code_point((const unsigned char *)text + i, length));
        size_t wanted = safe ? length : 1;
        if (used + wanted + 1 > n_bytes)
            break;
        if (safe)
            memcpy(out + used, text + i, length);
        else
            out[used] = '?';
        used += wanted;
        i += length;
    }
    out[used] = '\0';
}

tt_status tt_fail(tt_error *err, tt_status status, const char *format, ...)
{
    if (err == NULL)
        return status;
    /* Arguments may point into err->text, so the sentence is made beside it. */
    char raw[sizeof(err->text) + 4]; /* a last character that vsnprintf cuts in two lies past what is kept */
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(raw, sizeof(raw), format, arguments);
    va_end(arguments);
    if (length < 0)
        strcpy(raw, "an error whose sentence could not be formatted");
    copy_safe(err->text, sizeof(err->text), raw);
    return status;
}

void tt_error_prefix(tt_error *err, const char *prefix)
{
    if (err == NULL)
        return;
    char sentence[sizeof(err->text)];
    memcpy(sentence, err->text, sizeof(sentence));
    (void)tt_fail(err, TT_OK, "%s: %s", prefix, sentence);
}

tt_status tt_fail_memory(tt_error *err, const char *what, size_t n_bytes)
{
    return tt_fail(err, TT_ERROR_MEMORY, "out of memory: %s needs %zu bytes; close other programs or ask for less",
                   what, n_bytes);
}

const char *tt_status_name(tt_status status)
{
    static const char *const names[] = {"ok",          "argument", "memory",    "io",      "format",
                                        "unsupported", "device",   "cancelled", "internal"};
    size_t index = (size_t)status;
    return index < sizeof(names) / sizeof(names[0]) ? names[index] : "unknown";
}
