/* residency.c - which matrices of a store stay on the device. */
#include "graph/weight-store-private.h"

/* Order in which matrices are let stay: what is packed already, what every run uses, large before small (the largest
 * that does not stay sizes the slots, and large matrices have the least work per byte), first asked first. */
static bool goes_before(const tt_entry *a, const tt_entry *b)
{
    bool a_packed = a->as.matrix.values.mem != NULL, b_packed = b->as.matrix.values.mem != NULL;
    size_t a_bytes = a->as.matrix.values.n_bytes, b_bytes = b->as.matrix.values.n_bytes;
    if (a_packed != b_packed)
        return a_packed;
    if (a->is_static != b->is_static)
        return b->is_static;
    if (a_bytes != b_bytes)
        return a_bytes > b_bytes;
    return a->index < b->index;
}

/* The matrix that follows `previous` (NULL: the first) in that order, NULL after the last. A component has a few
 * hundred matrices: looking through all of them each time costs less than a list to keep. */
static const tt_entry *next_matrix(const tt_weight_store *store, const tt_entry *previous)
{
    const tt_entry *next = NULL;
    for (size_t i = 0; i < store->n_entries; i++) {
        const tt_entry *entry = store->entries[i];
        if (entry->kind == TT_ENTRY_MATRIX && (!previous || goes_before(previous, entry)) &&
            (!next || goes_before(entry, next)))
            next = entry;
    }
    return next;
}

/* What stays in any case, and in *matrices all matrices together. */
static uint64_t small_bytes(const tt_weight_store *store, uint64_t *matrices)
{
    uint64_t n_bytes = 0;
    *matrices = 0;
    for (size_t i = 0; i < store->n_entries; i++) {
        const tt_entry *entry = store->entries[i];
        if (entry->kind == TT_ENTRY_MATRIX) {
            *matrices += entry->as.matrix.values.n_bytes;
            n_bytes += entry->as.matrix.bias.n_bytes;
        } else
            n_bytes += entry->as.vector.values.n_bytes;
    }
    return n_bytes;
}

tt_weight_sizes tt_weight_store_decide(const tt_weight_store *store, bool *stays)
{
    uint64_t all = 0, used = 0;
    tt_weight_sizes sizes = {0};
    uint64_t others = small_bytes(store, &all);
    if (all <= store->resident_limit) {
        for (size_t i = 0; stays && i < store->n_entries; i++)
            stays[i] = true;
        sizes.resident_bytes = others + all;
        return sizes;
    }
    for (const tt_entry *entry = next_matrix(store, NULL); entry; entry = next_matrix(store, entry)) {
        uint64_t n_bytes = entry->as.matrix.values.n_bytes;
        bool fits = used <= store->resident_limit && n_bytes <= store->resident_limit - used;
        bool stay = fits || entry->as.matrix.values.mem != NULL;
        if (stay)
            used += n_bytes;
        else {
            sizes.streamed_bytes += n_bytes;
            sizes.slot_bytes = n_bytes > sizes.slot_bytes ? n_bytes : sizes.slot_bytes;
            sizes.n_slots += sizes.n_slots < store->n_slots; /* never more slots than matrices */
        }
        if (stays)
            stays[entry->index] = stay;
    }
    sizes.resident_bytes = others + used;
    return sizes;
}

tt_weight_sizes tt_weight_store_sizes(const tt_weight_store *store)
{
    return tt_weight_store_decide(store, NULL);
}
