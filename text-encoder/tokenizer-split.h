/* tokenizer-split.h - cuts normalised text into words with CLIP's pattern
 *   <|startoftext|> | <|endoftext|> | 's | 't | 're | 've | 'm | 'll | 'd | \p{L}+ | \p{N} | [^\s\p{L}\p{N}]+
 * The two special strings only occur here when they were not taken out before (other letter case); Hugging Face's byte
 * level step then cuts them again at the bounds of letters and symbols, and so does this. */
#ifndef TT_TEXT_ENCODER_TOKENIZER_SPLIT_H
#define TT_TEXT_ENCODER_TOKENIZER_SPLIT_H

#include "text-encoder/tokenizer-characters.h"

/* Zero-initialise all but `text`. */
typedef struct tt_splitter {
    const tt_points *text;
    size_t position;
    size_t fence; /* end of a special string that is being cut: no word goes beyond it */
} tt_splitter;

/* The next word is points[*begin .. *end); false at the end. */
bool tt_splitter_next(tt_splitter *splitter, size_t *begin, size_t *end);

#endif
