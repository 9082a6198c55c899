/* weights.c - finding a component's tensors by canonical name in one or more files. */
#include "model-file/weights.h"

#include "base/checked.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tt_weights {
    tt_tensor_file **files;
    size_t n_files;
    bool owns_files;
    char *prefix;
    size_t n_prefix;
    tt_translate_fn translate;
    const void *layout;
    bool **used;              /* per file, per tensor */
    size_t n_used, n_tensors; /* under the prefix */
    uint64_t n_parameters;
};

/* Where a canonical tensor was found. */
typedef struct found_tensor {
    tt_tensor_place place;
    char stored_name[2 * TT_MAX_NAME];
    const tt_tensor_file *file;
    const tt_tensor *stored; /* NULL when no file has it */
    size_t file_index, index;
} found_tensor;

static bool has_prefix(const tt_weights *weights, const tt_tensor *tensor)
{
    return strncmp(tensor->name, weights->prefix, weights->n_prefix) == 0;
}

/* ---- the object ------------------------------------------------------------------------------------------------- */

static bool keep_files(tt_weights *weights, tt_tensor_file *const *files, size_t n_files)
{
    weights->files = calloc(n_files + 1, sizeof(*weights->files));
    weights->used = calloc(n_files + 1, sizeof(*weights->used));
    if (weights->files == NULL || weights->used == NULL)
        return false;
    for (size_t i = 0; i < n_files; i++) {
        size_t n = tt_tensor_file_count(files[i]);
        weights->used[i] = calloc(n + 1, sizeof(bool));
        if (weights->used[i] == NULL)
            return false;
        for (size_t j = 0; j < n; j++)
            weights->n_tensors += has_prefix(weights, tt_tensor_file_at(files[i], j));
        weights->files[i] = files[i];
        weights->n_files++;
    }
    return true;
}

tt_status tt_weights_create(tt_tensor_file *const *files, size_t n_files, bool owns_files, const char *prefix,
                            tt_translate_fn translate, const void *layout, tt_weights **weights, tt_error *err)
{
    *weights = NULL;
    if (strlen(prefix) >= TT_MAX_NAME)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the prefix \"%.40s...\" is longer than the name of any tensor", prefix);
    tt_weights *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return tt_fail_memory(err, "a weight source", sizeof(*made));
    made->translate = translate;
    made->layout = layout;
    made->n_prefix = strlen(prefix);
    if (!tt_string_copy(prefix, &made->prefix) || !keep_files(made, files, n_files)) {
        tt_weights_destroy(made);
        return tt_fail_memory(err, "a weight source", n_files * sizeof(*files));
    }
    made->owns_files = owns_files; /* from here on: a failing caller keeps what it brought */
    *weights = made;
    return TT_OK;
}

void tt_weights_destroy(tt_weights *weights)
{
    if (weights == NULL)
        return;
    for (size_t i = 0; weights->owns_files && i < weights->n_files; i++)
        tt_tensor_file_close(weights->files[i]);
    for (size_t i = 0; weights->used != NULL && i < weights->n_files; i++)
        free(weights->used[i]);
    free(weights->used);
    free(weights->files);
    free(weights->prefix);
    free(weights);
}

/* ---- finding ---------------------------------------------------------------------------------------------------- */

void tt_weights_drop_pages(const tt_weights *weights)
{
    for (size_t i = 0; i < weights->n_files; i++)
        tt_tensor_file_drop_pages(weights->files[i]);
}

