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
