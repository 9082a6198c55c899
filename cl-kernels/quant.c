/* quant.c - packs stored blocks into panels of 32 outputs.
 *
 * 256 columns of the 32 rows are taken apart into a table of one byte each, the table is turned, and the bits are put
 * together again over the outputs. Everything is a plain loop over bytes that fit the first cache, which compilers turn
 * into vector code: weights that are streamed pass through here at every step. */
#include "cl-kernels/quant.h"

#include "base/checked.h"
#include "cl-kernels/quant-blocks.h"

#include <string.h>

enum { PANEL = TT_QUANT_PANEL, CHUNK = 256, SECTION = 64 };

/* How a type is laid out. d_halves: halves a block of an output; subs: bytes of sub-block scales a block; sub_bytes:
 * bytes a sub-block of an output. */
typedef struct quant_type {
    uint8_t low_bits, high_bits, d_halves, subs, sub_bytes;
} quant_type;

static quant_type type_of(tt_dtype dtype)
{
    static const quant_type types[TT_N_DTYPES] = {
        [TT_Q4_0] = {4, 0, 1, 0, 0},  [TT_Q4_1] = {4, 0, 2, 0, 0}, [TT_Q5_0] = {4, 1, 1, 0, 0},
        [TT_Q5_1] = {4, 1, 2, 0, 0},  [TT_Q8_0] = {8, 0, 1, 0, 0}, [TT_Q2_K] = {2, 0, 2, 16, 1},
        [TT_Q3_K] = {2, 1, 1, 16, 1}, [TT_Q4_K] = {4, 0, 2, 8, 2}, [TT_Q5_K] = {4, 1, 2, 8, 2},
        [TT_Q6_K] = {4, 2, 1, 16, 1}, [TT_I8] = {8, 0, 0, 0, 0},
    };
    return types[dtype];
}

bool tt_quant_is_type(tt_dtype dtype)
{
    return type_of(dtype).low_bits != 0;
}

bool tt_quant_layout_of(tt_dtype dtype, uint64_t n_columns, tt_quant_layout *layout)
{
    quant_type type = type_of(dtype);
    if (n_columns > UINT32_MAX / (4 * PANEL)) /* a column takes fewer than three bytes an output */
        return false;
    size_t n = (size_t)n_columns, n_blocks = n / tt_dtype_block(dtype);
    size_t d_bytes = dtype == TT_I8 ? 2 * PANEL * sizeof(float) : n_blocks * type.d_halves * PANEL * sizeof(uint16_t);
    size_t high_at = tt_round_up(n * PANEL * type.low_bits / 8, SECTION);
    size_t d_at = high_at + tt_round_up(n * PANEL * type.high_bits / 8, SECTION);
    size_t scales_at = d_at + tt_round_up(d_bytes, SECTION);
    size_t n_bytes = scales_at + tt_round_up(n_blocks * type.subs * type.sub_bytes * PANEL, SECTION);
    *layout = (tt_quant_layout){(uint32_t)high_at, (uint32_t)d_at, (uint32_t)scales_at, (uint32_t)n_bytes};
    return true;
}

/* One step of a perfect shuffle: the two halves of 2 * n bytes are interleaved. */
static void interleave(const uint8_t *restrict from, uint8_t *restrict to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[2 * i] = from[i];
        to[2 * i + 1] = from[n + i];
    }
}

/* [32][n] -> [n][32]: each of five shuffles moves one bit of the row number from the front of the address to its end.
 * Works in `table` and `spare`. */
static void transpose(uint8_t *table, uint8_t *spare, size_t n, uint8_t *turned)
{
    size_t half = n * PANEL / 2;
    interleave(table, spare, half);
    interleave(spare, table, half);
    interleave(table, spare, half);
    interleave(spare, table, half);
    interleave(table, turned, half);
}

/* Two outputs a byte, of the lowest four bits. */
static void join_nibbles(const uint8_t *restrict turned, size_t n, uint8_t *restrict plane)
{
    for (size_t column = 0; column < n; column++)
        for (size_t i = 0; i < 16; i++)
            plane[16 * column + i] =
                (uint8_t)((turned[PANEL * column + i] & 15) | turned[PANEL * column + 16 + i] << 4);
}

/* Four outputs a byte, of two bits from `shift` on. */
static void join_pairs(const uint8_t *restrict turned, size_t n, int shift, uint8_t *restrict plane)
{
    for (size_t column = 0; column < n; column++)
        for (size_t i = 0; i < 8; i++) {
            const uint8_t *codes = turned + PANEL * column + i;
            int a = codes[0] >> shift & 3, b = codes[8] >> shift & 3, c = codes[16] >> shift & 3;
            plane[8 * column + i] = (uint8_t)(a | b << 2 | c << 4 | (codes[24] >> shift) << 6);
        }
}

