/* tokenizer-characters.h - what Hugging Face's CLIP tokenizer does to characters before it splits words: NFC (Unicode
 * UAX #15), runs of white space to one blank, lower case of each character by itself.
 *
 * Character data is utf8proc's (Unicode 15 in version 2.8): characters that it does not know yet count as symbols, and
 * combining marks are ordered by its classes, where Hugging Face's library has none for about 100 rare marks that came
 * after Unicode 9. No other difference is known. */
#ifndef TT_TEXT_ENCODER_TOKENIZER_CHARACTERS_H
#define TT_TEXT_ENCODER_TOKENIZER_CHARACTERS_H

#include "base/error.h"

/* The classes that the split pattern tells apart: white space, \p{L}, \p{N} and the rest. */
typedef enum tt_char_kind { TT_CHAR_SPACE, TT_CHAR_LETTER, TT_CHAR_NUMBER, TT_CHAR_OTHER } tt_char_kind;

tt_char_kind tt_char_kind_of(int32_t point);

/* The class of the first character of UTF-8 text; false when there is no well-formed one. */
bool tt_first_char_kind(const char *text, size_t n_bytes, tt_char_kind *kind);

/* Code points of a text in order. */
typedef struct tt_points {
    int32_t *points; /* free() */
    size_t n_points;
} tt_points;

/* Normalises well-formed UTF-8; time is O(n log n) also for long runs of combining marks. */
tt_status tt_normalize(const char *text, size_t n_bytes, tt_points *out, tt_error *err);

/* Writes the UTF-8 form of a code point, 1 to 4 bytes, and returns their number. */
size_t tt_utf8_put(int32_t point, uint8_t bytes[4]);

#endif
