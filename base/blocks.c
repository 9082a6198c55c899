/* blocks.c - decoding of ggml's quantized blocks.
 *
 * A block is taken apart in two steps: its codes are spread to one byte each, then every run of codes with a common
 * scale is converted. Both are plain loops of constant length, which compilers turn into vector code: gigabytes pass
 * through them when a model is loaded. */
#include "base/blocks.h"

#include <string.h>

enum { SMALL = 32, SUPER = 256 }; /* elements of the two kinds of block */

static float half_at(const uint8_t *bytes)
{
    uint16_t half;
    memcpy(&half, bytes, sizeof(half));
    return tt_half_to_float(half);
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

/* 16 bytes: element i in the low half of byte i, element i + 16 in its high half. */
static inline void spread_nibbles(const uint8_t *src, uint8_t *codes)
{
    spread(src, 0, 15, 16, codes);
    spread(src, 4, 15, 16, codes + 16);
}

/* Four bytes: bit i belongs to element i, where it counts 16. */
static inline void add_fifth_bits(const uint8_t *restrict src, uint8_t *restrict codes)
{
    static const uint8_t bits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    for (int byte = 0; byte < 4; byte++)
        for (int i = 0; i < 8; i++)
            codes[8 * byte + i] = (uint8_t)(codes[8 * byte + i] | ((src[byte] & bits[i]) != 0 ? 16 : 0));
}

/* dst = d * (code - zero) */
static inline void scale_codes(const uint8_t *restrict codes, int zero, float d, int n, float *restrict dst)
{
    for (int i = 0; i < n; i++)
        dst[i] = d * (float)(codes[i] - zero);
}

/* dst = d * code + m; the product is rounded before the sum. */
static inline void scale_and_shift(const uint8_t *restrict codes, float d, float m, int n, float *restrict dst)
{
    for (int i = 0; i < n; i++) {
        float product = d * (float)codes[i];
        dst[i] = product + m;
    }
}

/* ---- blocks of 32 ---- */

/* d, then 32 signed bytes. */
static void decode_q8_0(const uint8_t *restrict block, float *restrict dst)
{
    float d = half_at(block);
    for (int i = 0; i < SMALL; i++)
        dst[i] = d * (float)(int8_t)block[2 + i];
}

/* d, then the codes. */
static void decode_q4_0(const uint8_t *block, float *dst)
{
    uint8_t codes[SMALL];
    spread_nibbles(block + 2, codes);
    scale_codes(codes, 8, half_at(block), SMALL, dst);
}

/* d, the smallest value, then the codes. */
static void decode_q4_1(const uint8_t *block, float *dst)
{
    uint8_t codes[SMALL];
    spread_nibbles(block + 4, codes);
    scale_and_shift(codes, half_at(block), half_at(block + 2), SMALL, dst);
}

/* d, the fifth bits, then the codes' lower bits. */
static void decode_q5_0(const uint8_t *block, float *dst)
{
    uint8_t codes[SMALL];
    spread_nibbles(block + 6, codes);
    add_fifth_bits(block + 2, codes);
    scale_codes(codes, 16, half_at(block), SMALL, dst);
}

/* d, the smallest value, the fifth bits, then the codes' lower bits. */
static void decode_q5_1(const uint8_t *block, float *dst)
{
    uint8_t codes[SMALL];
    spread_nibbles(block + 8, codes);
    add_fifth_bits(block + 4, codes);
    scale_and_shift(codes, half_at(block), half_at(block + 2), SMALL, dst);
}

/* ---- blocks of 256: sub-blocks with small scales of their own ---- */

/* 64 bytes of two-bit codes: each 32 bytes hold four runs of 32, lowest bits first. */
static inline void spread_pairs(const uint8_t *src, uint8_t *codes)
{
    for (int half = 0; half < 2; half++)
        for (int run = 0; run < 4; run++)
            spread(src + 32 * half, 2 * run, 3, 32, codes + 128 * half + 32 * run);
}

/* Scales (low half) and offsets (high half) of 16 sub-blocks, two-bit codes, d, dmin. */
static void decode_q2_k(const uint8_t *block, float *dst)
{
    uint8_t codes[SUPER];
    float d = half_at(block + 80), dmin = half_at(block + 82);
    spread_pairs(block + 16, codes);
    for (int sub = 0; sub < 16; sub++) {
        float scale = d * (float)(block[sub] & 15), offset = dmin * (float)(block[sub] >> 4);
        scale_and_shift(codes + 16 * sub, scale, -offset, 16, dst + 16 * sub);
    }
}

/* Scale of sub-block 0..15 of a Q3_K block, -32..31: four bits in the first eight bytes, two in the last four. */
static int scale_of_q3_k(const uint8_t *packed, int sub)
{
    int low = (packed[sub & 7] >> (sub < 8 ? 0 : 4)) & 15, high = (packed[8 + (sub & 3)] >> (2 * (sub / 4))) & 3;
    return (low | high << 4) - 32;
}

/* Third bits (bit r of byte i belongs to element 32 r + i), two lower bits, packed scales, d. */
static void decode_q3_k(const uint8_t *block, float *dst)
{
    uint8_t codes[SUPER];
    float d = half_at(block + 108);
    spread_pairs(block + 32, codes);
    for (int run = 0; run < 8; run++)
        add_bits(block, run, 1, 2, 32, codes + 32 * run);
    for (int sub = 0; sub < 16; sub++) {
        float scale = d * (float)scale_of_q3_k(block + 96, sub);
        scale_codes(codes + 16 * sub, 4, scale, 16, dst + 16 * sub);
    }
}

/* Scale and offset of sub-block 0..7 of a Q4_K or Q5_K block, six bits each in twelve bytes: those of the first four
 * in the lower bits of bytes 0 to 7; the last four have their lower halves in bytes 8 to 11 and the two upper bits on
 * top of the first four's. */
static void scales_of_q4_k(const uint8_t *packed, int sub, int *scale, int *offset)
{
    int i = sub & 3;
    *scale = sub < 4 ? packed[i] & 63 : (packed[8 + i] & 15) | (packed[i] >> 6) << 4;
    *offset = sub < 4 ? packed[4 + i] & 63 : packed[8 + i] >> 4 | (packed[4 + i] >> 6) << 4;
}

/* The header that Q4_K and Q5_K share (d, dmin, packed scales) applied to 8 runs of 32 codes. */
static inline void scale_runs(const uint8_t *block, const uint8_t *codes, float *dst)
{
    float d = half_at(block), dmin = half_at(block + 2);
    for (int sub = 0; sub < 8; sub++) {
        int scale, offset;
        scales_of_q4_k(block + 4, sub, &scale, &offset);
        scale_and_shift(codes + 32 * sub, d * (float)scale, -(dmin * (float)offset), 32, dst + 32 * sub);
    }
}

/* 128 bytes of four-bit codes: each `width` bytes hold two runs, lower halves first. */
static inline void spread_runs(const uint8_t *src, int width, uint8_t *codes)
{
    for (int i = 0; i < 128; i += width) {
        spread(src + i, 0, 15, width, codes + 2 * i);
        spread(src + i, 4, 15, width, codes + 2 * i + width);
    }
}

static void decode_q4_k(const uint8_t *block, float *dst)
{
    uint8_t codes[SUPER];
    spread_runs(block + 16, 32, codes);
    scale_runs(block, codes, dst);
}

/* Between scales and codes are the fifth bits: bit r of byte i belongs to element 32 r + i. */
static void decode_q5_k(const uint8_t *block, float *dst)
{
    uint8_t codes[SUPER];
    spread_runs(block + 48, 32, codes);
    for (int run = 0; run < 8; run++)
        add_bits(block + 16, run, 1, 4, 32, codes + 32 * run);
    scale_runs(block, codes, dst);
}

/* Four lower bits, two upper bits (each 32 bytes hold four runs of 32), 16 signed scales, d. */
static void decode_q6_k(const uint8_t *block, float *dst)
{
    uint8_t codes[SUPER];
    float d = half_at(block + 208);
    spread_runs(block, 64, codes);
    for (int half = 0; half < 2; half++)
        for (int run = 0; run < 4; run++)
            add_bits(block + 128 + 32 * half, 2 * run, 3, 4, 32, codes + 128 * half + 32 * run);
    for (int sub = 0; sub < 16; sub++) {
        float scale = d * (float)(int8_t)block[192 + sub];
        scale_codes(codes + 16 * sub, 32, scale, 16, dst + 16 * sub);
    }
}

void tt_blocks_to_float(tt_dtype dtype, const void *src, float *dst, size_t n)
{
    static void (*const decoders[TT_N_DTYPES])(const uint8_t *, float *) = {
        [TT_Q4_0] = decode_q4_0, [TT_Q4_1] = decode_q4_1, [TT_Q5_0] = decode_q5_0, [TT_Q5_1] = decode_q5_1,
        [TT_Q8_0] = decode_q8_0, [TT_Q2_K] = decode_q2_k, [TT_Q3_K] = decode_q3_k, [TT_Q4_K] = decode_q4_k,
        [TT_Q5_K] = decode_q5_k, [TT_Q6_K] = decode_q6_k,
    };
    const uint8_t *block = src;
    for (size_t i = 0; i < n; i += tt_dtype_block(dtype), block += tt_dtype_block_bytes(dtype))
        decoders[dtype](block, dst + i);
}
