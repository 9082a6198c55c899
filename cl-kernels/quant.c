/* quant.c - packs stored blocks into panels of 32 outputs.
 *
 * A block keeps its codes in planes of bytes: low bits, and for some types high bits. Some columns of bytes of the 32
 * rows are gathered and turned, so that the same byte of all rows stands together, and the codes in it are put together
 * again over the outputs, without ever being spread to a byte each. Everything is a plain loop over bytes that fit the
 * first cache, which compilers turn into vector code: weights that are streamed pass through here at every step. */
#include "cl-kernels/quant.h"

#include "base/checked.h"

#include <string.h>

enum { PANEL = TT_QUANT_PANEL, CHUNK = 256, SECTION = 64, SUBS = 16 };

/* Codes' bits in a block: `n_bytes` bytes from `at` on. Every `width` bytes hold 8 / bits runs of `width` elements,
 * lowest bits first: byte i of them has element i of each run. */
typedef struct quant_plane {
    uint8_t at, n_bytes, bits, width;
} quant_plane;

/* How a type is laid out. d_at: where a block has its n_d halves; sub_at: where it has the scales of its
 * sub-blocks, if any, which take n_subs bytes when they are unpacked (SUBS in every type that has them). */
typedef struct quant_type {
    quant_plane low, high;
    uint8_t d_at, n_d, sub_at, n_subs;
} quant_type;

static quant_type type_of(tt_dtype dtype)
{
    static const quant_type types[TT_N_DTYPES] = {
        [TT_Q4_0] = {{2, 16, 4, 16}, {0}, 0, 1, 0, 0},
        [TT_Q4_1] = {{4, 16, 4, 16}, {0}, 0, 2, 0, 0},
        [TT_Q5_0] = {{6, 16, 4, 16}, {2, 4, 1, 1}, 0, 1, 0, 0},
        [TT_Q5_1] = {{8, 16, 4, 16}, {4, 4, 1, 1}, 0, 2, 0, 0},
        [TT_Q8_0] = {{2, 32, 8, 32}, {0}, 0, 1, 0, 0},
        [TT_Q2_K] = {{16, 64, 2, 32}, {0}, 80, 2, 0, SUBS},
        [TT_Q3_K] = {{32, 64, 2, 32}, {0, 32, 1, 32}, 108, 1, 96, SUBS},
        [TT_Q4_K] = {{16, 128, 4, 32}, {0}, 0, 2, 4, SUBS},
        [TT_Q5_K] = {{48, 128, 4, 32}, {16, 32, 1, 32}, 0, 2, 4, SUBS},
        [TT_Q6_K] = {{0, 128, 4, 64}, {128, 64, 2, 32}, 208, 1, 192, SUBS},
        [TT_I8] = {{0, 1, 8, 1}, {0}, 0, 0, 0, 0},
    };
    return types[dtype];
}

bool tt_quant_is_type(tt_dtype dtype)
{
    return type_of(dtype).low.bits != 0;
}

bool tt_quant_layout_of(tt_dtype dtype, uint64_t n_columns, tt_quant_layout *layout)
{
    quant_type type = type_of(dtype);
    if (n_columns > UINT32_MAX / (4 * PANEL)) /* a column takes fewer than three bytes an output */
        return false;
    size_t n = (size_t)n_columns, n_blocks = n / tt_dtype_block(dtype);
    size_t d_bytes = dtype == TT_I8 ? 2 * PANEL * sizeof(float) : n_blocks * type.n_d * PANEL * sizeof(uint16_t);
    size_t high_at = tt_round_up(n * PANEL * type.low.bits / 8, SECTION);
    size_t d_at = high_at + tt_round_up(n * PANEL * type.high.bits / 8, SECTION);
    size_t scales_at = d_at + tt_round_up(d_bytes, SECTION);
    size_t n_bytes = scales_at + tt_round_up(n_blocks * type.n_subs * PANEL, SECTION);
    *layout = (tt_quant_layout){(uint32_t)high_at, (uint32_t)d_at, (uint32_t)scales_at, (uint32_t)n_bytes};
    return true;
}

/* One step of a perfect shuffle: the two halves of 2 * n bytes are interleaved. */
static inline void interleave(const uint8_t *restrict from, uint8_t *restrict to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[2 * i] = from[i];
        to[2 * i + 1] = from[n + i];
    }
}

/* [32][n] -> [n][32]: each of five shuffles moves one bit of the row number from the front of the address to its end.
 * Works in `table` and `spare`. */
static inline void turn(uint8_t *table, uint8_t *spare, size_t n, uint8_t *turned)
{
    size_t half = n * PANEL / 2;
    interleave(table, spare, half);
    interleave(spare, table, half);
    interleave(table, spare, half);
    interleave(spare, table, half);
    interleave(table, turned, half);
}

