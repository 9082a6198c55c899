/* tokenizer.h - CLIP's byte-level BPE (Radford et al. 2021), equal to Hugging Face's fast CLIP tokenizer: NFC, runs of
 * white space become one blank, per-character lower case, the CLIP split pattern, no ftfy and no HTML unescaping;
 * "<|startoftext|>" and "<|endoftext|>" inside a text become the special ids. */
#ifndef TT_TEXT_ENCODER_TOKENIZER_H
#define TT_TEXT_ENCODER_TOKENIZER_H

#include "base/error.h"

typedef struct tt_tokenizer tt_tokenizer;

/* Makes a tokenizer from the texts of vocab.json and merges.txt (untrusted; ids must be 0..n-1 without repeats).
 * config_text is tokenizer_config.json or NULL; only its pad_token is used (default "<|endoftext|>"). `what` names the
 * source in sentences. Free with tt_tokenizer_destroy. The object is immutable after creation: any thread may encode.
 */
tt_status tt_tokenizer_create(const char *vocab_json, size_t n_vocab_bytes, const char *merges, size_t n_merges_bytes,
                              const char *config_text, const char *what, tt_tokenizer **tokenizer, tt_error *err);

/* Makes a tokenizer of n_tokens entries from CLIP's merge list `bpe_simple_vocab_16e6.txt.gz` (path; gzip; its SHA-256
 * is checked): ids are 256 bytes, 256 bytes + "</w>", the first n_tokens - 514 merges, BOS, EOS. pad_id < 0: EOS. */
tt_status tt_tokenizer_create_clip(const char *merges_gz_path, uint32_t n_tokens, int32_t pad_id,
                                   tt_tokenizer **tokenizer, tt_error *err);
void tt_tokenizer_destroy(tt_tokenizer *tokenizer);

/* The same vocabulary as the texts of vocab.json and merges.txt, which tt_tokenizer_create takes; both are new
 * (free()).
 */
tt_status tt_tokenizer_clip_texts(const char *merges_gz_path, uint32_t n_tokens, char **vocab_json, char **merges,
                                  tt_error *err);

uint32_t tt_tokenizer_size(const tt_tokenizer *tokenizer);
int32_t tt_tokenizer_bos(const tt_tokenizer *tokenizer);
int32_t tt_tokenizer_eos(const tt_tokenizer *tokenizer);
int32_t tt_tokenizer_pad(const tt_tokenizer *tokenizer);

/* Encodes n_bytes of UTF-8 without BOS and EOS into a new array (free()). Ill-formed UTF-8 fails with the byte's
 * offset; texts over 1 MiB fail. An empty text gives no ids. Time is linear in the text (long words are bounded). */
tt_status tt_tokenizer_encode(const tt_tokenizer *tokenizer, const char *text, size_t n_bytes, int32_t **ids,
                              size_t *n_ids, tt_error *err);

#endif
