/* arrays.c - sets of named arrays and their safetensors files. */
#include "pipeline/arrays.h"
#include "base/checked.h"
#include "model-file/safetensors.h"
#include "pipeline/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t tt_array_type_size(tt_array_type type)
{
    static const size_t sizes[] = {4, 8, 4, 8, 1};
    return (size_t)type < sizeof sizes / sizeof *sizes ? sizes[type] : 0;
}

static tt_dtype stored_type(tt_array_type type)
{
    static const tt_dtype types[] = {TT_F32, TT_F64, TT_I32, TT_I64, TT_U8};
    return types[type];
}

size_t tt_array_count(const tt_array *array)
{
    size_t n = 1;
    for (uint32_t i = 0; i < array->n_dims; i++)
        n *= (size_t)array->dims[i];
    return n;
}

void tt_arrays_free(tt_arrays *arrays)
{
    if (!arrays)
        return;
    for (size_t i = 0; i < arrays->n_items; i++)
        free(arrays->items[i].data);
    free(arrays->items);
    *arrays = (tt_arrays){0};
}

const tt_array *tt_arrays_find(const tt_arrays *arrays, const char *name)
{
    for (size_t i = 0; i < arrays->n_items; i++)
        if (strcmp(arrays->items[i].name, name) == 0)
            return &arrays->items[i];
    return NULL;
}

static tt_status count_bytes(const char *name, size_t element, uint32_t n_dims, const uint64_t *dims, size_t *n_bytes,
                             tt_error *err)
{
    size_t n = element;
    bool fits = n_dims <= 8 && element > 0;
    for (uint32_t i = 0; i < n_dims && fits; i++)
        fits = dims[i] <= SIZE_MAX && tt_mul_size(n, (size_t)dims[i], &n);
    if (!fits)
        return tt_fail(err, TT_ERROR_ARGUMENT, "array %s: its shape of %u dimensions is too large", name, n_dims);
    *n_bytes = n;
    return TT_OK;
}

/* Appends an array with uninitialised data. */
static tt_status append_empty(tt_arrays *arrays, const char *name, tt_array_type type, uint32_t n_dims,
                              const uint64_t *dims, tt_array **array, tt_error *err)
{
    size_t n_bytes = 0;
    tt_array item = {.type = type, .n_dims = n_dims};
    tt_status status = count_bytes(name, tt_array_type_size(type), n_dims, dims, &n_bytes, err);
    if (status != TT_OK)
        return status;
    if (strlen(name) >= sizeof item.name)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the array name %s is too long (127 bytes at most)", name);
    tt_array *items = realloc(arrays->items, (arrays->n_items + 1) * sizeof *items);
    if (!items)
        return tt_fail_memory(err, "arrays", (arrays->n_items + 1) * sizeof *items);
    arrays->items = items;
    item.data = malloc(n_bytes ? n_bytes : 1);
    if (!item.data)
        return tt_fail_memory(err, name, n_bytes);
    snprintf(item.name, sizeof item.name, "%s", name);
    for (uint32_t i = 0; i < n_dims; i++)
        item.dims[i] = dims[i];
    items[arrays->n_items] = item;
    *array = &items[arrays->n_items++];
    return TT_OK;
}

tt_status tt_arrays_append(tt_arrays *arrays, const char *name, tt_array_type type, uint32_t n_dims,
                           const uint64_t *dims, const void *data, tt_error *err)
{
    tt_array *array = NULL;
    tt_status status = append_empty(arrays, name, type, n_dims, dims, &array, err);
    if (status == TT_OK)
        memcpy(array->data, data, tt_array_count(array) * tt_array_type_size(type));
    return status;
}

tt_status tt_arrays_add(tt_context *context, tt_arrays *arrays, const char *name, tt_array_type type, uint32_t n_dims,
                        const uint64_t *dims, const void *data)
{
    return tt_arrays_append(arrays, name, type, n_dims, dims, data, tt_context_begin(context));
}

