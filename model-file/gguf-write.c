/* gguf-write.c - writing a GGUF file of version 3 in one pass. */
#include "base/checked.h"
#include "base/text.h"
#include "model-file/gguf-private.h"

#include <stdlib.h>
#include <string.h>

struct tt_gguf_writer {
    tt_new_file file;
    char **names;      /* for sentences */
    uint64_t *n_bytes; /* by tensor */
    size_t n_tensors, current;
    uint64_t n_missing; /* bytes of the current tensor */
    bool failed;        /* a write failed: the file can only be given up */
};

/* ---- what may be written ---------------------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts the texts. Fails when two are equal. */
static tt_status check_unique(const char **texts, size_t n_texts, const char *what, tt_error *err)
{
    qsort(texts, n_texts, sizeof(*texts), compare_texts);
    for (size_t i = 1; i < n_texts; i++)
        if (strcmp(texts[i - 1], texts[i]) == 0)
            return tt_fail(err, TT_ERROR_ARGUMENT, "%s \"%.80s\" is given twice; names must differ", what, texts[i]);
    return TT_OK;
}

static tt_status check_tensor(const tt_tensor *tensor, tt_error *err)
{
    size_t n_name = strlen(tensor->name);
    uint64_t needed = 0, n_row = tensor->n_dims == 0 ? 1 : tensor->dims[(tensor->n_dims - 1) % TT_MAX_DIMS];
    uint32_t number;
    if (n_name == 0 || n_name >= TT_MAX_NAME || !tt_utf8_valid(tensor->name, n_name, NULL))
        return tt_fail(err, TT_ERROR_ARGUMENT, "this name cannot be written, 1 to %d bytes of UTF-8 are allowed",
                       TT_MAX_NAME - 1);
    if (!tt_gguf_type_number(tensor->dtype, &number))
        return tt_fail(err, TT_ERROR_ARGUMENT, "GGUF has no elements of type %s; convert the tensor or leave it out",
                       tt_dtype_name(tensor->dtype));
    if (tensor->n_dims > TT_GGUF_MAX_DIMS)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%u dimensions cannot be written, GGUF has at most %d",
                       (unsigned)tensor->n_dims, TT_GGUF_MAX_DIMS);
    if (tt_gguf_needed_bytes(tensor->dtype, tensor->n_dims, tensor->dims, n_row, &needed, err) != TT_OK)
        return TT_ERROR_ARGUMENT;
    if (needed != tensor->n_bytes)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%llu bytes do not agree with its shape and type, which need %llu",
                       (unsigned long long)tensor->n_bytes, (unsigned long long)needed);
    return TT_OK;
}

static tt_status check_pair(const tt_gguf_pair *pair, tt_error *err)
{
    size_t n_key = strlen(pair->key);
    if (n_key == 0 || n_key > TT_GGUF_MAX_KEY || !tt_utf8_valid(pair->key, n_key, NULL))
        return tt_fail(err, TT_ERROR_ARGUMENT, "this key cannot be written, 1 to %d bytes of UTF-8 are allowed",
                       TT_GGUF_MAX_KEY);
    if (pair->text != NULL && !tt_utf8_valid(pair->text, strlen(pair->text), NULL))
        return tt_fail(err, TT_ERROR_ARGUMENT, "its text is not UTF-8");
    if (strcmp(pair->key, "general.alignment") == 0 && (pair->text != NULL || pair->number != TT_GGUF_ALIGNMENT))
        return tt_fail(err, TT_ERROR_ARGUMENT, "files are written with an alignment of %d, leave this key out",
                       TT_GGUF_ALIGNMENT);
    return TT_OK;
}

static tt_status check_each(const tt_tensor *tensors, size_t n_tensors, const tt_gguf_pair *pairs, size_t n_pairs,
                            tt_error *err)
{
    tt_error detail;
    if (n_tensors > TT_GGUF_MAX_TENSORS || n_pairs > TT_GGUF_MAX_PAIRS)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%zu tensors and %zu metadata pairs, at most %d and %d are allowed",
                       n_tensors, n_pairs, TT_GGUF_MAX_TENSORS, TT_GGUF_MAX_PAIRS);
    for (size_t i = 0; i < n_tensors; i++)
        if (check_tensor(&tensors[i], &detail) != TT_OK)
            return tt_fail(err, TT_ERROR_ARGUMENT, "tensor \"%.80s\": %s", tensors[i].name, detail.text);
    for (size_t i = 0; i < n_pairs; i++)
        if (check_pair(&pairs[i], &detail) != TT_OK)
            return tt_fail(err, TT_ERROR_ARGUMENT, "metadata \"%.80s\": %s", pairs[i].key, detail.text);
    return TT_OK;
}

