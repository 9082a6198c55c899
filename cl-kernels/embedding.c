/* embedding.c - tables on the device and the launcher of embedding.cl. */
#include "cl-kernels/embedding.h"

#include "base/checked.h"
#include "cl-kernels/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GPU_LANES = 32, ROWS_AT_ONCE = 1024 };

/* Converts rows of a stored table into device memory, a few thousand at a time where halves have to be made. */
static tt_status convert(tt_dtype dtype, const uint8_t *values, size_t n_rows, size_t width, bool is_half, void *to,
                         tt_error *err)
{
    if (!is_half) {
        tt_to_float(dtype, values, to, n_rows * width);
        return TT_OK;
    }
    if (dtype == TT_F16) {
        memcpy(to, values, n_rows * width * sizeof(uint16_t));
        return TT_OK;
    }
    size_t n_bytes = ROWS_AT_ONCE * width * sizeof(float);
    float *rows = malloc(n_bytes);
    if (rows == NULL)
        return tt_fail_memory(err, "rows of an embedding table", n_bytes);
    for (size_t row = 0; row < n_rows; row += ROWS_AT_ONCE) {
        size_t n = (n_rows - row < ROWS_AT_ONCE ? n_rows - row : ROWS_AT_ONCE) * width;
        tt_to_float(dtype, values + row * width * tt_dtype_size(dtype), rows, n);
        tt_to_half(rows, (uint16_t *)to + row * width, n);
    }
    free(rows);
    return TT_OK;
}

tt_status tt_table_create(const tt_kernels *kernels, tt_dtype dtype, const void *values, uint32_t n_rows,
                          uint32_t width, tt_table *table, tt_error *err)
{
    *table = (tt_table){.n_rows = n_rows, .width = width};
    table->is_half = dtype == TT_F16 || kernels->storage == TT_STORAGE_F16;
    size_t n_bytes;
    if (!tt_mul_size((size_t)n_rows, (size_t)width, &n_bytes) ||
        !tt_mul_size(n_bytes, table->is_half ? sizeof(uint16_t) : sizeof(float), &n_bytes))
        return tt_fail_memory(err, "an embedding table", SIZE_MAX);
    tt_status status = tt_buffer_create(kernels->device, n_bytes, "an embedding table", &table->values, err);
    if (status != TT_OK)
        return status;
    void *bytes;
    status = tt_buffer_map(kernels->device, &table->values, &bytes, err);
    if (status == TT_OK) {
        status = convert(dtype, values, n_rows, width, table->is_half, bytes, err);
        tt_status unmapped = tt_buffer_unmap(kernels->device, &table->values, bytes, status == TT_OK ? err : NULL);
        status = status == TT_OK ? unmapped : status;
    }
    if (status != TT_OK)
        tt_table_release(kernels->device, table);
    return status;
}

void tt_table_release(tt_device *device, tt_table *table)
{
    tt_buffer_release(device, &table->values);
    *table = (tt_table){0};
}

static tt_status check(const tt_embedding_args *args, tt_error *err)
{
    const tt_plane *out = &args->out;
    if (out->height != 1 || out->border != 0)
        return tt_kernels_fail_shape(err, "embedding", "the output must be a token sequence without border", out);
    if (args->tokens->width != out->channels || args->positions->width != out->channels)
        return tt_kernels_fail_shape(err, "embedding", "the tables differ in width from the output", out);
    if (args->positions->n_rows < out->width)
        return tt_kernels_fail_shape(err, "embedding", "more tokens than the position table has rows", out);
    return TT_OK;
}

tt_status tt_embedding_record(const tt_kernels *kernels, const tt_embedding_args *args, tt_recorder *recorder,
                              tt_error *err)
{
    const tt_plane *out = &args->out;
    size_t lanes = kernels->family == TT_FAMILY_CPU_TILE ? 1 : GPU_LANES;
    tt_status status = check(args, err);
    if (status != TT_OK)
        return status;
    char options[64];
    (void)snprintf(options, sizeof(options), "-DTOKENS_HALF=%d -DPOSITIONS_HALF=%d", args->tokens->is_half,
                   args->positions->is_half);
    tt_launcher launcher = tt_launcher_begin(kernels, "embedding.cl", options, "embedding", err);
    tt_launcher_buffer(&launcher, args->ids);
    tt_launcher_uint(&launcher, args->ids_offset);
    tt_launcher_buffer(&launcher, args->tokens->values.mem);
    tt_launcher_buffer(&launcher, args->positions->values.mem);
    tt_launcher_plane(&launcher, out, false);
    tt_launcher_uint2(&launcher, out->width, out->channels);
    tt_launch launch = {.stem = "embedding",
                        .n_dims = 3,
                        .global = {tt_round_up(out->width, lanes), tt_plane_slices(out), out->batch},
                        .local = {lanes, 1, 1},
                        .bytes = 3 * tt_launch_plane_bytes(kernels, out)};
    return tt_launcher_record(&launcher, &launch, recorder);
}