#if defined(__x86_64__)
/* The same, compiled for wider registers. */
__attribute__((target("avx2"))) static void turn_wide(uint8_t *table, uint8_t *spare, size_t n, uint8_t *turned)
{
    turn(table, spare, n, turned);
}

static void transpose(uint8_t *table, uint8_t *spare, size_t n, uint8_t *turned)
{
    if (__builtin_cpu_supports("avx2"))
        turn_wide(table, spare, n, turned);
    else
        turn(table, spare, n, turned);
}
#else
static void transpose(uint8_t *table, uint8_t *spare, size_t n, uint8_t *turned)
{
    turn(table, spare, n, turned);
}
#endif

/* The plane's bytes of n_blocks blocks of a row, one after the other. */
static void gather(const quant_plane *plane, const uint8_t *row, size_t block_bytes, size_t n_blocks, uint8_t *bytes)
{
    if (row == NULL) {
        memset(bytes, 0, n_blocks * plane->n_bytes);
        return;
    }
    if (plane->n_bytes == block_bytes) {
        memcpy(bytes, row, n_blocks * block_bytes);
        return;
    }
    row += plane->at;
    for (size_t block = 0; block < n_blocks; block++, row += block_bytes, bytes += plane->n_bytes)
        switch (plane->n_bytes) { /* copies of constant length need no call */
        case 4:
            memcpy(bytes, row, 4);
            break;
        case 16:
            memcpy(bytes, row, 16);
            break;
        case 32:
            memcpy(bytes, row, 32);
            break;
        case 64:
            memcpy(bytes, row, 64);
            break;
        default:
            memcpy(bytes, row, 128);
        }
}

/* Four bits of 32 outputs, two outputs a byte. */
static inline void join_nibbles(const uint8_t *restrict outputs, int shift, uint8_t *restrict column)
{
    for (size_t i = 0; i < 16; i++)
        column[i] = (uint8_t)((outputs[i] >> shift & 15) | (outputs[16 + i] >> shift & 15) << 4);
}

/* Two bits of 32 outputs, four outputs a byte: eight bytes at a time as one number. */
static inline void join_pairs(const uint8_t *outputs, int shift, uint8_t *column)
{
    uint64_t eights[4], joined = 0;
    memcpy(eights, outputs, sizeof(eights));
    for (int i = 0; i < 4; i++)
        joined |= (eights[i] >> shift & 0x0303030303030303u) << (2 * i);
    memcpy(column, &joined, sizeof(joined));
}

/* One bit of 32 outputs: a word. */
static inline void join_bits(const uint8_t *outputs, int shift, uint8_t *column)
{
    for (size_t i = 0; i < 4; i++) {
        uint64_t eight;
        memcpy(&eight, outputs + 8 * i, sizeof(eight));
        /* The product gathers the lowest bits of eight bytes in the highest byte, the first byte's lowest. */
        column[i] = (uint8_t)((eight >> shift & 0x0101010101010101u) * 0x0102040810204080u >> 56);
    }
}

/* Spreads one byte of 32 outputs over the columns whose codes it holds, `step` bytes apart. */
static inline void join_byte(const uint8_t *outputs, int bits, size_t step, uint8_t *column)
{
    if (bits == 4) {
        join_nibbles(outputs, 0, column);
        join_nibbles(outputs, 4, column + step);
        return;
    }
    for (int run = 0; run < 8 / bits; run++, column += step)
        if (bits == 2)
            join_pairs(outputs, 2 * run, column);
        else
            join_bits(outputs, run, column);
}

/* Writes the columns of n_blocks blocks. turned: their bytes, 32 outputs each. */
static void join(const quant_plane *plane, const uint8_t *turned, size_t n_blocks, uint8_t *columns)
{
    size_t column_bytes = (size_t)PANEL * plane->bits / 8, step = plane->width * column_bytes;
    for (size_t i = 0; i < n_blocks * plane->n_bytes; i += plane->width, columns += step * (8 / plane->bits))
        for (size_t j = 0; j < plane->width; j++)
            join_byte(turned + (i + j) * PANEL, plane->bits, step, columns + j * column_bytes);
}

/* Writes a plane of all n_blocks blocks of the rows to `packed`. */
static void pack_plane(tt_dtype dtype, const quant_plane *plane, const tt_quant_row *rows, size_t n_blocks,
                       uint8_t *packed)
{
    uint8_t table[PANEL * CHUNK], spare[PANEL * CHUNK], turned[PANEL * CHUNK];
    size_t block_bytes = tt_dtype_block_bytes(dtype), most = CHUNK / plane->n_bytes;
    size_t packed_bytes = tt_dtype_block(dtype) * PANEL * plane->bits / 8;
    for (size_t first = 0; first < n_blocks; first += most, packed += most * packed_bytes) {
        size_t n = n_blocks - first < most ? n_blocks - first : most, n_bytes = n * plane->n_bytes;
        for (size_t lane = 0; lane < PANEL; lane++) {
            const uint8_t *row = rows[lane].codes;
            gather(plane, row == NULL ? NULL : row + first * block_bytes, block_bytes, n, table + lane * n_bytes);
        }
        transpose(table, spare, n_bytes, plane->bits == 8 ? packed : turned);
        if (plane->bits != 8)
            join(plane, turned, n, packed);
    }
}

