/* quant-blocks.c - stored blocks to codes and scales; the layouts are those of base/blocks.h. */
#include "cl-kernels/quant-blocks.h"

#include <string.h>

static uint16_t half_at(const uint8_t *bytes)
{
    uint16_t half;
    memcpy(&half, bytes, sizeof(half));
    return half;
}

/* codes[i] = bits of src[i] from `shift` on, under a mask. */
static inline void spread(const uint8_t *restrict src, int shift, int mask, int n, uint8_t *restrict codes)
{
    for (int i = 0; i < n; i++)
        codes[i] = (uint8_t)((src[i] >> shift) & mask);
}

/* The same bits, put on top of codes. */
static inline void add_bits(const uint8_t *restrict src, int shift, int mask, int up, int n, uint8_t *restrict codes)
{
    for (int i = 0; i < n; i++)
        codes[i] = (uint8_t)(codes[i] | (((src[i] >> shift) & mask) << up));
}

/* Lower halves of `width` bytes, then their upper halves, over n bytes. */
static inline void spread_nibbles(const uint8_t *src, int width, int n, uint8_t *codes)
{
    for (int i = 0; i < n; i += width) {
        spread(src + i, 0, 15, width, codes + 2 * i);
        spread(src + i, 4, 15, width, codes + 2 * i + width);
    }
}

/* 64 bytes of two-bit codes: each 32 bytes hold four runs of 32, lowest bits first. */
static inline void spread_pairs(const uint8_t *src, uint8_t *codes)
{
    for (int run = 0; run < 8; run++)
        spread(src + 32 * (run / 4), 2 * (run % 4), 3, 32, codes + 32 * run);
}

/* 32 bytes: bit r of byte i belongs to element 32 r + i, on top of `up` lower bits. */
static inline void add_bit_runs(const uint8_t *src, int up, uint8_t *codes)
{
    for (int run = 0; run < 8; run++)
        add_bits(src, run, 1, up, 32, codes + 32 * run);
}

/* Four bytes: bit i belongs to element i of 32, where it counts 16. Eight bits at a time become eight bytes. */
static inline void add_fifth_bits(const uint8_t *src, uint8_t *codes)
{
    for (int i = 0; i < 4; i++) {
        uint64_t spread_out = ((src[i] * 0x0101010101010101u & 0x8040201008040201u) + 0x7f7f7f7f7f7f7f7fu) >> 3 &
                              0x1010101010101010u,
                 eight;
        memcpy(&eight, codes + 8 * i, sizeof(eight));
        eight |= spread_out;
        memcpy(codes + 8 * i, &eight, sizeof(eight));
    }
}

/* Q3_K: scales of 16 sub-blocks, four bits in the first eight bytes and two in the last four, as signed bytes. */
static void open_scales_q3_k(const uint8_t *packed, uint8_t *scales)
{
    for (int i = 0; i < 16; i++) {
        int low = (packed[i & 7] >> (i < 8 ? 0 : 4)) & 15, high = (packed[8 + (i & 3)] >> (2 * (i / 4))) & 3;
        scales[i] = (uint8_t)((low | high << 4) - 32);
    }
}

/* Q4_K and Q5_K: scales and offsets of eight sub-blocks in twelve bytes; the last four have their lower halves in the
 * last four bytes and their upper two bits on top of the first eight. */
static void open_scales_q4_k(const uint8_t *packed, tt_quant_scales *scales)
{
    for (int i = 0; i < 4; i++) {
        scales->scales[i] = packed[i] & 63;
        scales->offsets[i] = packed[4 + i] & 63;
        scales->scales[4 + i] = (uint8_t)((packed[8 + i] & 15) | (packed[i] >> 6) << 4);
        scales->offsets[4 + i] = (uint8_t)(packed[8 + i] >> 4 | (packed[4 + i] >> 6) << 4);
    }
}

static void open_small(tt_dtype dtype, const uint8_t *block, uint8_t *codes, tt_quant_scales *scales)
{
    bool has_m = dtype == TT_Q4_1 || dtype == TT_Q5_1, has_fifth = dtype == TT_Q5_0 || dtype == TT_Q5_1;
    const uint8_t *fifth = block + (has_m ? 4 : 2), *low = fifth + (has_fifth ? 4 : 0);
    scales->d = half_at(block);
    scales->m = has_m ? half_at(block + 2) : 0;
    if (dtype == TT_Q8_0) {
        memcpy(codes, low, 32);
        return;
    }
    spread_nibbles(low, 16, 16, codes);
    if (has_fifth)
        add_fifth_bits(fifth, codes);
}

void tt_quant_open_block(tt_dtype dtype, const uint8_t *block, uint8_t *codes, tt_quant_scales *scales)
{
    switch (dtype) {
    case TT_Q2_K:
        memcpy(scales->scales, block, 16);
        spread_pairs(block + 16, codes);
        scales->d = half_at(block + 80);
        scales->m = half_at(block + 82);
        break;
    case TT_Q3_K:
        spread_pairs(block + 32, codes);
        add_bit_runs(block, 2, codes);
        open_scales_q3_k(block + 96, scales->scales);
        scales->d = half_at(block + 108);
        scales->m = 0;
        break;
    case TT_Q4_K:
    case TT_Q5_K:
        scales->d = half_at(block);
        scales->m = half_at(block + 2);
        open_scales_q4_k(block + 4, scales);
        spread_nibbles(block + (dtype == TT_Q4_K ? 16 : 48), 32, 128, codes);
        if (dtype == TT_Q5_K)
            add_bit_runs(block + 16, 4, codes);
        break;
    case TT_Q6_K:
        spread_nibbles(block, 64, 128, codes);
        for (int run = 0; run < 8; run++)
            add_bits(block + 128 + 32 * (run / 4), 2 * (run % 4), 3, 4, 32, codes + 32 * run);
        memcpy(scales->scales, block + 192, 16);
        scales->d = half_at(block + 208);
        scales->m = 0;
        break;
    default:
        open_small(dtype, block, codes, scales);
    }
}
