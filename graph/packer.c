/* packer.c - packs the matrices of a store: those that stay once, by threads that work while the caller goes on; those
 * that pass through at each use. */
#include "base/file.h"
#include "base/parallel.h"
#include "graph/weight-store-private.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* File bytes that all threads together pack between two drops of the file's pages; threads (memory is the limit of
 * more); and mapped bytes where a mapping is a copy of the device's memory. */
enum { PORTION_BYTES = 4 << 20, MOST_THREADS = 8, MOST_COPIED = 64 << 20 };

/* A matrix that is being packed. */
typedef struct tt_target {
    tt_entry *entry;
    void *bytes; /* mapped; NULL: not yet, or not any more */
} tt_target;

/* Panels of one matrix that a thread packs at a time. */
typedef struct tt_portion {
    uint32_t target, first, n;
} tt_portion;

struct tt_packer {
    tt_weight_store *store;
    tt_target *targets;
    uint32_t n_targets, n_mapped; /* those before n_mapped are or were mapped */
    tt_portion *portions;
    uint32_t n_portions, end; /* those before `end` may be packed */
    atomic_uint next;
    atomic_bool stops;
    tt_crew *crew;
};

/* ---- what threads do */

static void prefetch_entry(const tt_entry *entry)
{
    for (uint32_t i = 0; i < entry->n_parts; i++) {
        const tt_matrix_part *part = &entry->parts[i];
        uint64_t n = (uint64_t)part->n_out * entry->as.matrix.n_in * entry->as.matrix.n_taps;
        tt_mapping_want(part->values, (size_t)tt_dtype_bytes(part->dtype, n));
    }
}

/* Packs some panels and drops the file's pages. The whole file's: reading maps neighbours of what is read too, and
 * those would pile up. */
static void pack_panels(const tt_weight_store *store, const tt_entry *entry, uint32_t first, uint32_t n, void *bytes)
{
    tt_matrix_pack_panels(entry->parts, entry->n_parts, &entry->as.matrix, first, n, bytes);
    tt_weights_drop_pages(store->weights);
}

/* Takes portions until none is left. The system may fetch the next matrix while one is packed. */
static void work(void *user)
{
    tt_packer *packer = user;
    for (uint32_t i; !atomic_load(&packer->stops) && (i = atomic_fetch_add(&packer->next, 1)) < packer->end;) {
        const tt_portion *portion = &packer->portions[i];
        const tt_target *target = &packer->targets[portion->target];
        if (portion->first == 0 && portion->target + 1 < packer->n_targets)
            prefetch_entry(target[1].entry);
        pack_panels(packer->store, target->entry, portion->first, portion->n, target->bytes);
    }
}

static uint32_t n_threads(void)
{
    uint32_t n = tt_parallel_processors();
    return n < MOST_THREADS ? n : MOST_THREADS;
}

/* Panels of a portion whose file bytes are about n_bytes; parts of one matrix may differ in type. */
static uint32_t portion_panels(const tt_entry *entry, uint64_t n_bytes)
{
    const tt_matrix *matrix = &entry->as.matrix;
    uint64_t panel = tt_dtype_bytes(entry->parts[0].dtype, (uint64_t)matrix->n_in * matrix->n_taps) * 32;
    return panel == 0 || panel >= n_bytes ? 1 : (uint32_t)(n_bytes / panel);
}

/* ---- beginning */

static bool is_missing(const tt_entry *entry)
{
    return entry->as.matrix.values.mem == NULL;
}

static uint32_t count_portions(const tt_entry *entry, uint32_t most)
{
    return (tt_matrix_panels(&entry->as.matrix) + most - 1) / most;
}

/* An empty packer with room for all that stays and is missing. */
static tt_packer *new_packer(tt_weight_store *store, const bool *stays)
{
    tt_packer *packer = calloc(1, sizeof *packer);
    size_t n_targets = 0, n_portions = 0;
    for (size_t i = 0; i < store->n_entries; i++) {
        const tt_entry *entry = store->entries[i];
        if (entry->kind != TT_ENTRY_MATRIX || !stays[i] || !is_missing(entry))
            continue;
        n_targets++;
        n_portions += count_portions(entry, portion_panels(entry, PORTION_BYTES / n_threads()));
    }
    if (!packer)
        return NULL;
    packer->store = store;
    atomic_init(&packer->next, 0);
    atomic_init(&packer->stops, false);
    packer->targets = calloc(n_targets + 1, sizeof *packer->targets);
    packer->portions = calloc(n_portions + 1, sizeof *packer->portions);
    if (packer->targets && packer->portions)
        return packer;
    free(packer->targets);
    free(packer->portions);
    free(packer);
    return NULL;
}

