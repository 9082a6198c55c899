/* prompt.h - the A1111 prompt grammar and its cutting into chunks of 75 tokens.
 *
 * (x) multiplies attention by 1.1, [x] divides by 1.1, (x:1.3) multiplies by 1.3, \( \) \[ \] \\ are literal, BREAK
 * fills up the current chunk; nesting multiplies. Unbalanced brackets apply to the end of the text, as in A1111.
 * "<lora:name:0.8>" is refused with a clear sentence by this version. */
#ifndef TT_TEXT_ENCODER_PROMPT_H
#define TT_TEXT_ENCODER_PROMPT_H

#include "text-encoder/tokenizer.h"

enum { TT_CHUNK_TOKENS = 77 };

/* Chunks of 77 ids (BOS, up to 75 tokens, EOS, padding) and one weight for each id (1 for special ids). */
typedef struct tt_prompt {
    uint32_t n_chunks;
    int32_t *ids;   /* [n_chunks][77] */
    float *weights; /* [n_chunks][77] */
    bool weighted;  /* any weight differs from 1 */
} tt_prompt;

/* Parses and encodes a prompt; an empty one gives one chunk. A chunk is cut at the last comma within the last 20 tokens
 * when that keeps a phrase whole, as A1111 does. At most 64 chunks. Free with tt_prompt_free. */
tt_status tt_prompt_encode(const tt_tokenizer *tokenizer, const char *text, tt_prompt *prompt, tt_error *err);

/* Appends empty chunks until there are n_chunks (prompt and negative prompt must have the same number). */
tt_status tt_prompt_pad(const tt_tokenizer *tokenizer, tt_prompt *prompt, uint32_t n_chunks, tt_error *err);
void tt_prompt_free(tt_prompt *prompt);

/* Multiplies the embeddings of one chunk, hidden [77][width] floats, by the weights and restores the mean of the whole
 * chunk, as A1111's default emphasis does. */
void tt_prompt_apply_weights(const float *weights, float *hidden, uint32_t width);

#endif
