/* model-copy.c - see model-copy.h. */
#include "tests/support/model-copy.h"
#include "base/file.h"
#include "model-file/safetensors.h"
#include "tests/support/config-text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void model_copy_file(const temp_folder *folder, const char *from, const char *to)
{
    char *bytes = NULL;
    size_t n_bytes = 0;
    tt_error err = {""};
    if (tt_file_read(from, 16 << 20, &bytes, &n_bytes, &err) != TT_OK)
        fail_msg("%s", err.text);
    temp_folder_write(folder, to, bytes, n_bytes);
    free(bytes);
}

static const char *const parts[] = {"model_index.json",
                                    "scheduler/scheduler_config.json",
                                    "text_encoder/config.json",
                                    "text_encoder/model.safetensors",
                                    "tokenizer/vocab.json",
                                    "tokenizer/merges.txt",
                                    "tokenizer/tokenizer_config.json",
                                    "unet/config.json",
                                    "unet/diffusion_pytorch_model.safetensors",
                                    "vae/config.json",
                                    "vae/diffusion_pytorch_model.safetensors"};

void model_copy_make(const temp_folder *folder, const char *name, const char *without)
{
    char from[256];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (without && strncmp(parts[i], without, strlen(without)) == 0)
            continue;
        snprintf(from, sizeof from, "tests/golden/data/models/%s/%s", name, parts[i]);
        model_copy_file(folder, from, parts[i]);
    }
}

void model_copy_change(const temp_folder *folder, const char *name, const char *changes)
{
    char path[TT_TEMP_PATH];
    char *text = config_changed(temp_folder_path(folder, name, path), changes);
    temp_folder_write_text(folder, name, text);
    free(text);
}

void model_copy_forget(const temp_folder *folder, const char *component)
{
    char changes[64];
    snprintf(changes, sizeof changes, "{\"%s\":[null,null]}", component);
    model_copy_change(folder, "model_index.json", changes);
}

void model_copy_tensors(tt_context *context, const temp_folder *folder, const char *from, const char *to,
                        model_copy_rename rename, const char *const *extra)
{
    char path[TT_TEMP_PATH];
    tt_arrays arrays = {0}, renamed = {0};
    static const float values[4] = {1, 2, 3, 4};
    const uint64_t dims[1] = {4};
    if (tt_arrays_read(context, from, &arrays) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    for (size_t i = 0; i < arrays.n_items; i++) {
        const tt_array *a = &arrays.items[i];
        char name[128];
        snprintf(name, sizeof name, "%s", a->name);
        if (rename && !rename(a->name, name, sizeof name))
            continue;
        assert_int_equal(tt_arrays_add(context, &renamed, name, a->type, a->n_dims, a->dims, a->data), TT_OK);
    }
    for (; extra && *extra; extra++)
        assert_int_equal(tt_arrays_add(context, &renamed, *extra, TT_ARRAY_F32, 1, dims, values), TT_OK);
    if (tt_arrays_write(context, temp_folder_path(folder, to, path), &renamed) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    tt_arrays_free(&arrays);
    tt_arrays_free(&renamed);
}

/* A new block with the tensor's values, changed. */
static void *changed_values(const tt_tensor *tensor, float (*change)(float value), bool as_half)
{
    size_t n = (size_t)tt_tensor_count(tensor);
    float *values = malloc(n * sizeof *values + 1);
    uint16_t *halves = malloc(n * sizeof *halves + 1);
    assert_non_null(values);
    assert_non_null(halves);
    tt_to_float(tensor->dtype, tensor->data, values, n);
    for (size_t i = 0; i < n && change; i++)
        values[i] = change(values[i]);
    tt_to_half(values, halves, n);
    free(as_half ? (void *)values : (void *)halves);
    return as_half ? (void *)halves : (void *)values;
}

static bool is_floating(tt_dtype dtype)
{
    return dtype == TT_F64 || dtype == TT_F32 || dtype == TT_F16 || dtype == TT_BF16;
}

void model_copy_values(const temp_folder *folder, const char *name, float (*change)(float value), bool as_half)
{
    char path[TT_TEMP_PATH];
    tt_tensor_file *file = NULL;
    tt_error err = {""};
    if (tt_tensor_file_open(temp_folder_path(folder, name, path), &file, &err) != TT_OK)
        fail_msg("%s", err.text);
    size_t n = tt_tensor_file_count(file);
    tt_tensor *tensors = calloc(n, sizeof *tensors);
    void **blocks = calloc(n, sizeof *blocks);
    assert_non_null(tensors);
    assert_non_null(blocks);
    for (size_t i = 0; i < n; i++) {
        tensors[i] = *tt_tensor_file_at(file, i);
        if (!is_floating(tensors[i].dtype))
            continue;
        blocks[i] = changed_values(&tensors[i], change, as_half);
        tensors[i].dtype = as_half ? TT_F16 : TT_F32;
        tensors[i].n_bytes = tt_dtype_bytes(tensors[i].dtype, tt_tensor_count(&tensors[i]));
        tensors[i].data = blocks[i];
    }
    if (tt_safetensors_write(path, tensors, n, NULL, 0, &err) != TT_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++)
        free(blocks[i]);
    free(blocks);
    free(tensors);
    tt_tensor_file_close(file);
}
