/* built-in.c - see built-in.h. */
#include "tests/support/built-in.h"

#include "model-file/safetensors.h"
#include "model-file/tensor-file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { MAX_PAIRS = 16 };

typedef const char *text_pair[2];

/* The values as halves; free() them. */
static uint16_t *halves_of(const tt_tensor *tensor)
{
    size_t n = (size_t)tt_tensor_count(tensor);
    uint16_t *halves = malloc(n * sizeof *halves + 1);
    float *values = malloc(n * sizeof *values + 1);
    assert_true(halves != NULL && values != NULL);
    tt_to_float(tensor->dtype, tensor->data, values, n);
    tt_to_half(values, halves, n);
    free(values);
    return halves;
}

static size_t read_pairs(const tt_tensor_file *file, const char *key, const char *text, text_pair pairs[MAX_PAIRS])
{
    static const char *const keys[] = {"tintype.format",        "tintype.name",
                                       "tintype.licence",       "tintype.default_cfg_scale",
                                       "tintype.default_steps", "tintype.preview_projection",
                                       "tintype.model_index",   "tintype.scheduler",
                                       "tintype.vocab",         "tintype.merges",
                                       "tintype.text_encoder",  "tintype.tokenizer_config",
                                       "tintype.unet",          "tintype.vae"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *value = tt_tensor_file_metadata(file, keys[i]);
        if (key != NULL && strcmp(key, keys[i]) == 0)
            value = text;
        if (value == NULL)
            continue;
        pairs[n][0] = keys[i];
        pairs[n++][1] = value;
    }
    return n;
}

void built_in_halves(const char *to, const char *key, const char *text)
{
    tt_tensor_file *file = NULL;
    tt_error err = {""};
    text_pair pairs[MAX_PAIRS];
    if (tt_tensor_file_open(BUILT_IN_MODEL, &file, &err) != TT_OK)
        fail_msg("%s", err.text);
    size_t n = tt_tensor_file_count(file), n_pairs = read_pairs(file, key, text, pairs);
    tt_tensor *tensors = calloc(n, sizeof *tensors);
    assert_non_null(tensors);
    for (size_t i = 0; i < n; i++) {
        tensors[i] = *tt_tensor_file_at(file, i);
        tensors[i].data = halves_of(&tensors[i]);
        tensors[i].dtype = TT_F16;
        tensors[i].n_bytes = tt_tensor_count(&tensors[i]) * sizeof(uint16_t);
    }
    if (tt_safetensors_write(to, tensors, n, (const char *const(*)[2])pairs, n_pairs, &err) != TT_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++)
        free((void *)(uintptr_t)tensors[i].data);
    free(tensors);
    tt_tensor_file_close(file);
}
