/* weights.c - finding a component's tensors by canonical name in one or more files. Sums are in weights-sums.c. */
#include "model-file/weights.h"

#include "base/checked.h"
#include "base/text.h"
#include "model-file/weights-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a canonical tensor was found. */
typedef struct found_tensor {
    tt_tensor_place place;
    char stored_name[2 * TT_MAX_NAME];
    const tt_tensor_file *file;
    const tt_tensor *stored; /* NULL when no file has it */
    size_t file_index;
} found_tensor;

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
            weights->n_tensors += tt_weights_has_prefix(weights, tt_tensor_file_at(files[i], j));
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
    tt_weights_destroy(weights->over);
    free(weights);
}

void tt_weights_put_over(tt_weights *weights, tt_weights *over)
{
    tt_weights_destroy(weights->over);
    weights->over = over;
}

/* ---- finding ---------------------------------------------------------------------------------------------------- */

void tt_weights_drop_pages(const tt_weights *weights)
{
    for (size_t i = 0; i < weights->n_files; i++)
        tt_tensor_file_drop_pages(weights->files[i]);
    if (weights->over)
        tt_weights_drop_pages(weights->over);
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
}

/* Cuts part slice_index of n_slices out of dims[0]. False when that does not come out even, or would cut a block. */
static bool take_slice(const tt_tensor_place *place, tt_tensor *tensor)
{
    uint32_t n_slices = place->n_slices;
    if (tensor->n_dims == 0 || tensor->dims[0] % n_slices != 0 || place->slice_index >= n_slices)
        return false;
    tensor->dims[0] /= n_slices;
    if (tt_tensor_count(tensor) % tt_dtype_block(tensor->dtype) != 0)
        return false;
    tensor->n_bytes /= n_slices;
    tensor->data = (const uint8_t *)tensor->data + place->slice_index * tensor->n_bytes;
    return true;
}

/* The canonical tensor as a view of the stored one: a slice of dims[0], dims turned around when transposed. False when
 * the stored one cannot be cut or turned like that. */
