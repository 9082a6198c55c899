/* blocks.c - decoding of ggml's quantized blocks. */
#include "base/blocks.h"

#include <string.h>

static float half_at(const uint8_t *bytes)
{
    uint16_t half;
    memcpy(&half, bytes, sizeof(half));
    return tt_half_to_float(half);
}

/* d, then 32 signed bytes. */
static void decode_q8_0(const uint8_t *block, float *dst)
{
    float d = half_at(block);
    for (int i = 0; i < 32; i++)
        dst[i] = d * (float)(int8_t)block[2 + i];
}

/* d, then 16 bytes: element i in the low half of byte i, element i + 16 in its high half. */
static void decode_q4_0(const uint8_t *block, float *dst)
{
    float d = half_at(block);
    for (int i = 0; i < 16; i++) {
        dst[i] = d * (float)((block[2 + i] & 15) - 8);
        dst[i + 16] = d * (float)((block[2 + i] >> 4) - 8);
    }
}

void tt_blocks_to_float(tt_dtype dtype, const void *src, float *dst, size_t n)
{
    const uint8_t *block = src;
    void (*decode)(const uint8_t *, float *) = dtype == TT_Q8_0 ? decode_q8_0 : decode_q4_0;
    for (size_t i = 0; i < n; i += tt_dtype_block(dtype), block += tt_dtype_block_bytes(dtype))
        decode(block, dst + i);
}
