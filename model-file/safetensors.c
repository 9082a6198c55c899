/* safetensors.c - opening and checking safetensors files.
 *
 * Follows the format's description (8 bytes of little-endian header length, JSON header, data) and its reference
 * reader's checks: the tensors, sorted by offset, tile the data exactly. */
#include "model-file/safetensors.h"
#include "base/checked.h"
#include "base/json.h"
#include "model-file/tensor-file-private.h"

#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MAX_HEADER = 100000000, MAX_TENSORS = 65536 };

/* ---- what the file is when it is no safetensors file ------------------------------------------------------------ */

static bool starts_with(const tt_mapping *mapping, const char *magic, size_t n_magic)
{
    return mapping->n_bytes >= n_magic && memcmp(mapping->bytes, magic, n_magic) == 0;
}

/* Says what a file without a plausible header is, where its first bytes tell; TT_OK when they do not. */
static tt_status recognise_other(const char *path, const tt_mapping *mapping, tt_error *err)
{
    if (starts_with(mapping, "PK\x03\x04", 4) ||
        (mapping->n_bytes > 1 && mapping->bytes[0] == 0x80 && mapping->bytes[1] >= 1 && mapping->bytes[1] <= 5))
        return tt_fail(
            err, TT_ERROR_UNSUPPORTED,
            "%s: this is a pickle (.ckpt, .pt, .bin), which can run any code when it is read and is therefore "
            "refused; use the .safetensors file of the model or convert it on a machine you can lose",
            path);
    if (starts_with(mapping, "version https://git-lfs", 23))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: this is a Git LFS pointer, not the model; fetch the file itself with `git lfs pull`", path);
    if (starts_with(mapping, "<!DOCTYPE", 9) || starts_with(mapping, "<!doctype", 9) ||
        starts_with(mapping, "<html", 5))
        return tt_fail(err, TT_ERROR_FORMAT, "%s: this is a web page, not a model; download the file again", path);
    return TT_OK;
}

/* ---- header ----------------------------------------------------------------------------------------------------- */

static uint64_t read_length(const uint8_t *bytes)
{
    uint64_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length |= (uint64_t)bytes[i] << 8 * i;
    return length;
}

/* Finds where the JSON header ends. */
static tt_status check_header(const char *path, const tt_mapping *mapping, uint64_t *n_header, tt_error *err)
{
    if (mapping->n_bytes < LENGTH_BYTES + 2)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: %llu bytes are too few for a safetensors file; the file is cut short, download it again",
                       path, (unsigned long long)mapping->n_bytes);
    uint64_t length = read_length(mapping->bytes);
    unsigned long long shown = length, rest = mapping->n_bytes - LENGTH_BYTES;
    if (length < 2)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: the header is said to be %llu bytes long, at least 2 are needed; "
                       "the file is damaged, download it again",
                       path, shown);
    if (length > MAX_HEADER)
        return tt_fail(
            err, TT_ERROR_FORMAT,
            "%s: the header is said to be %llu bytes long, at most %d are allowed; this is no safetensors file "
            "or a damaged one",
            path, shown, MAX_HEADER);
    if (length > rest)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: the header is said to be %llu bytes long, but only %llu bytes follow; "
                       "the file is cut short, download it again",
                       path, shown, rest);
    if (mapping->bytes[LENGTH_BYTES] != '{')
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%s: the header does not begin with '{'; this is no safetensors file or a "
                       "damaged one",
                       path);
    *n_header = length;
    return TT_OK;
}

/* ---- one entry of the header ------------------------------------------------------------------------------------ */

static tt_status parse_dtype(const json_t *entry, tt_tensor *tensor, tt_error *err)
{
    static const char *const unread[] = {"F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6_E2M3",
                                         "F6_E3M2", "F4",      "U16",     "U32",         "U64",         "C64"};
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    if (name == NULL)
        return tt_fail(err, TT_ERROR_FORMAT, "expected \"dtype\" with the name of a type; the file is damaged");
    if (tt_dtype_parse(name, &tensor->dtype))
        return TT_OK;
    for (size_t i = 0; i < sizeof(unread) / sizeof(unread[0]); i++)
        if (strcmp(name, unread[i]) == 0)
            return tt_fail(err, TT_ERROR_UNSUPPORTED,
                           "elements of type %s are not read by this version; convert the model to F16", name);
    return tt_fail(err, TT_ERROR_FORMAT, "\"%.40s\" is no element type; the file is damaged, download it again", name);
}

static bool as_u64(const json_t *value, uint64_t *number)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *number = (uint64_t)json_integer_value(value);
    return true;
}

