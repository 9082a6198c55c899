/* base64.h - base64 (RFC 4648), as headers and JSON carry bytes. */
#ifndef TT_BASE_BASE64_H
#define TT_BASE_BASE64_H

#include "base/error.h"

/* Characters that n_bytes become, padding included, without a terminator. */
size_t tt_base64_length(size_t n_bytes);

/* Writes tt_base64_length(n_bytes) characters and a terminator. */
void tt_base64_encode(const void *bytes, size_t n_bytes, char *text);

/* Decodes n_characters, with or without padding at the end; white space and other characters are refused. bytes has
 * room for n_characters / 4 * 3 + 3. False when the text is no base64. */
bool tt_base64_decode(const char *text, size_t n_characters, uint8_t *bytes, size_t *n_bytes);

#endif
