/* gpu-codes.cl - int8 codes of activations for gpu-tile.cl: at every position a scale of its own.
 *
 * Work-group: 16 positions (id 0) by GROUP_LANES / 16 shares of the slices (id 1), so that few positions keep a device busy
 * too. A position's scale is its largest magnitude / 127; codes are rounded to the nearest.
 *
 * *_at: geometries of the planes, see place.clh (with a border: from its corner on); codes: [slice][position] of four
 * codes; about: scale and sum of the codes of every position; shape: width and height as the codes have them (with the
 * border), positions, 0; input: slices of the first source, slices in all. */
#include "common.clh"
#include "place.clh"

#define GPU_SHARES (GROUP_LANES / 16)

/* Four channels at a position. */
static float4 read_slice(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                         tt_place place, uint slice, uint split)
{
    if (slice < split)
        return tt_load4(in, tt_unit(tt_make_geometry(in_at), place) + slice * in_at.w);
    return tt_load4(in2, tt_unit(tt_make_geometry(in2_at), place) + (slice - split) * in2_at.w);
}

__kernel void gpu_codes(const __global tt_elem *in, uint4 in_at, const __global tt_elem *in2, uint4 in2_at,
                        __global uint *codes, uint codes_at, __global float2 *about, uint about_at, uint4 shape,
                        uint2 input)
{
    __local float largest[16 * GPU_SHARES];
    __local int totals[16 * GPU_SHARES];
    const uint lane = get_local_id(0), share = get_local_id(1), own = share * 16 + lane;
    const uint position = min((uint)get_global_id(0), shape.z - 1);
    const tt_place place = tt_place_at(position, shape.x, shape.y);

    float4 top = (float4)(0.0f);
    for (uint slice = share; slice < input.y; slice += GPU_SHARES)
        top = max(top, fabs(read_slice(in, in_at, in2, in2_at, place, slice, input.x)));
    largest[own] = max(max(top.x, top.y), max(top.z, top.w));
    barrier(CLK_LOCAL_MEM_FENCE);
    float most = 0.0f;
    for (uint i = 0; i < GPU_SHARES; i++)
        most = max(most, largest[i * 16 + lane]);
    const float inverse = most > 0.0f ? 127.0f / most : 0.0f;

    const uint is_inside = get_global_id(0) < shape.z;
    int4 total = (int4)(0);
    for (uint slice = share; slice < input.y; slice += GPU_SHARES) {
        float4 v = read_slice(in, in_at, in2, in2_at, place, slice, input.x) * inverse;
        int4 code = convert_int4_rte(clamp(v, -127.0f, 127.0f));
        total += code;
        if (is_inside)
            codes[codes_at + slice * shape.z + position] = as_uint(convert_char4(code));
    }
    totals[own] = (total.x + total.y) + (total.z + total.w);
    barrier(CLK_LOCAL_MEM_FENCE);
    if (share == 0 && is_inside) {
        int sum = 0;
        for (uint i = 0; i < GPU_SHARES; i++)
            sum += totals[i * 16 + lane];
        about[about_at + position] = (float2)(most / 127.0f, (float)sum);
    }
}