static tt_status check_all(const tt_tensor *tensors, size_t n_tensors, const tt_gguf_pair *pairs, size_t n_pairs,
                           tt_error *err)
{
    tt_status status = check_each(tensors, n_tensors, pairs, n_pairs, err);
    if (status != TT_OK)
        return status;
    const char **texts = malloc((n_tensors + n_pairs + 1) * sizeof(*texts));
    if (texts == NULL)
        return tt_fail_memory(err, "names", (n_tensors + n_pairs) * sizeof(*texts));
    for (size_t i = 0; i < n_tensors; i++)
        texts[i] = tensors[i].name;
    status = check_unique(texts, n_tensors, "tensor", err);
    for (size_t i = 0; i < n_pairs; i++)
        texts[i] = pairs[i].key;
    if (status == TT_OK)
        status = check_unique(texts, n_pairs, "metadata", err);
    free(texts);
    return status;
}

/* ---- header ----------------------------------------------------------------------------------------------------- */

static void add_u32(tt_text *header, uint32_t value)
{
    uint8_t bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
    tt_text_add(header, (const char *)bytes, sizeof(bytes));
}

static void add_u64(tt_text *header, uint64_t value)
{
    add_u32(header, (uint32_t)value);
    add_u32(header, (uint32_t)(value >> 32));
}

static void add_string(tt_text *header, const char *text)
{
    add_u64(header, strlen(text));
    tt_text_add_string(header, text);
}

static void add_pair(tt_text *header, const tt_gguf_pair *pair)
{
    add_string(header, pair->key);
    add_u32(header, pair->text != NULL ? TT_GGUF_TEXT : TT_GGUF_U32);
    if (pair->text != NULL)
        add_string(header, pair->text);
    else
        add_u32(header, pair->number);
}

/* Adds a tensor's description and moves *offset behind its data and their padding; false when that overflows. */
static bool add_info(tt_text *header, const tt_tensor *tensor, uint64_t *offset)
{
    uint32_t number = 0;
    uint64_t end;
    (void)tt_gguf_type_number(tensor->dtype, &number);
    add_string(header, tensor->name);
    add_u32(header, tensor->n_dims);
    for (uint32_t i = tensor->n_dims; i-- > 0;)
        add_u64(header, tensor->dims[i]);
    add_u32(header, number);
    add_u64(header, *offset);
    if (!tt_add_u64(*offset, tensor->n_bytes, &end) || !tt_add_u64(end, TT_GGUF_ALIGNMENT - 1, &end) || end > INT64_MAX)
        return false;
    *offset = end / TT_GGUF_ALIGNMENT * TT_GGUF_ALIGNMENT;
    return true;
}

static tt_status make_header(const tt_tensor *tensors, size_t n_tensors, const tt_gguf_pair *pairs, size_t n_pairs,
                             tt_text *header, tt_error *err)
{
    uint64_t offset = 0;
    tt_text_add(header, "GGUF", 4);
    add_u32(header, 3);
    add_u64(header, n_tensors);
    add_u64(header, n_pairs);
    for (size_t i = 0; i < n_pairs; i++)
        add_pair(header, &pairs[i]);
    for (size_t i = 0; i < n_tensors; i++)
        if (!add_info(header, &tensors[i], &offset))
            return tt_fail(err, TT_ERROR_ARGUMENT, "the tensors are larger than a file can be");
    while (header->n_bytes % TT_GGUF_ALIGNMENT != 0 && !header->failed)
        tt_text_add(header, "", 1);
    return tt_text_status(header, err);
}

/* ---- data ------------------------------------------------------------------------------------------------------- */

static void destroy(tt_gguf_writer *writer)
{
    for (size_t i = 0; writer->names != NULL && i < writer->n_tensors; i++)
        free(writer->names[i]);
    free(writer->names);
    free(writer->n_bytes);
    free(writer);
}

static tt_gguf_writer *create(const tt_tensor *tensors, size_t n_tensors)
{
    tt_gguf_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return NULL;
    writer->file.descriptor = -1;
    writer->n_tensors = n_tensors;
    writer->names = calloc(n_tensors + 1, sizeof(*writer->names));
    writer->n_bytes = calloc(n_tensors + 1, sizeof(*writer->n_bytes));
    bool made = writer->names != NULL && writer->n_bytes != NULL;
    for (size_t i = 0; made && i < n_tensors; i++) {
        writer->n_bytes[i] = tensors[i].n_bytes;
        made = tt_string_copy(tensors[i].name, &writer->names[i]);
    }
    if (made) {
        writer->n_missing = writer->n_bytes[0];
        return writer;
    }
    destroy(writer);
    return NULL;
}