/* Fills *found; found->stored is NULL when the layout or the files do not have the tensor. */
static void find(const tt_weights *weights, const char *canonical, found_tensor *found)
{
    *found = (found_tensor){.place = {.n_slices = 1}};
    bool known = strlen(canonical) < TT_MAX_NAME;
    if (known && weights->translate != NULL)
        known = weights->translate(weights->layout, canonical, &found->place);
    else if (known)
        memcpy(found->place.name, canonical, strlen(canonical) + 1);
    (void)snprintf(found->stored_name, sizeof(found->stored_name), "%s%.*s", weights->prefix, TT_MAX_NAME - 1,
                   known ? found->place.name : canonical);
    for (size_t i = 0; known && i < weights->n_files && found->stored == NULL; i++) {
        found->file = weights->files[i];
        found->file_index = i;
        found->stored = tt_tensor_file_find(found->file, found->stored_name);
    }
    if (found->stored != NULL)
        found->index = (size_t)(found->stored - tt_tensor_file_at(found->file, 0));
}

/* The canonical tensor as a view of the stored one: a slice of dims[0], dims turned around when transposed. False when
 * the stored one cannot be cut or turned like that. */
static bool view_of(const found_tensor *found, tt_weight *weight)
{
    uint32_t n_slices = found->place.n_slices > 1 ? found->place.n_slices : 1;
    tt_tensor tensor = *found->stored;
    if (n_slices > 1) {
        if (tensor.n_dims == 0 || tensor.dims[0] % n_slices != 0 || found->place.slice_index >= n_slices)
            return false;
        tensor.dims[0] /= n_slices;
        tensor.n_bytes /= n_slices;
        tensor.data = (const uint8_t *)tensor.data + found->place.slice_index * tensor.n_bytes;
    }
    if (found->place.transposed) {
        if (tensor.n_dims != 2)
            return false;
        uint64_t first = tensor.dims[0];
        tensor.dims[0] = tensor.dims[1];
        tensor.dims[1] = first;
    }
    *weight = (tt_weight){.tensor = tensor, .transposed = found->place.transposed};
    return true;
}

bool tt_weights_has(const tt_weights *weights, const char *canonical)
{
    found_tensor found;
    find(weights, canonical, &found);
    return found.stored != NULL;
}

bool tt_weights_peek(const tt_weights *weights, const char *canonical, tt_weight *weight)
{
    found_tensor found;
    find(weights, canonical, &found);
    return found.stored != NULL && view_of(&found, weight);
}

/* ---- expectations ----------------------------------------------------------------------------------------------- */

static bool is_floating(tt_dtype dtype)
{
    return dtype == TT_F64 || dtype == TT_F32 || dtype == TT_F16 || dtype == TT_BF16;
}

/* Equal shapes; a linear layer and a 1x1 convolution count as equal. */
static bool shape_agrees(const tt_tensor *tensor, uint32_t n_dims, const uint64_t *dims)
{
    uint32_t common = n_dims < tensor->n_dims ? n_dims : tensor->n_dims;
    const uint64_t *longer = n_dims > tensor->n_dims ? dims : tensor->dims;
    bool is_pair = (n_dims == 2 && tensor->n_dims == 4) || (n_dims == 4 && tensor->n_dims == 2);
    if (n_dims != tensor->n_dims && !(is_pair && longer[2] == 1 && longer[3] == 1))
        return false;
    for (uint32_t i = 0; i < common; i++)
        if (dims[i] != tensor->dims[i])
            return false;
    return true;
}

static tt_status fail_missing(const tt_weights *weights, const found_tensor *found, tt_error *err)
{
    if (weights->n_files == 0)
        return tt_fail(err, TT_ERROR_FORMAT, "tensor \"%s\" is missing: the model has no weights for this part",
                       found->stored_name);
    return tt_fail(err, TT_ERROR_FORMAT,
                   "%s%s: tensor \"%s\" is missing; the model is incomplete or of an architecture that is not known",
                   tt_tensor_file_path(weights->files[0]), weights->n_files > 1 ? " and its further parts" : "",
                   found->stored_name);
}