/* Writes the halves of all blocks: [block][half][32 outputs]. */
static void pack_halves(tt_dtype dtype, const tt_quant_row *rows, size_t n_blocks, uint8_t *packed)
{
    static const uint8_t zeros[4] = {0};
    quant_type type = type_of(dtype);
    size_t block_bytes = tt_dtype_block_bytes(dtype), n_bytes = type.n_d * sizeof(uint16_t);
    for (size_t lane = 0; lane < PANEL; lane++) {
        const uint8_t *from = rows[lane].codes == NULL ? zeros : rows[lane].codes + type.d_at;
        size_t step = rows[lane].codes == NULL ? 0 : block_bytes;
        uint8_t *to = packed + lane * sizeof(uint16_t);
        for (size_t block = 0; block < n_blocks; block++, from += step, to += n_bytes * PANEL) {
            memcpy(to, from, sizeof(uint16_t));
            if (type.n_d == 2)
                memcpy(to + PANEL * sizeof(uint16_t), from + sizeof(uint16_t), sizeof(uint16_t));
        }
    }
}

/* Q3_K: scales of 16 sub-blocks, four bits in the first eight bytes and two in the last four, as signed bytes. */
static inline void open_scales_q3_k(const uint8_t *packed, uint8_t *scales)
{
    for (int i = 0; i < 16; i++) {
        int low = (packed[i & 7] >> (i < 8 ? 0 : 4)) & 15, high = (packed[8 + (i & 3)] >> (2 * (i / 4))) & 3;
        scales[i] = (uint8_t)((low | high << 4) - 32);
    }
}

/* Q4_K and Q5_K: scales and offsets of eight sub-blocks in twelve bytes; the last four have their lower halves in the
 * last four bytes and their upper two bits on top of the first eight. Scale and offset alternate. */
static inline void open_scales_q4_k(const uint8_t *packed, uint8_t *scales)
{
    for (int i = 0; i < 4; i++) {
        scales[2 * i] = packed[i] & 63;
        scales[2 * i + 1] = packed[4 + i] & 63;
        scales[8 + 2 * i] = (uint8_t)((packed[8 + i] & 15) | (packed[i] >> 6) << 4);
        scales[9 + 2 * i] = (uint8_t)(packed[8 + i] >> 4 | (packed[4 + i] >> 6) << 4);
    }
}

/* Writes the scales of all sub-blocks: [byte][32 outputs]. */
static void pack_subs(tt_dtype dtype, const tt_quant_row *rows, size_t n_blocks, uint8_t *packed)
{
    enum { MOST = CHUNK / SUBS };
    uint8_t table[PANEL * CHUNK], spare[PANEL * CHUNK];
    size_t block_bytes = tt_dtype_block_bytes(dtype), at = type_of(dtype).sub_at;
    for (size_t first = 0; first < n_blocks; first += MOST, packed += CHUNK * PANEL) {
        size_t n = n_blocks - first < MOST ? n_blocks - first : MOST;
        memset(table, 0, PANEL * n * SUBS);
        for (size_t i = 0; i < PANEL * n; i++) {
            const uint8_t *row = rows[i / n].codes;
            if (row == NULL)
                continue;
            const uint8_t *stored = row + (first + i % n) * block_bytes + at;
            if (dtype == TT_Q3_K)
                open_scales_q3_k(stored, table + i * SUBS);
            else if (dtype == TT_Q4_K || dtype == TT_Q5_K)
                open_scales_q4_k(stored, table + i * SUBS);
            else
                memcpy(table + i * SUBS, stored, SUBS);
        }
        transpose(table, spare, n * SUBS, packed);
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
    size_t n_blocks = n_columns / tt_dtype_block(dtype);
    quant_type type = type_of(dtype);
    tt_quant_layout layout = {0};
    (void)tt_quant_layout_of(dtype, n_columns, &layout); /* fits: the matrix was described */
    pack_plane(dtype, &type.low, rows, n_blocks, panel);
    if (type.high.bits != 0)
        pack_plane(dtype, &type.high, rows, n_blocks, panel + layout.high_at);
    if (dtype == TT_I8)
        write_channel_scales(&layout, rows, panel);
    else
        pack_halves(dtype, rows, n_blocks, panel + layout.d_at);
    if (type.n_subs != 0)
        pack_subs(dtype, rows, n_blocks, panel + layout.scales_at);
    /* Padding between sections is written too, so that equal weights give equal bytes. */
    size_t low_end = n_columns * PANEL * type.low.bits / 8;
    memset(panel + low_end, 0, layout.high_at - low_end);
}
