/* gguf-copy.c - see gguf-copy.h. */
#include "tests/support/gguf-copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 4096, MAX_PAIRS = 32 };

typedef struct changed_tensors {
    tt_tensor items[MAX_TENSORS];
    char names[MAX_TENSORS][TT_MAX_NAME];
    bool widened[MAX_TENSORS]; /* F32 in the copy, F16 in its source */
    size_t n_items;
} changed_tensors;

static bool keep(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part)
{
    (void)tensor, (void)name;
    return part == 0;
}

static void add_parts(changed_tensors *list, const tt_tensor *tensor, gguf_copy_change change, bool as_floats)
{
    for (unsigned part = 0;; part++) {
        assert_true(list->n_items < MAX_TENSORS);
        tt_tensor *item = &list->items[list->n_items];
        char *name = list->names[list->n_items];
        *item = *tensor;
        memcpy(name, tensor->name, strlen(tensor->name) + 1);
        if (!change(item, name, part))
            return;
        item->name = name;
        list->widened[list->n_items] = as_floats && item->dtype == TT_F16;
        if (list->widened[list->n_items]) {
            item->dtype = TT_F32;
            item->n_bytes *= 2;
        }
        list->n_items++;
    }
}

static tt_status add_data(tt_gguf_writer *writer, const tt_tensor *item, bool widened, tt_error *err)
{
    size_t n = (size_t)tt_tensor_count(item);
    if (!widened)
        return tt_gguf_writer_add(writer, item->data, (size_t)item->n_bytes, err);
    float *values = malloc(n * sizeof(*values) + 1);
    assert_non_null(values);
    tt_to_float(TT_F16, item->data, values, n);
    tt_status status = tt_gguf_writer_add(writer, values, n * sizeof(*values), err);
    free(values);
    return status;
}

static size_t read_pairs(const tt_tensor_file *file, const char *const *keys, tt_gguf_pair *pairs)
{
    size_t n = 0;
    for (; keys != NULL && *keys != NULL; keys++)
        if (tt_tensor_file_metadata(file, *keys) != NULL) {
            assert_true(n < MAX_PAIRS);
            pairs[n++] = (tt_gguf_pair){*keys, tt_tensor_file_metadata(file, *keys), 0};
        }
    return n;
}

void gguf_copy(const char *from, const char *to, gguf_copy_change change, bool as_floats, const char *const *keys)
{
    changed_tensors *list = calloc(1, sizeof(*list));
    tt_gguf_pair pairs[MAX_PAIRS];
    tt_tensor_file *file;
    tt_gguf_writer *writer;
    tt_error err = {""};
    assert_non_null(list);
    if (tt_tensor_file_open(from, &file, &err) != TT_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < tt_tensor_file_count(file); i++)
        add_parts(list, tt_tensor_file_at(file, i), change == NULL ? keep : change, as_floats);
    size_t n_pairs = read_pairs(file, keys, pairs);
    tt_status status = tt_gguf_writer_begin(to, list->items, list->n_items, pairs, n_pairs, &writer, &err);
    for (size_t i = 0; status == TT_OK && i < list->n_items; i++)
        status = add_data(writer, &list->items[i], list->widened[i], &err);
    if (status != TT_OK || tt_gguf_writer_commit(writer, &err) != TT_OK)
        fail_msg("%s", err.text);
    tt_tensor_file_close(file);
    free(list);
}
