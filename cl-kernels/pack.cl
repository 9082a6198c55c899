/* pack.cl - between plain float arrays and C4 planes.
 *
 * Work item: SEGMENT positions (id 0) of a row (id 1) of a slice (id 2). plane_at: geometry as in tt_launcher_plane;
 * shape: width, height, images, channels; strides: floats from one channel to the next and from one position to the
 * next; zeroes_border: whether pack zeroes the border of the plane. */
#include "common.clh"
#include "place.clh"

/* Index of channel 0 of the slice at the row's first position. */
static size_t array_index(uint4 shape, uint2 strides, uint row, uint slice)
{
    size_t image = row / shape.y, y = row - image * shape.y;
    return image * shape.w * shape.x * shape.y + (size_t)slice * 4 * strides.x + y * shape.x * strides.y;
}

static size_t plane_unit(uint4 at, uint4 shape, uint row, uint slice)
{
    size_t image = row / shape.y, y = row - image * shape.y;
    return (size_t)slice * at.w + at.x + y * at.y + image * at.z;
}

__kernel void pack(const __global float *array, uint array_offset, uint4 shape, uint2 strides,
                   __global tt_elem *plane, uint4 plane_at, uint zeroes_border)
{
    uint x0 = get_global_id(0) * SEGMENT, row = get_global_id(1), slice = get_global_id(2);
    uint n_channels = min(shape.w - slice * 4, 4u), end = min(shape.x, x0 + SEGMENT);
    size_t channel = strides.x;
    array += array_offset + array_index(shape, strides, row, slice);
    if (zeroes_border && x0 < end) {
        tt_place place = {x0, row % shape.y, row / shape.y};
        tt_zero_around_run(plane + (size_t)slice * plane_at.w * 4, tt_make_geometry(plane_at), place, end - x0,
                           shape.x, shape.y);
    }
    plane += plane_unit(plane_at, shape, row, slice) * 4;
    for (uint x = x0; x < end; x++) {
        const __global float *from = array + (size_t)x * strides.y;
        float4 v = (float4)(from[0], 0.0f, 0.0f, 0.0f);
        if (n_channels > 1)
            v.y = from[channel];
        if (n_channels > 2)
            v.z = from[2 * channel];
        if (n_channels > 3)
            v.w = from[3 * channel];
        tt_store4(v, plane, x);
    }
}

__kernel void unpack(__global float *array, uint array_offset, uint4 shape, uint2 strides,
                     const __global tt_elem *plane, uint4 plane_at, uint unused)
{
    uint x0 = get_global_id(0) * SEGMENT, row = get_global_id(1), slice = get_global_id(2);
    uint n_channels = min(shape.w - slice * 4, 4u), end = min(shape.x, x0 + SEGMENT);
    size_t channel = strides.x;
    array += array_offset + array_index(shape, strides, row, slice);
    plane += plane_unit(plane_at, shape, row, slice) * 4;
    for (uint x = x0; x < end; x++) {
        __global float *to = array + (size_t)x * strides.y;
        float4 v = tt_load4(plane, x);
        to[0] = v.x;
        if (n_channels > 1)
            to[channel] = v.y;
        if (n_channels > 2)
            to[2 * channel] = v.z;
        if (n_channels > 3)
            to[3 * channel] = v.w;
    }
}
