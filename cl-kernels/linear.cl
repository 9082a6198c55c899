/* linear.cl - y = act(W x + b + residual) at every position; weights packed as in matrix.h.
 *
 * shape: width, height, positions (batch * height * width), slices of out;
 * input: slices of the first source, slices in all, panels of 32 outputs, 0;
 * options: has residual, activation, is GEGLU, 0. Geometries (*_at) as in place.clh. */
#include "common.clh"
#include "place.clh"

#if TT_CPU_TILE

#define TILE_TAPS 1
#include "tile.clh"

/* Units of the job's positions in a plane; positions beyond the last one repeat it. */
static void locate(const tile_job *job, uint4 geometry, uint width, uint height, tile_source *source)
{
    uint3 place = tt_place(job->first_position, width, height);
    for (uint p = 0; p < job->n_tiles * TILE_POSITIONS; p++) {
        source->at[p] = tt_unit(geometry, place);
        if (p + 1 < job->n_positions)
            place = tt_next_place(place, width, height);
    }
    for (uint tile = 0; tile < job->n_tiles; tile++)
        source->is_run[tile] = tile_is_run(source->at + tile * TILE_POSITIONS);
    source->slice_units = geometry.w;
}

/* plan: tiles and panels of a work item, slices of a block. */
__kernel void linear(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                     const __global tt_weight *weights, const __global float *bias, const __global tt_elem *residual,
                     uint4 residual_at, __global tt_elem *out, uint4 out_at, uint4 shape, uint4 input, uint4 options,
                     uint4 plan)
{
    tile_job job = tile_make_job(shape.z, input.z, input.y, plan);
    tile_source first, second;
    first.values = in;
    second.values = in2;
    locate(&job, in_at, shape.x, shape.y, &first);
    locate(&job, in2_at, shape.x, shape.y, &second);

    tile_result result = {bias,    in,      (uint4)(0), residual,        residual_at,     out,      out_at, shape.w,
                          shape.x, shape.y, false,      options.x != 0u, options.z != 0u, options.y};
    float x[TILE_MAX_TILES * TILE_BLOCK_ROWS * TILE_POSITIONS * 4];
    float16 sums[TILE_MAX_SUMS * TILE_POSITIONS * 2];
    const __global tt_weight *panel = weights + (size_t)job.first_panel * job.n_slices * 128;
    for (uint s = 0; s < job.n_slices; s += job.block_slices) {
        uint n = min(job.block_slices, job.n_slices - s);
        uint n_first = s >= input.x ? 0 : min(n, input.x - s);
        tile_copy_slices(&first, s, n_first, job.n_tiles, x);
        tile_copy_slices(&second, s + n_first - input.x, n - n_first, job.n_tiles, x + n_first * TILE_POSITIONS * 4);
        tile_ahead ahead = tile_look_ahead(&job, &first, s + n, panel + (size_t)(s + n) * 128);
        if (!ahead.is_last && s + n >= input.x) {
            ahead.source = &second;
            ahead.first_slice -= input.x;
        }
        tile_multiply_block(&job, x, panel + (size_t)s * 128, n, s == 0, &ahead, &result, sums);
    }
    tile_finish_job(&job, &result, sums);
}

#else

#include "plain.clh"

/* Work item: PLAIN_POSITIONS neighbouring positions (id 0) and 8 outputs (id 1). */
__kernel void linear(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                     const __global tt_weight *weights, const __global float *bias, const __global tt_elem *residual,
                     uint4 residual_at, __global tt_elem *out, uint4 out_at, uint4 shape, uint4 input, uint4 options,
                     uint4 plan)
{
    uint position = get_global_id(0) * PLAIN_POSITIONS;
    if (position >= shape.z)
        return;
    plain_job job = plain_make_job(position, shape, get_global_id(1), options.z);
    const __global tt_weight *panel = weights + (size_t)job.panel * input.y * 128;
    float4 low[PLAIN_POSITIONS], high[PLAIN_POSITIONS];
    plain_clear(low, high);
    plain_multiply(in, plain_units(&job, in_at), in_at.w, input.x, panel, 128, &job, low, high);
    if (input.y > input.x)
        plain_multiply(in2, plain_units(&job, in2_at), in2_at.w, input.y - input.x, panel + (size_t)input.x * 128, 128,
                       &job, low, high);

    plain_result result = {bias, in, (uint4)(0), residual, residual_at, out, out_at, shape.w, 0, options.x, options.y};
    plain_finish(&job, &result, options.z, low, high);
}

#endif
