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
 * plan: vectors and panels of a work item, 0, whether the border of out is zeroed. */
#include "common.clh"

#include "place.clh"
#include "matrix-result.clh"
#include "wide.clh"

#include "dot.clh"
#include "tile-activate.clh"

#include "dot-finish.clh"
#include "dot-stage.clh"

#include "linear-multiply.clh"

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

/* Slices are the outer loop below, and fetched ahead: they are far apart in memory, often by a multiple of a cache's
 * size, and the positions of an item are neighbours. */

#if !DOT_HALF

/* inverses [vector][4] and scales [vector] of all positions over both sources. most: [vector][4], room. */
DOT_WIDE_TARGET static void linear_scale(const linear_source *sources, uint n_vectors, dot_bits *most,
                                         float16 *inverses, float16 *scales)
{
    for (uint i = 0; i < 4 * n_vectors; i++)
        most[i] = (dot_bits)(0);
    for (uint source = 0; source < 2; source++) {
        const linear_source *from = &sources[source];
        for (uint s = 0; s < from->n_slices; s++) {
            const __global tt_elem *slice = from->values + (size_t)s * from->slice_units * 4;
            const size_t ahead = s + 2 < from->n_slices ? (size_t)2 * from->slice_units * 4 : 0;
            for (uint v = 0; v < n_vectors; v++) {
                size_t next = (size_t)(slice + ahead + from->at[v * DOT_LANES] * 4);
                tt_prefetch(next);
                tt_prefetch(next + 64);
                dot_raise(slice, from->at + v * DOT_LANES, from->is_run[v], most + 4 * v);
            }
        }
    }
    for (uint v = 0; v < n_vectors; v++)
        dot_make_scales(most + 4 * v, inverses + 4 * v, scales + v);
}

#endif

/* Stages all positions of both sources, whole blocks: x[pair of vectors][block][vector][group][16 positions][4 bytes].
 */
DOT_WIDE_TARGET static void linear_stage(const linear_source *sources, uint n_vectors, uint n_blocks,
                                         const float16 *inverses, uchar *x)
{
    for (uint source = 0; source < 2; source++) {
        const linear_source *from = &sources[source];
        for (uint s = 0; s < linear_blocks(from) * DOT_BLOCK_SLICES; s++) {
            const __global tt_elem *slice = from->values + (size_t)s * from->slice_units * 4;
            uchar *to = x + s / DOT_BLOCK_SLICES * LINEAR_PAIR_BYTES +
                        s % DOT_BLOCK_SLICES * DOT_SLICE_GROUPS * DOT_VECTOR_BYTES;
            for (uint v = 0; v < n_vectors; v++) {
                uchar *at = to + linear_vector_at(v, n_blocks);
                float16 four[4];
                if (s >= from->n_slices) {
                    dot_stage_zeros(at, DOT_VECTOR_BYTES);
                    continue;
                }
                dot_load(slice, from->at + v * DOT_LANES, from->is_run[v], four);
#if DOT_HALF
                dot_stage(four, at, DOT_VECTOR_BYTES);
#else
                dot_stage(four, inverses + 4 * v, at);
#endif
            }
        }
        x += linear_blocks(from) * LINEAR_PAIR_BYTES;
    }
}

__kernel void linear_dot(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                         const __global uchar *weights, const __global float *bias, const __global tt_elem *residual,
                         uint4 residual_at, __global tt_elem *out, uint4 out_at, uint4 shape, uint4 input,
                         uint4 options, uint4 plan)
{
    const uint first_position = get_global_id(0) * plan.x * DOT_LANES;
    const uint n_positions = min(shape.z - first_position, plan.x * DOT_LANES);
    const uint n_vectors = (n_positions + DOT_LANES - 1) / DOT_LANES;
    const uint first_panel = get_global_id(1) * plan.y, end_panel = min(first_panel + plan.y, input.z);
    const tt_place first_place = tt_place_at(first_position, shape.x, shape.y);
    linear_source sources[2];
    sources[0].values = in;
    sources[0].n_slices = input.x;
    sources[1].values = in2;
    sources[1].n_slices = input.y;
    linear_locate(&sources[0], tt_make_geometry(in_at), first_place, n_positions, shape.x, shape.y);
    linear_locate(&sources[1], tt_make_geometry(in2_at), first_place, n_positions, shape.x, shape.y);

    const matrix_result result =
        linear_result(bias, residual, residual_at, out, out_at, shape, options, plan.w);

    uchar x[LINEAR_BYTES] __attribute__((aligned(64)));
    float16 scales[LINEAR_VECTORS], inverses[4 * LINEAR_VECTORS];
    dot_places places[LINEAR_VECTORS];
    for (uint v = 0; v < n_vectors; v++)
        places[v] = dot_find_places(&result, tt_place_at(first_position + v * DOT_LANES, shape.x, shape.y),
                                    min(n_positions - v * DOT_LANES, (uint)DOT_LANES));
    linear_job job;
    job.x = x;
    job.n_blocks = linear_blocks(&sources[0]) + linear_blocks(&sources[1]);
    job.n_vectors = n_vectors;
    job.weights = weights;
    job.panel_bytes = input.w;
    job.first_panel = first_panel;
    job.end_panel = end_panel;
    job.scales = scales;
    job.places = places;
#if !DOT_HALF
    dot_bits most[4 * LINEAR_VECTORS];
    linear_scale(sources, n_vectors, most, inverses, scales);
#endif
    linear_stage(sources, n_vectors, job.n_blocks, inverses, x);
    linear_run(&job, &result);
    if (result.zeroes_border)
        for (uint panel = first_panel; panel < end_panel; panel++)
            matrix_zero_border(&result, panel, first_place, n_positions);
}