/* Writes the header of a new file. */
static tt_status begin_file(tt_gguf_writer *writer, const char *path, const tt_text *header, tt_error *err)
{
    tt_status status = tt_new_file_open(&writer->file, path, err);
    if (status != TT_OK)
        return status;
    status = tt_new_file_write(&writer->file, header->bytes, header->n_bytes, err);
    if (status != TT_OK)
        tt_new_file_abort(&writer->file);
    return status;
}

tt_status tt_gguf_writer_begin(const char *path, const tt_tensor *tensors, size_t n_tensors, const tt_gguf_pair *pairs,
                               size_t n_pairs, tt_gguf_writer **writer, tt_error *err)
{
    tt_text header = {0};
    tt_error detail;
    *writer = NULL;
    tt_status status = check_all(tensors, n_tensors, pairs, n_pairs, &detail);
    if (status == TT_OK)
        status = make_header(tensors, n_tensors, pairs, n_pairs, &header, &detail);
    if (status != TT_OK) {
        tt_text_free(&header);
        return tt_fail(err, status, "%s: %s", path, detail.text);
    }
    tt_gguf_writer *made = create(tensors, n_tensors);
    status =
        made == NULL ? tt_fail_memory(err, path, n_tensors * sizeof(*tensors)) : begin_file(made, path, &header, err);
    tt_text_free(&header);
    if (status == TT_OK)
        *writer = made;
    else if (made != NULL)
        destroy(made);
    return status;
}

static tt_status fail_earlier(const tt_gguf_writer *writer, tt_error *err)
{
    return tt_fail(err, TT_ERROR_IO, "%s: could not be written and is given up; make room on the disk and try again",
                   writer->file.path);
}

/* Writes bytes of the current tensor and, behind its last one, the padding. */
static tt_status write_piece(tt_gguf_writer *writer, const void *bytes, size_t n_bytes, tt_error *err)
{
    static const uint8_t zeros[TT_GGUF_ALIGNMENT] = {0};
    tt_status status = tt_new_file_write(&writer->file, bytes, n_bytes, err);
    writer->n_missing -= n_bytes;
    if (status != TT_OK || writer->n_missing > 0)
        return status;
    size_t n_over = (size_t)(writer->n_bytes[writer->current] % TT_GGUF_ALIGNMENT);
    writer->current++;
    writer->n_missing = writer->n_bytes[writer->current]; /* 0 behind the last */
    return n_over == 0 ? TT_OK : tt_new_file_write(&writer->file, zeros, TT_GGUF_ALIGNMENT - n_over, err);
}

tt_status tt_gguf_writer_add(tt_gguf_writer *writer, const void *bytes, size_t n_bytes, tt_error *err)
{
    if (n_bytes == 0)
        return TT_OK;
    if (writer->current == writer->n_tensors)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%s: %zu bytes are given after the last tensor was complete",
                       writer->file.path, n_bytes);
    if (n_bytes > writer->n_missing)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%s: tensor \"%s\": %zu bytes are given, but only %llu are missing",
                       writer->file.path, writer->names[writer->current], n_bytes,
                       (unsigned long long)writer->n_missing);
    tt_status status = writer->failed ? fail_earlier(writer, err) : write_piece(writer, bytes, n_bytes, err);
    writer->failed = status != TT_OK;
    return status;
}

tt_status tt_gguf_writer_commit(tt_gguf_writer *writer, tt_error *err)
{
    tt_status status;
    if (writer->failed) {
        status = fail_earlier(writer, err);
        tt_new_file_abort(&writer->file);
    } else if (writer->current < writer->n_tensors) {
        status = tt_fail(err, TT_ERROR_ARGUMENT, "%s: tensor \"%s\": %llu of its %llu bytes were not given",
                         writer->file.path, writer->names[writer->current], (unsigned long long)writer->n_missing,
                         (unsigned long long)writer->n_bytes[writer->current]);
        tt_new_file_abort(&writer->file);
    } else {
        status = tt_new_file_commit(&writer->file, err);
    }
    destroy(writer);
    return status;
}

void tt_gguf_writer_abort(tt_gguf_writer *writer)
{
    if (writer == NULL)
        return;
    tt_new_file_abort(&writer->file);
    destroy(writer);
}
