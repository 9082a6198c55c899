/* matrix.c - packs stored weights into panels of 32 outputs.
 *
 * A panel's rows are read in chunks of some slices into a small table, converting on the way, and written from there
 * with outputs innermost: every source and destination byte is touched once and in order, which keeps loading near the
 * speed of memory even for rows whose distance is a power of two. */
#include "cl-kernels/matrix.h"

#include "base/checked.h"
#include "cl-kernels/matrix-dot.h"
#include "cl-kernels/matrix-rows.h"

#include <stdlib.h>
#include <string.h>

enum { PANEL = TT_QUANT_PANEL, CHUNK_COLUMNS = 144 };

uint32_t tt_matrix_columns(const tt_matrix *matrix)
{
    return matrix->n_in * matrix->n_taps;
}

/* Some slices of one source: where they start and which stored columns they hold. */
typedef struct chunk {
    uint32_t first_slice, n_slices;
    uint32_t first_channel, n_channels; /* of the stored tensor; fewer than 4 * n_slices at the end of a source */
} chunk;

/* The same as half: F16 is copied bit by bit. */
static void read_halves(const tt_packing *pack, tt_output_row from, size_t first_column, size_t n, uint16_t *values)
{
    const tt_matrix_part *part = from.part;
    if (part->dtype == TT_F16 && !part->transposed) {
        size_t width = (size_t)pack->matrix->n_in * pack->matrix->n_taps;
        const uint8_t *bytes = part->values;
        memcpy(values, bytes + ((size_t)from.row * width + first_column) * sizeof(uint16_t), n * sizeof(uint16_t));
        return;
    }
    float floats[CHUNK_COLUMNS];
    tt_packing_floats(pack, from, first_column, n, floats);
    tt_to_half(floats, values, n);
}

/* Writes one chunk of a panel, halves. rows: the panel's 32 outputs; packed: the chunk's first value. */
static void pack_chunk_half(const tt_packing *pack, const tt_output_row *rows, const chunk *part,
                            uint16_t *restrict packed)
{
    uint16_t table[PANEL][CHUNK_COLUMNS];
    uint32_t taps = pack->matrix->n_taps;
    size_t n_stored = (size_t)part->n_channels * taps, n_columns = (size_t)part->n_slices * 4 * taps;
    for (uint32_t lane = 0; lane < PANEL; lane++) {
        size_t n = rows[lane].part != NULL ? n_stored : 0;
        if (n > 0)
            read_halves(pack, rows[lane], (size_t)part->first_channel * taps, n, table[lane]);
        memset(table[lane] + n, 0, (n_columns - n) * sizeof(uint16_t));
    }
    for (uint32_t slice = 0; slice < part->n_slices; slice++)
        for (uint32_t tap = 0; tap < taps; tap++)
            for (uint32_t k = 0; k < 4; k++, packed += PANEL) {
                size_t column = (size_t)(slice * 4 + k) * taps + tap;
                for (uint32_t lane = 0; lane < PANEL; lane++)
                    packed[lane] = table[lane][column];
            }
}

/* The same, floats. */
static void pack_chunk_float(const tt_packing *pack, const tt_output_row *rows, const chunk *part,
                             float *restrict packed)
{
    float table[PANEL][CHUNK_COLUMNS];
    uint32_t taps = pack->matrix->n_taps;
    size_t n_stored = (size_t)part->n_channels * taps, n_columns = (size_t)part->n_slices * 4 * taps;
    for (uint32_t lane = 0; lane < PANEL; lane++) {
        size_t n = rows[lane].part != NULL ? n_stored : 0;
        if (n > 0)
            tt_packing_floats(pack, rows[lane], (size_t)part->first_channel * taps, n, table[lane]);
        for (size_t i = n; i < n_columns; i++)
            table[lane][i] = 0.0f;
    }
    for (uint32_t slice = 0; slice < part->n_slices; slice++)
        for (uint32_t tap = 0; tap < taps; tap++)
            for (uint32_t k = 0; k < 4; k++, packed += PANEL) {
                size_t column = (size_t)(slice * 4 + k) * taps + tap;
                for (uint32_t lane = 0; lane < PANEL; lane++)
                    packed[lane] = table[lane][column];
            }
}

