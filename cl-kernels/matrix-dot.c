/* matrix-dot.c - packs stored weights for dot product units.
 *
 * A row is read twice, first for its largest value; both passes convert a chunk of columns that fits the first cache.
 */
#include "cl-kernels/matrix-dot.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { PANEL = TT_DOT_PANEL, BLOCK_BYTES = TT_DOT_BLOCK_BYTES, MAX_TAPS = 9, MAX_BLOCK_CHANNELS = 64 };
enum { CHUNK = MAX_BLOCK_CHANNELS * MAX_TAPS };

/* Inputs from which the zeros that fill up a block cost less than the form gains, and of which a work item can stage
 * one vector of positions. */
enum { LEAST_INT8 = 32, LEAST_HALF = 16, MOST_INPUTS = 16384 };

uint32_t tt_dot_block_channels(tt_arithmetic arithmetic)
{
    return arithmetic == TT_ARITHMETIC_INT8 ? 64 : 32;
}

static uint32_t blocks_of(uint32_t n_channels, uint32_t size)
{
    return (n_channels + size - 1) / size;
}

uint32_t tt_dot_blocks(const tt_matrix *matrix)
{
    uint32_t size = tt_dot_block_channels(matrix->arithmetic);
    return blocks_of(matrix->split, size) + blocks_of(matrix->n_in - matrix->split, size);
}

static uint32_t slices_of(const tt_matrix *matrix)
{
    return blocks_of(matrix->split, 4) + blocks_of(matrix->n_in - matrix->split, 4);
}

size_t tt_dot_panel_bytes(const tt_matrix *matrix)
{
    size_t end = matrix->arithmetic == TT_ARITHMETIC_INT8 ? PANEL * (sizeof(float) + sizeof(int32_t)) : 0;
    if (matrix->family == TT_FAMILY_CPU_TILE)
        return (size_t)tt_dot_blocks(matrix) * matrix->n_taps * PANEL * BLOCK_BYTES + end;
    return (size_t)slices_of(matrix) * matrix->n_taps * PANEL * 4 + end;
}

void tt_dot_describe(const tt_kernels *kernels, tt_matrix *matrix)
{
    matrix->family = kernels->family;
    matrix->arithmetic = TT_ARITHMETIC_FLOAT;
    if (matrix->n_in > MOST_INPUTS)
        return;
    if (kernels->arithmetic == TT_ARITHMETIC_INT8 && kernels->dot.int8 != TT_DOT_NONE && matrix->n_in >= LEAST_INT8) {
        matrix->arithmetic = TT_ARITHMETIC_INT8;
        matrix->dtype = TT_I8;
    } else if (kernels->arithmetic != TT_ARITHMETIC_FLOAT && kernels->dot.half != TT_DOT_NONE &&
               matrix->n_in >= LEAST_HALF) {
        matrix->arithmetic = TT_ARITHMETIC_HALF;
        matrix->dtype = kernels->family == TT_FAMILY_CPU_TILE ? TT_BF16 : TT_F16;
    }
}

bool tt_dot_packs(const tt_matrix *matrix)
{
    return matrix->arithmetic == TT_ARITHMETIC_INT8 ||
           (matrix->arithmetic == TT_ARITHMETIC_HALF && matrix->family == TT_FAMILY_CPU_TILE);
}

/* ---- rows as codes ---- */

/* A row of int8 codes: how to make them of floats, or that they are kept as they are. */
typedef struct code_row {
    float inverse;
    bool is_kept;
    int32_t sum; /* of the codes so far */
} code_row;

/* Numbers of a block are int8 codes or bfloat16, both as plain bytes. */
typedef struct block_bytes {
    uint8_t bytes[2 * CHUNK];
} block_bytes;

/* w8c without an offset is such a row already. */
static bool keeps_codes(tt_output_row from)
{
    return from.part->dtype == TT_I8 && tt_packing_number(from.part->offset, from.row) == 0.0f;
}

/* Largest magnitude as the bits of a float: those of numbers without a sign are ordered like whole numbers, which
 * compilers turn into vector code where they must not do that with floats. */
static inline int32_t largest_bits(const float *values, size_t n)
{
    int32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    return most;
}

/* Rounds to the nearest whole number, halves to even: adding 1.5 * 2^23 leaves it in the lowest bits. Returns the sum
 * of the codes. */