/* A word a column, of bit `shift`. */
static void join_bits(const uint8_t *restrict turned, size_t n, int shift, uint8_t *restrict plane)
{
    for (size_t byte = 0; byte < n * 4; byte++) {
        uint64_t eight;
        memcpy(&eight, turned + 8 * byte, sizeof(eight));
        /* The product gathers the lowest bits of eight bytes in the highest byte, the first byte's lowest. */
        plane[byte] = (uint8_t)((eight >> shift & 0x0101010101010101u) * 0x0102040810204080u >> 56);
    }
}

/* Writes the bits of n columns from `first` on. turned: [n][32] codes. */
static void write_codes(quant_type type, const tt_quant_layout *layout, const uint8_t *turned, size_t first, size_t n,
                        uint8_t *panel)
{
    uint8_t *low = panel + first * PANEL * type.low_bits / 8;
    uint8_t *high = panel + layout->high_at + first * PANEL * type.high_bits / 8;
    if (type.low_bits == 4)
        join_nibbles(turned, n, low);
    else if (type.low_bits == 2)
        join_pairs(turned, n, 0, low);
    if (type.high_bits == 2)
        join_pairs(turned, n, 4, high);
    else if (type.high_bits == 1)
        join_bits(turned, n, type.low_bits, high);
}

/* Writes what a block of one output says beside its codes. */
static void write_scales(quant_type type, const tt_quant_layout *layout, const tt_quant_scales *scales, size_t block,
                         size_t lane, uint8_t *panel)
{
    uint8_t *d = panel + layout->d_at + (block * type.d_halves * PANEL + lane) * sizeof(uint16_t);
    memcpy(d, &scales->d, sizeof(scales->d));
    if (type.d_halves == 2)
        memcpy(d + PANEL * sizeof(uint16_t), &scales->m, sizeof(scales->m));
    uint8_t *subs = panel + layout->scales_at + block * type.subs * type.sub_bytes * PANEL + lane;
    for (size_t i = 0; i < type.subs; i++) {
        subs[i * type.sub_bytes * PANEL] = scales->scales[i];
        if (type.sub_bytes == 2)
            subs[(2 * i + 1) * PANEL] = scales->offsets[i];
    }
}

/* Takes n columns from `first` on of one row apart: n codes, and the scales into the panel. */
static void open_row(tt_dtype dtype, const tt_quant_layout *layout, const uint8_t *row, size_t lane, size_t first,
                     size_t n, uint8_t *codes, uint8_t *panel)
{
    static const tt_quant_scales nothing = {0};
    size_t block = tt_dtype_block(dtype), block_bytes = tt_dtype_block_bytes(dtype);
    if (row == NULL)
        memset(codes, 0, n);
    else if (dtype == TT_I8)
        memcpy(codes, row + first, n);
    for (size_t i = 0; i < n && dtype != TT_I8; i += block) {
        size_t index = (first + i) / block;
        tt_quant_scales scales = nothing;
        if (row != NULL)
            tt_quant_open_block(dtype, row + index * block_bytes, codes + i, &scales);
        write_scales(type_of(dtype), layout, &scales, index, lane, panel);
    }
}

static void write_channel_scales(const tt_quant_layout *layout, const tt_quant_row *rows, uint8_t *panel)
{
    float numbers[2 * PANEL];
    for (size_t lane = 0; lane < PANEL; lane++) {
        numbers[lane] = rows[lane].codes != NULL ? rows[lane].scale : 0.0f;
        numbers[PANEL + lane] = rows[lane].codes != NULL ? rows[lane].offset : 0.0f;
    }
    memcpy(panel + layout->d_at, numbers, sizeof(numbers));
}

void tt_quant_pack_panel(tt_dtype dtype, const tt_quant_row *rows, size_t n_columns, uint8_t *panel)
{
    uint8_t table[PANEL * CHUNK], spare[PANEL * CHUNK], turned[PANEL * CHUNK];
    quant_type type = type_of(dtype);
    tt_quant_layout layout = {0};
    (void)tt_quant_layout_of(dtype, n_columns, &layout); /* fits: the matrix was described */
    for (size_t first = 0; first < n_columns; first += CHUNK) {
        size_t n = n_columns - first < CHUNK ? n_columns - first : CHUNK;
        for (size_t lane = 0; lane < PANEL; lane++)
            open_row(dtype, &layout, rows[lane].codes, lane, first, n, table + lane * n, panel);
        transpose(table, spare, n, type.low_bits == 8 ? panel + first * PANEL : turned);
        write_codes(type, &layout, turned, first, n, panel);
    }
    if (dtype == TT_I8)
        write_channel_scales(&layout, rows, panel);
    /* Padding between sections is written too, so that equal weights give equal bytes. */
    size_t low_end = n_columns * PANEL * type.low_bits / 8;
    memset(panel + low_end, 0, layout.high_at - low_end);
}