/* The chunk that starts at a slice; chunks never cross from one source to the other. */
static chunk chunk_at(const tt_packing *pack, uint32_t slice)
{
    const tt_matrix *matrix = pack->matrix;
    uint32_t split_slice = (matrix->split + 3) / 4;
    bool is_first = slice < split_slice;
    uint32_t end_slice = is_first ? split_slice : pack->n_slices;
    uint32_t end_channel = is_first ? matrix->split : matrix->n_in;
    uint32_t channel = is_first ? slice * 4 : matrix->split + (slice - split_slice) * 4;
    uint32_t most = CHUNK_COLUMNS / (4 * matrix->n_taps);
    chunk part = {.first_slice = slice, .first_channel = channel};
    part.n_slices = end_slice - slice < most ? end_slice - slice : most;
    part.n_channels = end_channel - channel < part.n_slices * 4 ? end_channel - channel : part.n_slices * 4;
    return part;
}

/* A panel that keeps its type. */
static void pack_quantized(const tt_packing *pack, const tt_output_row *rows, uint8_t *panel)
{
    tt_dtype dtype = pack->matrix->dtype;
    size_t n_columns = tt_matrix_columns(pack->matrix), row_bytes = (size_t)tt_dtype_bytes(dtype, n_columns);
    tt_quant_row codes[PANEL] = {{0}};
    for (uint32_t lane = 0; lane < PANEL; lane++) {
        const tt_matrix_part *part = rows[lane].part;
        if (part == NULL)
            continue;
        codes[lane].codes = (const uint8_t *)part->values + rows[lane].row * row_bytes;
        codes[lane].scale = tt_packing_number(part->scale, rows[lane].row);
        codes[lane].offset = tt_packing_number(part->offset, rows[lane].row);
    }
    tt_quant_pack_panel(dtype, codes, n_columns, panel);
}

static void pack_panel(const tt_packing *pack, uint32_t panel, void *values)
{
    tt_output_row rows[PANEL];
    for (uint32_t lane = 0; lane < PANEL; lane++)
        rows[lane] = tt_packing_row(pack, panel, lane);
    if (tt_dot_packs(pack->matrix)) {
        tt_dot_pack_panel(pack, rows, (uint8_t *)values + panel * tt_dot_panel_bytes(pack->matrix));
        return;
    }
    if (tt_quant_is_type(pack->matrix->dtype)) {
        size_t panel_bytes = pack->matrix->values.n_bytes / pack->n_panels;
        pack_quantized(pack, rows, (uint8_t *)values + panel * panel_bytes);
        return;
    }
    size_t slice_size = (size_t)pack->matrix->n_taps * 4 * PANEL;
    size_t start = (size_t)panel * pack->n_slices * slice_size;
    for (uint32_t slice = 0; slice < pack->n_slices;) {
        chunk part = chunk_at(pack, slice);
        if (pack->matrix->dtype == TT_F16)
            pack_chunk_half(pack, rows, &part, (uint16_t *)values + start + slice * slice_size);
        else
            pack_chunk_float(pack, rows, &part, (float *)values + start + slice * slice_size);
        slice += part.n_slices;
    }
}

static void pack_bias(const tt_packing *pack, float *bias)
{
    for (uint32_t i = 0; i < pack->n_panels * PANEL; i++) {
        tt_output_row from = tt_packing_row(pack, i / PANEL, i % PANEL);
        bias[i] = 0.0f;
        if (from.part != NULL && from.part->bias != NULL)
            tt_packing_read(from.part->bias_dtype, from.part->bias, from.row, 1, &bias[i]);
    }
}

