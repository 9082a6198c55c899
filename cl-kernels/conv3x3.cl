/* conv3x3.cl - 3x3 convolution over a bordered plane; weights packed as in matrix.h.
 *
 * *_at: geometries of the planes, see place.clh; that of the input starts at its border's corner;
 * shape: out width, out height, positions of out (batch * height * width), slices of out;
 * input: in width, in height, slices of in, panels of 32 outputs;
 * options: has per-image bias, has residual, activation, mode;
 * sections: places of high bits, d and scales, bytes of a panel (quantized weights);
 * coded: type, columns (quantized weights), where the weights begin in their memory in units of 256 bytes, 0;
 * plan: tiles and panels of a work item, slices of a block (register tiles only), whether the border of out is zeroed. */
#include "common.clh"
#include "place.clh"
#include "matrix-result.clh"
#include "conv3x3-taps.clh"

/* Unit of the input under a tap of an output place. */
static uint tap_unit(tt_geometry in, const conv_shape *conv, tt_place place, uint tap_y, uint tap_x)
{
    tt_place from = {tap_row(conv->mode, place.x, tap_x, conv->out_width, conv->in_width),
                     tap_row(conv->mode, place.y, tap_y, conv->out_height, conv->in_height), place.image};
    return tt_unit(in, from);
}

#if TT_CPU_TILE

#define TILE_TAPS 9
#if TT_WEIGHT_QUANT
#include "quant.clh"
#include "quant-tile.clh"
#endif
#include "tile-activate.clh"
#include "tile.clh"

/* Units of the job's positions at every tap; positions beyond the last one repeat it. */
static void locate(const tile_job *job, tt_geometry in, const conv_shape *conv, tile_source *source)
{
    tt_place place = tt_place_at(job->first_position, conv->out_width, conv->out_height);
    for (uint p = 0; p < job->n_tiles * TILE_POSITIONS; p++) {
        for (uint y = 0; y < 3; y++)
            for (uint x = 0; x < 3; x++)
                source->at[(y * 3 + x) * TILE_MAX_POSITIONS + p] = tap_unit(in, conv, place, y, x);
        if (p + 1 < job->n_positions)
            place = tt_place_after(place, conv->out_width, conv->out_height);
    }
    for (uint tile = 0; tile < job->n_tiles; tile++)
        source->is_run[tile] = tile_is_run(source->at + tile * TILE_POSITIONS);
    source->slice_units = in.slice;
}

__kernel void conv3x3(const __global tt_elem *in, uint4 in_at, const __global tt_weight *weights,
                      uint4 sections, uint4 coded, const __global float *bias, const __global tt_elem *image_bias, uint4 image_bias_at,
                      const __global tt_elem *residual, uint4 residual_at, __global tt_elem *out, uint4 out_at,
                      uint4 shape, uint4 input, uint4 options, uint4 plan)
{
    tile_job job = tile_make_job(shape.z, input.w, input.z, plan);
    conv_shape conv = make_conv_shape(shape, input, options.w);
    tile_source source;
    source.values = in;
    locate(&job, tt_make_geometry(in_at), &conv, &source);

    const matrix_result result =
        conv_result(bias, image_bias, image_bias_at, residual, residual_at, out, out_at, shape, options, plan.w);

    float x[TILE_MAX_TILES * TILE_BLOCK_ROWS * TILE_POSITIONS * 4];
    float16 sums[TILE_MAX_SUMS * TILE_POSITIONS * 2];
    tile_clear(&job, sums);
    const tile_matrix matrix = tile_make_matrix(weights, job.n_slices, sections, coded);
    for (uint s = 0; s < job.n_slices; s += job.block_slices) {
        uint n = min(job.block_slices, job.n_slices - s);
        tile_copy_slices(&source, s, n, job.n_tiles, x);
        tile_ahead ahead = tile_look_ahead(&job, &source, s + n);
        tile_multiply_block(&job, x, &matrix, s * 9, n * 9, &ahead, &result, sums);
    }
    tile_finish_job(&job, &result, sums);
}

#else

#define PLAIN_TAPS 9
#if TT_WEIGHT_QUANT
#include "quant.clh"
#include "quant-plain.clh"
#endif
#include "matrix-store.clh"
#include "plain.clh"

/* Work item: PLAIN_POSITIONS neighbouring positions (id 0) and 8 outputs (id 1). */
__kernel void conv3x3(const __global tt_elem *in, uint4 in_at, const __global tt_weight *weights,
                      uint4 sections, uint4 coded, const __global float *bias, const __global tt_elem *image_bias, uint4 image_bias_at,
                      const __global tt_elem *residual, uint4 residual_at, __global tt_elem *out, uint4 out_at,
                      uint4 shape, uint4 input, uint4 options, uint4 plan)
{
    const uint position = get_global_id(0) * PLAIN_POSITIONS, n_slices = input.z;
    if (position >= shape.z)
        return;
    plain_job job = plain_make_job(position, shape.x, shape.y, shape.z, get_global_id(1), 0);
    conv_shape conv = make_conv_shape(shape, input, options.w);
    const plain_matrix matrix = plain_make_matrix(weights, n_slices, sections, coded, &job);
    float4 low[PLAIN_POSITIONS], high[PLAIN_POSITIONS];
    plain_clear(low, high);
    for (uint y = 0; y < 3; y++)
        for (uint x = 0; x < 3; x++) {
            uint at[PLAIN_POSITIONS];
            for (uint p = 0; p < PLAIN_POSITIONS; p++)
                at[p] = tap_unit(tt_make_geometry(in_at), &conv, job.place[p], y, x);
            plain_multiply(in, at, in_at.w, n_slices, &matrix, 0, y * 3 + x, &job, low, high);
        }

    const matrix_result result =
        conv_result(bias, image_bias, image_bias_at, residual, residual_at, out, out_at, shape, options, plan.w);
    plain_finish(&job, &result, low, high);
}

#endif
