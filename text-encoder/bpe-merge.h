/* bpe-merge.h - the merge rules of a byte-pair encoding and their application to one word (Sennrich et al. 2016). */
#ifndef TT_TEXT_ENCODER_BPE_MERGE_H
#define TT_TEXT_ENCODER_BPE_MERGE_H

#include "base/error.h"

/* "left right" becomes `id`; rules of lower rank go first. */
typedef struct tt_bpe_rule {
    uint32_t left, right;
    uint32_t rank, id;
} tt_bpe_rule;

/* Rules sorted by left and right; those of left token t are rules[first[t]] .. rules[first[t + 1]]. A lookup is a
 * binary search in that range, so no choice of rules can make it slow as it could with a hash table. */
typedef struct tt_bpe {
    tt_bpe_rule *rules;
    uint32_t *first; /* [n_tokens + 1] */
} tt_bpe;

/* Takes over `rules` (malloc; freed also on failure), n_rules of them; all ids are below n_tokens. A pair that occurs
 * twice keeps its last rank, as in Hugging Face's tokenizers. Free with tt_bpe_free. */
tt_status tt_bpe_init(tt_bpe *bpe, tt_bpe_rule *rules, uint32_t n_rules, uint32_t n_tokens, tt_error *err);
void tt_bpe_free(tt_bpe *bpe);

/* Memory for words of up to n_max symbols; zero-initialise, grows as needed, one per thread. */
typedef struct tt_bpe_workspace {
    struct tt_bpe_symbol *symbols;
    struct tt_bpe_candidate *heap;
    size_t n_max;
} tt_bpe_workspace;

void tt_bpe_workspace_free(tt_bpe_workspace *workspace);

/* Merges the n symbols of one word in place until no rule fits: always the rule of lowest rank, leftmost first, in
 * O(n log n). *n becomes the number of tokens. */
tt_status tt_bpe_merge_word(const tt_bpe *bpe, tt_bpe_workspace *workspace, int32_t *ids, size_t *n, tt_error *err);

#endif