static void pack_slopes(const tt_packing *pack, float *slopes)
{
    for (uint32_t i = 0; i < pack->n_panels * PANEL; i++) {
        tt_output_row from = tt_packing_row(pack, i / PANEL, i % PANEL);
        slopes[i] = from.part != NULL ? from.part->leak : 0.0f;
        if (from.part != NULL && from.part->slope != NULL)
            tt_packing_read(from.part->slope_dtype, from.part->slope, from.row, 1, &slopes[i]);
    }
}

static bool is_float_type(tt_dtype dtype)
{
    return dtype == TT_F32 || dtype == TT_F16 || dtype == TT_BF16 || dtype == TT_F64;
}

/* Vectors may be in whole blocks: some converters leave nothing out. */
static bool is_vector_type(tt_dtype dtype, uint32_t n)
{
    return is_float_type(dtype) || (tt_dtype_is_block(dtype) && n % tt_dtype_block(dtype) == 0);
}

static tt_status check_part(const tt_matrix_part *part, uint32_t n_taps, tt_error *err)
{
    if (part->values == NULL || part->n_out == 0)
        return tt_fail(err, TT_ERROR_INTERNAL, "A weight matrix was given a part without values.");
    bool is_known =
        is_float_type(part->dtype) || tt_dtype_is_block(part->dtype) || (part->dtype == TT_I8 && part->scale != NULL);
    if (!is_known)
        return tt_fail(
            err, TT_ERROR_UNSUPPORTED,
            "Weights are stored as %s, expected F32, F16, BF16, F64, a block type or I8 with scales: convert "
            "the model.",
            tt_dtype_name(part->dtype));
    if (part->bias != NULL && !is_vector_type(part->bias_dtype, part->n_out))
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "A bias is stored as %s, expected F32, F16, BF16, F64 or whole blocks: convert the model.",
                       tt_dtype_name(part->bias_dtype));
    if (part->slope != NULL && !is_vector_type(part->slope_dtype, part->n_out))
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "Slopes are stored as %s, expected F32, F16, BF16, F64 or whole blocks: convert the model.",
                       tt_dtype_name(part->slope_dtype));
    if (part->transposed && n_taps != 1)
        return tt_fail(err, TT_ERROR_INTERNAL, "A transposed weight matrix cannot have taps.");
    return TT_OK;
}

/* The type that the parts keep, or the one that they are widened to. */
static tt_dtype packed_type(tt_storage storage, const tt_matrix_part *parts, uint32_t n_parts, const tt_matrix *matrix)
{
    tt_dtype first = parts[0].dtype;
    bool all_alike = true, all_half = true;
    for (uint32_t i = 0; i < n_parts; i++) {
        all_alike = all_alike && parts[i].dtype == first && !parts[i].transposed;
        all_half = all_half && parts[i].dtype == TT_F16;
    }
    bool has_whole_blocks = tt_matrix_columns(matrix) % tt_dtype_block(first) == 0;
    bool has_whole_slices = matrix->split == matrix->n_in || matrix->split % 4 == 0;
    if (tt_quant_is_type(first) && all_alike && has_whole_blocks && has_whole_slices)
        return first;
    return all_half || storage == TT_STORAGE_F16 ? TT_F16 : TT_F32;
}

/* Fills the matrix's numbers from the request; checks what the callers promise. */
static tt_status describe(const tt_kernels *kernels, const tt_matrix_part *parts, uint32_t n_parts, tt_matrix *matrix,
                          tt_error *err)
{
    uint64_t n_out = 0;
    for (uint32_t i = 0; i < n_parts; i++) {
        tt_status status = check_part(&parts[i], matrix->n_taps, err);
        if (status != TT_OK)
            return status;
        n_out += parts[i].n_out;
    }
    if (n_out == 0 || n_out > UINT32_MAX - PANEL || matrix->n_in == 0 || matrix->n_in > UINT32_MAX / 16 ||
        matrix->split > matrix->n_in || (matrix->n_taps != 1 && matrix->n_taps != 9) ||
        (matrix->is_geglu && n_out % 2 != 0))
        return tt_fail(err, TT_ERROR_INTERNAL,
                       "A weight matrix of %llu outputs, %u inputs (split at %u) and %u taps cannot be packed.",
                       (unsigned long long)n_out, matrix->n_in, matrix->split, matrix->n_taps);
    matrix->n_out = (uint32_t)n_out;
    matrix->dtype = packed_type(kernels->storage, parts, n_parts, matrix);
    tt_dot_describe(kernels, matrix);
    return TT_OK;
}

