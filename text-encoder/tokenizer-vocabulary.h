/* tokenizer-vocabulary.h - token texts to ids and the list of merges, as both vocabulary forms bring them. Tokens are
 * written in GPT-2's byte alphabet: each byte is one printable character, "</w>" ends a word. Inside the room only. */
#ifndef TT_TEXT_ENCODER_TOKENIZER_VOCABULARY_H
#define TT_TEXT_ENCODER_TOKENIZER_VOCABULARY_H

#include "base/json.h"
#include "text-encoder/bpe-merge.h"

enum { TT_MAX_TOKENS = 1 << 20 };

/* True for the bytes that the alphabet writes as themselves (as Latin-1): '!' to '~' and 0xA1 to 0xFF but 0xAD. */
bool tt_byte_is_printable(uint8_t byte);

/* A token's text in the byte alphabet for one byte, zero-terminated; with "</w>" when it ends a word. */
typedef struct tt_byte_token {
    char text[8];
    size_t n_bytes;
} tt_byte_token;

tt_byte_token tt_byte_token_of(uint8_t byte, bool ends_word);

/* Checks that the object's values are the ids 0..n-1, each once. `what` names the source. */
tt_status tt_vocabulary_check(const json_t *vocabulary, const char *what, tt_error *err);

/* The id of a token, or -1. */
int32_t tt_vocabulary_find(const json_t *vocabulary, const char *token, size_t n_bytes);

/* Reads lines "left right" (a first line "#version..." and blank lines are skipped) into rules. Every token and every
 * result must be in the vocabulary. The rules are freed with free(). */
tt_status tt_merges_parse(const char *text, size_t n_bytes, const json_t *vocabulary, const char *what,
                          tt_bpe_rule **rules, uint32_t *n_rules, tt_error *err);

#endif
