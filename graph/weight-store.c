/* weight-store.c - finds, checks and keeps the weights of one component; packer.c packs the matrices. */
#include "base/checked.h"
#include "base/text.h"
#include "graph/weight-store-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tt_status tt_weight_store_create(const tt_kernels *kernels, tt_weights *weights, tt_weight_store **store, tt_error *err)
{
    tt_weight_store *s = calloc(1, sizeof *s);
    if (!s)
        return tt_fail_memory(err, "a weight store", sizeof *s);
    s->kernels = *kernels;
    s->weights = weights;
    s->resident_limit = UINT64_MAX;
    s->n_slots = 2;
    *store = s;
    return TT_OK;
}

tt_status tt_weight_store_create_plan(const tt_kernels *kernels, tt_weights *weights, tt_weight_store **store,
                                      tt_error *err)
{
    tt_status status = tt_weight_store_create(kernels, weights, store, err);
    if (status == TT_OK)
        (*store)->is_plan = true;
    return status;
}

static void free_entry(tt_entry *entry)
{
    free(entry->parts);
    free(entry->key);
    free(entry);
}

static void release_entry(tt_weight_store *store, tt_entry *entry)
{
    tt_device *device = store->kernels.device;
    if (entry->kind == TT_ENTRY_MATRIX)
        tt_matrix_release(device, &entry->as.matrix);
    else
        tt_vector_release(device, &entry->as.vector);
    free_entry(entry);
}

tt_status tt_weight_store_create_assumed(const tt_kernels *kernels, tt_dtype type, tt_weight_store **store,
                                         tt_error *err)
{
    tt_status status = tt_weight_store_create_plan(kernels, NULL, store, err);
    if (status == TT_OK)
        (*store)->assumed = type;
    return status;
}

void tt_weight_store_destroy(tt_weight_store *store)
{
    if (!store)
        return;
    tt_packer_cancel(store->packer);
    for (size_t i = 0; i < store->n_entries; i++)
        release_entry(store, store->entries[i]);
    for (size_t i = 0; i < store->n_listed; i++)
        free((void *)(uintptr_t)store->listed[i].name);
    free(store->listed);
    free(store->entries);
    free(store);
}

void tt_weight_store_set_limit(tt_weight_store *store, uint64_t resident_bytes, uint32_t n_slots)
{
    store->resident_limit = resident_bytes;
    store->n_slots = n_slots < 2 ? 2 : n_slots;
}

uint64_t tt_weight_store_bytes(const tt_weight_store *store)
{
    return tt_weight_store_sizes(store).resident_bytes;
}

size_t tt_weight_store_n_tensors(const tt_weight_store *store)
{
    return store->n_listed;
}

const tt_listed_tensor *tt_weight_store_tensor(const tt_weight_store *store, size_t index)
{
    return index < store->n_listed ? &store->listed[index] : NULL;
}

/* Appends to the list of a plan; a name that is listed already stays as it is. */
static tt_status list_tensor(tt_weight_store *store, const tt_listed_tensor *tensor, tt_error *err)
{
    for (size_t i = 0; i < store->n_listed; i++)
        if (strcmp(store->listed[i].name, tensor->name) == 0)
            return TT_OK;
    if (store->n_listed == store->listed_capacity) {
        size_t capacity = store->listed_capacity ? store->listed_capacity * 2 : 256;
        tt_listed_tensor *larger = realloc(store->listed, capacity * sizeof *larger);
        if (!larger)
            return tt_fail_memory(err, "a list of tensors", capacity * sizeof *larger);
        store->listed = larger;
        store->listed_capacity = capacity;
    }
    char *name;
    if (!tt_string_copy(tensor->name, &name))
        return tt_fail_memory(err, "a tensor's name", strlen(tensor->name));
    store->listed[store->n_listed] = *tensor;
    store->listed[store->n_listed++].name = name;
    return TT_OK;
}

static tt_entry *find_entry(const tt_weight_store *store, const char *key)
{
    for (size_t i = 0; i < store->n_entries; i++)
        if (strcmp(store->entries[i]->key, key) == 0)
            return store->entries[i];
    return NULL;
}

/* Room for one more entry with this key; the caller fills it and then calls keep_entry or free_entry. */
static tt_entry *new_entry(tt_weight_store *store, tt_entry_kind kind, const char *key)
{
    if (store->n_entries == store->capacity) {
        size_t capacity = store->capacity ? store->capacity * 2 : 128;
        tt_entry **larger = realloc(store->entries, capacity * sizeof(tt_entry *));
        if (!larger)
            return NULL;
        store->entries = larger;
        store->capacity = capacity;
    }
    tt_entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->kind = kind;
    if (!tt_string_copy(key, &entry->key)) {
        free(entry);
        return NULL;
    }
    return entry;
}