/* Input slices: each of the two sources is padded to four channels on its own. */
static uint32_t count_slices(const tt_matrix *matrix)
{
    return (matrix->split + 3) / 4 + (matrix->n_in - matrix->split + 3) / 4;
}

static tt_packing make_packing(const tt_matrix_part *parts, uint32_t n_parts, const tt_matrix *matrix)
{
    return (tt_packing){parts, n_parts, matrix, count_slices(matrix), (matrix->n_out + PANEL - 1) / PANEL};
}

/* Bytes of the packed values; false when they do not fit in memory. */
static bool packed_bytes(const tt_matrix *matrix, size_t *n_bytes)
{
    size_t n_panels = ((size_t)matrix->n_out + PANEL - 1) / PANEL, size = matrix->dtype == TT_F16 ? 2 : 4;
    tt_quant_layout layout;
    if (tt_dot_packs(matrix))
        return tt_mul_size(n_panels, tt_dot_panel_bytes(matrix), n_bytes);
    if (tt_quant_is_type(matrix->dtype))
        return tt_quant_layout_of(matrix->dtype, tt_matrix_columns(matrix), &layout) &&
               tt_mul_size(n_panels, layout.n_bytes, n_bytes);
    return tt_mul_size(n_panels, count_slices(matrix), n_bytes) && tt_mul_size(*n_bytes, matrix->n_taps, n_bytes) &&
           tt_mul_size(*n_bytes, 4 * PANEL * size, n_bytes);
}

tt_status tt_matrix_describe(const tt_kernels *kernels, const tt_matrix_part *parts, uint32_t n_parts, uint32_t n_in,
                             uint32_t n_taps, uint32_t split, bool geglu, tt_matrix *matrix, tt_error *err)
{
    *matrix = (tt_matrix){.n_in = n_in, .n_taps = n_taps, .split = split == 0 ? n_in : split, .is_geglu = geglu};
    tt_status status = describe(kernels, parts, n_parts, matrix, err);
    if (status != TT_OK)
        return status;
    if (!packed_bytes(matrix, &matrix->values.n_bytes))
        return tt_fail(err, TT_ERROR_MEMORY, "A weight matrix of %u outputs and %u inputs does not fit in memory.",
                       matrix->n_out, n_in);
    for (uint32_t i = 0; i < n_parts; i++)
        matrix->has_slopes = matrix->has_slopes || parts[i].slope != NULL || parts[i].leak != 0.0f;
    matrix->bias.n_bytes = tt_round_up(matrix->n_out, PANEL) * sizeof(float) * (matrix->has_slopes ? 2 : 1);
    return TT_OK;
}

uint32_t tt_matrix_panels(const tt_matrix *matrix)
{
    return (matrix->n_out + PANEL - 1) / PANEL;
}

void tt_matrix_pack_panels(const tt_matrix_part *parts, uint32_t n_parts, const tt_matrix *matrix, uint32_t first_panel,
                           uint32_t n_panels, void *bytes)
{
    tt_packing pack = make_packing(parts, n_parts, matrix);
    for (uint32_t i = 0; i < n_panels; i++)
        pack_panel(&pack, first_panel + i, bytes);
}

