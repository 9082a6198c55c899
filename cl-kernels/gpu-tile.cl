/* gpu-tile.cl - linear layers and 3x3 convolutions in register tiles for GPUs; weights packed as in matrix.h, or as the
 * GPU form of matrix-dot.h.
 *
 * Work item: GPU_POSITIONS positions (id 0) and the 32 outputs of a panel (id 1). The lanes of a work-group run over
 * neighbouring positions, and an item's positions are GROUP_LANES apart, so every read of activations is one run of
 * memory; all lanes need the same weights (gpu-weights.clh). Nobody leaves early, because work-groups stage and
 * sub-groups broadcast: positions beyond the last repeat it and are not stored. No fma(), no pointer casts of private
 * vectors, no required work-group size: drivers handle them badly.
 *
 * GPU_MATH 0: products and sums are float. 1: products of half, summed in half over GPU_RUN slices and then added to
 * float sums. 2: the planes are int8 codes with a scale for each unit (gpu-codes.cl); sums over a tap are int32, taps
 * are added in float.
 *
 * Build options: GPU_TAPS (1 or 9), GPU_SOURCES (planes that the input's slices come from), GPU_TEX (activations are
 * read as texels), GPU_POSITIONS, GPU_RUN, GPU_DOT, and those of gpu-weights.clh.
 *
 * *_at: geometries of the planes, see place.clh; that of a convolution's input starts at its border's corner;
 * about: scale and sum of the codes of a position, about_shift after its unit in the plane of codes;
 * weights_at: where the weights begin in their memory, in 16 bytes;
 * shape: out width, out height, positions of out, slices of out;
 * input: in width, in height, slices of the first source, slices in all;
 * options: has per-image bias + 2 * has residual + 4 * is GEGLU + 8 * zeroes the border of out, activation, convolution
 * mode, 0. */
#include "common.clh"
#include "place.clh"
#include "matrix-result.clh"
#include "matrix-store.clh"
#include "conv3x3-taps.clh"
#include "gpu-weights.clh"
#include "gpu-dot.clh"

/* ---- activations ---- */

#if GPU_TEX
#define GPU_INPUT __read_only image1d_buffer_t
#elif GPU_MATH == 2
#define GPU_INPUT const __global uint *
#else
#define GPU_INPUT const __global tt_elem *
#endif

#if GPU_MATH == 2
typedef uint gpu_input4; /* four codes */

static gpu_input4 gpu_load(GPU_INPUT in, uint unit)
{
#if GPU_TEX
    return read_imageui(in, (int)unit).x;
#else
    return in[unit];
#endif
}
#else
typedef gpu_vector gpu_input4;

static gpu_input4 gpu_load(GPU_INPUT in, uint unit)
{
#if GPU_TEX && GPU_MATH == 1
    return read_imageh(in, (int)unit);
#elif GPU_TEX
    return read_imagef(in, (int)unit);
#elif GPU_MATH == 1 && TT_HALF
    return ((const __global half4 *)in)[unit];
#else
    return gpu_to_vector(tt_load4(in, unit));
#endif
}
#endif

/* Unit of the input under a tap of an output place. */
static uint gpu_tap_unit(tt_geometry in, const conv_shape *conv, tt_place place, uint tap)
{
    tt_place from = {tap_row(conv->mode, place.x, tap % 3, conv->out_width, conv->in_width),
                     tap_row(conv->mode, place.y, tap / 3, conv->out_height, conv->in_height), place.image};
    return GPU_TAPS == 1 ? tt_unit(in, place) : tt_unit(in, from);
}

/* ---- one run of slices ---- */

#if GPU_MATH == 2
typedef int4 gpu_sum4;
#else
typedef float4 gpu_sum4;
#endif

#if GPU_MATH == 2
/* Adds GPU_RUN slices: x[run][position], rows[run], sums[position][8]. */
static void gpu_multiply(const gpu_input4 *x, const gpu_row *rows, gpu_sum4 *sums)
{
#pragma unroll
    for (uint run = 0; run < GPU_RUN; run++)
#pragma unroll
        for (uint part = 0; part < 8; part++) {
            const uint4 w = gpu_dot_weights(gpu_codes(rows[run], part));
#pragma unroll
            for (uint p = 0; p < GPU_POSITIONS; p++) {
                int4 sum = sums[p * 8 + part];
                sum.x = gpu_dot(x[run * GPU_POSITIONS + p], w.x, sum.x);
                sum.y = gpu_dot(x[run * GPU_POSITIONS + p], w.y, sum.y);
                sum.z = gpu_dot(x[run * GPU_POSITIONS + p], w.z, sum.z);
                sum.w = gpu_dot(x[run * GPU_POSITIONS + p], w.w, sum.w);
                sums[p * 8 + part] = sum;
            }
        }
}
#else
/* Half: a sum of the run's products alone. Float: the sum so far. */
static gpu_vector gpu_begin(gpu_sum4 sum)
{
#if GPU_MATH == 1
    return (gpu_vector)((half)0);
#else
    return sum;
#endif
}

