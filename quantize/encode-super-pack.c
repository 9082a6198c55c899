/* encode-super-pack.c - the bytes of blocks of 256, as base/blocks.c takes them apart. */
#include "quantize/encode-super.h"

#include <string.h>

static void put_half(float value, uint8_t *dst)
{
    uint16_t half = tt_float_to_half(value);
    memcpy(dst, &half, sizeof(half));
}

/* Two lower bits: each 32 bytes hold four runs of 32 codes. */
static void put_pairs(const uint8_t *codes, int shift, uint8_t *dst)
{
    for (int i = 0; i < 64; i++) {
        const uint8_t *first = codes + i / 32 * 128 + i % 32;
        dst[i] = 0;
        for (int run = 0; run < 4; run++)
            dst[i] = (uint8_t)(dst[i] | (first[32 * run] >> shift & 3) << (2 * run));
    }
}

/* Four lower bits: each `width` bytes hold two runs. */
static void put_nibbles(const uint8_t *codes, int width, uint8_t *dst)
{
    for (int i = 0; i < 128; i++) {
        const uint8_t *low = codes + i / width * 2 * width + i % width;
        dst[i] = (uint8_t)((low[0] & 15) | (low[width] & 15) << 4);
    }
}

/* One bit of every code: bit r of byte i belongs to code 32 r + i. */
static void put_bits(const uint8_t *codes, int shift, uint8_t *dst)
{
    for (int i = 0; i < 32; i++) {
        dst[i] = 0;
        for (int run = 0; run < 8; run++)
            dst[i] = (uint8_t)(dst[i] | (codes[32 * run + i] >> shift & 1) << run);
    }
}

/* Twelve bytes: see scales_of_q4_k in base/blocks.c. */
static void put_scales_of_q4_k(const tt_super *block, uint8_t *dst)
{
    for (int i = 0; i < 4; i++) {
        int scale = block->scales[4 + i], offset = block->offsets[4 + i];
        dst[i] = (uint8_t)(block->scales[i] | scale >> 4 << 6);
        dst[4 + i] = (uint8_t)(block->offsets[i] | offset >> 4 << 6);
        dst[8 + i] = (uint8_t)((scale & 15) | (offset & 15) << 4);
    }
}

static void put_header_of_q4_k(const tt_super *block, uint8_t *dst)
{
    put_half(block->d, dst);
    put_half(block->dmin, dst + 2);
    put_scales_of_q4_k(block, dst + 4);
}

/* Twelve bytes: see scale_of_q3_k in base/blocks.c. */
static void put_scales_of_q3_k(const tt_super *block, uint8_t *dst)
{
    memset(dst, 0, 12);
    for (int sub = 0; sub < 16; sub++) {
        int scale = block->scales[sub] + 32;
        dst[sub & 7] = (uint8_t)(dst[sub & 7] | (scale & 15) << (sub < 8 ? 0 : 4));
        dst[8 + (sub & 3)] = (uint8_t)(dst[8 + (sub & 3)] | (scale >> 4) << (2 * (sub / 4)));
    }
}

static void pack_q2_k(const tt_super *block, uint8_t *dst)
{
    for (int sub = 0; sub < 16; sub++)
        dst[sub] = (uint8_t)(block->scales[sub] | block->offsets[sub] << 4);
    put_pairs(block->codes, 0, dst + 16);
    put_half(block->d, dst + 80);
    put_half(block->dmin, dst + 82);
}

static void pack_q3_k(const tt_super *block, uint8_t *dst)
{
    put_bits(block->codes, 2, dst);
    put_pairs(block->codes, 0, dst + 32);
    put_scales_of_q3_k(block, dst + 96);
    put_half(block->d, dst + 108);
}

static void pack_q4_k(const tt_super *block, uint8_t *dst)
{
    put_header_of_q4_k(block, dst);
    put_nibbles(block->codes, 32, dst + 16);
}

static void pack_q5_k(const tt_super *block, uint8_t *dst)
{
    put_header_of_q4_k(block, dst);
    put_bits(block->codes, 4, dst + 16);
    put_nibbles(block->codes, 32, dst + 48);
}

static void pack_q6_k(const tt_super *block, uint8_t *dst)
{
    put_nibbles(block->codes, 64, dst);
    put_pairs(block->codes, 4, dst + 128);
    for (int sub = 0; sub < 16; sub++)
        dst[192 + sub] = (uint8_t)block->scales[sub];
    put_half(block->d, dst + 208);
}

void tt_super_pack(tt_dtype dtype, const tt_super *block, uint8_t *dst)
{
    switch (dtype) {
    case TT_Q2_K:
        pack_q2_k(block, dst);
        break;
    case TT_Q3_K:
        pack_q3_k(block, dst);
        break;
    case TT_Q4_K:
        pack_q4_k(block, dst);
        break;
    case TT_Q5_K:
        pack_q5_k(block, dst);
        break;
    default:
        pack_q6_k(block, dst);
    }
}
