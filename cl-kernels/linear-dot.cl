/* linear-dot.cl - y = act(W x + b + residual) at every position with dot product instructions, for CPUs; weights packed
 * as in matrix-dot.h.
 *
 * A work item (local size 1) stages the inputs of up to LINEAR_VECTORS * 16 positions, all channels of them, and runs a
 * range of panels over them. int8: each position has a scale of its own, its largest value / 127.
 *
 * Build options: DOT_UNIT, DOT_HALF, LINEAR_BYTES (of staged inputs), LINEAR_VECTORS.
 *
 * *_at: geometries of the planes, see place.clh;
 * shape: width, height, positions (batch * height * width), slices of out;
 * input: slices of the first source, of the second, panels of 32 outputs, bytes of a panel;
 * options: has residual, activation, is GEGLU, 0;
 * plan: vectors and panels of a work item, 0, 0. */
#include "common.clh"

#include "place.clh"
#include "wide.clh"

#include "dot.clh"
#include "tile-activate.clh"

#include "dot-finish.clh"
#include "dot-stage.clh"

/* Vectors that are multiplied before their results are stored, and blocks of a call. */
#define LINEAR_STEP 12
#define LINEAR_BLOCKS 64

/* One source of a work item. */
typedef struct linear_source {
    const __global tt_elem *values;
    uint n_slices, slice_units;
    uint at[LINEAR_VECTORS * DOT_LANES]; /* units of the positions in the first slice */
    bool is_run[LINEAR_VECTORS];
} linear_source;

/* Positions beyond the last one repeat it. */
static void linear_locate(linear_source *source, tt_geometry geometry, tt_place place, uint n_positions, uint width,
                          uint height)
{
    uint n = (n_positions + DOT_LANES - 1) / DOT_LANES * DOT_LANES;
    source->slice_units = geometry.slice;
    for (uint p = 0; p < n; p++) {
        source->at[p] = tt_unit(geometry, place);
        if (p + 1 < n_positions)
            place = tt_place_after(place, width, height);
    }
    for (uint v = 0; v < n / DOT_LANES; v++)
        source->is_run[v] = dot_is_run(source->at + v * DOT_LANES);
}

/* Blocks that the source fills. */
static uint linear_blocks(const linear_source *source)
{
    return (source->n_slices + DOT_BLOCK_SLICES - 1) / DOT_BLOCK_SLICES;
}

#if !DOT_HALF

/* most[4]: the largest value so far of four positions' four channels each. */
DOT_SMALL void linear_find_most(const linear_source *source, const uint *at, const bool is_run, float16 *most)
{
    const __global tt_elem *slice = source->values;
    const size_t step = (size_t)source->slice_units * 4;
    for (uint s = 0; s < source->n_slices; s++) {
        float16 x[4];
        dot_load(slice, at, is_run, x);
#pragma unroll
        for (int i = 0; i < 4; i++)
            most[i] = max(most[i], fabs(x[i]));
        slice += step;
    }
}

#endif

/* Stages one vector of a source, whole blocks. to: its place in the first group. */
DOT_SMALL void linear_stage(const linear_source *source, const uint *at, const bool is_run, const float16 *inverses,
                            uchar *to, uint group_bytes)
{
    const __global tt_elem *slice = source->values;
    const size_t step = (size_t)source->slice_units * 4;
    for (uint s = 0; s < source->n_slices; s++) {
        float16 x[4];
        dot_load(slice, at, is_run, x);
#if DOT_HALF
        dot_stage(x, to, group_bytes);
#else
        dot_stage(x, inverses, to);
#endif
        slice += step;
        to += DOT_SLICE_GROUPS * group_bytes;
    }
    for (uint group = source->n_slices * DOT_SLICE_GROUPS; group < linear_blocks(source) * DOT_GROUPS; group++) {
        dot_stage_zeros(to);
        to += group_bytes;
    }
}

#if !DOT_HALF

/* Scales of a vector's positions over both sources. */
DOT_SMALL float16 linear_scales(const linear_source *sources, uint vector, float16 *inverses)
{
    float16 most[4] = {(float16)(0.0f), (float16)(0.0f), (float16)(0.0f), (float16)(0.0f)}, scale;
    for (int i = 0; i < 2; i++) {
        const uint *at = sources[i].at + vector * DOT_LANES;
        if (sources[i].is_run[vector])
            linear_find_most(&sources[i], at, true, most);
        else
            linear_find_most(&sources[i], at, false, most);
    }
    dot_make_scales(most, inverses, &scale);
    return scale;
}

#endif