static gpu_sum4 gpu_end(gpu_sum4 sum, gpu_vector run)
{
#if GPU_MATH == 1
    return sum + convert_float4(run);
#else
    return run;
#endif
}

/* Adds GPU_RUN slices: x[run][position], rows[run], sums[position][8]. */
static void gpu_multiply(const gpu_input4 *x, const gpu_row *rows, gpu_sum4 *sums)
{
#pragma unroll
    for (uint part = 0; part < 8; part++) {
        gpu_vector run_sums[GPU_POSITIONS];
#pragma unroll
        for (uint p = 0; p < GPU_POSITIONS; p++)
            run_sums[p] = gpu_begin(sums[p * 8 + part]);
#pragma unroll
        for (uint run = 0; run < GPU_RUN; run++) {
            const gpu_vector w0 = GPU_WEIGHT(rows[run], 0, part), w1 = GPU_WEIGHT(rows[run], 1, part);
            const gpu_vector w2 = GPU_WEIGHT(rows[run], 2, part), w3 = GPU_WEIGHT(rows[run], 3, part);
#pragma unroll
            for (uint p = 0; p < GPU_POSITIONS; p++) {
                const gpu_vector v = x[run * GPU_POSITIONS + p];
                run_sums[p] += v.x * w0;
                run_sums[p] += v.y * w1;
                run_sums[p] += v.z * w2;
                run_sums[p] += v.w * w3;
            }
        }
#pragma unroll
        for (uint p = 0; p < GPU_POSITIONS; p++)
            sums[p * 8 + part] = gpu_end(sums[p * 8 + part], run_sums[p]);
    }
}
#endif

/* Adds n slices of a plane at one tap. at: units of the positions in its first slice; rows: the panel's weights at that
 * slice and tap. A run that is longer than what is left goes on with zeros and the last row. */
static void gpu_add(GPU_INPUT in, const uint *at, uint slice_units, uint n, const __global uint4 *rows,
                    __local uint4 *staged, gpu_sum4 *sums)
{
    for (uint first = 0; first < n; first += GPU_STAGED) {
        const uint end = min(n, first + GPU_STAGED);
#if GPU_WEIGHTS == 1
        gpu_stage(rows + (size_t)first * (GPU_TAPS * GPU_ROW), GPU_TAPS, end - first, staged);
#endif
        for (uint s = first; s < end; s += GPU_RUN) {
            gpu_input4 x[GPU_RUN * GPU_POSITIONS];
            gpu_row taken[GPU_RUN];
#pragma unroll
            for (uint run = 0; run < GPU_RUN; run++) {
                const uint slice = min(s + run, end - 1);
#if GPU_WEIGHTS == 1
                taken[run] = gpu_take_row(staged + (slice - first) * GPU_ROW);
#else
                taken[run] = gpu_take_row(rows + (size_t)slice * (GPU_TAPS * GPU_ROW));
#endif
#pragma unroll
                for (uint p = 0; p < GPU_POSITIONS; p++) {
                    x[run * GPU_POSITIONS + p] = gpu_load(in, at[p] + slice * slice_units);
                    if (GPU_RUN > 1 && s + run >= end)
                        x[run * GPU_POSITIONS + p] = (gpu_input4)(0);
                }
            }
            gpu_multiply(x, taken, sums);
        }
    }
}

/* ---- results ---- */

/* Finishes and stores the 32 outputs of one position: eight slices, or four values with their gates. */
static void gpu_finish(const matrix_result *r, const float4 *sums, uint panel, tt_place place)
{
    const __global float *bias = r->bias + panel * 32;
    const uint n = r->is_geglu ? 4 : 8;
#pragma unroll
    for (uint part = 0; part < 8; part++) {
        const uint slice = panel * n + part;
        if (part >= n || slice >= r->n_slices)
            continue;
        float4 value = sums[part] + vload4(part, bias);
        if (part < 4 && r->is_geglu)
            value *= tt_activate(sums[(part + 4) & 7] + vload4((part + 4) & 7, bias), TT_ACT_GELU);
        matrix_store(r, value, slice, place);
    }
}

