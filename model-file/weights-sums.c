/* weights-sums.c - what can be said of all tensors of a component together. */
#include "model-file/weights-private.h"

#include <stdio.h>
#include <string.h>

bool tt_is_floating(tt_dtype dtype)
{
    return dtype == TT_F64 || dtype == TT_F32 || dtype == TT_F16 || dtype == TT_BF16;
}

bool tt_weights_has_prefix(const tt_weights *weights, const tt_tensor *tensor)
{
    return strncmp(tensor->name, weights->prefix, weights->n_prefix) == 0;
}

const tt_tensor *tt_find_companion(const tt_tensor_file *file, const char *name, const char *suffix)
{
    char full[2 * TT_MAX_NAME + 16];
    int n = snprintf(full, sizeof(full), "%s%s", name, suffix);
    return n > 0 && (size_t)n < sizeof(full) ? tt_tensor_file_find(file, full) : NULL;
}

/* True for the scale or the offset of weights that are int8 per channel. */
static bool is_companion(const tt_tensor_file *file, const tt_tensor *tensor)
{
    static const char *const suffixes[] = {"_scale", "_offset"};
    size_t n_name = strlen(tensor->name);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        size_t n_suffix = strlen(suffixes[i]);
        if (n_name <= n_suffix || strcmp(tensor->name + n_name - n_suffix, suffixes[i]) != 0)
            continue;
        char name[TT_MAX_NAME];
        (void)snprintf(name, sizeof(name), "%.*s", (int)(n_name - n_suffix), tensor->name);
        const tt_tensor *weights = tt_tensor_file_find(file, name);
        if (weights != NULL && weights->dtype == TT_I8)
            return true;
    }
    return false;
}

static bool is_quantized(const tt_tensor_file *file, const tt_tensor *tensor)
{
    return tt_dtype_is_block(tensor->dtype) ||
           (tensor->dtype == TT_I8 && tt_find_companion(file, tensor->name, "_scale") != NULL);
}

/* What is counted of each tensor under the prefix. */
typedef struct weight_sums {
    uint64_t n_elements, n_bytes; /* elements of weights, bytes of all */
    size_t n_half, n_quantized;
    size_t n_wide, n_wide_vectors; /* floating but not F16: matrices; norms and biases */
    uint64_t by_type[TT_N_DTYPES]; /* elements */
} weight_sums;

static void add_tensor(const tt_tensor_file *file, const tt_tensor *tensor, weight_sums *sums)
{
    bool is_floating = tt_is_floating(tensor->dtype), quantized = is_quantized(file, tensor);
    sums->n_bytes += tensor->n_bytes;
    if ((!is_floating && !quantized) || is_companion(file, tensor))
        return;
    sums->n_elements += tt_tensor_count(tensor);
    sums->by_type[tensor->dtype] += tt_tensor_count(tensor);
    sums->n_quantized += quantized;
    sums->n_half += tensor->dtype == TT_F16;
    if (is_floating && tensor->dtype != TT_F16)
        *(tensor->n_dims > 1 ? &sums->n_wide : &sums->n_wide_vectors) += 1;
}

static weight_sums sum_up(const tt_weights *weights)
{
    weight_sums sums = {0};
    for (size_t i = 0; i < weights->n_files; i++)
        for (size_t j = 0; j < tt_tensor_file_count(weights->files[i]); j++) {
            const tt_tensor *tensor = tt_tensor_file_at(weights->files[i], j);
            if (tt_weights_has_prefix(weights, tensor))
                add_tensor(weights->files[i], tensor, &sums);
        }
    return sums;
}

size_t tt_weights_unused(const tt_weights *weights)
{
    return weights->n_tensors - weights->n_used;
}

size_t tt_weights_count(const tt_weights *weights)
{
    return weights->n_tensors;
}

uint64_t tt_weights_parameters(const tt_weights *weights)
{
    return weights->n_parameters;
}

uint64_t tt_weights_elements(const tt_weights *weights)
{
    return sum_up(weights).n_elements;
}

uint64_t tt_weights_bytes(const tt_weights *weights)
{
    return sum_up(weights).n_bytes;
}

bool tt_weights_all_half(const tt_weights *weights)
{
    weight_sums sums = sum_up(weights);
    if (sums.n_wide > 0 || (sums.n_wide_vectors > 0 && sums.n_quantized == 0))
        return false;
    return sums.n_half + sums.n_quantized > 0;
}

const char *tt_weights_type(const tt_weights *weights)
{
    weight_sums sums = sum_up(weights);
    int most = 0;
    for (int i = 1; i < TT_N_DTYPES; i++)
        most = sums.by_type[i] > sums.by_type[most] ? i : most;
    if (sums.by_type[most] == 0)
        return "";
    return most == TT_I8 ? "w8c" : tt_dtype_name((tt_dtype)most);
}
