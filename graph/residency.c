/* residency.c - which matrices of a store stay on the device, and packing: of those once, of the others at each use. */
#include "base/file.h"
#include "base/parallel.h"
#include "graph/weight-store-private.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* File bytes that are packed between two drops of the file's pages. */
enum { PORTION_BYTES = 4 << 20, MOST_THREADS = 8 };

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

/* Counts, and in stays[] (by index of the entry, NULL: not wanted) says which matrices stay. */
static tt_weight_sizes decide(const tt_weight_store *store, bool *stays)
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
    return decide(store, NULL);
}

/* Stored bytes of the rows of one panel, roughly: parts of one matrix may differ in type. */
static uint64_t panel_bytes(const tt_entry *entry)
{
    const tt_matrix *matrix = &entry->as.matrix;
    return tt_dtype_bytes(entry->parts[0].dtype, (uint64_t)matrix->n_in * matrix->n_taps) * 32;
}

/* Panels that some threads pack together: each takes the next one when it is done with its last. */
typedef struct portion {
    const tt_entry *entry;
    uint32_t end;
    atomic_uint next;
    void *bytes;
} portion;

static void pack_share(void *user, size_t first, size_t last, uint32_t thread)
{
    portion *p = user;
    const tt_entry *entry = p->entry;
    (void)first, (void)last, (void)thread;
    for (uint32_t i; (i = atomic_fetch_add(&p->next, 1)) < p->end;)
        tt_matrix_pack_panels(entry->parts, entry->n_parts, &entry->as.matrix, i, 1, p->bytes);
}

/* Packs values in portions and drops the file's pages after each. The whole file's: reading maps neighbours of what is
 * read too, and those would pile up. */
static void pack_entry(const tt_weight_store *store, const tt_entry *entry, uint32_t n_threads, void *bytes)
{
    uint64_t one = panel_bytes(entry);
    uint32_t most = one >= PORTION_BYTES ? 1 : (uint32_t)(PORTION_BYTES / (one ? one : 1));
    uint32_t n_panels = tt_matrix_panels(&entry->as.matrix);
    most = most < n_threads ? n_threads : most;
    for (uint32_t first = 0, n; first < n_panels; first += n) {
        n = n_panels - first < most ? n_panels - first : most;
        portion p = {.entry = entry, .end = first + n, .bytes = bytes};
        uint32_t n_used = n < n_threads ? n : n_threads;
        atomic_init(&p.next, first);
        tt_parallel_run(n_used, n_used, pack_share, &p);
        tt_weights_drop_pages(store->weights);
    }
}

/* Threads that pack what stays: memory is the limit of more. */
static uint32_t packing_threads(void)
{
    uint32_t n = tt_parallel_processors();
    return n < MOST_THREADS ? n : MOST_THREADS;
}

static tt_status make_values(tt_weight_store *store, tt_entry *entry, tt_error *err)
{
    tt_device *device = store->kernels.device;
    tt_buffer values;
    void *bytes = NULL;
    tt_status status = tt_buffer_create(device, entry->as.matrix.values.n_bytes, "weights", &values, err);
    if (status == TT_OK)
        status = tt_buffer_map(device, &values, &bytes, err);
    if (status == TT_OK) {
        if (tt_device_shares_memory(device))
            tt_mapping_use_large_pages(bytes, values.n_bytes);
        pack_entry(store, entry, packing_threads(), bytes);
        status = tt_buffer_unmap(device, &values, bytes, err);
    }
    if (status != TT_OK)
        tt_buffer_release(device, &values);
    else
        entry->as.matrix.values = values;
    return status;
}

static tt_status make_bias(tt_weight_store *store, tt_entry *entry, tt_error *err)
{
    size_t n_bytes = entry->as.matrix.bias.n_bytes;
    tt_status status = tt_matrix_create_bias(&store->kernels, entry->parts, entry->n_parts, &entry->as.matrix, err);
    if (status == TT_OK)
        return status;
    tt_buffer_release(store->kernels.device, &entry->as.matrix.bias);
    entry->as.matrix.bias.n_bytes = n_bytes;
    return status;
}

/* Makes what is missing of one matrix. */
static tt_status pack_matrix(tt_weight_store *store, tt_entry *entry, bool stays, tt_error *err)
{
    tt_matrix *matrix = &entry->as.matrix;
    tt_status status = TT_OK;
    if (matrix->bias.mem == NULL)
        status = make_bias(store, entry, err);
    if (status == TT_OK && stays && matrix->values.mem == NULL)
        status = make_values(store, entry, err);
    if (status == TT_OK && stays) {
        free(entry->parts);
        entry->parts = NULL;
    }
    return status;
}

static void prefetch_entry(const tt_entry *entry)
{
    for (uint32_t i = 0; i < entry->n_parts; i++) {
        const tt_matrix_part *part = &entry->parts[i];
        uint64_t n = (uint64_t)part->n_out * entry->as.matrix.n_in * entry->as.matrix.n_taps;
        tt_mapping_want(part->values, (size_t)tt_dtype_bytes(part->dtype, n));
    }
}

/* Lets the system fetch the next matrix that is packed while this one is. */
static void prefetch_behind(const tt_weight_store *store, size_t index, const bool *stays)
{
    for (size_t i = index + 1; i < store->n_entries; i++) {
        const tt_entry *entry = store->entries[i];
        if (entry->kind != TT_ENTRY_MATRIX || !stays[i] || entry->as.matrix.values.mem != NULL)
            continue;
        prefetch_entry(entry);
        return;
    }
}

tt_status tt_weight_store_pack(tt_weight_store *store, tt_error *err)
{
    if (store->is_plan)
        return TT_OK;
    bool *stays = calloc(store->n_entries + 1, sizeof *stays);
    if (!stays)
        return tt_fail_memory(err, "the choice of weights that stay", store->n_entries + 1);
    (void)decide(store, stays);
    tt_status status = TT_OK;
    for (size_t i = 0; i < store->n_entries && status == TT_OK; i++) {
        tt_entry *entry = store->entries[i];
        if (entry->kind != TT_ENTRY_MATRIX)
            continue;
        prefetch_behind(store, i, stays);
        status = pack_matrix(store, entry, stays[i], err);
        if (status != TT_OK) {
            char name[TT_MAX_NAME] = "";
            size_t n = strcspn(entry->key, "+");
            memcpy(name, entry->key, n < sizeof name ? n : sizeof name - 1);
            tt_error_prefix(err, name);
        }
    }
    tt_weights_drop_pages(store->weights);
    free(stays);
    return status;
}

/* The entry whose address was handed out as a matrix. */
static const tt_entry *entry_of(const tt_matrix *matrix)
{
    return (const tt_entry *)(const void *)((const char *)matrix - offsetof(tt_entry, as));
}

void tt_weight_store_fill(const tt_weight_store *store, const tt_matrix *matrix, void *bytes)
{
    pack_entry(store, entry_of(matrix), 1, bytes); /* the device computes meanwhile */
}

void tt_weight_store_prefetch(const tt_matrix *matrix)
{
    prefetch_entry(entry_of(matrix));
}
