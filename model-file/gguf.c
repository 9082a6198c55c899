/* gguf.c - opening and checking GGUF files: header, list of tensors, where their data lies. */
#include "model-file/gguf.h"

#include "base/checked.h"
#include "base/text.h"
#include "model-file/gguf-private.h"
#include "model-file/tensor-file-private.h"

#include <stdlib.h>
#include <string.h>

enum {
    MIN_INFO = 8 + 1 + 4 + 4 + 8, /* bytes of a tensor's description: length and a byte of name, rank, type, offset */
    MIN_ALIGNMENT = 8,
    MAX_ALIGNMENT = 65536
};

/* What is known while a file is read. */
typedef struct gguf_reader {
    tt_tensor_file *file;
    tt_gguf_cursor cursor;
    uint64_t n_tensors, n_entries;
    tt_gguf_entry *entries;
    uint64_t alignment;
    uint64_t *offsets; /* by tensor, from the begin of the data */
} gguf_reader;

/* ---- header ----------------------------------------------------------------------------------------------------- */

static tt_status check_version(uint32_t version, tt_error *err)
{
    if (version == 2 || version == 3)
        return TT_OK;
    if (version != 0 && (version & 0xffffu) == 0)
        return tt_fail(
            err, TT_ERROR_UNSUPPORTED,
            "this GGUF file is big-endian, only little-endian ones are read; convert it or download another");
    return tt_fail(err, TT_ERROR_UNSUPPORTED,
                   "expected version 2 or 3 of GGUF, found version %u; convert the file with its own tools",
                   (unsigned)version);
}

static tt_status read_header(gguf_reader *reader, tt_error *err)
{
    uint32_t version = 0;
    tt_gguf_cursor *cursor = &reader->cursor;
    if (!tt_gguf_skip(cursor, 4) || !tt_gguf_read_u32(cursor, &version))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%llu bytes are too few for a GGUF file; it is cut short, download it again",
                       (unsigned long long)reader->file->mapping.n_bytes);
    tt_status status = check_version(version, err);
    if (status != TT_OK)
        return status;
    if (!tt_gguf_read_u64(cursor, &reader->n_tensors) || !tt_gguf_read_u64(cursor, &reader->n_entries))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%llu bytes are too few for a GGUF file; it is cut short, download it again",
                       (unsigned long long)reader->file->mapping.n_bytes);
    if (reader->n_tensors > TT_GGUF_MAX_TENSORS || reader->n_tensors > cursor->n_left / MIN_INFO)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "%llu tensors are promised, at most %d are read and only %llu bytes follow; the file is cut "
                       "short or damaged",
                       (unsigned long long)reader->n_tensors, TT_GGUF_MAX_TENSORS, (unsigned long long)cursor->n_left);
    return TT_OK;
}

/* ---- metadata --------------------------------------------------------------------------------------------------- */

static tt_status keep_metadata(const gguf_reader *reader, tt_error *err)
{
    for (size_t i = 0; i < reader->n_entries; i++) {
        const tt_gguf_entry *entry = &reader->entries[i];
        char number[64];
        tt_gguf_span text;
        if (!tt_gguf_entry_text(entry, number, &text))
            continue;
        tt_status status =
            tt_tensor_file_add_metadata(reader->file, (const char *)entry->key.bytes, (size_t)entry->key.n_bytes,
                                        (const char *)text.bytes, (size_t)text.n_bytes, err);
        if (status != TT_OK)
            return status;
    }
    return TT_OK;
}

static tt_status read_alignment(gguf_reader *reader, tt_error *err)
{
    const tt_gguf_entry *entry = tt_gguf_find_entry(reader->entries, (size_t)reader->n_entries, "general.alignment");
    reader->alignment = TT_GGUF_ALIGNMENT;
    if (entry == NULL)
        return TT_OK;
    tt_gguf_cursor value = {entry->value.bytes, entry->value.n_bytes};
    uint32_t alignment = 0;
    if (entry->type != TT_GGUF_U32 || !tt_gguf_read_u32(&value, &alignment) || alignment < MIN_ALIGNMENT ||
        alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "metadata \"general.alignment\": expected a power of two from %d to %d as U32, found %u; the "
                       "file is damaged",
                       MIN_ALIGNMENT, MAX_ALIGNMENT, (unsigned)alignment);
    reader->alignment = alignment;
    return TT_OK;
}

/* ---- one tensor ------------------------------------------------------------------------------------------------- */

static tt_status fail_info_short(const gguf_reader *reader, tt_error *err)
{
    return tt_fail(err, TT_ERROR_FORMAT,
                   "its description ends beyond the %llu bytes that are left; the file is cut "
                   "short or damaged",
                   (unsigned long long)reader->cursor.n_left);
}