static inline int32_t round_codes(const float *restrict values, float inverse, size_t n, uint8_t *restrict codes)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        float shifted = values[i] * inverse + 12582912.0f;
        int32_t bits;
        memcpy(&bits, &shifted, sizeof(bits));
        codes[i] = (uint8_t)bits;
        sum += (int8_t)(uint8_t)bits;
    }
    return sum;
}

/* Largest magnitude of halves, whose bits are ordered like their values too. */
static inline uint16_t largest_half_bits(const uint8_t *halves, size_t n)
{
    uint16_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, halves + 2 * i, sizeof(bits));
        bits &= 0x7fff;
        most = bits > most ? bits : most;
    }
    return most;
}

#if defined(__x86_64__)
/* The same, compiled for wider registers. */
__attribute__((target("avx2"))) static uint16_t largest_half_bits_wide(const uint8_t *halves, size_t n)
{
    return largest_half_bits(halves, n);
}

__attribute__((target("avx2"))) static int32_t largest_bits_wide(const float *values, size_t n)
{
    return largest_bits(values, n);
}

__attribute__((target("avx2"))) static int32_t round_codes_wide(const float *values, float inverse, size_t n,
                                                                uint8_t *codes)
{
    return round_codes(values, inverse, n, codes);
}

static int32_t find_largest(const float *values, size_t n)
{
    return __builtin_cpu_supports("avx2") ? largest_bits_wide(values, n) : largest_bits(values, n);
}

static uint16_t find_largest_half(const uint8_t *halves, size_t n)
{
    return __builtin_cpu_supports("avx2") ? largest_half_bits_wide(halves, n) : largest_half_bits(halves, n);
}

static int32_t make_codes(const float *values, float inverse, size_t n, uint8_t *codes)
{
    return __builtin_cpu_supports("avx2") ? round_codes_wide(values, inverse, n, codes)
                                          : round_codes(values, inverse, n, codes);
}
#else
static int32_t find_largest(const float *values, size_t n)
{
    return largest_bits(values, n);
}

static uint16_t find_largest_half(const uint8_t *halves, size_t n)
{
    return largest_half_bits(halves, n);
}

static int32_t make_codes(const float *values, float inverse, size_t n, uint8_t *codes)
{
    return round_codes(values, inverse, n, codes);
}
#endif

/* Largest value of a whole row. */
static float largest_of_row(const tt_packing *pack, tt_output_row from)
{
    float values[CHUNK], largest;
    int32_t most = 0;
    size_t n_columns = tt_matrix_columns(pack->matrix);
    if (from.part->dtype == TT_F16 && !from.part->transposed)
        return tt_half_to_float(
            find_largest_half((const uint8_t *)from.part->values + from.row * n_columns * 2, n_columns));
    for (size_t at = 0; at < n_columns; at += CHUNK) {
        size_t n = n_columns - at < CHUNK ? n_columns - at : CHUNK;
        tt_packing_floats(pack, from, at, n, values);
        int32_t found = find_largest(values, n);
        most = found > most ? found : most;
    }
    memcpy(&largest, &most, sizeof(largest));
    return largest;
}

static code_row begin_row(const tt_packing *pack, tt_output_row from, float *scale)
{
    code_row row = {0};
    *scale = 0.0f;
    if (from.part == NULL)
        return row;
    row.is_kept = keeps_codes(from);
    if (row.is_kept) {
        *scale = tt_packing_number(from.part->scale, from.row);
        return row;
    }
    float most = largest_of_row(pack, from);
    *scale = most / 127.0f;
    row.inverse = most > 0.0f ? 127.0f / most : 0.0f;
    return row;
}

static int32_t sum_codes(const uint8_t *codes, size_t n)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (int8_t)codes[i];
    return sum;
}

/* n stored columns as codes. */
static void read_codes(const tt_packing *pack, tt_output_row from, size_t first_column, size_t n, code_row *row,
                       uint8_t *codes)
{
    float values[CHUNK];
    size_t width = tt_matrix_columns(pack->matrix);
    if (row->is_kept && !from.part->transposed)
        memcpy(codes, (const uint8_t *)from.part->values + from.row * width + first_column, n);
    else if (row->is_kept)
        for (size_t i = 0; i < n; i++)
            codes[i] = ((const uint8_t *)from.part->values)[(first_column + i) * from.part->n_out + from.row];
    else {
        tt_packing_floats(pack, from, first_column, n, values);
        row->sum += make_codes(values, row->inverse, n, codes);
        return;
    }
    row->sum += sum_codes(codes, n);
}

