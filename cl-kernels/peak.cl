/* peak.cl - how fast a device computes and reads: the yardsticks of all measurements. */
#pragma OPENCL FP_CONTRACT ON

#define CHAINS 14

/* rounds * CHAINS * 16 multiply-adds a work item, in independent chains that stay in registers. */
__kernel void peak_float(const __global float *in, __global float *out, uint rounds)
{
    float16 chain[CHAINS];
    const float16 scale = (float16)(0.999f), step = (float16)(in[0] * 0.001f * (get_global_id(0) + 1));
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
        chain[i] = step + (float)i;
    for (uint round = 0; round < rounds; round++) {
#pragma unroll
        for (int i = 0; i < CHAINS; i++)
            chain[i] = chain[i] * scale + step;
    }
    float16 sum = (float16)(0.0f);
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
        sum += chain[i];
    vstore16(sum, get_global_id(0), out);
}

/* Sums n vectors of 16 floats, each work item a run of its own. */
__kernel void peak_read(const __global float *in, __global float *out, uint n)
{
    float16 a = (float16)(0.0f), b = a, c = a, d = a;
    const __global float *run = in + (size_t)get_global_id(0) * n * 16;
    for (uint i = 0; i < n; i += 4) {
        a += vload16(i, run);
        b += vload16(i + 1, run);
        c += vload16(i + 2, run);
        d += vload16(i + 3, run);
    }
    vstore16(a + b + c + d, get_global_id(0), out);
}

#ifdef DOT_UNIT
#include "common.clh"
#include "dot.clh"

#define PEAK_BLOCKS 4
#define PEAK_VECTORS 6

/* rounds products of 32 outputs and six vectors over four blocks, all in the first level of the cache. */
__kernel void peak_dot(const __global float *in, __global float *out, uint rounds)
{
    const uint group_bytes = PEAK_VECTORS * DOT_VECTOR_BYTES;
    uchar x[PEAK_BLOCKS * DOT_GROUPS * PEAK_VECTORS * DOT_VECTOR_BYTES] __attribute__((aligned(64)));
    dot_sum sums[PEAK_VECTORS * DOT_VECTOR_SUMS] __attribute__((aligned(64)));
    uint at[PEAK_BLOCKS], vector_at[PEAK_VECTORS];
    for (uint i = 0; i < PEAK_BLOCKS; i++)
        at[i] = i * DOT_GROUPS * group_bytes;
    for (uint i = 0; i < PEAK_VECTORS; i++)
        vector_at[i] = i * DOT_VECTOR_BYTES;
    for (uint i = 0; i < PEAK_BLOCKS * DOT_GROUPS * group_bytes; i++)
        x[i] = (uchar)(i & 63);
    for (uint round = 0; round < rounds; round++)
        dot_multiply((const __global uchar *)in, x, at, PEAK_BLOCKS, group_bytes, vector_at, PEAK_VECTORS, sums,
                     round % 64 == 0);
    float sum = 0.0f;
    for (uint i = 0; i < 16; i++)
        sum += (float)sums[i * 97];
    vstore16((float16)(sum), get_global_id(0), out);
}
#endif
