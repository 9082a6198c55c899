/* safetensors-write.c - writing a safetensors file in one go. */
#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "model-file/safetensors.h"

#include <stdlib.h>
#include <string.h>

/* A tensor that the reader would refuse is never written. */
static tt_status check_tensor(const tt_tensor *tensor, const json_t *root, const char *path, tt_error *err)
{
    uint64_t needed = tt_dtype_size(tensor->dtype);
    bool fits = tensor->n_dims <= TT_MAX_DIMS;
    for (uint32_t i = 0; fits && i < tensor->n_dims; i++)
        fits = tensor->dims[i] <= INT64_MAX && tt_mul_u64(needed, tensor->dims[i], &needed);
    if (!fits || needed != tensor->n_bytes || needed > SIZE_MAX)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%s: tensor \"%s\": %llu bytes do not agree with its shape and type",
                       path, tensor->name, (unsigned long long)tensor->n_bytes);
    size_t n_name = strlen(tensor->name);
    if (n_name >= TT_MAX_NAME || !tt_utf8_valid(tensor->name, n_name, NULL) ||
        strcmp(tensor->name, "__metadata__") == 0)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "%s: tensor \"%.80s\": this name cannot be written, at most %d bytes of UTF-8 are allowed", path,
                       tensor->name, TT_MAX_NAME - 1);
    if (json_object_get(root, tensor->name) != NULL)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%s: tensor \"%s\" is given twice; names must differ", path,
                       tensor->name);
    return TT_OK;
}

/* {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}, NULL when memory is out. */
static json_t *entry_of(const tt_tensor *tensor, uint64_t begin)
{
    json_t *shape = json_array();
    int failed = shape == NULL;
    for (uint32_t i = 0; !failed && i < tensor->n_dims; i++)
        failed = json_array_append_new(shape, json_integer((json_int_t)tensor->dims[i]));
    if (failed) {
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", tt_dtype_name(tensor->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)(begin + tensor->n_bytes));
}

static tt_status add_metadata(json_t *root, const char *const (*metadata)[2], size_t n_meta, const char *path,
                              tt_error *err)
{
    if (n_meta == 0)
        return TT_OK;
    json_t *object = json_object();
    if (object == NULL || json_object_set_new(root, "__metadata__", object) != 0)
        return tt_fail_memory(err, path, n_meta);
    for (size_t i = 0; i < n_meta; i++) {
        const char *key = metadata[i][0], *value = metadata[i][1];
        if (!tt_utf8_valid(key, strlen(key), NULL) || !tt_utf8_valid(value, strlen(value), NULL))
            return tt_fail(err, TT_ERROR_ARGUMENT, "%s: metadata \"%.80s\" is not UTF-8 text", path, key);
        if (json_object_set_new(object, key, json_string(value)) != 0)
            return tt_fail_memory(err, path, strlen(value));
    }
    return TT_OK;
}

/* The header's JSON text, padded so that the data begins at a multiple of 8. */
static tt_status make_header(const char *path, const tt_tensor *tensors, size_t n_tensors,
                             const char *const (*metadata)[2], size_t n_meta, tt_text *header, tt_error *err)
{
    json_t *root = json_object();
    uint64_t begin = 0;
    if (root == NULL)
        return tt_fail_memory(err, path, n_tensors);
    tt_status status = add_metadata(root, metadata, n_meta, path, err);
    for (size_t i = 0; status == TT_OK && i < n_tensors; i++) {
        status = check_tensor(&tensors[i], root, path, err);
        uint64_t end;
        if (status == TT_OK && (!tt_add_u64(begin, tensors[i].n_bytes, &end) || end > INT64_MAX))
            status = tt_fail(err, TT_ERROR_ARGUMENT, "%s: the tensors are larger than a file can be", path);
        else if (status == TT_OK && json_object_set_new(root, tensors[i].name, entry_of(&tensors[i], begin)) != 0)
            status = tt_fail_memory(err, path, n_tensors);
        begin += tensors[i].n_bytes;
    }
    char *text = status == TT_OK ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (status != TT_OK)
        return status;
    if (text == NULL)
        return tt_fail_memory(err, path, n_tensors);
    tt_text_add_string(header, text);
    free(text);
    while (header->n_bytes % 8 != 0 && !header->failed)
        tt_text_add(header, " ", 1);
    return tt_text_status(header, err);
}

static tt_status write_all(tt_new_file *file, const tt_text *header, const tt_tensor *tensors, size_t n_tensors,
                           tt_error *err)
{
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)header->n_bytes >> 8 * i);
    tt_status status = tt_new_file_write(file, length, sizeof(length), err);
    if (status == TT_OK)
        status = tt_new_file_write(file, header->bytes, header->n_bytes, err);
    for (size_t i = 0; status == TT_OK && i < n_tensors; i++)
        status = tt_new_file_write(file, tensors[i].data, (size_t)tensors[i].n_bytes, err);
    return status;
}

tt_status tt_safetensors_write(const char *path, const tt_tensor *tensors, size_t n_tensors,
                               const char *const (*metadata)[2], size_t n_meta, tt_error *err)
{
    tt_text header = {0};
    tt_new_file file;
    tt_status status = make_header(path, tensors, n_tensors, metadata, n_meta, &header, err);
    if (status == TT_OK)
        status = tt_new_file_open(&file, path, err);
    if (status == TT_OK) {
        status = write_all(&file, &header, tensors, n_tensors, err);
        if (status == TT_OK)
            status = tt_new_file_commit(&file, err);
        else
            tt_new_file_abort(&file);
    }
    tt_text_free(&header);
    return status;
}