/* n stored columns as bfloat16, rounded to nearest even; NaN stays NaN. */
static void read_brains(const tt_packing *pack, tt_output_row from, size_t first_column, size_t n, uint8_t *brains)
{
    float values[CHUNK];
    uint16_t rounded[CHUNK];
    tt_packing_floats(pack, from, first_column, n, values);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        uint32_t up = bits + 0x7fffu + (bits >> 16 & 1);
        rounded[i] = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : up >> 16);
    }
    memcpy(brains, rounded, n * sizeof(*rounded));
}

/* Some channels of one source. */
typedef struct channels {
    uint32_t first, n;
} channels;

/* The channels of a block that counts through both sources. size: channels of a block. */
static channels channels_at(const tt_matrix *matrix, uint32_t block, uint32_t size)
{
    uint32_t n_first = blocks_of(matrix->split, size);
    bool is_first = block < n_first;
    channels found = {is_first ? block * size : matrix->split + (block - n_first) * size, size};
    uint32_t end = is_first ? matrix->split : matrix->n_in;
    found.n = end - found.first < size ? end - found.first : size;
    return found;
}

/* Reads the channels' columns of a row: bytes[channel][tap] of 1 or 2 bytes. */
static void read_block(const tt_packing *pack, tt_output_row from, channels part, code_row *row, block_bytes *stored)
{
    size_t taps = pack->matrix->n_taps, first = part.first * taps, n = part.n * taps;
    if (pack->matrix->arithmetic == TT_ARITHMETIC_INT8)
        read_codes(pack, from, first, n, row, stored->bytes);
    else
        read_brains(pack, from, first, n, stored->bytes);
}

#if defined(__x86_64__)
/* Turns eight channels of bytes[channel][9 taps] into to[tap][stride], all taps but the last. */
static void turn_eight(const uint8_t *bytes, uint8_t *to, size_t stride)
{
    __m128i pairs[4], fours[4], eights[4];
    for (size_t i = 0; i < 4; i++)
        pairs[i] = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(const void *)(bytes + 18 * i)),
                                     _mm_loadl_epi64((const __m128i *)(const void *)(bytes + 18 * i + 9)));
    for (size_t i = 0; i < 2; i++) {
        fours[2 * i] = _mm_unpacklo_epi16(pairs[2 * i], pairs[2 * i + 1]);
        fours[2 * i + 1] = _mm_unpackhi_epi16(pairs[2 * i], pairs[2 * i + 1]);
    }
    for (size_t i = 0; i < 2; i++) {
        eights[2 * i] = _mm_unpacklo_epi32(fours[i], fours[i + 2]);
        eights[2 * i + 1] = _mm_unpackhi_epi32(fours[i], fours[i + 2]);
    }
    for (size_t i = 0; i < 4; i++) {
        _mm_storel_epi64((__m128i *)(void *)(to + 2 * i * stride), eights[i]);
        _mm_storel_epi64((__m128i *)(void *)(to + (2 * i + 1) * stride), _mm_unpackhi_epi64(eights[i], eights[i]));
    }
}
#endif

/* A whole block of codes of nine taps at once: to[tap][stride] = bytes[64 channels][9]. */
static void take_nine_taps(const uint8_t *bytes, uint8_t *to, size_t stride)
{
    enum { TAPS = MAX_TAPS };
    size_t first = 0;
#if defined(__x86_64__)
    for (size_t c = 0; c < MAX_BLOCK_CHANNELS; c += 8)
        turn_eight(bytes + c * TAPS, to + c, stride);
    first = TAPS - 1;
#endif
    for (size_t tap = first; tap < TAPS; tap++)
        for (size_t c = 0; c < MAX_BLOCK_CHANNELS; c++)
            to[tap * stride + c] = bytes[c * TAPS + tap];
}

/* to[channel] = stored[channel][tap] */
static void take_tap(const block_bytes *stored, size_t n, size_t taps, size_t tap, size_t size, uint8_t *to)
{
    if (taps == 1)
        memcpy(to, stored->bytes, n * size);
    else if (size == 1)
        for (size_t c = 0; c < n; c++)
            to[c] = stored->bytes[c * taps + tap];
    else
        for (size_t c = 0; c < n; c++)
            memcpy(to + 2 * c, stored->bytes + (c * taps + tap) * 2, 2);
}

