/* weight-replace.c - other values for a matrix that is on the device already. */
#include "base/checked.h"
#include "graph/observe.h"
#include "graph/weight-store-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tt_entry *find_by_layer(const tt_weight_store *store, const char *layer)
{
    size_t length = strlen(layer);
    for (size_t i = 0; i < store->n_entries; i++) {
        tt_entry *entry = store->entries[i];
        if (entry->kind == TT_ENTRY_MATRIX && strncmp(entry->key, layer, length) == 0 && entry->key[length] == '+')
            return entry;
    }
    return NULL;
}

/* Finds the file's weights of all layers of an entry, whose key is "a+b+split0". */
static tt_status find_parts(const tt_weight_store *store, const tt_entry *entry, tt_matrix_part *parts,
                            uint32_t *n_parts, tt_error *err)
{
    const char *at = entry->key, *end;
    for (*n_parts = 0; (end = strchr(at, '+')) != NULL && *n_parts < TT_MAX_PARTS; at = end + 1) {
        char name[TT_MAX_NAME + 8];
        tt_weight weight;
        (void)snprintf(name, sizeof name, "%.*s.weight", (int)(end - at), at);
        if (!tt_weights_peek(store->weights, name, &weight))
            return tt_fail(err, TT_ERROR_INTERNAL, "the weights of %s are not where they were", name);
        parts[(*n_parts)++] = (tt_matrix_part){.dtype = weight.tensor.dtype,
                                               .values = weight.tensor.data,
                                               .scale = weight.scale,
                                               .offset = weight.offset,
                                               .transposed = weight.transposed,
                                               .n_out = (uint32_t)weight.tensor.dims[0]};
    }
    return TT_OK;
}

/* Points the parts at rows of floats, or of halves where the matrix holds halves (*halves is to be freed). */
static tt_status use_values(const tt_matrix *matrix, tt_matrix_part *parts, uint32_t n_parts, const float *values,
                            uint16_t **halves, tt_error *err)
{
    size_t columns = (size_t)matrix->n_in * matrix->n_taps, n = columns * matrix->n_out, row = 0;
    if (matrix->dtype == TT_F16) {
        *halves = malloc(n * sizeof **halves);
        if (!*halves)
            return tt_fail_memory(err, "weights", n * sizeof **halves);
        tt_to_half(values, *halves, n);
    }
    for (uint32_t i = 0; i < n_parts; i++) {
        parts[i].dtype = *halves ? TT_F16 : TT_F32;
        parts[i].values = *halves ? (const void *)(*halves + row * columns) : (const void *)(values + row * columns);
        parts[i].scale = parts[i].offset = NULL;
        parts[i].transposed = false;
        row += parts[i].n_out;
    }
    return TT_OK;
}

static tt_status write_packed(const tt_weight_store *store, const tt_matrix *matrix, const tt_matrix_part *parts,
                              uint32_t n_parts, tt_error *err)
{
    void *bytes = aligned_alloc(64, tt_round_up(matrix->values.n_bytes, 64));
    if (!bytes)
        return tt_fail_memory(err, "packed weights", matrix->values.n_bytes);
    tt_matrix_pack(parts, n_parts, matrix, bytes);
    tt_status status = tt_buffer_write(store->kernels.device, &matrix->values, 0, bytes, matrix->values.n_bytes, err);
    free(bytes);
    return status;
}

tt_status tt_weight_store_replace(tt_weight_store *store, const char *layer, const float *values, tt_error *err)
{
    tt_entry *entry = find_by_layer(store, layer);
    tt_matrix_part parts[TT_MAX_PARTS];
    uint32_t n_parts = 0;
    uint16_t *halves = NULL;
    if (!entry || entry->as.matrix.values.mem == NULL)
        return tt_fail(err, TT_ERROR_INTERNAL, "%s is not on the device, so its weights cannot be replaced", layer);
    if (entry->as.matrix.dtype != TT_F16 && entry->as.matrix.dtype != TT_F32)
        return tt_fail(err, TT_ERROR_INTERNAL, "%s is packed as %s, so its weights cannot be replaced", layer,
                       tt_dtype_name(entry->as.matrix.dtype));
    tt_status status = find_parts(store, entry, parts, &n_parts, err);
    if (status == TT_OK && values)
        status = use_values(&entry->as.matrix, parts, n_parts, values, &halves, err);
    if (status == TT_OK)
        status = write_packed(store, &entry->as.matrix, parts, n_parts, err);
    free(halves);
    return status;
}
