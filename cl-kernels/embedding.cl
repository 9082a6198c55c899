/* embedding.cl - row ids[t] of the token table plus row t of the position table.
 *
 * Work item: a token (id 0) of a slice (id 1) of an image (id 2). Tables are [row][width] of float, or of half where
 * TOKENS_HALF or POSITIONS_HALF is 1. out_at: geometry as in tt_launcher_plane; shape: tokens, width of a row. */
#include "common.clh"

#if TOKENS_HALF
typedef half token_value;
#define LOAD_TOKEN(p, i) vload_half(i, p)
#else
typedef float token_value;
#define LOAD_TOKEN(p, i) (p)[i]
#endif

#if POSITIONS_HALF
typedef half position_value;
#define LOAD_POSITION(p, i) vload_half(i, p)
#else
typedef float position_value;
#define LOAD_POSITION(p, i) (p)[i]
#endif

__kernel void embedding(const __global int *ids, uint ids_offset, const __global token_value *tokens,
                        const __global position_value *positions, __global tt_elem *out, uint4 out_at, uint2 shape)
{
    uint token = get_global_id(0), slice = get_global_id(1), image = get_global_id(2);
    if (token >= shape.x)
        return;
    size_t id = (size_t)ids[ids_offset + (size_t)image * shape.x + token], first = slice * 4;
    size_t n = min(shape.y - slice * 4, 4u);
    const __global token_value *a = tokens + id * shape.y + first;
    const __global position_value *b = positions + (size_t)token * shape.y + first;
    float4 v = (float4)(LOAD_TOKEN(a, 0) + LOAD_POSITION(b, 0), 0.0f, 0.0f, 0.0f);
    if (n > 1)
        v.y = LOAD_TOKEN(a, 1) + LOAD_POSITION(b, 1);
    if (n > 2)
        v.z = LOAD_TOKEN(a, 2) + LOAD_POSITION(b, 2);
    if (n > 3)
        v.w = LOAD_TOKEN(a, 3) + LOAD_POSITION(b, 3);
    tt_store4(v, out, (size_t)slice * out_at.w + out_at.x + token + (size_t)image * out_at.z);
}
