/* take.cl - image i of out = position index[i] of in.
 *
 * Work item: SLICES slices (id 0) of an image of out (id 1). Geometries as in tt_launcher_plane; shape: slices,
 * positions of in. */
#include "common.clh"

__kernel void take(const __global tt_elem *in, uint4 in_at, const __global float *index, uint index_offset,
                   __global tt_elem *out, uint4 out_at, uint2 shape)
{
    uint first = get_global_id(0) * SLICES, image = get_global_id(1);
    uint position = min((uint)max(index[index_offset + image], 0.0f), shape.y - 1);
    for (uint slice = first; slice < min(first + SLICES, shape.x); slice++)
        tt_store4(tt_load4(in, in_at.x + position + (size_t)slice * in_at.w), out,
                  out_at.x + image * out_at.z + (size_t)slice * out_at.w);
}