/* Reads the shape; *n_bytes is the size it needs. */
static tt_status parse_shape(const json_t *entry, tt_tensor *tensor, uint64_t *n_bytes, tt_error *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return tt_fail(err, TT_ERROR_FORMAT, "expected \"shape\" with a list of numbers; the file is damaged");
    size_t n_dims = json_array_size(shape);
    if (n_dims > TT_MAX_DIMS)
        return tt_fail(err, TT_ERROR_FORMAT, "\"shape\" has %zu dimensions, at most %d are read; the file is damaged",
                       n_dims, TT_MAX_DIMS);
    bool fits = true;
    uint64_t product = tt_dtype_size(tensor->dtype);
    for (size_t i = 0; i < n_dims; i++) {
        if (!as_u64(json_array_get(shape, i), &tensor->dims[i]))
            return tt_fail(err, TT_ERROR_FORMAT,
                           "\"shape\": expected whole numbers of 0 or more, found another value at place %zu; the file "
                           "is damaged",
                           i);
        fits = fits && tt_mul_u64(product, tensor->dims[i], &product);
    }
    tensor->n_dims = (uint32_t)n_dims;
    *n_bytes = product;
    if (fits)
        return TT_OK;
    char text[256];
    tt_shape_text(tensor->n_dims, tensor->dims, text, sizeof(text));
    return tt_fail(err, TT_ERROR_FORMAT, "shape %s needs more bytes than 64 bits can count; the file is damaged", text);
}

static tt_status parse_offsets(const json_t *entry, uint64_t *begin, uint64_t *end, tt_error *err)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !as_u64(json_array_get(offsets, 0), begin) ||
        !as_u64(json_array_get(offsets, 1), end))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "expected \"data_offsets\" with two whole numbers of 0 or more; the file is damaged");
    if (*begin > *end)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "\"data_offsets\" end at %llu before they begin at %llu; the file is damaged",
                       (unsigned long long)*end, (unsigned long long)*begin);
    return TT_OK;
}

static tt_status fail_size(const tt_tensor *tensor, uint64_t found, uint64_t needed, tt_error *err)
{
    char shape[256];
    tt_shape_text(tensor->n_dims, tensor->dims, shape, sizeof(shape));
    return tt_fail(err, TT_ERROR_FORMAT,
                   "%llu bytes in data_offsets, but shape %s of %s needs %llu; the file is damaged, download it again",
                   (unsigned long long)found, shape, tt_dtype_name(tensor->dtype), (unsigned long long)needed);
}

/* Fills all of *tensor but the name. The data is n_data bytes long. */
static tt_status parse_entry(const json_t *entry, const uint8_t *data, uint64_t n_data, tt_tensor *tensor,
                             tt_error *err)
{
    uint64_t begin = 0, end = 0, needed = 0;
    if (!json_is_object(entry))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "expected an object with dtype, shape and data_offsets; the file is damaged");
    tt_status status = parse_dtype(entry, tensor, err);
    if (status == TT_OK)
        status = parse_shape(entry, tensor, &needed, err);
    if (status == TT_OK)
        status = parse_offsets(entry, &begin, &end, err);
    if (status != TT_OK)
        return status;
    if (end - begin != needed)
        return fail_size(tensor, end - begin, needed, err);
    if (end > n_data)
        return tt_fail(
            err, TT_ERROR_FORMAT,
            "its data ends at byte %llu, but the file has %llu bytes of data; the file is cut short, download "
            "it again",
            (unsigned long long)end, (unsigned long long)n_data);
    tensor->data = data + begin;
    tensor->n_bytes = end - begin;
    return TT_OK;
}

/* ---- all entries ------------------------------------------------------------------------------------------------ */

static tt_status keep_metadata(tt_tensor_file *file, json_t *metadata, tt_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return tt_fail(err, TT_ERROR_FORMAT, "%s: \"__metadata__\": expected an object of texts; the file is damaged",
                       file->path);
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return tt_fail(err, TT_ERROR_FORMAT,
                           "%s: \"__metadata__\": expected a text under \"%.80s\", found another value; the file is "
                           "damaged",
                           file->path, key);
    }
    tt_status status = TT_OK;
    json_object_foreach(metadata, key, value)
    {
        if (status == TT_OK)
            status = tt_tensor_file_add_metadata(file, key, strlen(key), json_string_value(value),
                                                 json_string_length(value), err);
    }
    return status;
}

static bool is_metadata(const char *key)
{
    return strcmp(key, "__metadata__") == 0;
}

