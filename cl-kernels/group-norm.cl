/* group-norm.cl - group normalisation in three kernels: statistics of chunks of positions, their combination into four
 * coefficients a channel, and their application.
 * Arguments as in group-norm.clh; LANES: work items of a work-group.
 *
 * Scratch: [chunk][image][slice] x {float4 mean - pivot, float4 M2}, then [image][slice] x {float4 pivot, float4 mean -
 * pivot, float4 scale / deviation, float4 shift}. */
#include "common.clh"
#if TT_CPU_TILE
#include "wide.clh"
#endif
#include "group-norm.clh"

/* The sum of a value over the work-group, the same bits in every lane. */
static float4 sum_lanes(float4 value, __local float4 *lanes)
{
#if LANES > 1
    barrier(CLK_LOCAL_MEM_FENCE);
    lanes[get_local_id(0)] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    value = lanes[0];
    for (uint i = 1; i < LANES; i++)
        value += lanes[i];
#endif
    return value;
}

/* Work-group: a chunk (id 0) of a slice of an image (id 1). */
__kernel void chunk_statistics(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                               uint4 shape, uint4 input, __global float *scratch, uint scratch_offset)
{
    __local float4 lanes[LANES];
    norm_source source = {in, in2, in_at, in2_at, input.x};
    uint chunk = get_group_id(0), plane = get_group_id(1), image = plane / shape.w, slice = plane - image * shape.w;
    uint row_units;
    const __global tt_elem *values = find_slice(&source, slice, image, &row_units);
    uint begin = chunk * input.w, end = min(begin + input.w, shape.x * shape.y), channel = slice * 4;
    float4 pivot =
        (float4)(find_pivot(&source, channel, image, input), find_pivot(&source, channel + 1, image, input),
                 find_pivot(&source, channel + 2, image, input), find_pivot(&source, channel + 3, image, input));

    float4 zero = (float4)(0.0f);
    float4 mean = sum_lanes(sum_positions(values, row_units, shape.x, begin, end, pivot, zero, false), lanes) /
                  (float)(end - begin);
    float4 squares = sum_lanes(sum_positions(values, row_units, shape.x, begin, end, pivot, mean, true), lanes);
    if (get_local_id(0) == 0) {
        size_t at = scratch_offset + (((size_t)chunk * shape.z + image) * shape.w + slice) * 8;
        vstore4(mean, 0, scratch + at);
        vstore4(squares, 0, scratch + at + 4);
    }
}

/* Work-group: a group of channels (id 0) of an image (id 1). */
__kernel void group_coefficients(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                                 uint4 shape, uint4 input, __global float *scratch, uint scratch_offset,
                                 uint n_chunks, const __global float *scale, const __global float *shift, float eps)
{
    __local float4 lanes[LANES];
    norm_source source = {in, in2, in_at, in2_at, input.x};
    uint first = get_group_id(0) * input.z, image = get_group_id(1), n_positions = shape.x * shape.y;
    uint lane = get_local_id(0), n_entries = input.z * n_chunks;
    size_t chunk_floats = (size_t)shape.z * shape.w * 8;
    const __global float *statistics = scratch + scratch_offset + (size_t)image * shape.w * 8;
    __global float *coefficients = scratch + scratch_offset + n_chunks * chunk_floats + (size_t)image * shape.w * 16;

    float count = (float)n_positions * (float)input.z, mean = 0.0f, squares = 0.0f;
    for (int pass = 0; pass < 2; pass++) {
        float4 sum = (float4)(0.0f);
        for (uint i = lane; i < n_entries; i += LANES) {
            uint chunk = i / input.z, channel = first + i - chunk * input.z;
            float n = (float)min(input.w, n_positions - chunk * input.w);
            const __global float *entry = statistics + chunk * chunk_floats + channel / 4 * 8 + (channel & 3);
            float d = entry[0] - mean;
            sum.x += n * d;
            sum.y += entry[4] + n * d * d;
        }
        sum = sum_lanes(sum, lanes);
        if (pass == 0)
            mean = sum.x / count;
        squares = sum.y;
    }
    float factor = 1.0f / sqrt(squares / count + eps), pivot = find_pivot(&source, first, image, input);
    for (uint channel = first + lane; channel < first + input.z; channel += LANES) {
        __global float *to = coefficients + channel / 4 * 16 + (channel & 3);
        to[0] = pivot;
        to[4] = mean;
        to[8] = factor * scale[channel];
        to[12] = shift[channel];
    }
    /* The last group clears the padding of the last slice: at most three channels, by one lane. */
    if (first + input.z != input.y || lane != 0)
        return;
    for (uint channel = input.y; channel < shape.w * 4; channel++) {
        __global float *to = coefficients + channel / 4 * 16 + (channel & 3);
        for (uint i = 0; i < 16; i += 4)
            to[i] = 0.0f;
    }
}

#if TT_CPU_TILE

/* Work item: rows of the output with its border (id 0) in a slice of an image (id 1). */
__kernel void apply_norm(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                         uint4 shape, uint4 input, const __global float *scratch, uint coefficients_offset,
                         __global tt_elem *out, uint4 out_at, uint4 options)
{
    norm_source source = {in, in2, in_at, in2_at, input.x};
    uint plane = get_global_id(1), image = plane / shape.w, slice = plane - image * shape.w, row_units;
    uint border = options.x, n_rows = shape.y + 2 * border, y0 = get_global_id(0) * options.z;
    const __global tt_elem *values = find_slice(&source, slice, image, &row_units);
    const __global float *c = scratch + coefficients_offset + ((size_t)image * shape.w + slice) * 16;
    float4 coefficients[4] = {vload4(0, c), vload4(1, c), vload4(2, c), vload4(3, c)};
    __global tt_elem *to = out + ((size_t)slice * out_at.w + out_at.x + (size_t)image * out_at.z) * 4;
    apply_rows(values, row_units, to, out_at.y, shape, border, y0, min(n_rows, y0 + options.z), coefficients,
               options.y != 0);
}

#else

/* Work item: a position of the output with its border (id 0) in a slice of an image (id 1). */
__kernel void apply_norm(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                         uint4 shape, uint4 input, const __global float *scratch, uint coefficients_offset,
                         __global tt_elem *out, uint4 out_at, uint4 options)
{
    norm_source source = {in, in2, in_at, in2_at, input.x};
    uint plane = get_global_id(1), image = plane / shape.w, slice = plane - image * shape.w, row_units;
    uint at = get_global_id(0);
    uint border = options.x, y = at / out_at.y, x = at - y * out_at.y;
    if (at >= out_at.z)
        return;
    __global tt_elem *to = out + ((size_t)slice * out_at.w + out_at.x + (size_t)image * out_at.z) * 4;
    float4 v = (float4)(0.0f);
    if (x >= border && x < shape.x + border && y >= border && y < shape.y + border) {
        const __global tt_elem *values = find_slice(&source, slice, image, &row_units);
        const __global float *c = scratch + coefficients_offset + ((size_t)image * shape.w + slice) * 16;
        v = tt_load4(values, (size_t)(y - border) * row_units + x - border);
        v = (v - vload4(0, c) - vload4(1, c)) * vload4(2, c) + vload4(3, c);
        v = tt_activate(v, options.y != 0 ? TT_ACT_SILU : TT_ACT_NONE);
    }
    tt_store4(v, to, at);
}

#endif
