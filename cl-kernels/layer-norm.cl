/* layer-norm.cl - normalisation over the channels of every position; two passes for mean and variance, a third to
 * apply them.
 *
 * Values are taken relative to a pivot, the position's first channel: differences of near values are exact, so that a
 * common offset costs no digits. Geometries as in tt_launcher_plane. shape: width, height, images, channels. */
#include "common.clh"
#if TT_CPU_TILE
#include "wide.clh"
#endif

#if TT_CPU_TILE

/* Positions of a work item: four vectors of four positions. */
#define GROUPS 4

/* The sum of each position's four lanes, in all four of them. */
static float16 sum_channels(float16 v)
{
    v += v.s1032547698badcfe;
    return v + v.s23016745ab89efcd;
}

/* Mean over the channels of x - pivot - mean, or of its square. Vector g holds the n[g] positions from unit at[g] on.
 */
static void mean_slices(const __global tt_elem *in, size_t slice_units, uint n_channels, const uint *at, const uint *n,
                        const float16 *pivot, const float16 *mean, bool is_squared, float16 *result)
{
    float16 sum[GROUPS];
    uint n_rest = n_channels % 4;
    float4 keep = (float4)(1.0f, n_rest > 1 ? 1.0f : 0.0f, n_rest > 2 ? 1.0f : 0.0f, 0.0f);
    for (uint g = 0; g < GROUPS; g++)
        sum[g] = (float16)(0.0f);
    for (uint s = 0; s < n_channels / 4; s++)
#pragma unroll
        for (uint g = 0; g < GROUPS; g++) {
            float16 d = wide_load_some(in + s * slice_units * 4, at[g], n[g]) - pivot[g] - mean[g];
            sum[g] += is_squared ? d * d : d;
        }
    for (uint g = 0; n_rest != 0 && g < GROUPS; g++) {
        float16 d = wide_load_some(in + n_channels / 4 * slice_units * 4, at[g], n[g]) - pivot[g] - mean[g];
        d *= wide_repeat4(keep);
        sum[g] += is_squared ? d * d : d;
    }
    for (uint g = 0; g < GROUPS; g++)
        result[g] = sum_channels(sum[g]) / (float)n_channels;
}

/* Work item: 16 positions of a row (id 0, id 1). */
__kernel void layer_norm(const __global tt_elem *in, uint4 in_at, const __global float *scale,
                         const __global float *shift, float eps, __global tt_elem *out, uint4 out_at, uint4 shape)
{
    uint x = get_global_id(0) * 4 * GROUPS, row = get_global_id(1), image = row / shape.y, y = row - image * shape.y;
    in += ((size_t)in_at.x + x + y * in_at.y + (size_t)image * in_at.z) * 4;
    out += ((size_t)out_at.x + x + y * out_at.y + (size_t)image * out_at.z) * 4;
    uint at[GROUPS], n[GROUPS];
    float16 pivot[GROUPS], mean[GROUPS], variance[GROUPS];
    for (uint g = 0; g < GROUPS; g++) {
        /* A vector beyond the row repeats the first one and stores nothing. */
        at[g] = x + g * 4 < shape.x ? g * 4 : 0;
        n[g] = min(shape.x - x - at[g], 4u);
        variance[g] = (float16)(0.0f);
        pivot[g] = wide_load_some(in, at[g], n[g]).s000044448888cccc;
    }
    mean_slices(in, in_at.w, shape.w, at, n, pivot, variance, false, mean);
    mean_slices(in, in_at.w, shape.w, at, n, pivot, mean, true, variance);
    for (uint g = 0; g < GROUPS; g++)
        variance[g] = 1.0f / sqrt(variance[g] + eps);
    for (uint s = 0; s < (shape.w + 3) / 4; s++) {
        float4 a = vload4(s, scale), b = vload4(s, shift);
        float16 factor = wide_repeat4(a), offset = wide_repeat4(b);
        for (uint g = 0; g < GROUPS && at[g] == g * 4; g++) {
            float16 v = wide_load_some(in + s * (size_t)in_at.w * 4, at[g], n[g]) - pivot[g] - mean[g];
            wide_store_some(v * variance[g] * factor + offset, out + s * (size_t)out_at.w * 4, at[g], n[g]);
        }
    }
}

#else

/* Work item: a position (id 0) of a row (id 1). */
__kernel void layer_norm(const __global tt_elem *in, uint4 in_at, const __global float *scale,
                         const __global float *shift, float eps, __global tt_elem *out, uint4 out_at, uint4 shape)
{
    uint x = get_global_id(0), row = get_global_id(1), image = row / shape.y, y = row - image * shape.y;
    if (x >= shape.x)
        return;
    uint n_full = shape.w / 4, n_rest = shape.w % 4;
    float4 keep = (float4)(1.0f, n_rest > 1 ? 1.0f : 0.0f, n_rest > 2 ? 1.0f : 0.0f, 0.0f);
    in += ((size_t)in_at.x + x + y * in_at.y + (size_t)image * in_at.z) * 4;
    out += ((size_t)out_at.x + x + y * out_at.y + (size_t)image * out_at.z) * 4;
    float pivot = tt_load1(in, 0), mean = 0.0f, variance = 0.0f;
    for (int pass = 0; pass < 2; pass++) {
        float4 sum = (float4)(0.0f);
        for (uint s = 0; s < n_full; s++) {
            float4 d = tt_load4(in, s * (size_t)in_at.w) - pivot - mean;
            sum += pass != 0 ? d * d : d;
        }
        if (n_rest != 0) {
            float4 d = (tt_load4(in, n_full * (size_t)in_at.w) - pivot - mean) * keep;
            sum += pass != 0 ? d * d : d;
        }
        variance = ((sum.x + sum.y) + (sum.z + sum.w)) / (float)shape.w;
        mean = pass == 0 ? variance : mean;
    }
    float factor = 1.0f / sqrt(variance + eps);
    for (uint s = 0; s < (shape.w + 3) / 4; s++) {
        float4 v = (tt_load4(in, s * (size_t)in_at.w) - pivot - mean) * factor;
        tt_store4(v * vload4(s, scale) + vload4(s, shift), out, s * (size_t)out_at.w);
    }
}

#endif