static tt_status fail_shape(const found_tensor *found, uint32_t n_dims, const uint64_t *dims, tt_error *err)
{
    char expected[192], stored[192], cut[48] = "";
    tt_shape_text(n_dims, dims, expected, sizeof(expected));
    tt_shape_text(found->stored->n_dims, found->stored->dims, stored, sizeof(stored));
    if (found->place.n_slices > 1)
        (void)snprintf(cut, sizeof(cut), "%u times ", (unsigned)found->place.n_slices);
    return tt_fail(
        err, TT_ERROR_FORMAT,
        "%s: tensor \"%s\": expected shape %s%s%s, found %s; the file is damaged or does not belong to its config",
        tt_tensor_file_path(found->file), found->stored_name, cut, expected,
        found->place.transposed ? " transposed" : "", stored);
}

static void mark_used(tt_weights *weights, const found_tensor *found)
{
    bool *used = &weights->used[found->file_index][found->index];
    if (*used)
        return;
    *used = true;
    weights->n_used++;
    weights->n_parameters += tt_tensor_count(found->stored);
}

tt_status tt_weights_get(tt_weights *weights, const char *canonical, uint32_t n_dims, const uint64_t *dims,
                         tt_weight *weight, tt_error *err)
{
    found_tensor found;
    tt_weight view;
    find(weights, canonical, &found);
    if (found.stored == NULL)
        return fail_missing(weights, &found, err);
    if (!is_floating(found.stored->dtype))
        return tt_fail(
            err, TT_ERROR_FORMAT,
            "%s: tensor \"%s\": expected floating-point weights (F32, F16 or BF16), found %s; use a model that "
            "is not quantized",
            tt_tensor_file_path(found.file), found.stored_name, tt_dtype_name(found.stored->dtype));
    if (n_dims > TT_MAX_DIMS || !view_of(&found, &view) || !shape_agrees(&view.tensor, n_dims, dims))
        return fail_shape(&found, n_dims, dims, err);
    view.tensor.n_dims = n_dims;
    for (uint32_t i = 0; i < TT_MAX_DIMS; i++)
        view.tensor.dims[i] = i < n_dims ? dims[i] : 0;
    mark_used(weights, &found);
    *weight = view;
    return TT_OK;
}

/* ---- sums ------------------------------------------------------------------------------------------------------- */

size_t tt_weights_unused(const tt_weights *weights)
{
    return weights->n_tensors - weights->n_used;
}

size_t tt_weights_count(const tt_weights *weights)
{
    return weights->n_tensors;
}

uint64_t tt_weights_parameters(const tt_weights *weights)
{
    return weights->n_parameters;
}

uint64_t tt_weights_elements(const tt_weights *weights)
{
    uint64_t n = 0;
    for (size_t i = 0; i < weights->n_files; i++)
        for (size_t j = 0; j < tt_tensor_file_count(weights->files[i]); j++) {
            const tt_tensor *tensor = tt_tensor_file_at(weights->files[i], j);
            if (has_prefix(weights, tensor) && is_floating(tensor->dtype))
                n += tt_tensor_count(tensor);
        }
    return n;
}

uint64_t tt_weights_bytes(const tt_weights *weights)
{
    uint64_t n = 0;
    for (size_t i = 0; i < weights->n_files; i++)
        for (size_t j = 0; j < tt_tensor_file_count(weights->files[i]); j++) {
            const tt_tensor *tensor = tt_tensor_file_at(weights->files[i], j);
            n += has_prefix(weights, tensor) ? tensor->n_bytes : 0;
        }
    return n;
}

bool tt_weights_all_half(const tt_weights *weights)
{
    size_t n_half = 0;
    for (size_t i = 0; i < weights->n_files; i++)
        for (size_t j = 0; j < tt_tensor_file_count(weights->files[i]); j++) {
            const tt_tensor *tensor = tt_tensor_file_at(weights->files[i], j);
            if (!has_prefix(weights, tensor) || !is_floating(tensor->dtype))
                continue;
            if (tensor->dtype != TT_F16)
                return false;
            n_half++;
        }
    return n_half > 0;
}