static void keep_entry(tt_weight_store *store, tt_entry *entry)
{
    entry->index = store->n_entries;
    store->entries[store->n_entries++] = entry;
}

/* What a store without a file takes a tensor for: blocks only where rows are whole blocks, half elsewhere. */
static void assume_weight(const tt_weight_store *store, uint32_t n_dims, const uint64_t *dims, tt_weight *weight)
{
    uint64_t row = n_dims == 4 ? dims[1] * dims[2] * dims[3] : n_dims == 2 ? dims[1] : 1;
    bool fits = n_dims > 1 && row % tt_dtype_block(store->assumed) == 0;
    /* Describing wants an address; nothing is read there. */
    *weight = (tt_weight){.tensor = {.dtype = fits ? store->assumed : TT_F16, .data = store}};
}

/* Finds a tensor in the file, or assumes it. */
static tt_status get_weight(tt_weight_store *store, const char *name, uint32_t n_dims, const uint64_t *dims,
                            tt_weight *weight, tt_error *err)
{
    if (store->weights)
        return tt_weights_get(store->weights, name, n_dims, dims, weight, err);
    assume_weight(store, n_dims, dims, weight);
    return TT_OK;
}

/* Looks one tensor up by layer name and suffix. */
static tt_status find_tensor(tt_weight_store *store, const char *layer, const char *suffix, uint32_t n_dims,
                             const uint64_t *dims, tt_weight *weight, tt_error *err)
{
    char name[TT_MAX_NAME];
    int n = snprintf(name, sizeof name, "%s%s", layer, suffix);
    if (n < 0 || (size_t)n >= sizeof name)
        return tt_fail(err, TT_ERROR_INTERNAL, "the layer name %s is too long", layer);
    return get_weight(store, name, n_dims, dims, weight, err);
}

/* Lists weights and biases of a matrix as one group. */
static tt_status list_parts(tt_weight_store *store, const tt_matrix_request *request, tt_error *err)
{
    static const char *const suffixes[] = {".weight", ".bias"};
    uint32_t side = request->n_taps == 9 ? 3 : 1, group = store->n_groups++;
    tt_status status = TT_OK;
    for (uint32_t i = 0; i < request->n_parts * 2 && status == TT_OK; i++) {
        bool is_bias = i % 2 == 1;
        if (is_bias && !request->has_bias)
            continue;
        char name[TT_MAX_NAME];
        (void)snprintf(name, sizeof name, "%s%s", request->names[i / 2], suffixes[i % 2]);
        tt_listed_tensor tensor = {.name = name,
                                   .role = is_bias ? TT_ROLE_BIAS : TT_ROLE_MATRIX,
                                   .n_dims = is_bias                ? 1
                                             : request->n_taps == 9 ? 4
                                                                    : 2,
                                   .dims = {request->n_out[i / 2], request->n_in, side, side},
                                   .group = group,
                                   .split = request->split};
        status = list_tensor(store, &tensor, err);
    }
    return status;
}

/* Lists a vector or table, as a group of its own. */
static tt_status list_one(tt_weight_store *store, const char *name, tt_tensor_role role, uint64_t rows, uint64_t width,
                          tt_error *err)
{
    tt_listed_tensor tensor = {
        .name = name, .role = role, .n_dims = width ? 2 : 1, .dims = {rows, width}, .group = store->n_groups++};
    return store->is_plan ? list_tensor(store, &tensor, err) : TT_OK;
}

/* Finds weight and bias of every part. */
static tt_status find_parts(tt_weight_store *store, const tt_matrix_request *request, tt_matrix_part *parts,
                            tt_error *err)
{
    uint32_t side = request->n_taps == 9 ? 3 : 1;
    for (uint32_t i = 0; i < request->n_parts; i++) {
        uint64_t dims[4] = {request->n_out[i], request->n_in, side, side};
        uint64_t n_out = request->n_out[i];
        tt_weight weight, bias, slope;
        tt_status status =
            find_tensor(store, request->names[i], ".weight", request->n_taps == 9 ? 4 : 2, dims, &weight, err);
        if (status == TT_OK && request->has_bias)
            status = find_tensor(store, request->names[i], ".bias", 1, &n_out, &bias, err);
        if (status == TT_OK && request->slope)
            status = get_weight(store, request->slope, 1, &n_out, &slope, err);
        if (status != TT_OK)
            return status;
        parts[i] = (tt_matrix_part){.dtype = weight.tensor.dtype,
                                    .values = weight.tensor.data,
                                    .scale = weight.scale,
                                    .offset = weight.offset,
                                    .transposed = weight.transposed,
                                    .n_out = request->n_out[i],
                                    .leak = request->leak};
        if (request->has_bias) {
            parts[i].bias_dtype = bias.tensor.dtype;
            parts[i].bias = bias.tensor.data;
        }
        if (request->slope) {
            parts[i].slope_dtype = slope.tensor.dtype;
            parts[i].slope = slope.tensor.data;
        }
    }
    return TT_OK;
}

