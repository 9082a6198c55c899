/* prune.c - the exact quantile of a layer's magnitudes by counting, and what is below it made 0. */
#include "quantize/prune.h"

#include <stdlib.h>
#include <string.h>

enum { N_CELLS = 1 << 16 };

/* |value| as an integer: floats of one sign are ordered like their bits. NaN is above all and never pruned before. */
static uint32_t magnitude(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffffu;
}

tt_status tt_prune_create(tt_prune *prune, tt_error *err)
{
    *prune = (tt_prune){.coarse = calloc(N_CELLS, sizeof(uint64_t)), .fine = calloc(N_CELLS, sizeof(uint64_t))};
    if (prune->coarse && prune->fine)
        return TT_OK;
    tt_prune_free(prune);
    return tt_fail_memory(err, "counts of magnitudes", 2 * N_CELLS * sizeof(uint64_t));
}

void tt_prune_free(tt_prune *prune)
{
    free(prune->coarse);
    free(prune->fine);
    *prune = (tt_prune){0};
}

void tt_prune_begin(tt_prune *prune)
{
    memset(prune->coarse, 0, N_CELLS * sizeof(uint64_t));
    memset(prune->fine, 0, N_CELLS * sizeof(uint64_t));
    *prune = (tt_prune){.coarse = prune->coarse, .fine = prune->fine};
}

void tt_prune_count(tt_prune *prune, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        prune->coarse[magnitude(values[i]) >> 16]++;
}

/* The first cell at which the running count reaches more than `left`, and what was counted before it. */
static uint32_t find_cell(const uint64_t *counts, uint64_t left, uint64_t *before)
{
    uint64_t seen = 0;
    uint32_t cell = 0;
    while (cell + 1 < N_CELLS && seen + counts[cell] < left)
        seen += counts[cell++];
    *before = seen;
    return cell;
}

void tt_prune_place(tt_prune *prune, uint64_t n_values, double share)
{
    prune->n_wanted = (uint64_t)((double)n_values * share);
    if (prune->n_wanted > n_values)
        prune->n_wanted = n_values;
    prune->cell = find_cell(prune->coarse, prune->n_wanted, &prune->n_below);
}

void tt_prune_refine(tt_prune *prune, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = magnitude(values[i]);
        if (bits >> 16 == prune->cell)
            prune->fine[bits & 0xffffu]++;
    }
}

void tt_prune_finish(tt_prune *prune)
{
    uint64_t before = 0;
    uint32_t low = find_cell(prune->fine, prune->n_wanted - prune->n_below, &before);
    prune->bits = prune->cell << 16 | low;
    prune->n_ties = prune->n_wanted - prune->n_below - before;
}

size_t tt_prune_apply(tt_prune *prune, float *values, size_t n)
{
    size_t n_zeros = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = magnitude(values[i]);
        bool is_tie = bits == prune->bits && prune->n_ties > 0;
        if (prune->n_wanted > 0 && (bits < prune->bits || is_tie)) {
            values[i] = 0.0f;
            prune->n_ties -= is_tie ? 1 : 0;
        }
        n_zeros += magnitude(values[i]) == 0;
    }
    return n_zeros;
}
