/* rows.c - single rows of stored matrices. */
#include "text-encoder/rows.h"

#include <stdlib.h>
#include <string.h>

static float number_at(const void *numbers, size_t index)
{
    float number = 0.0f;
    if (numbers)
        memcpy(&number, (const uint8_t *)numbers + index * sizeof number, sizeof number);
    return number;
}

/* Decodes one stored row of n elements. w8c has scales and offsets per canonical row: this one when the matrix is
 * stored as it is, one an element when it is transposed. */
static tt_status read_stored_row(const tt_weight *weight, size_t row, size_t n, float *values, tt_error *err)
{
    tt_dtype dtype = weight->tensor.dtype;
    if (n % tt_dtype_block(dtype) != 0)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "tensor \"%s\": rows of %zu elements are no whole blocks of %s; convert the model",
                       weight->tensor.name, n, tt_dtype_name(dtype));
    tt_to_float(dtype, (const uint8_t *)weight->tensor.data + row * tt_dtype_bytes(dtype, n), values, n);
    for (size_t i = 0; i < n && weight->scale; i++) {
        size_t channel = weight->transposed ? i : row;
        float product = number_at(weight->scale, channel) * values[i];
        values[i] = product + number_at(weight->offset, channel);
    }
    return TT_OK;
}

tt_status tt_rows_add(const tt_weight *weight, uint32_t row, float *sum, tt_error *err)
{
    size_t n = (size_t)weight->tensor.dims[1];
    float *values = malloc(n * sizeof *values);
    if (!values)
        return tt_fail_memory(err, "a row of a table", n * sizeof *values);
    tt_status status = read_stored_row(weight, row, n, values, err);
    for (size_t i = 0; i < n && status == TT_OK; i++)
        sum[i] += values[i];
    free(values);
    return status;
}

/* Adds what a stored row contributes to the sums. */
static void multiply_row(bool transposed, size_t row, const float *values, size_t n, const float *x, double *sums)
{
    for (size_t i = 0; i < n; i++)
        sums[transposed ? i : row] += (double)x[transposed ? row : i] * (double)values[i];
}

tt_status tt_rows_multiply(const tt_weight *weight, const float *x, float *out, tt_error *err)
{
    size_t n_out = (size_t)weight->tensor.dims[0], n_in = (size_t)weight->tensor.dims[1];
    size_t n_rows = weight->transposed ? n_in : n_out, n = weight->transposed ? n_out : n_in;
    float *values = malloc(n * sizeof *values);
    double *sums = calloc(n_out, sizeof *sums);
    tt_status status = values && sums ? TT_OK : tt_fail_memory(err, "a row of a matrix", n * sizeof *values);
    for (size_t row = 0; row < n_rows && status == TT_OK; row++) {
        status = read_stored_row(weight, row, n, values, err);
        if (status == TT_OK)
            multiply_row(weight->transposed, row, values, n, x, sums);
    }
    for (size_t i = 0; i < n_out && status == TT_OK; i++)
        out[i] = (float)sums[i];
    free(values);
    free(sums);
    return status;
}
