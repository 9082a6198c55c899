/* elementwise.cl - out = act(a * scale + b * scale2 + offset).
 *
 * Work item: SEGMENT positions (id 0) of a row (id 1) of a slice (id 2). Geometries as in tt_launcher_plane. shape:
 * width, height, images, channels; factors: scale, scale2, offset, 0; options: has b, activation, whether the border of out is
 * zeroed, 0. */
#include "common.clh"
#include "place.clh"
#if TT_CPU_TILE
#include "wide.clh"
#endif

__kernel void elementwise(const __global tt_elem *a, uint4 a_at, const __global tt_elem *b, uint4 b_at,
                          __global tt_elem *out, uint4 out_at, uint4 shape, float4 factors, uint4 options)
{
    uint x0 = get_global_id(0) * SEGMENT, row = get_global_id(1), image = row / shape.y, y = row - image * shape.y;
    uint slice = get_global_id(2), n_channels = shape.w - slice * 4, end = min(shape.x, x0 + SEGMENT);
    /* Padding channels stay zero: every activation maps zero to zero. */
    float4 offset = factors.z * (float4)(1.0f, n_channels > 1 ? 1.0f : 0.0f, n_channels > 2 ? 1.0f : 0.0f,
                                         n_channels > 3 ? 1.0f : 0.0f);
    a += ((size_t)slice * a_at.w + a_at.x + y * a_at.y + (size_t)image * a_at.z) * 4;
    b += ((size_t)slice * b_at.w + b_at.x + y * b_at.y + (size_t)image * b_at.z) * 4;
    if (options.z && x0 < end) {
        tt_place place = {x0, y, image};
        tt_zero_around_run(out + (size_t)slice * out_at.w * 4, tt_make_geometry(out_at), place, end - x0, shape.x,
                           shape.y);
    }
    out += ((size_t)slice * out_at.w + out_at.x + y * out_at.y + (size_t)image * out_at.z) * 4;
#if TT_CPU_TILE
    for (uint x = x0; x < end; x += 4) {
        uint n = min(end - x, 4u);
        float16 v = wide_load_some(a, x, n) * factors.x + wide_repeat4(offset);
        if (options.x != 0)
            v += wide_load_some(b, x, n) * factors.y;
        wide_store_some(tt_activate16(v, (int)options.y), out, x, n);
    }
#else
    for (uint x = x0; x < end; x++) {
        float4 v = tt_load4(a, x) * factors.x + offset;
        if (options.x != 0)
            v += tt_load4(b, x) * factors.y;
        tt_store4(tt_activate(v, (int)options.y), out, x);
    }
#endif
}