/* Makes room for the tensors and their names; refuses too many and too long ones. */
static tt_status reserve(tt_tensor_file *file, json_t *root, tt_error *err)
{
    const char *key;
    json_t *value;
    size_t n_tensors = 0, n_names = 0;
    json_object_foreach(root, key, value)
    {
        size_t length = strlen(key);
        if (is_metadata(key))
            continue;
        if (length >= TT_MAX_NAME)
            return tt_fail(
                err, TT_ERROR_FORMAT,
                "%s: tensor \"%.40s...\": the name is %zu bytes long, at most %d are read; the file is damaged",
                file->path, key, length, TT_MAX_NAME - 1);
        n_tensors++;
        n_names += length + 1;
    }
    if (n_tensors > MAX_TENSORS)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: %zu tensors, at most %d are read; the file is damaged", file->path,
                       n_tensors, MAX_TENSORS);
    if (n_tensors == 0)
        return TT_OK;
    file->tensors = calloc(n_tensors, sizeof(*file->tensors));
    file->names = malloc(n_names);
    if (file->tensors == NULL || file->names == NULL)
        return tt_fail_memory(err, file->path, n_tensors * sizeof(*file->tensors) + n_names);
    return TT_OK;
}

static tt_status parse_tensors(tt_tensor_file *file, json_t *root, const uint8_t *data, uint64_t n_data, tt_error *err)
{
    const char *key;
    json_t *value;
    char *name = file->names;
    json_object_foreach(root, key, value)
    {
        if (is_metadata(key)) {
            tt_status status = keep_metadata(file, value, err);
            if (status != TT_OK)
                return status;
            continue;
        }
        tt_tensor *tensor = &file->tensors[file->n_tensors];
        size_t n_name = strlen(key) + 1;
        memcpy(name, key, n_name);
        tensor->name = name;
        name += n_name;
        tt_error detail;
        tt_status status = parse_entry(value, data, n_data, tensor, &detail);
        if (status != TT_OK)
            return tt_fail(err, status, "%s: tensor \"%s\": %s", file->path, key, detail.text);
        file->n_tensors++;
    }
    return TT_OK;
}

static int compare_data(const void *a, const void *b)
{
    const tt_tensor *x = a, *y = b;
    uintptr_t px = (uintptr_t)x->data, py = (uintptr_t)y->data;
    if (px != py)
        return px < py ? -1 : 1;
    return x->n_bytes == y->n_bytes ? 0 : x->n_bytes < y->n_bytes ? -1 : 1;
}

/* Tensors in the order of their data must follow each other without hole or overlap and fill the data. */
static tt_status check_tiling(tt_tensor_file *file, const uint8_t *data, uint64_t n_data, tt_error *err)
{
    uint64_t expected = 0;
    if (file->n_tensors > 0)
        qsort(file->tensors, file->n_tensors, sizeof(*file->tensors), compare_data);
    for (size_t i = 0; i < file->n_tensors; i++) {
        const tt_tensor *tensor = &file->tensors[i];
        uint64_t begin = (uint64_t)((const uint8_t *)tensor->data - data);
        unsigned long long shown_begin = begin, shown_expected = expected;
        if (begin < expected)
            return tt_fail(err, TT_ERROR_FORMAT,
                           "%s: tensor \"%s\": its data begins at byte %llu, inside tensor \"%s\", which ends at %llu; "
                           "the file is damaged, download it again",
                           file->path, tensor->name, shown_begin, file->tensors[i - 1].name, shown_expected);
        if (begin > expected)
            return tt_fail(err, TT_ERROR_FORMAT,
                           "%s: tensor \"%s\": its data begins at byte %llu, but the data before it ends at %llu: the "
                           "bytes between belong to no tensor; the file is damaged, download it again",
                           file->path, tensor->name, shown_begin, shown_expected);
        expected = begin + tensor->n_bytes;
    }
    if (expected != n_data)
        return tt_fail(
            err, TT_ERROR_FORMAT,
            "%s: %llu bytes follow the last tensor and belong to none; the file is damaged, download it again",
            file->path, (unsigned long long)(n_data - expected));
    return TT_OK;
}

tt_status tt_safetensors_parse(tt_tensor_file *file, tt_error *err)
{
    const tt_mapping *mapping = &file->mapping;
    uint64_t n_header = 0;
    json_t *root = NULL;
    tt_status status = check_header(file->path, mapping, &n_header, err);
    if (status != TT_OK) {
        tt_status other = recognise_other(file->path, mapping, err);
        return other != TT_OK ? other : status;
    }
    status = tt_json_parse((const char *)mapping->bytes + LENGTH_BYTES, (size_t)n_header, file->path, &root, err);
    if (status != TT_OK)
        return status;
    const uint8_t *data = mapping->bytes + LENGTH_BYTES + n_header;
    uint64_t n_data = mapping->n_bytes - LENGTH_BYTES - n_header;
    status = reserve(file, root, err);
    if (status == TT_OK)
        status = parse_tensors(file, root, data, n_data, err);
    if (status == TT_OK)
        status = check_tiling(file, data, n_data, err);
    json_decref(root);
    return status;
}
