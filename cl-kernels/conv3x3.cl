/* conv3x3.cl - 3x3 convolution over a bordered plane; weights packed as in matrix.h.
 *
 * in_at: geometry of the bordered input (unit of its corner pixel); other geometries (*_at) as in place.clh;
 * shape: out width, out height, positions of out (batch * height * width), slices of out;
 * input: in width, in height, slices of in, panels of 32 outputs;
 * options: has per-image bias, has residual, activation, mode. */
#include "common.clh"
#include "place.clh"

#if TT_CPU_TILE

#define TILE_TAPS 9
#include "tile.clh"

/* Units of the job's positions at every tap; positions beyond the last one repeat it. */
static void locate(const tile_job *job, uint4 geometry, uint4 shape, uint4 input, uint mode, tile_source *source)
{
    uint3 place = tt_place(job->first_position, shape.x, shape.y);
    for (uint p = 0; p < job->n_tiles * TILE_POSITIONS; p++) {
        for (uint tap_y = 0; tap_y < 3; tap_y++)
            for (uint tap_x = 0; tap_x < 3; tap_x++) {
                uint y = tt_tap_row(mode, place.y, tap_y, shape.y, input.y);
                uint x = tt_tap_row(mode, place.x, tap_x, shape.x, input.x);
                source->at[(tap_y * 3 + tap_x) * TILE_MAX_POSITIONS + p] = tt_unit(geometry, (uint3)(x, y, place.z));
            }
        if (p + 1 < job->n_positions)
            place = tt_next_place(place, shape.x, shape.y);
    }
    for (uint tile = 0; tile < job->n_tiles; tile++)
        source->is_run[tile] = tile_is_run(source->at + tile * TILE_POSITIONS);
    source->slice_units = geometry.w;
}

/* plan: tiles and panels of a work item, slices of a block. */
__kernel void conv3x3(const __global tt_elem *in, uint4 in_at, const __global tt_weight *weights,
                      const __global float *bias, const __global tt_elem *image_bias, uint4 image_bias_at,
                      const __global tt_elem *residual, uint4 residual_at, __global tt_elem *out, uint4 out_at,
                      uint4 shape, uint4 input, uint4 options, uint4 plan)
{
    tile_job job = tile_make_job(shape.z, input.w, input.z, plan);
    tile_source source;
    source.values = in;
    locate(&job, in_at, shape, input, options.w, &source);

    tile_result result = {bias,    image_bias, image_bias_at, residual,        residual_at,     out,   out_at,
                          shape.w, shape.x,    shape.y,       options.x != 0u, options.y != 0u, false, options.z};
    float x[TILE_MAX_TILES * TILE_BLOCK_ROWS * TILE_POSITIONS * 4];
    float16 sums[TILE_MAX_SUMS * TILE_POSITIONS * 2];
    const __global tt_weight *panel = weights + (size_t)job.first_panel * job.n_slices * 9 * 128;
    for (uint s = 0; s < job.n_slices; s += job.block_slices) {
        uint n = min(job.block_slices, job.n_slices - s);
        tile_copy_slices(&source, s, n, job.n_tiles, x);
        tile_ahead ahead = tile_look_ahead(&job, &source, s + n, panel + (size_t)(s + n) * 9 * 128);
        tile_multiply_block(&job, x, panel + (size_t)s * 9 * 128, n * 9, s == 0, &ahead, &result, sums);
    }
    tile_finish_job(&job, &result, sums);
}

#else

#include "plain.clh"

/* Units of the job's positions at one tap. */
static uint4 tap_units(const plain_job *job, uint4 geometry, uint4 shape, uint4 input, uint mode, uint tap_y,
                       uint tap_x)
{
    uint at[PLAIN_POSITIONS];
    for (uint p = 0; p < PLAIN_POSITIONS; p++) {
        uint y = tt_tap_row(mode, job->place[p].y, tap_y, shape.y, input.y);
        uint x = tt_tap_row(mode, job->place[p].x, tap_x, shape.x, input.x);
        at[p] = tt_unit(geometry, (uint3)(x, y, job->place[p].z));
    }
    return (uint4)(at[0], at[1], at[2], at[3]);
}

/* Work item: PLAIN_POSITIONS neighbouring positions (id 0) and 8 outputs (id 1). */
__kernel void conv3x3(const __global tt_elem *in, uint4 in_at, const __global tt_weight *weights,
                      const __global float *bias, const __global tt_elem *image_bias, uint4 image_bias_at,
                      const __global tt_elem *residual, uint4 residual_at, __global tt_elem *out, uint4 out_at,
                      uint4 shape, uint4 input, uint4 options, uint4 plan)
{
    uint position = get_global_id(0) * PLAIN_POSITIONS;
    if (position >= shape.z)
        return;
    plain_job job = plain_make_job(position, shape, get_global_id(1), 0);
    const __global tt_weight *panel = weights + (size_t)job.panel * input.z * 9 * 128;
    float4 low[PLAIN_POSITIONS], high[PLAIN_POSITIONS];
    plain_clear(low, high);
    for (uint y = 0; y < 3; y++)
        for (uint x = 0; x < 3; x++)
            plain_multiply(in, tap_units(&job, in_at, shape, input, options.w, y, x), in_at.w, input.z,
                           panel + (y * 3 + x) * 128, 9 * 128, &job, low, high);

    plain_result result = {bias,   image_bias, image_bias_at, residual,  residual_at, out,
                           out_at, shape.w,    options.x,     options.y, options.z};
    plain_finish(&job, &result, 0, low, high);
}

#endif
