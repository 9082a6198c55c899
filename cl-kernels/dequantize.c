/* dequantize.c - launcher of dequantize.cl. */
#include "cl-kernels/dequantize.h"

#include "base/checked.h"
#include "cl-kernels/tile.h"

enum { PANEL = TT_QUANT_PANEL, PARTS = 8, GPU_LANES = 32, ALIGNMENT = 256 };

/* Rows of 32 values of a panel. */
static size_t count_rows(const tt_matrix *matrix)
{
    return (size_t)tt_matrix_slices(matrix) * matrix->n_taps * 4;
}

static size_t count_panels(const tt_matrix *matrix)
{
    return tt_ceil_div(matrix->n_out, PANEL);
}

static size_t element_bytes(const tt_kernels *kernels)
{
    return kernels->storage == TT_STORAGE_F16 ? sizeof(uint16_t) : sizeof(float);
}

size_t tt_dequantize_bytes(const tt_kernels *kernels, const tt_matrix *matrix)
{
    return count_panels(matrix) * count_rows(matrix) * PANEL * element_bytes(kernels);
}

tt_status tt_dequantize_record(const tt_kernels *kernels, const tt_dequantize_args *args, tt_recorder *recorder,
                               tt_error *err)
{
    const tt_matrix *matrix = args->matrix;
    size_t first_unit = args->out_offset / (4 * element_bytes(kernels)), n_rows = count_rows(matrix);
    if (!tt_quant_is_type(matrix->dtype) || args->out_offset % ALIGNMENT != 0 || first_unit > UINT32_MAX)
        return tt_fail(err, TT_ERROR_INTERNAL, "dequantize: a matrix of type %s at offset %zu; please report this",
                       tt_dtype_name(matrix->dtype), args->out_offset);
    size_t lanes = kernels->family == TT_FAMILY_CPU_TILE ? PARTS : GPU_LANES;
    tt_launcher launcher = tt_launcher_begin(kernels, "dequantize.cl", "", "dequantize", err);
    tt_launcher_buffer(&launcher, matrix->values.mem);
    tt_tile_set_quant(&launcher, matrix, 0);
    tt_launcher_buffer(&launcher, args->out);
    tt_launcher_uint4(&launcher, (uint32_t)n_rows, matrix->n_taps, 0, (uint32_t)first_unit);
    tt_launch launch = {.stem = "dequantize",
                        .n_dims = 2,
                        .global = {tt_round_up(n_rows * PARTS, lanes), count_panels(matrix), 1},
                        .local = {lanes, 1, 1},
                        .bytes = (double)matrix->values.n_bytes + (double)tt_dequantize_bytes(kernels, matrix)};
    return tt_launcher_record(&launcher, &launch, recorder);
}