__kernel void gpu_tile(GPU_INPUT in, uint4 in_at, GPU_INPUT in2, uint4 in2_at, const __global float2 *about,
                       uint about_shift, const __global uint4 *weights, uint weights_at, const __global float *bias,
                       const __global tt_elem *image_bias, uint4 image_bias_at, const __global tt_elem *residual,
                       uint4 residual_at, __global tt_elem *out, uint4 out_at, uint4 shape, uint4 input, uint4 options)
{
#if GPU_WEIGHTS == 1
    __local uint4 staged[GPU_STAGED * GPU_ROW];
#else
    __local uint4 *staged = 0;
#endif
    const uint panel = get_global_id(1), n_slices = input.w;
    const uint position = get_group_id(0) * (GPU_POSITIONS * GROUP_LANES) + get_local_id(0);
    const tt_geometry in_geometry = tt_make_geometry(in_at);
    const conv_shape conv = make_conv_shape(shape, input, options.z);
    tt_place place[GPU_POSITIONS];
#pragma unroll
    for (uint p = 0; p < GPU_POSITIONS; p++)
        place[p] = tt_place_at(min(position + p * GROUP_LANES, shape.z - 1), shape.x, shape.y);
#if GPU_MATH == 2
    /* A panel ends in its scales and the sums of its codes. */
    weights += weights_at + (size_t)panel * (n_slices * GPU_TAPS * GPU_ROW + 16);
    const __global float *scales = (const __global float *)(weights + n_slices * GPU_TAPS * GPU_ROW);
#else
    weights += weights_at + (size_t)panel * n_slices * GPU_TAPS * GPU_ROW;
#endif

    float4 sums[GPU_POSITIONS * 8];
#pragma unroll
    for (uint i = 0; i < GPU_POSITIONS * 8; i++)
        sums[i] = (float4)(0.0f);
    for (uint tap = 0; tap < GPU_TAPS; tap++) {
        uint at[GPU_POSITIONS];
#pragma unroll
        for (uint p = 0; p < GPU_POSITIONS; p++)
            at[p] = gpu_tap_unit(in_geometry, &conv, place[p], tap);
#if GPU_MATH == 2
        int4 codes[GPU_POSITIONS * 8];
#pragma unroll
        for (uint i = 0; i < GPU_POSITIONS * 8; i++)
            codes[i] = (int4)(0);
        gpu_add(in, at, in_geometry.slice, n_slices, weights + tap * GPU_ROW, staged, codes);
#pragma unroll
        for (uint p = 0; p < GPU_POSITIONS; p++) {
            const float2 scale_and_sum = about[at[p] + about_shift];
#pragma unroll
            for (uint part = 0; part < 8; part++)
                sums[p * 8 + part] += convert_float4(codes[p * 8 + part] - gpu_dot_excess(scale_and_sum.y)) * scale_and_sum.x;
        }
#else
        gpu_add(in, at, in_geometry.slice, input.z, weights + tap * GPU_ROW, staged, sums);
#endif
    }
#if GPU_SOURCES == 2
    const tt_geometry in2_geometry = tt_make_geometry(in2_at);
    uint at[GPU_POSITIONS];
#pragma unroll
    for (uint p = 0; p < GPU_POSITIONS; p++)
        at[p] = tt_unit(in2_geometry, place[p]);
    gpu_add(in2, at, in2_geometry.slice, n_slices - input.z, weights + (size_t)input.z * (GPU_TAPS * GPU_ROW), staged,
            sums);
#endif
#if GPU_MATH == 2
#pragma unroll
    for (uint i = 0; i < GPU_POSITIONS * 8; i++)
        sums[i] *= vload4(i % 8, scales);
#endif

    matrix_result result =
        conv_result(bias, image_bias, image_bias_at, residual, residual_at, out, out_at, shape,
                    (uint4)(options.x & 1, options.x & 2, options.y, options.z), options.x & 8);
    result.is_geglu = options.x & 4;
#pragma unroll
    for (uint p = 0; p < GPU_POSITIONS; p++)
        if (position + p * GROUP_LANES < shape.z)
            gpu_finish(&result, sums + p * 8, panel, place[p]);
}
