/* group-norm-whole.cl - group normalisation in one kernel.
 *
 * A bunch is the fewest groups whose channels fill whole slices: four groups at most. A work item (CPU) or a work-group
 * of LANES items (GPU) takes a bunch of one image, sums its statistics and writes its results, so that the values that
 * are read a second time are still in a cache near by.
 *
 * Arguments as in group-norm.clh; out_at begins at the border's corner; options: border of out, whether SiLU follows,
 * slices of a bunch, 0. */
#include "common.clh"
#if TT_CPU_TILE
#include "wide.clh"
#endif
#include "group-norm.clh"

/* The share of a work item or work-group. */
typedef struct norm_bunch {
    uint image, first_slice, n_slices;
    uint first_channel, n_channels, n_groups; /* without padding */
} norm_bunch;

static norm_bunch make_bunch(uint index, uint image, uint4 shape, uint4 input, uint slices)
{
    norm_bunch bunch;
    bunch.image = image;
    bunch.first_slice = index * slices;
    bunch.n_slices = min(slices, shape.w - bunch.first_slice);
    bunch.first_channel = bunch.first_slice * 4;
    bunch.n_channels = min(bunch.n_slices * 4, input.y - bunch.first_channel);
    bunch.n_groups = bunch.n_channels / input.z;
    return bunch;
}

#if TT_CPU_TILE

/* What is known of a group; mean is relative to the pivot. */
typedef struct norm_group {
    float pivot, count, mean, squares, factor;
} norm_group;

/* Adds a channel's share of a chunk of n positions. */
static void add_to_group(norm_group *group, float n, float mean, float squares)
{
    float count = group->count + n, distance = mean - group->mean;
    group->squares += squares + distance * distance * (group->count * n / count);
    group->mean += distance * (n / count);
    group->count = count;
}

