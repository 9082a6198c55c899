/* linear.cl - y = act(W x + b + residual) at every position; weights packed as in matrix.h.
 *
 * *_at: geometries of the planes, see place.clh;
 * shape: width, height, positions (batch * height * width), slices of out;
 * input: slices of the first source, slices in all, panels of 32 outputs, 0;
 * options: has residual, activation, is GEGLU, 0;
 * sections: places of high bits, d and scales, bytes of a panel (quantized weights);
 * coded: type, columns (quantized weights), where the weights begin in their memory in units of 256 bytes, 0;
 * plan: tiles and panels of a work item, slices of a block (register tiles only), whether the border of out is zeroed. */
#include "common.clh"
#include "place.clh"
#include "matrix-result.clh"

#if TT_CPU_TILE

#define TILE_TAPS 1
#if TT_WEIGHT_QUANT
#include "quant.clh"
#include "quant-tile.clh"
#endif
#include "tile-activate.clh"
#include "tile.clh"

/* Units of the job's positions in a plane; positions beyond the last one repeat it. */
static void locate(const tile_job *job, tt_geometry geometry, uint width, uint height, tile_source *source)
{
    tt_place place = tt_place_at(job->first_position, width, height);
    for (uint p = 0; p < job->n_tiles * TILE_POSITIONS; p++) {
        source->at[p] = tt_unit(geometry, place);
        if (p + 1 < job->n_positions)
            place = tt_place_after(place, width, height);
    }
    for (uint tile = 0; tile < job->n_tiles; tile++)
        source->is_run[tile] = tile_is_run(source->at + tile * TILE_POSITIONS);
    source->slice_units = geometry.slice;
}

__kernel void linear(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                     const __global tt_weight *weights, uint4 sections, uint4 coded, const __global float *bias,
                     const __global tt_elem *residual, uint4 residual_at, __global tt_elem *out, uint4 out_at,
                     uint4 shape, uint4 input, uint4 options, uint4 plan)
{
    const uint split = input.x;
    tile_job job = tile_make_job(shape.z, input.z, input.y, plan);
    tile_source first, second;
    first.values = in;
    second.values = in2;
    locate(&job, tt_make_geometry(in_at), shape.x, shape.y, &first);
    locate(&job, tt_make_geometry(in2_at), shape.x, shape.y, &second);

    const matrix_result result =
        linear_result(bias, residual, residual_at, out, out_at, shape, options, plan.w);

    float x[TILE_MAX_TILES * TILE_BLOCK_ROWS * TILE_POSITIONS * 4];
    float16 sums[TILE_MAX_SUMS * TILE_POSITIONS * 2];
    tile_clear(&job, sums);
    const tile_matrix matrix = tile_make_matrix(weights, job.n_slices, sections, coded);
    for (uint s = 0; s < job.n_slices; s += job.block_slices) {
        uint n = min(job.block_slices, job.n_slices - s);
        uint n_first = s >= split ? 0 : min(n, split - s);
        tile_copy_slices(&first, s, n_first, job.n_tiles, x);
        tile_copy_slices(&second, s + n_first - split, n - n_first, job.n_tiles, x + n_first * TILE_POSITIONS * 4);
        tile_ahead ahead = tile_look_ahead(&job, &first, s + n);
        if (!ahead.is_last && s + n >= split) {
            ahead.source = &second;
            ahead.first_slice -= split;
        }
        tile_multiply_block(&job, x, &matrix, s, n, &ahead, &result, sums);
    }
    tile_finish_job(&job, &result, sums);
}

#else

#define PLAIN_TAPS 1
#if TT_WEIGHT_QUANT
#include "quant.clh"
#include "quant-plain.clh"
#endif
#include "matrix-store.clh"
#include "plain.clh"

/* Work item: PLAIN_POSITIONS neighbouring positions (id 0) and 8 outputs (id 1). */
__kernel void linear(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                     const __global tt_weight *weights, uint4 sections, uint4 coded, const __global float *bias,
                     const __global tt_elem *residual, uint4 residual_at, __global tt_elem *out, uint4 out_at,
                     uint4 shape, uint4 input, uint4 options, uint4 plan)
{
    const uint position = get_global_id(0) * PLAIN_POSITIONS, split = input.x, n_slices = input.y;
    if (position >= shape.z)
        return;
    plain_job job = plain_make_job(position, shape.x, shape.y, shape.z, get_global_id(1), options.z);
    const plain_matrix matrix = plain_make_matrix(weights, n_slices, sections, coded, &job);
    float4 low[PLAIN_POSITIONS], high[PLAIN_POSITIONS];
    plain_clear(low, high);
    uint at[PLAIN_POSITIONS];
    plain_units(&job, tt_make_geometry(in_at), at);
    plain_multiply(in, at, in_at.w, split, &matrix, 0, 0, &job, low, high);
    if (n_slices > split) {
        plain_units(&job, tt_make_geometry(in2_at), at);
        plain_multiply(in2, at, in2_at.w, n_slices - split, &matrix, split, 0, &job, low, high);
    }

    const matrix_result result =
        linear_result(bias, residual, residual_at, out, out_at, shape, options, plan.w);
    plain_finish(&job, &result, low, high);
}

#endif
