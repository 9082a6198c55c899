/* dot-probe.cl - a product that shows whether a dot product unit works. */
#include "common.clh"
#include "dot.clh"

/* sums of 3 vectors: weights [2 blocks][32][64 bytes], x: [2 * 16 groups][3 vectors][16 positions][4 bytes], sums:
 * [3][32][16]. The blocks are added one after the other, so that both beginnings are seen. */
__kernel void dot_probe(const __global uchar *weights, const __global uchar *x, __global dot_sum *sums)
{
    uchar staged[2 * DOT_GROUPS * 3 * DOT_VECTOR_BYTES] __attribute__((aligned(64)));
    dot_sum made[3 * DOT_VECTOR_SUMS] __attribute__((aligned(64)));
    const uint group_bytes = 3 * DOT_VECTOR_BYTES;
    uint at[2] = {0, DOT_GROUPS * group_bytes}, vector_at[3] = {0, DOT_VECTOR_BYTES, 2 * DOT_VECTOR_BYTES};
    for (uint i = 0; i < 2 * DOT_GROUPS * group_bytes; i++)
        staged[i] = x[i];
    dot_multiply(weights, staged, at, 1, group_bytes, vector_at, 3, made, true);
    dot_multiply(weights + DOT_PANEL_BLOCK, staged, at + 1, 1, group_bytes, vector_at, 3, made, false);
    for (uint i = 0; i < 3 * DOT_VECTOR_SUMS; i++)
        sums[i] = made[i];
}