/* Stages one vector of both sources; returns the scales of its positions (int8 only). */
__attribute__((noinline)) static float16 linear_stage_vector(const linear_source *sources, uint vector, uchar *x,
                                                             uint group_bytes)
{
    float16 inverses[4], scale = (float16)(1.0f);
#if !DOT_HALF
    scale = linear_scales(sources, vector, inverses);
#endif
    x += vector * DOT_VECTOR_BYTES;
    for (int i = 0; i < 2; i++) {
        const uint *at = sources[i].at + vector * DOT_LANES;
        if (sources[i].is_run[vector])
            linear_stage(&sources[i], at, true, inverses, x, group_bytes);
        else
            linear_stage(&sources[i], at, false, inverses, x, group_bytes);
        x += (size_t)linear_blocks(&sources[i]) * DOT_GROUPS * group_bytes;
    }
    return scale;
}

/* Sums of n_vectors vectors of a panel over all blocks, some blocks at a time. */
static void linear_multiply(const __global uchar *weights, const uchar *x, uint n_blocks, uint group_bytes,
                            const uint *at, const uint *vector_at, uint n_vectors, dot_sum *sums)
{
    for (uint block = 0; block < n_blocks; block += LINEAR_BLOCKS)
        dot_multiply(weights + (size_t)block * DOT_PANEL_BLOCK, x + (size_t)block * DOT_GROUPS * group_bytes, at,
                     min(n_blocks - block, (uint)LINEAR_BLOCKS), group_bytes, vector_at, n_vectors, sums, block == 0);
}

__kernel void linear_dot(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                         const __global uchar *weights, const __global float *bias, const __global tt_elem *residual,
                         uint4 residual_at, __global tt_elem *out, uint4 out_at, uint4 shape, uint4 input,
                         uint4 options, uint4 plan)
{
    const uint first_position = get_global_id(0) * plan.x * DOT_LANES;
    const uint n_positions = min(shape.z - first_position, plan.x * DOT_LANES);
    const uint n_vectors = (n_positions + DOT_LANES - 1) / DOT_LANES, group_bytes = n_vectors * DOT_VECTOR_BYTES;
    const uint first_panel = get_global_id(1) * plan.y, end_panel = min(first_panel + plan.y, input.z);
    const tt_place first_place = tt_place_at(first_position, shape.x, shape.y);
    linear_source sources[2];
    sources[0].values = in;
    sources[0].n_slices = input.x;
    sources[1].values = in2;
    sources[1].n_slices = input.y;
    linear_locate(&sources[0], tt_make_geometry(in_at), first_place, n_positions, shape.x, shape.y);
    linear_locate(&sources[1], tt_make_geometry(in2_at), first_place, n_positions, shape.x, shape.y);

    dot_result result;
    result.bias = bias;
    result.has_image_bias = false;
    result.has_residual = options.x != 0;
    result.residual = residual;
    result.residual_at = tt_make_geometry(residual_at);
    result.activation = options.y;
    result.is_geglu = options.z != 0;
    result.out = out;
    result.out_at = tt_make_geometry(out_at);
    result.width = shape.x;
    result.height = shape.y;
    result.n_slices = shape.w;

    uchar x[LINEAR_BYTES] __attribute__((aligned(64)));
    dot_sum sums[LINEAR_STEP * DOT_VECTOR_SUMS] __attribute__((aligned(64)));
    float16 scales[LINEAR_VECTORS];
    dot_places places[LINEAR_VECTORS];
    uint vector_at[LINEAR_VECTORS], at[LINEAR_BLOCKS];
    for (uint v = 0; v < n_vectors; v++) {
        scales[v] = linear_stage_vector(sources, v, x, group_bytes);
        places[v] = dot_find_places(&result, tt_place_at(first_position + v * DOT_LANES, shape.x, shape.y),
                                    min(n_positions - v * DOT_LANES, (uint)DOT_LANES));
        vector_at[v] = v * DOT_VECTOR_BYTES;
    }
    for (uint block = 0; block < LINEAR_BLOCKS; block++)
        at[block] = block * DOT_GROUPS * group_bytes;

    const uint n_blocks = linear_blocks(&sources[0]) + linear_blocks(&sources[1]);
    for (uint panel = first_panel; panel < end_panel; panel++) {
        const __global uchar *w = weights + (size_t)panel * input.w;
        const __global float *numbers = (const __global float *)(w + (size_t)n_blocks * DOT_PANEL_BLOCK);
        for (uint v = 0; v < n_vectors; v += LINEAR_STEP) {
            uint n = min(n_vectors - v, (uint)LINEAR_STEP);
            linear_multiply(w, x, n_blocks, group_bytes, at, vector_at + v, n, sums);
            for (uint i = 0; i < n; i++)
                dot_finish(&result, sums + i * DOT_VECTOR_SUMS, numbers, scales[v + i], panel, &places[v + i]);
        }
    }
}
