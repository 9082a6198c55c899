/* png-text.h - the character sets of PNG's text chunks. Inside the room only. */
#ifndef TT_IMAGE_PNG_TEXT_H
#define TT_IMAGE_PNG_TEXT_H

#include "base/text.h"

/* Longest text of one chunk, on both sides: what is written can be read back. */
enum { TT_MAX_TEXT_BYTES = 1 << 20 };

/* Appends UTF-8 text as Latin-1; false where a tEXt chunk cannot hold it (other characters, or control characters but
 * the line feed). The text is well-formed. */
bool tt_latin1_from_utf8(const char *text, tt_text *out);

/* Appends Latin-1 bytes as UTF-8. */
void tt_latin1_to_utf8(const uint8_t *bytes, size_t n_bytes, tt_text *out);

/* Appends well-formed JSON text as printable ASCII that means the same: other characters as \uXXXX escapes (in pairs
 * beyond U+FFFF), line ends and tabs, which JSON only has between its values, as blanks. */
void tt_json_to_ascii(const char *json, tt_text *out);

#endif
