/* text.c - a growing byte string, and checks of UTF-8. */
#include "base/text.h"

#include "base/checked.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tt_text_free(tt_text *text)
{
    free(text->bytes);
    *text = (tt_text){0};
}

/* Makes room for n_more bytes and a terminator. */
static bool reserve(tt_text *text, size_t n_more)
{
    size_t needed;
    if (text->failed)
        return false;
    if (!tt_add_size(text->n_bytes, n_more, &needed) || !tt_add_size(needed, 1, &needed)) {
        text->failed = true;
        return false;
    }
    if (needed <= text->capacity)
        return true;
    size_t capacity = text->capacity < 64 ? 64 : text->capacity;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    char *bytes = realloc(text->bytes, capacity);
    if (bytes == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void tt_text_add(tt_text *text, const char *bytes, size_t n_bytes)
{
    if (!reserve(text, n_bytes))
        return;
    if (n_bytes > 0)
        memcpy(text->bytes + text->n_bytes, bytes, n_bytes);
    text->n_bytes += n_bytes;
    text->bytes[text->n_bytes] = '\0';
}

void tt_text_add_string(tt_text *text, const char *string)
{
    tt_text_add(text, string, strlen(string));
}

void tt_text_format(tt_text *text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        text->failed = true;
    else if (reserve(text, (size_t)length)) {
        (void)vsnprintf(text->bytes + text->n_bytes, (size_t)length + 1, format, again);
        text->n_bytes += (size_t)length;
    }
    va_end(again);
}

tt_status tt_text_status(const tt_text *text, tt_error *err)
{
    return text->failed ? tt_fail_memory(err, "a text", text->n_bytes) : TT_OK;
}

/* Length of the well-formed sequence at bytes (n_bytes left), 0 when there is none. Bounds of the second byte as in
 * table 3-7 of the Unicode standard. */
static size_t well_formed_length(const unsigned char *bytes, size_t n_bytes)
{
    unsigned char first = bytes[0], low = 0x80, high = 0xbf;
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length > n_bytes)
        return 0;
    if (first == 0xe0)
        low = 0xa0; /* overlong */
    else if (first == 0xed)
        high = 0x9f; /* surrogates */
    else if (first == 0xf0)
        low = 0x90; /* overlong */
    else if (first == 0xf4)
        high = 0x8f; /* beyond U+10FFFF */
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool tt_utf8_valid(const char *bytes, size_t n_bytes, size_t *bad)
{
    for (size_t i = 0; i < n_bytes;) {
        size_t length = well_formed_length((const unsigned char *)bytes + i, n_bytes - i);
        if (length == 0) {
            if (bad != NULL)
                *bad = i;
            return false;
        }
        i += length;
    }
    return true;
}

bool tt_string_copy(const char *string, char **copy)
{
    *copy = NULL;
    if (string == NULL)
        return true;
    size_t n_bytes = strlen(string) + 1;
    *copy = malloc(n_bytes);
    if (*copy == NULL)
        return false;
    memcpy(*copy, string, n_bytes);
    return true;
}
