/* peak-dot.cl - how fast a dot product unit computes from registers: the yardstick of the int8 and half forms. */
#include "common.clh"
#include "dot.clh"

/* Build options: those of dot.clh. `rounds` rounds of PEAK_CHAINS independent sums a work item. */
#if DOT_UNIT == DOT_AMX

#define PEAK_CHAINS 4

DOT_TARGET static void peak_rounds(const __global uchar *in, __global dot_sum *out, uint rounds)
{
    __builtin_ia32_tile_loadconfig((const void *)(size_t)dot_tiles);
    __builtin_ia32_tilezero(0);
    __builtin_ia32_tilezero(1);
    __builtin_ia32_tilezero(2);
    __builtin_ia32_tilezero(3);
    __builtin_ia32_tileloadd64(4, in, 64);
    __builtin_ia32_tileloadd64(5, in, 64);
    __builtin_ia32_tileloadd64(6, in, 64);
    __builtin_ia32_tileloadd64(7, in, 64);
    for (uint round = 0; round < rounds; round++) {
        DOT_TILES(0, 4, 6);
        DOT_TILES(1, 5, 6);
        DOT_TILES(2, 4, 7);
        DOT_TILES(3, 5, 7);
    }
    __builtin_ia32_tilestored64(0, out, 64);
    __builtin_ia32_tilestored64(1, out + 256, 64);
    __builtin_ia32_tilestored64(2, out + 512, 64);
    __builtin_ia32_tilestored64(3, out + 768, 64);
    __builtin_ia32_tilerelease();
}

#else

#define PEAK_CHAINS 20

DOT_TARGET static void peak_rounds(const __global uchar *in, __global dot_sum *out, uint rounds)
{
    dot_vector chain[PEAK_CHAINS];
    uint16 x = vload16(0, (const __global uint *)in);
    uint w = *(const __global uint *)in;
#pragma unroll
    for (int i = 0; i < PEAK_CHAINS; i++)
        chain[i] = (dot_vector)(i);
    for (uint round = 0; round < rounds; round++) {
#pragma unroll
        for (int i = 0; i < PEAK_CHAINS; i++)
            chain[i] = dot_add(chain[i], x, w);
    }
#pragma unroll
    for (int i = 0; i < PEAK_CHAINS; i++)
        vstore16(chain[i], i, out);
}

#endif

__kernel void peak_dot(const __global uchar *in, __global dot_sum *out, uint rounds)
{
    peak_rounds(in, out + get_global_id(0) * 1024, rounds);
}
