/* matrix-rows.c - reads the stored rows of a matrix that is being packed. */
#include "cl-kernels/matrix-rows.h"

#include <string.h>

enum { PANEL = TT_QUANT_PANEL, MAX_BLOCK = 256 };

static const tt_matrix_part *find_part(const tt_packing *pack, uint32_t output, uint32_t *row)
{
    for (uint32_t i = 0; i < pack->n_parts; i++) {
        if (output < pack->parts[i].n_out) {
            *row = output;
            return &pack->parts[i];
        }
        output -= pack->parts[i].n_out;
    }
    return NULL;
}

tt_output_row tt_packing_row(const tt_packing *pack, uint32_t panel, uint32_t lane)
{
    const tt_matrix *matrix = pack->matrix;
    uint32_t limit = matrix->n_out, output = panel * PANEL + lane, base = 0;
    if (matrix->is_geglu) {
        limit = matrix->n_out / 2;
        output = panel * (PANEL / 2) + lane % (PANEL / 2);
        base = lane < PANEL / 2 ? 0 : limit;
    }
    tt_output_row found = {NULL, 0};
    if (output < limit)
        found.part = find_part(pack, base + output, &found.row);
    return found;
}

void tt_packing_read(tt_dtype dtype, const void *stored, size_t first, size_t n, float *values)
{
    float decoded[MAX_BLOCK];
    size_t size = tt_dtype_block(dtype), n_bytes = tt_dtype_block_bytes(dtype);
    const uint8_t *bytes = stored;
    if (size == 1) {
        tt_to_float(dtype, bytes + first * n_bytes, values, n);
        return;
    }
    for (size_t i = 0; i < n;) {
        size_t within = (first + i) % size, count = size - within < n - i ? size - within : n - i;
        tt_to_float(dtype, bytes + (first + i) / size * n_bytes, decoded, size);
        memcpy(values + i, decoded + within, count * sizeof(float));
        i += count;
    }
}

float tt_packing_number(const void *numbers, uint32_t row)
{
    float number = 0.0f;
    if (numbers != NULL)
        memcpy(&number, (const uint8_t *)numbers + row * sizeof(float), sizeof(number));
    return number;
}

void tt_packing_floats(const tt_packing *pack, tt_output_row from, size_t first_column, size_t n, float *values)
{
    const tt_matrix_part *part = from.part;
    if (!part->transposed)
        tt_packing_read(part->dtype, part->values, (size_t)from.row * tt_matrix_columns(pack->matrix) + first_column, n,
                        values);
    for (size_t i = 0; i < n && part->transposed; i++)
        tt_packing_read(part->dtype, part->values, (first_column + i) * part->n_out + from.row, 1, &values[i]);
    if (part->dtype != TT_I8)
        return;
    float scale = tt_packing_number(part->scale, from.row), offset = tt_packing_number(part->offset, from.row);
    for (size_t i = 0; i < n; i++) {
        float product = scale * values[i];
        values[i] = product + offset;
    }
}
