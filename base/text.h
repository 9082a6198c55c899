/* text.h - a growing byte string, and checks of UTF-8. */
#ifndef TT_BASE_TEXT_H
#define TT_BASE_TEXT_H

#include "base/error.h"

/* Zero-initialise; `bytes` is always terminated once something was added. */
typedef struct tt_text {
    char *bytes;
    size_t n_bytes; /* without the terminator */
    size_t capacity;
    bool failed; /* memory ran out: later additions do nothing, tt_text_status tells */
} tt_text;

void tt_text_free(tt_text *text);
void tt_text_add(tt_text *text, const char *bytes, size_t n_bytes);
void tt_text_add_string(tt_text *text, const char *string);
void tt_text_format(tt_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* TT_OK, or TT_ERROR_MEMORY when an addition failed. */
tt_status tt_text_status(const tt_text *text, tt_error *err);

/* True when the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). *bad (may be NULL) is the
 * offset of the first wrong byte. */
bool tt_utf8_valid(const char *bytes, size_t n_bytes, size_t *bad);

/* A copy of a string; NULL stays NULL. False when memory is out. */
bool tt_string_copy(const char *string, char **copy);

#endif
