/* prune.h - unstructured magnitude pruning: the smallest weights of a layer become 0 (Han et al., arXiv 1506.02626). */
#ifndef TT_QUANTIZE_PRUNE_H
#define TT_QUANTIZE_PRUNE_H

#include "base/error.h"

/* Finds the threshold of a layer in two passes over its values, without keeping them: first add all values to counts,
 * then place; then refine with the same values; then finish. Magnitudes are compared as the bits of floats, so the
 * result is exact for any distribution. Of equal magnitudes at the threshold the first in order are pruned. */
typedef struct tt_prune {
    uint64_t *coarse, *fine; /* counts by the upper and lower 16 bits of |w| */
    uint64_t n_wanted;       /* weights to make 0 */
    uint64_t n_below;        /* those in coarser cells below the threshold's */
    uint64_t n_ties;         /* weights of exactly the threshold's magnitude to make 0 */
    uint32_t cell, bits;     /* the threshold: upper 16 bits, all 32 bits */
} tt_prune;

/* Free with tt_prune_free. */
tt_status tt_prune_create(tt_prune *prune, tt_error *err);
void tt_prune_free(tt_prune *prune);

/* Forgets a layer. */
void tt_prune_begin(tt_prune *prune);

/* First pass. */
void tt_prune_count(tt_prune *prune, const float *values, size_t n);

/* Between the passes: of the n_values counted, the share (0..1, rounded down) is to become 0. */
void tt_prune_place(tt_prune *prune, uint64_t n_values, double share);

/* Second pass. */
void tt_prune_refine(tt_prune *prune, const float *values, size_t n);

/* After it. */
void tt_prune_finish(tt_prune *prune);

/* Makes values 0, in the order in which they were counted. Returns how many are 0 afterwards. */
size_t tt_prune_apply(tt_prune *prune, float *values, size_t n);

#endif