void tt_matrix_pack(const tt_matrix_part *parts, uint32_t n_parts, const tt_matrix *matrix, void *bytes)
{
    tt_matrix_pack_panels(parts, n_parts, matrix, 0, tt_matrix_panels(matrix), bytes);
}

tt_status tt_matrix_create_bias(const tt_kernels *kernels, const tt_matrix_part *parts, uint32_t n_parts,
                                tt_matrix *matrix, tt_error *err)
{
    tt_packing pack = make_packing(parts, n_parts, matrix);
    void *bytes = NULL;
    tt_status status = tt_buffer_create(kernels->device, matrix->bias.n_bytes, "bias", &matrix->bias, err);
    if (status == TT_OK)
        status = tt_buffer_map(kernels->device, &matrix->bias, &bytes, err);
    if (status != TT_OK)
        return status;
    pack_bias(&pack, bytes);
    if (matrix->has_slopes)
        pack_slopes(&pack, (float *)bytes + (size_t)pack.n_panels * PANEL);
    return tt_buffer_unmap(kernels->device, &matrix->bias, bytes, err);
}

static tt_status create_values(const tt_kernels *kernels, const tt_matrix_part *parts, uint32_t n_parts,
                               tt_matrix *matrix, tt_error *err)
{
    void *bytes = NULL;
    tt_status status = tt_buffer_create(kernels->device, matrix->values.n_bytes, "weights", &matrix->values, err);
    if (status == TT_OK)
        status = tt_buffer_map(kernels->device, &matrix->values, &bytes, err);
    if (status != TT_OK)
        return status;
    tt_matrix_pack(parts, n_parts, matrix, bytes);
    return tt_buffer_unmap(kernels->device, &matrix->values, bytes, err);
}

tt_status tt_matrix_create(const tt_kernels *kernels, const tt_matrix_part *parts, uint32_t n_parts, uint32_t n_in,
                           uint32_t n_taps, uint32_t split, bool geglu, tt_matrix *matrix, tt_error *err)
{
    tt_status status = tt_matrix_describe(kernels, parts, n_parts, n_in, n_taps, split, geglu, matrix, err);
    if (status == TT_OK)
        status = create_values(kernels, parts, n_parts, matrix, err);
    if (status == TT_OK)
        status = tt_matrix_create_bias(kernels, parts, n_parts, matrix, err);
    if (status != TT_OK)
        tt_matrix_release(kernels->device, matrix);
    return status;
}

void tt_matrix_release(tt_device *device, tt_matrix *matrix)
{
    tt_buffer_release(device, &matrix->values);
    tt_buffer_release(device, &matrix->bias);
    *matrix = (tt_matrix){0};
}

tt_status tt_vector_create(const tt_kernels *kernels, tt_dtype dtype, const void *values, uint32_t n, tt_vector *vector,
                           tt_error *err)
{
    *vector = (tt_vector){.n = n};
    if (n == 0 || n > UINT32_MAX - PANEL || values == NULL || !is_vector_type(dtype, n))
        return tt_fail(err, TT_ERROR_INTERNAL, "A vector of %u values of type %s cannot be stored.", n,
                       tt_dtype_name(dtype));
    size_t n_padded = tt_round_up(n, PANEL);
    void *bytes = NULL;
    tt_status status = tt_buffer_create(kernels->device, n_padded * sizeof(float), "vector", &vector->values, err);
    if (status == TT_OK)
        status = tt_buffer_map(kernels->device, &vector->values, &bytes, err);
    if (status == TT_OK) {
        float *floats = bytes;
        tt_to_float(dtype, values, floats, n);
        memset(floats + n, 0, (n_padded - n) * sizeof(float));
        status = tt_buffer_unmap(kernels->device, &vector->values, bytes, err);
    }
    if (status != TT_OK)
        tt_vector_release(kernels->device, vector);
    return status;
}

void tt_vector_release(tt_device *device, tt_vector *vector)
{
    tt_buffer_release(device, &vector->values);
    *vector = (tt_vector){0};
}
