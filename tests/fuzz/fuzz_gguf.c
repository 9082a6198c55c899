/* fuzz_gguf.c - any bytes as a GGUF file: refused with a sentence, or every tensor can be read. */
#include "model-file/weights.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes the first and the last block; what lies outside the input is seen by the sanitizer. */
static void touch(const tt_tensor *tensor)
{
    enum { LARGEST_BLOCK = 256 };
    float values[LARGEST_BLOCK];
    uint64_t count = tt_tensor_count(tensor);
    size_t block = tt_dtype_block(tensor->dtype), n_bytes = tt_dtype_block_bytes(tensor->dtype);
    if (block > LARGEST_BLOCK || count == 0 || count % block != 0 || count / block * n_bytes != tensor->n_bytes)
        abort();
    tt_to_float(tensor->dtype, tensor->data, values, block);
    tt_to_float(tensor->dtype, (const uint8_t *)tensor->data + tensor->n_bytes - n_bytes, values, block);
}

static void touch_channels(const tt_weight *weight)
{
    const void *const lists[] = {weight->scale, weight->offset};
    if (weight->tensor.dtype == TT_I8 && weight->scale == NULL)
        abort();
    for (size_t i = 0; i < 2; i++) {
        float value;
        const uint8_t *bytes = lists[i];
        if (bytes == NULL)
            continue;
        tt_to_float(TT_F32, bytes, &value, 1);
        tt_to_float(TT_F32, bytes + (weight->tensor.dims[0] - 1) * sizeof(value), &value, 1);
    }
}

/* The last of so many slices of a stored tensor. */
static bool translate(const void *layout, const char *canonical, tt_tensor_place *place)
{
    const uint32_t *n_slices = layout;
    *place = (tt_tensor_place){.slice_index = *n_slices - 1, .n_slices = *n_slices};
    memcpy(place->name, canonical, strlen(canonical) + 1);
    return true;
}

static void ask_as_weights(tt_tensor_file *file, const uint32_t *n_slices)
{
    tt_weights *weights;
    tt_weight weight;
    if (tt_weights_create(&file, 1, false, "", translate, n_slices, &weights, NULL) != TT_OK)
        return;
    for (size_t i = 0; i < tt_tensor_file_count(file); i++) {
        const char *name = tt_tensor_file_at(file, i)->name;
        if (!tt_weights_peek(weights, name, &weight))
            continue;
        tt_tensor seen = weight.tensor;
        if (tt_weights_get(weights, name, seen.n_dims, seen.dims, &weight, NULL) != TT_OK)
            continue;
        touch(&weight.tensor);
        touch_channels(&weight);
    }
    if (tt_weights_unused(weights) > tt_weights_count(weights))
        abort();
    (void)tt_weights_all_half(weights);
    (void)tt_weights_type(weights);
    tt_weights_destroy(weights);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t one = 1, three = 3;
    tt_tensor_file *file;
    tt_error err = {""};
    tt_status status = tt_tensor_file_open_memory(data, size, "fuzz", &file, &err);
    if (status != TT_OK) {
        if (file != NULL || strncmp(err.text, "fuzz: ", 6) != 0)
            abort();
        return 0;
    }
    for (size_t i = 0; i < tt_tensor_file_count(file); i++) {
        const tt_tensor *tensor = tt_tensor_file_at(file, i);
        if (tt_tensor_file_is_gguf(file))
            touch(tensor);
        if (tt_tensor_file_find(file, tensor->name) != tensor)
            abort();
    }
    (void)tt_tensor_file_metadata(file, "general.architecture");
    if (tt_tensor_file_is_gguf(file)) {
        ask_as_weights(file, &one);
        ask_as_weights(file, &three);
    }
    tt_tensor_file_close(file);
    return 0;
}
