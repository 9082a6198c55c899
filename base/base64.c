/* base64.c - three bytes are four characters. */
#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t tt_base64_length(size_t n_bytes)
{
    return (n_bytes + 2) / 3 * 4;
}

void tt_base64_encode(const void *bytes, size_t n_bytes, char *text)
{
    const uint8_t *at = bytes;
    for (; n_bytes > 0; n_bytes -= n_bytes < 3 ? n_bytes : 3, at += 3) {
        const uint32_t second = n_bytes > 1 ? at[1] : 0, third = n_bytes > 2 ? at[2] : 0;
        const uint32_t group = (uint32_t)at[0] << 16 | second << 8 | third;
        *text++ = digits[group >> 18];
        *text++ = digits[group >> 12 & 63];
        *text++ = n_bytes > 1 ? digits[group >> 6 & 63] : '=';
        *text++ = n_bytes > 2 ? digits[group & 63] : '=';
    }
    *text = '\0';
}

/* 0 .. 63, or -1. */
static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool tt_base64_decode(const char *text, size_t n_characters, uint8_t *bytes, size_t *n_bytes)
{
    if (n_characters % 4 == 0 && n_characters > 0 && text[n_characters - 1] == '=')
        n_characters -= text[n_characters - 2] == '=' ? 2 : 1;
    uint32_t group = 0;
    size_t n = 0;
    for (size_t i = 0; i < n_characters; i++) {
        const int value = digit_value(text[i]);
        if (value < 0)
            return false;
        group = group << 6 | (uint32_t)value;
        if (i % 4 != 0)
            bytes[n++] = (uint8_t)(group >> (6 - 2 * (i % 4)));
    }
    *n_bytes = n;
    return n_characters % 4 != 1;
}
