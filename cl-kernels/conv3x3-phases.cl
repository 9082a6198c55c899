/* conv3x3-phases.cl - sums of bfloat16 weights for the four phases of an upsampling convolution (conv3x3-phases.h).
 *
 * weights: [panel][channel block][9 taps][2048 bytes] (matrix-dot.h); phases, from word `first` on: [panel][phase: odd
 * row, odd column][channel block][2x2 taps][2048 bytes]. Work item: a channel block (id 0) of a panel (id 1). */
#include "common.clh"

#define WORDS 512

/* The first of the three taps in a row (or column) that are tap 0 or 1 of a phase; for tap 2, one past the last. */
static uint first_tap(uint is_odd, uint tap)
{
    return tap == 2 ? 3 : is_odd ? 2 * tap : tap;
}

/* The upper halves of some floats, rounded to nearest even. */
static uint16 round_up_halves(float16 v)
{
    uint16 bits = as_uint16(v);
    return bits + 0x7fffu + ((bits >> 16) & 1u);
}

__kernel void sum_phases(const __global uint *weights, __global uint *phases, uint n_blocks, uint first)
{
    const uint block = get_global_id(0), panel = get_global_id(1);
    const __global uint *from = weights + ((size_t)panel * n_blocks + block) * 9 * WORDS;
    for (uint phase = 0; phase < 4; phase++)
        for (uint tap = 0; tap < 4; tap++) {
            const uint odd_y = phase / 2, odd_x = phase % 2, tap_y = tap / 2, tap_x = tap % 2;
            __global uint *to =
                phases + first + ((((size_t)panel * 4 + phase) * n_blocks + block) * 4 + tap) * WORDS;
            for (uint i = 0; i < WORDS / 16; i++) {
                float16 low = (float16)(0.0f), high = low;
                for (uint y = first_tap(odd_y, tap_y); y < first_tap(odd_y, tap_y + 1); y++)
                    for (uint x = first_tap(odd_x, tap_x); x < first_tap(odd_x, tap_x + 1); x++) {
                        uint16 pairs = vload16(i, from + (y * 3 + x) * WORDS);
                        low += as_float16(pairs << 16);
                        high += as_float16(pairs & 0xffff0000u);
                    }
                vstore16((round_up_halves(low) >> 16) | (round_up_halves(high) & 0xffff0000u), i, to);
            }
        }
}