/* Adds one slice, whose first channel is counted from the bunch's, to its groups. */
static void sum_slice(const __global tt_elem *values, uint row_units, uint4 shape, uint4 input, uint channel,
                      const norm_bunch *bunch, norm_group *groups)
{
    uint n_positions = shape.x * shape.y, width = row_units == shape.x ? n_positions : shape.x;
    uint n_channels = min(bunch->n_channels - channel, 4u);
    float pivots[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (uint c = 0; c < n_channels; c++)
        pivots[c] = groups[(channel + c) / input.z].pivot;
    float4 pivot = vload4(0, pivots), zero = (float4)(0.0f);
    for (uint begin = 0; begin < n_positions; begin += input.w) {
        uint end = min(begin + input.w, n_positions);
        float mean[4], squares[4], n = (float)(end - begin);
        float4 m = sum_positions(values, row_units, width, begin, end, pivot, zero, false) / n;
        vstore4(m, 0, mean);
        vstore4(sum_positions(values, row_units, width, begin, end, pivot, m, true), 0, squares);
        for (uint c = 0; c < n_channels; c++)
            add_to_group(&groups[(channel + c) / input.z], n, mean[c], squares[c]);
    }
}

/* Coefficients of one slice for apply_rows; zeros for padding. */
static void find_coefficients(const norm_bunch *bunch, uint channel, uint group_channels, const norm_group *groups,
                              const __global float *scale, const __global float *shift, float4 *coefficients)
{
    float values[16];
    for (uint i = 0; i < 16; i++)
        values[i] = 0.0f;
    for (uint c = 0; c < min(bunch->n_channels - channel, 4u); c++) {
        const norm_group *group = &groups[(channel + c) / group_channels];
        values[c] = group->pivot;
        values[4 + c] = group->mean;
        values[8 + c] = group->factor * scale[bunch->first_channel + channel + c];
        values[12 + c] = shift[bunch->first_channel + channel + c];
    }
    for (uint i = 0; i < 4; i++)
        coefficients[i] = vload4(i, values);
}

/* Work item: a bunch (id 0) of an image (id 1). */
__kernel void normalise_bunch(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                              uint4 shape, uint4 input, const __global float *scale, const __global float *shift,
                              float eps, __global tt_elem *out, uint4 out_at, uint4 options)
{
    norm_source source = {in, in2, in_at, in2_at, input.x};
    norm_bunch bunch = make_bunch(get_global_id(0), get_global_id(1), shape, input, options.z);
    norm_group groups[4];
    uint row_units;
    for (uint g = 0; g < bunch.n_groups; g++) {
        groups[g].pivot = find_pivot(&source, bunch.first_channel + g * input.z, bunch.image, input);
        groups[g].count = groups[g].mean = groups[g].squares = 0.0f;
    }
    for (uint s = 0; s < bunch.n_slices; s++) {
        const __global tt_elem *values = find_slice(&source, bunch.first_slice + s, bunch.image, &row_units);
        sum_slice(values, row_units, shape, input, s * 4, &bunch, groups);
    }
    for (uint g = 0; g < bunch.n_groups; g++)
        groups[g].factor = 1.0f / sqrt(groups[g].squares / groups[g].count + eps);
    for (uint s = 0; s < bunch.n_slices; s++) {
        uint slice = bunch.first_slice + s;
        const __global tt_elem *values = find_slice(&source, slice, bunch.image, &row_units);
        __global tt_elem *to = out + ((size_t)slice * out_at.w + out_at.x + (size_t)bunch.image * out_at.z) * 4;
        float4 coefficients[4];
        find_coefficients(&bunch, s * 4, input.z, groups, scale, shift, coefficients);
        apply_rows(values, row_units, to, out_at.y, shape, options.x, 0, shape.y + 2 * options.x, coefficients,
                   options.y != 0);
    }
}

#else

/* Positions that a lane walks: every LANES-th. */
static float lane_count(uint lane, uint n_positions)
{
    return (float)((n_positions + LANES - 1 - lane) / LANES);
}

/* Mean (relative to the pivot) and M2 of a lane's positions in the channels first .. first + input.z - 1: of each slice
 * as Welford does, then over the group's channels, which all count alike. */
static float2 sum_lane(const norm_source *source, uint image, uint first, float pivot, uint4 shape, uint4 input)
{
    uint lane = get_local_id(0), n_positions = shape.x * shape.y, row_units;
    float mean = 0.0f, squares = 0.0f, n_channels = 0.0f, n_lane = lane_count(lane, n_positions);
    for (uint slice = first / 4; slice * 4 < first + input.z; slice++) {
        const __global tt_elem *values = find_slice(source, slice, image, &row_units);
        float4 m = (float4)(0.0f), q = (float4)(0.0f);
        float n = 0.0f;
        for (uint i = lane; i < n_positions; i += LANES) {
            uint y = i / shape.x, x = i - y * shape.x;
            float4 v = tt_load4(values, (size_t)y * row_units + x) - pivot, distance = v - m;
            n += 1.0f;
            m += distance / n;
            q += distance * (v - m);
        }
        float channel_mean[4] = {m.x, m.y, m.z, m.w}, channel_squares[4] = {q.x, q.y, q.z, q.w};
        for (uint c = 0; c < 4; c++) {
            if (slice * 4 + c < first || slice * 4 + c >= first + input.z)
                continue;
            float distance = channel_mean[c] - mean;
            n_channels += 1.0f;
            mean += distance / n_channels;
            squares += channel_squares[c] + distance * distance * (n_lane * (n_channels - 1.0f) / n_channels);
        }
    }
    return (float2)(mean, squares);
}

/* Two disjoint sums {count, mean, M2, 0} as one. */
static float4 join_sums(float4 a, float4 b)
{
    float n = a.x + b.x, distance = b.y - a.y;
    if (b.x == 0.0f)
        return a;
    return (float4)(n, a.y + distance * (b.x / n), a.z + b.z + distance * distance * (a.x * b.x / n), 0.0f);
}

/* Combines the lanes' sums of a group pair by pair: the same result in every lane. Ends with all lanes done reading. */
static float4 combine_lanes(float2 own, uint n_positions, uint n_channels, __local float4 *lanes)
{
    uint lane = get_local_id(0);
    lanes[lane] = (float4)(lane_count(lane, n_positions) * (float)n_channels, own.x, own.y, 0.0f);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint half_lanes = LANES / 2; half_lanes > 0; half_lanes /= 2) {
        if (lane < half_lanes)
            lanes[lane] = join_sums(lanes[lane], lanes[lane + half_lanes]);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    float4 sums = lanes[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    return sums;
}

/* The coefficients of a channel: pivot, mean - pivot, scale / deviation, shift; zeros for padding. */
static float4 channel_coefficients(const norm_bunch *bunch, uint channel, uint group_channels,
                                   const __local float4 *groups, const __global float *scale,
                                   const __global float *shift)
{
    uint inside = channel - bunch->first_channel;
    if (inside >= bunch->n_channels)
        return (float4)(0.0f);
    float4 group = groups[inside / group_channels];
    return (float4)(group.x, group.y, group.z * scale[channel], shift[channel]);
}

/* Work-group: a bunch (id 0) of an image (id 1). */
__kernel void normalise_bunch(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                              uint4 shape, uint4 input, const __global float *scale, const __global float *shift,
                              float eps, __global tt_elem *out, uint4 out_at, uint4 options)
{
    __local float4 lanes[LANES];
    __local float4 groups[4]; /* pivot, mean - pivot, 1 / deviation */
    norm_source source = {in, in2, in_at, in2_at, input.x};
    norm_bunch bunch = make_bunch(get_group_id(0), get_group_id(1), shape, input, options.z);
    uint n_positions = shape.x * shape.y, row_units;
    for (uint g = 0; g < bunch.n_groups; g++) {
        uint first = bunch.first_channel + g * input.z;
        float pivot = find_pivot(&source, first, bunch.image, input);
        float4 sums = combine_lanes(sum_lane(&source, bunch.image, first, pivot, shape, input), n_positions, input.z,
                                    lanes);
        if (get_local_id(0) == 0)
            groups[g] = (float4)(pivot, sums.y, 1.0f / sqrt(sums.z / sums.x + eps), 0.0f);
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    uint border = options.x;
    for (uint slice = bunch.first_slice; slice < bunch.first_slice + bunch.n_slices; slice++) {
        const __global tt_elem *values = find_slice(&source, slice, bunch.image, &row_units);
        __global tt_elem *to = out + ((size_t)slice * out_at.w + out_at.x + (size_t)bunch.image * out_at.z) * 4;
        float4 a = channel_coefficients(&bunch, slice * 4, input.z, groups, scale, shift);
        float4 b = channel_coefficients(&bunch, slice * 4 + 1, input.z, groups, scale, shift);
        float4 c = channel_coefficients(&bunch, slice * 4 + 2, input.z, groups, scale, shift);
        float4 d = channel_coefficients(&bunch, slice * 4 + 3, input.z, groups, scale, shift);
        float4 pivot = (float4)(a.x, b.x, c.x, d.x), mean = (float4)(a.y, b.y, c.y, d.y);
        float4 factor = (float4)(a.z, b.z, c.z, d.z), offset = (float4)(a.w, b.w, c.w, d.w);
        for (uint at = get_local_id(0); at < out_at.z; at += LANES) {
            uint y = at / out_at.y, x = at - y * out_at.y;
            float4 v = (float4)(0.0f);
            if (x >= border && x < shape.x + border && y >= border && y < shape.y + border) {
                v = tt_load4(values, (size_t)(y - border) * row_units + x - border);
                v = tt_activate((v - pivot - mean) * factor + offset, options.y != 0 ? TT_ACT_SILU : TT_ACT_NONE);
            }
            tt_store4(v, to, at);
        }
    }
}

#endif