tt_status tt_arrays_need_f32(const tt_arrays *arrays, const char *name, uint32_t n_dims, const tt_array **array,
                             tt_error *err)
{
    const tt_array *found = tt_arrays_find(arrays, name);
    if (!found)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the input array %s is missing", name);
    if (found->type != TT_ARRAY_F32 || found->n_dims != n_dims || tt_array_count(found) == 0)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the input array %s must be F32 with %u dimensions and not empty", name,
                       n_dims);
    *array = found;
    return TT_OK;
}

/* The array type that holds a stored type. */
static tt_array_type widened(tt_dtype dtype)
{
    switch (dtype) {
    case TT_F64:
        return TT_ARRAY_F64;
    case TT_I64:
        return TT_ARRAY_I64;
    case TT_U8:
        return TT_ARRAY_U8;
    case TT_I32:
    case TT_I16:
    case TT_I8:
    case TT_BOOL:
        return TT_ARRAY_I32;
    default:
        return TT_ARRAY_F32;
    }
}

static void widen_integers(const tt_tensor *tensor, int32_t *out, size_t n)
{
    const uint8_t *bytes = tensor->data;
    for (size_t i = 0; i < n; i++) {
        int16_t wide;
        if (tensor->dtype == TT_I16) {
            memcpy(&wide, bytes + 2 * i, sizeof wide);
            out[i] = wide;
        } else
            out[i] = tensor->dtype == TT_I8 ? (int32_t)(int8_t)bytes[i] : (int32_t)bytes[i];
    }
}

static tt_status read_tensor(const tt_tensor *tensor, tt_arrays *arrays, tt_error *err)
{
    tt_array *array = NULL;
    tt_array_type type = widened(tensor->dtype);
    tt_status status = append_empty(arrays, tensor->name, type, tensor->n_dims, tensor->dims, &array, err);
    if (status != TT_OK)
        return status;
    size_t n = tt_array_count(array);
    if (stored_type(type) == tensor->dtype)
        memcpy(array->data, tensor->data, n * tt_array_type_size(type));
    else if (type == TT_ARRAY_F32)
        tt_to_float(tensor->dtype, tensor->data, array->data, n);
    else
        widen_integers(tensor, array->data, n);
    return TT_OK;
}

tt_status tt_arrays_read(tt_context *context, const char *path, tt_arrays *arrays)
{
    tt_error *err = tt_context_begin(context);
    tt_tensor_file *file = NULL;
    tt_arrays read = {0};
    tt_status status = tt_tensor_file_open(path, &file, err);
    if (status != TT_OK)
        return status;
    for (size_t i = 0; i < tt_tensor_file_count(file) && status == TT_OK; i++)
        status = read_tensor(tt_tensor_file_at(file, i), &read, err);
    tt_tensor_file_close(file);
    if (status != TT_OK) {
        tt_arrays_free(&read);
        return status;
    }
    *arrays = read;
    return TT_OK;
}

tt_status tt_arrays_write(tt_context *context, const char *path, const tt_arrays *arrays)
{
    tt_error *err = tt_context_begin(context);
    tt_tensor *tensors = calloc(arrays->n_items ? arrays->n_items : 1, sizeof *tensors);
    if (!tensors)
        return tt_fail_memory(err, "arrays", arrays->n_items * sizeof *tensors);
    for (size_t i = 0; i < arrays->n_items; i++) {
        const tt_array *a = &arrays->items[i];
        tensors[i] = (tt_tensor){.name = a->name, .dtype = stored_type(a->type), .n_dims = a->n_dims, .data = a->data};
        memcpy(tensors[i].dims, a->dims, sizeof a->dims);
        tensors[i].n_bytes = tt_array_count(a) * tt_array_type_size(a->type);
    }
    tt_status status = tt_safetensors_write(path, tensors, arrays->n_items, NULL, 0, err);
    free(tensors);
    return status;
}