static bool view_of(const found_tensor *found, tt_weight *weight)
{
    tt_tensor tensor = *found->stored;
    if (found->place.n_slices > 1 && !take_slice(&found->place, &tensor))
        return false;
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

/* ---- scale and offset of int8 per channel ----------------------------------------------------------------------- */

/* Finds "NAME_scale" or "NAME_offset" and the part of it that belongs to the view. *values is NULL when it is not
 * there; false when it is there but not floats of [dims[0]]. */
static bool find_companion(const found_tensor *found, const tt_weight *view, const char *suffix,
                           const tt_tensor **companion, const void **values)
{
    uint64_t n_channels = view->tensor.dims[0], n_all = 0;
    uint32_t n_slices = found->place.n_slices > 1 ? found->place.n_slices : 1;
    *values = NULL;
    *companion = tt_find_companion(found->file, found->stored_name, suffix);
    if (*companion == NULL)
        return true;
    const tt_tensor *tensor = *companion;
    if (tensor->dtype != TT_F32 || tensor->n_dims != 1 || !tt_mul_u64(n_channels, n_slices, &n_all) ||
        tensor->dims[0] != n_all)
        return false;
    uint64_t skipped = n_slices > 1 ? found->place.slice_index * n_channels : 0;
    *values = (const uint8_t *)tensor->data + skipped * sizeof(float);
    return true;
}

bool tt_weights_has(const tt_weights *weights, const char *canonical)
{
    found_tensor found;
    find(weights, canonical, &found);
    return found.stored != NULL || (weights->over != NULL && tt_weights_has(weights->over, canonical));
}

bool tt_weights_peek(const tt_weights *weights, const char *canonical, tt_weight *weight)
{
    found_tensor found;
    const tt_tensor *companion;
    if (weights->over != NULL && tt_weights_peek(weights->over, canonical, weight))
        return true;
    find(weights, canonical, &found);
    if (found.stored == NULL || !view_of(&found, weight))
        return false;
    if (found.stored->dtype == TT_I8) {
        (void)find_companion(&found, weight, "_scale", &companion, &weight->scale);
        (void)find_companion(&found, weight, "_offset", &companion, &weight->offset);
    }
    return true;
}

/* ---- expectations ----------------------------------------------------------------------------------------------- */

/* True when the rows of a convolution's weights are as long as those of a matrix. */
static bool rows_agree(const uint64_t *convolution, const uint64_t *matrix)
{
    uint64_t n_row = 0;
    return convolution[0] == matrix[0] && tt_mul_u64(convolution[1], convolution[2], &n_row) &&
           tt_mul_u64(n_row, convolution[3], &n_row) && n_row == matrix[1];
}

/* Equal shapes; a convolution and its rows (a linear layer and a 1x1 convolution above all) count as equal. */
static bool shape_agrees(const tt_tensor *tensor, uint32_t n_dims, const uint64_t *dims)
{
    if (n_dims == 4 && tensor->n_dims == 2)
        return rows_agree(dims, tensor->dims);
    if (n_dims == 2 && tensor->n_dims == 4)
        return rows_agree(tensor->dims, dims);
    if (n_dims != tensor->n_dims)
        return false;
    for (uint32_t i = 0; i < n_dims; i++)
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

/* What stands in sentences before and behind an expected shape. */
static void cut_text(const found_tensor *found, char text[48])
{
    text[0] = '\0';
    if (found->place.n_slices > 1)
        (void)snprintf(text, 48, "%u times ", (unsigned)found->place.n_slices);
}

static tt_status fail_shape(const found_tensor *found, uint32_t n_dims, const uint64_t *dims, tt_error *err)
{
    char expected[192], stored[192], cut[48];
    const char *type = tt_dtype_is_block(found->stored->dtype) ? " in whole blocks of " : "";
    tt_shape_text(n_dims, dims, expected, sizeof(expected));
    tt_shape_text(found->stored->n_dims, found->stored->dims, stored, sizeof(stored));
    cut_text(found, cut);
    return tt_fail(
        err, TT_ERROR_FORMAT,
        "%s: tensor \"%s\": expected shape %s%s%s%s%s, found %s; the file is damaged or does not belong to its config",
        tt_tensor_file_path(found->file), found->stored_name, cut, expected,
        found->place.transposed ? " transposed" : "", type, type[0] == '\0' ? "" : tt_dtype_name(found->stored->dtype),
        stored);
}

static tt_status fail_type(const found_tensor *found, uint32_t n_dims, tt_error *err)
{
    const char *path = tt_tensor_file_path(found->file);
    if (found->stored->dtype == TT_I8 && n_dims > 1)
        return tt_fail(
            err, TT_ERROR_FORMAT,
            "%s: tensor \"%s\": expected the tensor \"%s_scale\" beside these weights of I8, found none; the "
            "file is damaged or of another kind of quantization",
            path, found->stored_name, found->stored_name);
    return tt_fail(err, TT_ERROR_FORMAT,
                   "%s: tensor \"%s\": expected floating-point weights (F32, F16 or BF16) or quantized ones, found %s; "
                   "use another file of the model",
                   path, found->stored_name, tt_dtype_name(found->stored->dtype));
}

static tt_status fail_companion(const found_tensor *found, const tt_weight *view, const tt_tensor *companion,
                                tt_error *err)
{
    char stored[192], cut[48];
    tt_shape_text(companion->n_dims, companion->dims, stored, sizeof(stored));
    cut_text(found, cut);
    return tt_fail(err, TT_ERROR_FORMAT,
                   "%s: tensor \"%s\": expected F32 of shape %s[%llu], one value for each output channel of its "
                   "weights, found %s of shape %s; the file is damaged",
                   tt_tensor_file_path(found->file), companion->name, cut, (unsigned long long)view->tensor.dims[0],
                   tt_dtype_name(companion->dtype), stored);
}

/* ---- giving out ------------------------------------------------------------------------------------------------- */

/* True when the tensor was not used before. */
static bool mark_used(tt_weights *weights, const found_tensor *found, const tt_tensor *stored)
{
    if (stored == NULL)
        return false;
    bool *used = &weights->used[found->file_index][stored - tt_tensor_file_at(found->file, 0)];
    bool is_new = !*used;
    *used = true;
    weights->n_used += is_new;
    return is_new;
}

/* Gives the view its scale and offset when it is int8 per channel, and marks all that is used. */
static tt_status take_view(tt_weights *weights, const found_tensor *found, tt_weight *view, tt_error *err)
{
    const tt_tensor *scale = NULL, *offset = NULL;
    if (found->stored->dtype == TT_I8) {
        if (!find_companion(found, view, "_scale", &scale, &view->scale))
            return fail_companion(found, view, scale, err);
        if (!find_companion(found, view, "_offset", &offset, &view->offset))
            return fail_companion(found, view, offset, err);
        if (scale == NULL)
            return fail_type(found, view->tensor.n_dims, err);
    }
    (void)mark_used(weights, found, scale);
    (void)mark_used(weights, found, offset);
    if (mark_used(weights, found, found->stored))
        weights->n_parameters += tt_tensor_count(found->stored);
    return TT_OK;
}

tt_status tt_weights_get(tt_weights *weights, const char *canonical, uint32_t n_dims, const uint64_t *dims,
                         tt_weight *weight, tt_error *err)
{
    found_tensor found;
    tt_weight view;
    if (weights->over != NULL && tt_weights_has(weights->over, canonical))
        return tt_weights_get(weights->over, canonical, n_dims, dims, weight, err);
    find(weights, canonical, &found);
    if (found.stored == NULL)
        return fail_missing(weights, &found, err);
    tt_dtype dtype = found.stored->dtype;
    bool may_be_w8c = dtype == TT_I8 && n_dims > 1;
    if (!tt_is_floating(dtype) && !tt_dtype_is_block(dtype) && !may_be_w8c)
        return fail_type(&found, n_dims, err);
    if (n_dims > TT_MAX_DIMS || !view_of(&found, &view) || !shape_agrees(&view.tensor, n_dims, dims))
        return fail_shape(&found, n_dims, dims, err);
    view.tensor.n_dims = n_dims;
    for (uint32_t i = 0; i < TT_MAX_DIMS; i++)
        view.tensor.dims[i] = i < n_dims ? dims[i] : 0;
    tt_status status = take_view(weights, &found, &view, err);
    if (status == TT_OK)
        *weight = view;
    return status;
}