/* One output of a panel for CPUs: 64 bytes of every block. */
static void pack_row(const tt_packing *pack, tt_output_row from, code_row *row, uint32_t lane, uint8_t *panel)
{
    const tt_matrix *matrix = pack->matrix;
    uint32_t n_blocks = tt_dot_blocks(matrix), size = tt_dot_block_channels(matrix->arithmetic);
    block_bytes stored;
    uint8_t *to = panel + lane * BLOCK_BYTES;
    for (uint32_t block = 0; block < n_blocks; block++) {
        channels part = channels_at(matrix, block, size);
        part.n = from.part != NULL ? part.n : 0;
        if (part.n > 0)
            read_block(pack, from, part, row, &stored);
        size_t n_bytes = part.n * (BLOCK_BYTES / size), stride = PANEL * BLOCK_BYTES;
        if (matrix->n_taps == MAX_TAPS && part.n == MAX_BLOCK_CHANNELS) {
            take_nine_taps(stored.bytes, to, stride);
            to += MAX_TAPS * stride;
            continue;
        }
        for (uint32_t tap = 0; tap < matrix->n_taps; tap++, to += stride) {
            take_tap(&stored, part.n, matrix->n_taps, tap, BLOCK_BYTES / size, to);
            memset(to + n_bytes, 0, BLOCK_BYTES - n_bytes);
        }
    }
}

/* One output of a panel for GPUs: four codes of every slice and tap. Blocks are whole slices. */
static void pack_row_sliced(const tt_packing *pack, tt_output_row from, code_row *row, uint32_t lane, uint8_t *panel)
{
    const tt_matrix *matrix = pack->matrix;
    uint32_t n_blocks = tt_dot_blocks(matrix);
    block_bytes stored;
    uint8_t *to = panel + lane * 4;
    for (uint32_t block = 0; block < n_blocks; block++) {
        channels part = channels_at(matrix, block, MAX_BLOCK_CHANNELS);
        if (from.part != NULL)
            read_block(pack, from, part, row, &stored);
        for (uint32_t slice = 0; slice < part.n; slice += 4)
            for (uint32_t tap = 0; tap < matrix->n_taps; tap++, to += (size_t)PANEL * 4)
                for (uint32_t k = 0; k < 4; k++)
                    to[k] =
                        from.part != NULL && slice + k < part.n ? stored.bytes[(slice + k) * matrix->n_taps + tap] : 0;
    }
}

/* Turns blocks of [32 outputs][64 bytes] into [2][16 groups][16 outputs][4 bytes]. */
static void turn_blocks(uint8_t *block, size_t n_blocks)
{
    enum { GROUPS = TT_DOT_GROUPS, HALF = PANEL / 2 };
    uint32_t rows[PANEL][GROUPS], turned[2][GROUPS][HALF];
    for (size_t i = 0; i < n_blocks; i++, block += sizeof(rows)) {
        memcpy(rows, block, sizeof(rows));
        for (size_t output = 0; output < PANEL; output++)
            for (size_t group = 0; group < GROUPS; group++)
                turned[output / HALF][group][output % HALF] = rows[output][group];
        memcpy(block, turned, sizeof(turned));
    }
}

void tt_dot_pack_panel(const tt_packing *pack, const tt_output_row *rows, uint8_t *panel)
{
    bool is_int8 = pack->matrix->arithmetic == TT_ARITHMETIC_INT8;
    float scales[PANEL];
    int32_t sums[PANEL];
    for (uint32_t lane = 0; lane < PANEL; lane++) {
        code_row row = {0};
        scales[lane] = 0.0f;
        if (is_int8)
            row = begin_row(pack, rows[lane], &scales[lane]);
        if (pack->matrix->family == TT_FAMILY_CPU_TILE)
            pack_row(pack, rows[lane], &row, lane, panel);
        else
            pack_row_sliced(pack, rows[lane], &row, lane, panel);
        sums[lane] = row.sum;
    }
    if (pack->matrix->family == TT_FAMILY_CPU_TILE && pack->matrix->n_taps > 1)
        turn_blocks(panel, (size_t)tt_dot_blocks(pack->matrix) * pack->matrix->n_taps);
    if (!is_int8)
        return;
    uint8_t *end = panel + tt_dot_panel_bytes(pack->matrix) - sizeof(scales) - sizeof(sums);
    memcpy(end, scales, sizeof(scales));
    memcpy(end + sizeof(scales), sums, sizeof(sums));
}