static tt_status read_name(gguf_reader *reader, char *name, size_t *n_name, tt_error *err)
{
    tt_gguf_span span;
    unsigned long long number = reader->file->n_tensors + 1;
    if (!tt_gguf_read_span(&reader->cursor, &span))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "the name of tensor %llu ends beyond the %llu bytes that are left; the file is cut short or "
                       "damaged",
                       number, (unsigned long long)reader->cursor.n_left);
    if (span.n_bytes == 0 || span.n_bytes >= TT_MAX_NAME)
        return tt_fail(err, TT_ERROR_FORMAT,
                       "the name of tensor %llu is %llu bytes long, 1 to %d are read; the file is damaged", number,
                       (unsigned long long)span.n_bytes, TT_MAX_NAME - 1);
    *n_name = (size_t)span.n_bytes;
    if (!tt_utf8_valid((const char *)span.bytes, *n_name, NULL) || memchr(span.bytes, '\0', *n_name) != NULL)
        return tt_fail(err, TT_ERROR_FORMAT, "the name of tensor %llu is no UTF-8 text; the file is damaged", number);
    memcpy(name, span.bytes, *n_name);
    name[*n_name] = '\0';
    return TT_OK;
}

/* Fills type, dims (turned around: the file has the innermost first) and n_bytes. */
static tt_status read_info(gguf_reader *reader, tt_tensor *tensor, uint64_t *offset, tt_error *err)
{
    uint32_t n_dims = 0, number = 0;
    if (!tt_gguf_read_u32(&reader->cursor, &n_dims))
        return fail_info_short(reader, err);
    if (n_dims > TT_GGUF_MAX_DIMS)
        return tt_fail(err, TT_ERROR_FORMAT, "%u dimensions, at most %d are allowed; the file is damaged",
                       (unsigned)n_dims, TT_GGUF_MAX_DIMS);
    tensor->n_dims = n_dims;
    for (uint32_t i = 0; i < n_dims; i++)
        if (!tt_gguf_read_u64(&reader->cursor, &tensor->dims[n_dims - 1 - i]))
            return fail_info_short(reader, err);
    if (!tt_gguf_read_u32(&reader->cursor, &number) || !tt_gguf_read_u64(&reader->cursor, offset))
        return fail_info_short(reader, err);
    tt_status status = tt_gguf_type_from_number(number, &tensor->dtype, err);
    if (status != TT_OK)
        return status;
    uint64_t n_row = n_dims == 0 ? 1 : tensor->dims[n_dims - 1];
    return tt_gguf_needed_bytes(tensor->dtype, n_dims, tensor->dims, n_row, &tensor->n_bytes, err);
}

/* ---- all tensors ------------------------------------------------------------------------------------------------ */

static tt_status reserve(gguf_reader *reader, tt_error *err)
{
    /* Names cannot be longer than what is left of the file; each gets a terminator. */
    size_t n = (size_t)reader->n_tensors, n_names = n * TT_MAX_NAME;
    if (n_names > reader->cursor.n_left + n)
        n_names = (size_t)reader->cursor.n_left + n;
    reader->file->tensors = calloc(n + 1, sizeof(*reader->file->tensors));
    reader->file->names = malloc(n_names + 1);
    reader->offsets = calloc(n + 1, sizeof(*reader->offsets));
    if (reader->file->tensors == NULL || reader->file->names == NULL || reader->offsets == NULL)
        return tt_fail_memory(err, "tensors", n * sizeof(*reader->file->tensors) + n_names);
    return TT_OK;
}

static tt_status read_infos(gguf_reader *reader, tt_error *err)
{
    tt_tensor_file *file = reader->file;
    char *name = file->names;
    for (size_t i = 0; i < reader->n_tensors; i++) {
        size_t n_name = 0;
        tt_error detail;
        tt_tensor *tensor = &file->tensors[i];
        tt_status status = read_name(reader, name, &n_name, err);
        if (status != TT_OK)
            return status;
        tensor->name = name;
        status = read_info(reader, tensor, &reader->offsets[i], &detail);
        if (status != TT_OK)
            return tt_fail(err, status, "tensor \"%s\": %s", name, detail.text);
        name += n_name + 1;
        file->n_tensors++;
    }
    return TT_OK;
}

/* Points the tensors at their data, which begins at the next multiple of the alignment. */
static tt_status place_data(gguf_reader *reader, tt_error *err)
{
    const tt_mapping *mapping = &reader->file->mapping;
    uint64_t begin = mapping->n_bytes - reader->cursor.n_left;
    begin = (begin + reader->alignment - 1) & ~(reader->alignment - 1); /* fits: both are far below 2^63 */
    uint64_t n_data = begin < mapping->n_bytes ? mapping->n_bytes - begin : 0;
    for (size_t i = 0; i < reader->file->n_tensors; i++) {
        tt_tensor *tensor = &reader->file->tensors[i];
        uint64_t end = 0, offset = reader->offsets[i];
        if (offset % reader->alignment != 0)
            return tt_fail(err, TT_ERROR_FORMAT,
                           "tensor \"%s\": its data begins at byte %llu, expected a multiple of %llu; the file is "
                           "damaged",
                           tensor->name, (unsigned long long)offset, (unsigned long long)reader->alignment);
        if (!tt_add_u64(offset, tensor->n_bytes, &end) || end > n_data)
            return tt_fail(
                err, TT_ERROR_FORMAT,
                "tensor \"%s\": %llu bytes from byte %llu are promised, but the file has %llu bytes of data; "
                "it is cut short or damaged, download it again",
                tensor->name, (unsigned long long)tensor->n_bytes, (unsigned long long)offset,
                (unsigned long long)n_data);
        tensor->data = mapping->bytes + begin + offset;
    }
    return TT_OK;
}