static void add_portions(tt_packer *packer, const tt_entry *entry)
{
    uint32_t most = portion_panels(entry, PORTION_BYTES / n_threads()), n_panels = tt_matrix_panels(&entry->as.matrix);
    for (uint32_t first = 0; first < n_panels; first += most) {
        uint32_t n = n_panels - first < most ? n_panels - first : most;
        packer->portions[packer->n_portions++] = (tt_portion){packer->n_targets, first, n};
    }
}

/* Makes the device's memory of one matrix that is missing and lists it. */
static tt_status add_target(tt_packer *packer, tt_entry *entry, tt_error *err)
{
    tt_buffer values;
    tt_status status =
        tt_buffer_create(packer->store->kernels.device, entry->as.matrix.values.n_bytes, "weights", &values, err);
    if (status != TT_OK)
        return status;
    entry->as.matrix.values = values;
    add_portions(packer, entry);
    packer->targets[packer->n_targets++].entry = entry;
    return TT_OK;
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

/* Puts the layer's name before the sentence. */
static tt_status fail_at(const tt_entry *entry, tt_status status, tt_error *err)
{
    char name[TT_MAX_NAME] = "";
    size_t n = strcspn(entry->key, "+");
    memcpy(name, entry->key, n < sizeof name ? n : sizeof name - 1);
    tt_error_prefix(err, name);
    return status;
}

/* Buffers of what is missing. */
static tt_status add_targets(tt_packer *packer, const bool *stays, tt_error *err)
{
    tt_weight_store *store = packer->store;
    for (size_t i = 0; i < store->n_entries; i++) {
        tt_entry *entry = store->entries[i];
        tt_status status = TT_OK;
        if (entry->kind != TT_ENTRY_MATRIX)
            continue;
        if (entry->as.matrix.bias.mem == NULL)
            status = make_bias(store, entry, err);
        if (status == TT_OK && stays[i] && is_missing(entry))
            status = add_target(packer, entry, err);
        if (status != TT_OK)
            return fail_at(entry, status, err);
    }
    return TT_OK;
}

/* Maps further matrices, all of them where that costs nothing. */
static tt_status map_targets(tt_packer *packer, tt_error *err)
{
    tt_device *device = packer->store->kernels.device;
    bool is_free = tt_device_shares_memory(device);
    for (uint64_t n_bytes = 0; packer->n_mapped < packer->n_targets; packer->n_mapped++) {
        tt_target *target = &packer->targets[packer->n_mapped];
        const tt_buffer *values = &target->entry->as.matrix.values;
        if (!is_free && n_bytes > 0 && n_bytes + values->n_bytes > MOST_COPIED)
            break;
        tt_status status = tt_buffer_map(device, values, &target->bytes, err);
        if (status != TT_OK)
            return fail_at(target->entry, status, err);
        if (is_free)
            tt_mapping_use_large_pages(target->bytes, values->n_bytes);
        n_bytes += values->n_bytes;
    }
    while (packer->end < packer->n_portions && packer->portions[packer->end].target < packer->n_mapped)
        packer->end++;
    return TT_OK;
}

/* Lets threads pack what is mapped. */
static void start(tt_packer *packer)
{
    uint32_t first = atomic_load(&packer->next), left = packer->end - first, most = n_threads();
    if (left > 0)
        packer->crew = tt_crew_start(left < most ? left : most, work, packer);
}

/* ---- ending */

/* Gives the device what is packed. */
static tt_status unmap_targets(tt_packer *packer, tt_error *err)
{
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < packer->n_mapped && status == TT_OK; i++) {
        tt_target *target = &packer->targets[i];
        if (target->bytes == NULL)
            continue;
        void *bytes = target->bytes;
        target->bytes = NULL;
        status = tt_buffer_unmap(packer->store->kernels.device, &target->entry->as.matrix.values, bytes, err);
        if (status != TT_OK)
            return fail_at(target->entry, status, err);
    }
    return status;
}

