/* png-text.c - Latin-1, UTF-8 and JSON escapes. */
#include "image/png-text.h"

#include <string.h>

/* The next code point of well-formed UTF-8. */
static uint32_t next_point(const char **text)
{
    const uint8_t *at = (const uint8_t *)*text;
    const int n_more = *at < 0x80 ? 0 : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : 3;
    uint32_t point = n_more == 0 ? *at : *at & (0x3fU >> n_more);
    for (int i = 1; i <= n_more; i++)
        point = point << 6 | (at[i] & 0x3fU);
    *text += n_more + 1;
    return point;
}

bool tt_latin1_from_utf8(const char *text, tt_text *out)
{
    while (*text != '\0') {
        const uint32_t point = next_point(&text);
        const bool is_allowed = point == '\n' || (point >= 0x20 && point < 0x7f) || (point >= 0xa0 && point <= 0xff);
        if (!is_allowed)
            return false;
        const char byte = (char)(uint8_t)point;
        tt_text_add(out, &byte, 1);
    }
    return true;
}

void tt_latin1_to_utf8(const uint8_t *bytes, size_t n_bytes, tt_text *out)
{
    for (size_t i = 0; i < n_bytes; i++) {
        const char pair[2] = {(char)(0xc0 | bytes[i] >> 6), (char)(0x80 | (bytes[i] & 0x3f))};
        if (bytes[i] < 0x80)
            tt_text_add(out, (const char *)&bytes[i], 1);
        else
            tt_text_add(out, pair, 2);
    }
}

void tt_json_to_ascii(const char *json, tt_text *out)
{
    while (*json != '\0') {
        const char *at = json;
        const uint32_t point = next_point(&json);
        if (point < 0x20)
            tt_text_add(out, " ", 1);
        else if (point < 0x7f)
            tt_text_add(out, at, 1);
        else if (point < 0x10000)
            tt_text_format(out, "\\u%04x", point);
        else
            tt_text_format(out, "\\u%04x\\u%04x", 0xd7c0 + (point >> 10), 0xdc00 + (point & 0x3ff));
    }
}
