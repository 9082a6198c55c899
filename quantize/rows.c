/* rows.c - reading, encoding and comparing rows of weights. */
#include "quantize/rows.h"
#include "base/checked.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BLOCK = 256 };

/* ---- source */

/* Elements from..from + n of the stored order; a range may begin or end inside a block. */
static void read_stored(const tt_tensor *tensor, uint64_t from, uint64_t n, float *values)
{
    size_t block = tt_dtype_block(tensor->dtype);
    const uint8_t *bytes = tensor->data;
    if (from % block == 0 && n % block == 0) {
        tt_to_float(tensor->dtype, bytes + tt_dtype_bytes(tensor->dtype, from), values, (size_t)n);
        return;
    }
    float decoded[MAX_BLOCK];
    for (uint64_t at = from; at < from + n;) {
        uint64_t begin = at / block * block, skip = at - begin, left = from + n - at;
        size_t take = (size_t)(block - skip < left ? block - skip : left);
        tt_to_float(tensor->dtype, bytes + tt_dtype_bytes(tensor->dtype, begin), decoded, block);
        memcpy(values + (at - from), decoded + skip, take * sizeof *values);
        at += take;
    }
}

/* All values of a tensor that is stored [in, out]. */
static tt_status turn(tt_row_source *source, tt_error *err)
{
    size_t n = 0, rows = (size_t)source->n_rows, columns = (size_t)source->n_columns;
    float *stored = NULL;
    if (tt_mul_size(rows, columns, &n) && n <= SIZE_MAX / sizeof(float)) {
        source->turned = malloc(n * sizeof(float));
        stored = malloc(n * sizeof(float));
    }
    if (source->turned && stored) {
        read_stored(&source->weight.tensor, 0, n, stored);
        for (size_t i = 0; i < n; i++)
            source->turned[i] = stored[i % columns * rows + i / columns];
    }
    bool good = source->turned && stored;
    free(stored);
    if (good)
        return TT_OK;
    tt_row_source_close(source);
    return tt_fail_memory(err, "a turned weight", n * sizeof(float));
}

tt_status tt_row_source_open(const tt_weight *weight, uint64_t n_rows, uint64_t n_columns, tt_row_source *source,
                             tt_error *err)
{
    *source = (tt_row_source){.weight = *weight, .n_rows = n_rows, .n_columns = n_columns};
    return weight->transposed ? turn(source, err) : TT_OK;
}

void tt_row_source_close(tt_row_source *source)
{
    free(source->turned);
    *source = (tt_row_source){0};
}

static float unaligned_float(const void *floats, uint64_t index)
{
    float value;
    memcpy(&value, (const uint8_t *)floats + index * sizeof value, sizeof value);
    return value;
}

void tt_row_source_read(const tt_row_source *source, uint64_t first_row, uint64_t n_rows, float *values)
{
    uint64_t first = first_row * source->n_columns, n = n_rows * source->n_columns;
    const tt_weight *w = &source->weight;
    if (source->turned) {
        memcpy(values, source->turned + first, (size_t)n * sizeof *values);
        return;
    }
    read_stored(&w->tensor, first, n, values);
    for (uint64_t row = 0; w->scale && row < n_rows; row++) {
        float scale = unaligned_float(w->scale, first_row + row);
        float offset = w->offset ? unaligned_float(w->offset, first_row + row) : 0.0f;
        float *at = values + row * source->n_columns;
        for (uint64_t i = 0; i < source->n_columns; i++)
            at[i] = scale * at[i] + offset;
    }
}

void tt_row_source_drop(const tt_row_source *source, uint64_t first_row, uint64_t n_rows)
{
    const tt_tensor *t = &source->weight.tensor;
    size_t block = tt_dtype_block(t->dtype);
    uint64_t first = first_row * source->n_columns / block * block, n = n_rows * source->n_columns / block * block;
    if (!source->turned)
        tt_mapping_drop((const uint8_t *)t->data + tt_dtype_bytes(t->dtype, first),
                        (size_t)tt_dtype_bytes(t->dtype, n));
}

const void *tt_row_source_same(const tt_row_source *source, tt_weight_type type, uint64_t first_row)
{
    const tt_tensor *t = &source->weight.tensor;
    bool same = !source->turned && !source->weight.scale && !tt_weight_type_is_channel(type) &&
                t->dtype == tt_weight_type_dtype(type) && source->n_columns % tt_dtype_block(t->dtype) == 0;
    return same ? (const uint8_t *)t->data + tt_dtype_bytes(t->dtype, first_row * source->n_columns) : NULL;
}

/* ---- rows */

void tt_encode_row(const tt_row_form *form, const float *values, tt_encoded_row *row)
{
    size_t n = (size_t)form->n_columns;
    row->scale = row->offset = 0.0f;
    if (form->type == TT_WEIGHT_F32)
        memcpy(row->bytes, values, n * sizeof *values);
    else if (form->type == TT_WEIGHT_F16)
        tt_to_half(values, row->bytes, n);
    else if (tt_weight_type_is_channel(form->type))
        tt_encode_channel(form->fit, form->type == TT_WEIGHT_W8C, values, form->importance, n, row->bytes, &row->scale,
                          &row->offset);
    else
        tt_encode_blocks(tt_weight_type_dtype(form->type), form->fit, values, form->importance, n, row->bytes);
}

void tt_decode_row(const tt_row_form *form, const tt_encoded_row *row, float *values)
{
    tt_to_float(tt_weight_type_dtype(form->type), row->bytes, values, (size_t)form->n_columns);
    for (uint64_t i = 0; tt_weight_type_is_channel(form->type) && i < form->n_columns; i++)
        values[i] = row->scale * values[i] + row->offset;
}

double tt_weighted_square(const float *a, const float *b, const float *importance, uint64_t n)
{
    double sum = 0.0;
    for (uint64_t i = 0; i < n; i++) {
        double difference = (double)a[i] - (b ? (double)b[i] : 0.0);
        sum += difference * difference * (importance ? (double)importance[i] : 1.0);
    }
    return sum;
}