/* Frees the packer; matrices that are not packed lose their memory again. */
static void destroy(tt_packer *packer, bool is_packed)
{
    tt_device *device = packer->store->kernels.device;
    for (uint32_t i = 0; i < packer->n_targets; i++) {
        tt_target *target = &packer->targets[i];
        tt_matrix *matrix = &target->entry->as.matrix;
        if (is_packed) {
            free(target->entry->parts);
            target->entry->parts = NULL;
            continue;
        }
        size_t n_bytes = matrix->values.n_bytes;
        if (target->bytes != NULL)
            (void)tt_buffer_unmap(device, &matrix->values, target->bytes, NULL);
        tt_buffer_release(device, &matrix->values);
        matrix->values.n_bytes = n_bytes;
    }
    packer->store->packer = NULL;
    free(packer->targets);
    free(packer->portions);
    free(packer);
}

void tt_packer_cancel(tt_packer *packer)
{
    if (!packer)
        return;
    atomic_store(&packer->stops, true);
    tt_crew_end(packer->crew);
    destroy(packer, false);
}

/* Helps with what is mapped and waits for the threads. */
static tt_status finish_batch(tt_packer *packer, tt_error *err)
{
    work(packer);
    tt_crew_end(packer->crew);
    packer->crew = NULL;
    atomic_store(&packer->next, packer->end); /* each thread that found nothing counted on */
    return unmap_targets(packer, err);
}

tt_status tt_weight_store_begin_packing(tt_weight_store *store, tt_error *err)
{
    if (store->is_plan)
        return TT_OK;
    tt_status status = tt_weight_store_pack_rest(store, err);
    if (status != TT_OK)
        return status;
    bool *stays = calloc(store->n_entries + 1, sizeof *stays);
    tt_packer *packer = NULL;
    if (stays) {
        (void)tt_weight_store_decide(store, stays);
        packer = new_packer(store, stays);
    }
    if (!packer)
        status = tt_fail_memory(err, "the list of weights to pack", store->n_entries * sizeof *packer->targets);
    if (status == TT_OK)
        status = add_targets(packer, stays, err);
    if (status == TT_OK)
        status = map_targets(packer, err);
    free(stays);
    if (status != TT_OK && packer)
        destroy(packer, false);
    if (status != TT_OK)
        return status;
    store->packer = packer;
    start(packer);
    return TT_OK;
}

tt_status tt_weight_store_pack_rest(tt_weight_store *store, tt_error *err)
{
    tt_packer *packer = store->packer;
    if (!packer)
        return TT_OK;
    tt_status status = finish_batch(packer, err);
    while (status == TT_OK && packer->n_mapped < packer->n_targets) {
        status = map_targets(packer, err);
        if (status != TT_OK)
            break;
        start(packer);
        status = finish_batch(packer, err);
    }
    tt_weights_drop_pages(store->weights);
    destroy(packer, status == TT_OK);
    return status;
}

tt_status tt_weight_store_pack(tt_weight_store *store, tt_error *err)
{
    tt_status status = tt_weight_store_begin_packing(store, err);
    return status == TT_OK ? tt_weight_store_pack_rest(store, err) : status;
}

/* ---- matrices that pass through */

/* The entry whose address was handed out as a matrix. */
static const tt_entry *entry_of(const tt_matrix *matrix)
{
    return (const tt_entry *)(const void *)((const char *)matrix - offsetof(tt_entry, as));
}

void tt_weight_store_fill(const tt_weight_store *store, const tt_matrix *matrix, void *bytes)
{
    const tt_entry *entry = entry_of(matrix);
    uint32_t most = portion_panels(entry, PORTION_BYTES), n_panels = tt_matrix_panels(matrix);
    for (uint32_t first = 0, n; first < n_panels; first += n) {
        n = n_panels - first < most ? n_panels - first : most;
        pack_panels(store, entry, first, n, bytes); /* by this thread alone: the device computes meanwhile */
    }
}

void tt_weight_store_prefetch(const tt_matrix *matrix)
{
    prefetch_entry(entry_of(matrix));
}