/* Describes the matrix. Plans list its tensors; other stores keep its parts for packing. */
static tt_status fill_entry(tt_weight_store *store, const tt_matrix_request *request, const tt_matrix_part *parts,
                            tt_entry *entry, tt_error *err)
{
    tt_kernels kernels = store->kernels;
    if (request->keep_float)
        kernels.arithmetic = TT_ARITHMETIC_FLOAT;
    else if (request->keep_half && kernels.arithmetic == TT_ARITHMETIC_INT8)
        kernels.arithmetic = TT_ARITHMETIC_HALF;
    tt_status status = tt_matrix_describe(&kernels, parts, request->n_parts, request->n_in, request->n_taps,
                                          request->split, request->geglu, &entry->as.matrix, err);
    if (status != TT_OK)
        return status;
    if (store->is_plan) {
        status = list_parts(store, request, err);
        return status == TT_OK && request->slope
                   ? list_one(store, request->slope, TT_ROLE_BIAS, request->n_out[0], 0, err)
                   : status;
    }
    size_t n_bytes = request->n_parts * sizeof *parts;
    entry->parts = malloc(n_bytes);
    if (!entry->parts)
        return tt_fail_memory(err, "a weight entry", n_bytes);
    memcpy(entry->parts, parts, n_bytes);
    entry->n_parts = request->n_parts;
    return TT_OK;
}

static tt_status make_matrix(tt_weight_store *store, const char *key, const tt_matrix_request *request,
                             tt_entry **entry, tt_error *err)
{
    tt_matrix_part parts[TT_MAX_PARTS];
    tt_status status = find_parts(store, request, parts, err);
    if (status != TT_OK)
        return status;
    tt_entry *made = new_entry(store, TT_ENTRY_MATRIX, key);
    if (!made)
        return tt_fail_memory(err, "a weight entry", sizeof *made);
    status = fill_entry(store, request, parts, made, err);
    if (status != TT_OK) {
        tt_error_prefix(err, request->names[0]);
        free_entry(made);
        return status;
    }
    made->is_static = request->is_static;
    keep_entry(store, made);
    *entry = made;
    return TT_OK;
}

tt_status tt_weight_store_matrix(tt_weight_store *store, const tt_matrix_request *request, const tt_matrix **matrix,
                                 tt_error *err)
{
    if (request->n_parts == 0 || request->n_parts > TT_MAX_PARTS || (request->slope && request->n_parts > 1))
        return tt_fail(err, TT_ERROR_INTERNAL, "a matrix of %u parts", request->n_parts);
    tt_text key = {0};
    for (uint32_t i = 0; i < request->n_parts; i++)
        tt_text_format(&key, "%s+", request->names[i]);
    tt_text_format(&key, "split%u", request->split);
    tt_status status = tt_text_status(&key, err);
    if (status == TT_OK) {
        tt_entry *entry = find_entry(store, key.bytes);
        if (!entry)
            status = make_matrix(store, key.bytes, request, &entry, err);
        if (status == TT_OK) {
            entry->is_static = entry->is_static && request->is_static;
            *matrix = &entry->as.matrix;
        }
    }
    tt_text_free(&key);
    return status;
}

tt_status tt_weight_store_vector(tt_weight_store *store, const char *name, uint32_t n, const tt_vector **vector,
                                 tt_error *err)
{
    tt_entry *entry = find_entry(store, name);
    if (entry) {
        *vector = &entry->as.vector;
        return TT_OK;
    }
    uint64_t dims = n;
    tt_weight weight;
    tt_status status = get_weight(store, name, 1, &dims, &weight, err);
    if (status == TT_OK)
        status = list_one(store, name, TT_ROLE_VECTOR, n, 0, err);
    if (status != TT_OK)
        return status;
    entry = new_entry(store, TT_ENTRY_VECTOR, name);
    if (!entry)
        return tt_fail_memory(err, "a weight entry", sizeof *entry);
    if (store->is_plan)
        entry->as.vector = (tt_vector){.values.n_bytes = tt_round_up(n, 32) * sizeof(float), .n = n};
    else
        status = tt_vector_create(&store->kernels, weight.tensor.dtype, weight.tensor.data, n, &entry->as.vector, err);
    if (status != TT_OK) {
        free_entry(entry);
        return status;
    }
    keep_entry(store, entry);
    *vector = &entry->as.vector;
    return TT_OK;
}

tt_status tt_weight_store_table(tt_weight_store *store, const char *name, uint32_t n_rows, uint32_t width,
                                tt_weight *table, tt_error *err)
{
    uint64_t dims[2] = {n_rows, width};
    tt_status status = get_weight(store, name, 2, dims, table, err);
    return status == TT_OK ? list_one(store, name, TT_ROLE_TABLE, n_rows, width, err) : status;
}
