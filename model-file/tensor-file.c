/* tensor-file.c - life and look-ups of a file of tensors, whatever its container. */
#include "model-file/tensor-file.h"

#include "base/text.h"
#include "model-file/tensor-file-private.h"

#include <stdlib.h>
#include <string.h>

static char *copy_text(const char *text, size_t n_text)
{
    char *copy = malloc(n_text + 1);
    if (copy == NULL)
        return NULL;
    if (n_text > 0)
        memcpy(copy, text, n_text);
    copy[n_text] = '\0';
    return copy;
}

tt_status tt_tensor_file_add_metadata(tt_tensor_file *file, const char *key, size_t n_key, const char *text,
                                      size_t n_text, tt_error *err)
{
    if (n_text > 0 && memchr(text, '\0', n_text) != NULL)
        return tt_fail(err, TT_ERROR_FORMAT, "%s: the metadata text \"%.*s\" holds a zero byte; the file is damaged",
                       file->path, n_key < 80 ? (int)n_key : 80, key);
    if (file->n_metadata == file->metadata_capacity) {
        size_t capacity = file->metadata_capacity == 0 ? 32 : file->metadata_capacity * 2;
        tt_metadata_pair *larger = realloc(file->metadata, capacity * sizeof(*larger));
        if (larger == NULL)
            return tt_fail_memory(err, file->path, capacity * sizeof(*larger));
        file->metadata = larger;
        file->metadata_capacity = capacity;
    }
    tt_metadata_pair pair = {copy_text(key, n_key), copy_text(text, n_text)};
    if (pair.key == NULL || pair.text == NULL) {
        free(pair.key);
        free(pair.text);
        return tt_fail_memory(err, file->path, n_key + n_text);
    }
    file->metadata[file->n_metadata++] = pair;
    return TT_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const tt_tensor *)a)->name, ((const tt_tensor *)b)->name);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const tt_metadata_pair *)a)->key, ((const tt_metadata_pair *)b)->key);
}

static tt_status parse(tt_tensor_file *file, tt_error *err)
{
    file->is_gguf = file->mapping.n_bytes >= 4 && memcmp(file->mapping.bytes, "GGUF", 4) == 0;
    tt_status status = file->is_gguf ? tt_gguf_parse(file, err) : tt_safetensors_parse(file, err);
    if (status == TT_OK && file->n_tensors > 0)
        qsort(file->tensors, file->n_tensors, sizeof(*file->tensors), compare_names);
    if (status == TT_OK && file->n_metadata > 0)
        qsort(file->metadata, file->n_metadata, sizeof(*file->metadata), compare_keys);
    return status;
}

/* Takes the mapping over, also when it fails. */
static tt_status open_mapping(tt_mapping mapping, bool is_mapped, const char *name, tt_tensor_file **file,
                              tt_error *err)
{
    tt_status status;
    tt_tensor_file *made = calloc(1, sizeof(*made));
    *file = NULL;
    if (made == NULL) {
        if (is_mapped)
            tt_file_unmap(&mapping);
        return tt_fail_memory(err, name, sizeof(*made));
    }
    made->mapping = mapping;
    made->is_mapped = is_mapped;
    if (!tt_string_copy(name, &made->path))
        status = tt_fail_memory(err, name, strlen(name) + 1);
    else
        status = parse(made, err);
    if (status == TT_OK)
        *file = made;
    else
        tt_tensor_file_close(made);
    return status;
}

tt_status tt_tensor_file_open(const char *path, tt_tensor_file **file, tt_error *err)
{
    tt_mapping mapping;
    *file = NULL;
    tt_status status = tt_file_map(path, &mapping, err);
    return status != TT_OK ? status : open_mapping(mapping, true, path, file, err);
}

tt_status tt_tensor_file_open_memory(const void *bytes, size_t n_bytes, const char *name, tt_tensor_file **file,
                                     tt_error *err)
{
    return open_mapping((tt_mapping){bytes, n_bytes}, false, name, file, err);
}

void tt_tensor_file_close(tt_tensor_file *file)
{
    if (file == NULL)
        return;
    if (file->is_mapped)
        tt_file_unmap(&file->mapping);
    for (size_t i = 0; i < file->n_metadata; i++) {
        free(file->metadata[i].key);
        free(file->metadata[i].text);
    }
    free(file->metadata);
    free(file->tensors);
    free(file->names);
    free(file->path);
    free(file);
}

void tt_tensor_file_drop_pages(const tt_tensor_file *file)
{
    if (file->is_mapped)
        tt_mapping_drop(file->mapping.bytes, file->mapping.n_bytes);
}

const char *tt_tensor_file_path(const tt_tensor_file *file)
{
    return file->path;
}

bool tt_tensor_file_is_gguf(const tt_tensor_file *file)
{
    return file->is_gguf;
}

size_t tt_tensor_file_count(const tt_tensor_file *file)
{
    return file->n_tensors;
}

const tt_tensor *tt_tensor_file_at(const tt_tensor_file *file, size_t index)
{
    return index < file->n_tensors ? &file->tensors[index] : NULL;
}

const tt_tensor *tt_tensor_file_find(const tt_tensor_file *file, const char *name)
{
    tt_tensor key = {.name = name};
    if (file->n_tensors == 0)
        return NULL;
    return bsearch(&key, file->tensors, file->n_tensors, sizeof(*file->tensors), compare_names);
}

const char *tt_tensor_file_metadata(const tt_tensor_file *file, const char *key)
{
    union {
        const char *in;
        char *out;
    } cast = {.in = key};
    tt_metadata_pair wanted = {.key = cast.out};
    if (file->n_metadata == 0)
        return NULL;
    const tt_metadata_pair *pair =
        bsearch(&wanted, file->metadata, file->n_metadata, sizeof(*file->metadata), compare_keys);
    return pair == NULL ? NULL : pair->text;
}