static int compare_data(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const tt_tensor *)a)->data, y = (uintptr_t)((const tt_tensor *)b)->data;
    return x == y ? 0 : x < y ? -1 : 1;
}

static tt_status check_overlap(tt_tensor_file *file, tt_error *err)
{
    qsort(file->tensors, file->n_tensors, sizeof(*file->tensors), compare_data);
    for (size_t i = 1; i < file->n_tensors; i++) {
        const tt_tensor *before = &file->tensors[i - 1], *tensor = &file->tensors[i];
        if ((const uint8_t *)tensor->data - (const uint8_t *)before->data < (ptrdiff_t)before->n_bytes)
            return tt_fail(err, TT_ERROR_FORMAT,
                           "tensor \"%s\": its data begins inside that of tensor \"%s\"; the file is damaged, download "
                           "it again",
                           tensor->name, before->name);
    }
    return TT_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const tt_tensor *)a)->name, ((const tt_tensor *)b)->name);
}

static tt_status check_names(tt_tensor_file *file, tt_error *err)
{
    qsort(file->tensors, file->n_tensors, sizeof(*file->tensors), compare_names);
    for (size_t i = 1; i < file->n_tensors; i++)
        if (strcmp(file->tensors[i - 1].name, file->tensors[i].name) == 0)
            return tt_fail(err, TT_ERROR_FORMAT, "tensor \"%s\" is there twice; the file is damaged",
                           file->tensors[i].name);
    return TT_OK;
}

/* ---- original shapes -------------------------------------------------------------------------------------------- */

/* Gives a tensor the shape that it had before it was cut into rows of whole blocks. */
static tt_status restore_shape(tt_tensor *tensor, const tt_gguf_entry *entry, tt_error *err)
{
    uint64_t count = 1, dims[TT_MAX_DIMS] = {0};
    bool is_sound = entry->n_elements >= 1 && entry->n_elements <= TT_MAX_DIMS;
    for (uint32_t i = 0; is_sound && i < entry->n_elements; i++)
        is_sound = tt_gguf_entry_integer(entry, i, &dims[i]) && tt_mul_u64(count, dims[i], &count);
    if (!is_sound || count != tt_tensor_count(tensor))
        return tt_fail(err, TT_ERROR_FORMAT,
                       "tensor \"%s\": expected 1 to %d dimensions with a product of %llu elements under "
                       "\"comfy.gguf.orig_shape\", found others; the file is damaged",
                       tensor->name, TT_MAX_DIMS, (unsigned long long)tt_tensor_count(tensor));
    tensor->n_dims = (uint32_t)entry->n_elements;
    memcpy(tensor->dims, dims, sizeof(dims));
    return TT_OK;
}

static tt_status restore_shapes(const gguf_reader *reader, tt_error *err)
{
    static const char before[] = "comfy.gguf.orig_shape.";
    tt_status status = TT_OK;
    for (size_t i = 0; status == TT_OK && i < reader->file->n_tensors; i++) {
        tt_tensor *tensor = &reader->file->tensors[i];
        char key[sizeof(before) + TT_MAX_NAME];
        memcpy(key, before, sizeof(before) - 1);
        memcpy(key + sizeof(before) - 1, tensor->name, strlen(tensor->name) + 1);
        const tt_gguf_entry *entry = tt_gguf_find_entry(reader->entries, (size_t)reader->n_entries, key);
        if (entry != NULL && entry->type == TT_GGUF_ARRAY)
            status = restore_shape(tensor, entry, err);
    }
    return status;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static tt_status parse(gguf_reader *reader, tt_error *err)
{
    tt_status status = read_header(reader, err);
    if (status == TT_OK)
        status = tt_gguf_read_entries(&reader->cursor, reader->n_entries, &reader->entries, err);
    if (status == TT_OK)
        status = read_alignment(reader, err);
    if (status == TT_OK)
        status = reserve(reader, err);
    if (status == TT_OK)
        status = read_infos(reader, err);
    if (status == TT_OK)
        status = place_data(reader, err);
    if (status == TT_OK)
        status = check_overlap(reader->file, err);
    if (status == TT_OK)
        status = check_names(reader->file, err);
    if (status == TT_OK)
        status = restore_shapes(reader, err);
    return status;
}

tt_status tt_gguf_parse(tt_tensor_file *file, tt_error *err)
{
    gguf_reader reader = {.file = file, .cursor = {file->mapping.bytes, file->mapping.n_bytes}};
    tt_error detail;
    tt_status status = parse(&reader, &detail);
    if (status != TT_OK)
        status = tt_fail(err, status, "%s: %s", file->path, detail.text);
    else
        status = keep_metadata(&reader, err);
    free(reader.entries);
    free(reader.offsets);
    return status;
}
