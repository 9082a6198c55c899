/* tokenizer-build.h - how the two sources of a vocabulary make the same object. Inside the room only. */
#ifndef TT_TEXT_ENCODER_TOKENIZER_BUILD_H
#define TT_TEXT_ENCODER_TOKENIZER_BUILD_H

#include "text-encoder/tokenizer-vocabulary.h"
#include "text-encoder/tokenizer.h"

#define TT_BOS_TEXT "<|startoftext|>"
#define TT_EOS_TEXT "<|endoftext|>"

/* Makes a tokenizer of a vocabulary object (borrowed) and the text of its merges; pad_text NULL: EOS. */
tt_status tt_tokenizer_build(const json_t *vocabulary, const char *merges, size_t n_merges_bytes, const char *pad_text,
                             const char *what, tt_tokenizer **tokenizer, tt_error *err);

#endif
