/* fuzz_safetensors.c - any bytes as a safetensors file: refused with a sentence, or every tensor can be read. */
#include "model-file/weights.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches the first and the last element; what lies outside the input is seen by the sanitizer. */
static void touch(const tt_tensor *tensor)
{
    float value;
    uint64_t count = tt_tensor_count(tensor);
    size_t size = tt_dtype_size(tensor->dtype);
    if (count * size != tensor->n_bytes)
        abort();
    if (count == 0)
        return;
    tt_to_float(tensor->dtype, tensor->data, &value, 1);
    tt_to_float(tensor->dtype, (const uint8_t *)tensor->data + tensor->n_bytes - size, &value, 1);
}

static void ask_as_weights(tt_tensor_file *file)
{
    tt_weights *weights;
    tt_weight weight;
    if (tt_weights_create(&file, 1, false, "", NULL, NULL, &weights, NULL) != TT_OK)
        return;
    for (size_t i = 0; i < tt_tensor_file_count(file); i++) {
        const tt_tensor *tensor = tt_tensor_file_at(file, i);
        if (tt_weights_get(weights, tensor->name, tensor->n_dims, tensor->dims, &weight, NULL) == TT_OK)
            touch(&weight.tensor);
    }
    if (tt_weights_unused(weights) > tt_weights_count(weights))
        abort();
    tt_weights_destroy(weights);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
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
        touch(tensor);
        if (tt_tensor_file_find(file, tensor->name) != tensor)
            abort();
    }
    (void)tt_tensor_file_metadata(file, "format");
    ask_as_weights(file);
    tt_tensor_file_close(file);
    return 0;
}
