/* attention-gpu.cl - softmax(q k' / sqrt(d)) v per head for GPUs with half products or key tiles in local memory.
 *
 * Work item: a query (id 0), a head and a chunk of its channels (id 1), an image (id 2), as in attention-plain.clh. The
 * softmax and all sums that last are float; weights are powers of two. ATTENTION_HALF: products are half, summed in half
 * over 4 slices (scores) or 8 keys (values) and then added to float. ATTENTION_LOCAL: the work-group copies the keys and
 * values of 32 tokens at a time into local memory; nobody leaves early then.
 *
 * Planes are given by a buffer and their first unit; shape: queries, keys and images of the batch, and whether query i
 * sees keys 0..i only; scale: log2(e) / sqrt(d). The build options define HEAD_SLICES (channels of a head / 4),
 * CHUNK_SLICES (output slices of a work item) and GROUP_LANES. */
#include "common.clh"

#define TILE_KEYS 32
#define MASKED (-1e30f)

#if ATTENTION_HALF
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
typedef half4 product4;
#define KEY_GROUPS 2 /* of four keys that one rescaling of the outputs serves */
#define RUN_SLICES 4
#define KEEP_QUERY (HEAD_SLICES <= 40)
#else
typedef float4 product4;
#define KEY_GROUPS 1
#define RUN_SLICES HEAD_SLICES
#define KEEP_QUERY (HEAD_SLICES <= 24)
#endif

static product4 load_unit(const __global tt_elem *plane, size_t unit)
{
#if ATTENTION_HALF && TT_HALF
    return ((const __global half4 *)plane)[unit];
#elif ATTENTION_HALF
    return convert_half4(tt_load4(plane, unit));
#else
    return tt_load4(plane, unit);
#endif
}

/* ---- keys and values as the products read them ---- */

#if ATTENTION_LOCAL

/* [slice][TILE_KEYS] */
typedef const __local product4 *tile;

static void copy_tile(const __global tt_elem *plane, size_t slice_units, uint n_slices, uint first, uint last,
                      __local product4 *to)
{
    for (uint i = get_local_id(0); i < n_slices * TILE_KEYS; i += GROUP_LANES) {
        uint slice = i / TILE_KEYS, key = min(first + i % TILE_KEYS, last);
        to[i] = load_unit(plane, slice * slice_units + key);
    }
}

/* The unit of a slice at a token; `at` counts from the tile's first. */
static product4 tile_unit(tile from, size_t slice_units, uint slice, uint at)
{
    return from[slice * TILE_KEYS + at];
}

#else

typedef const __global tt_elem *tile;

static product4 tile_unit(tile from, size_t slice_units, uint slice, uint at)
{
    return load_unit(from, slice * slice_units + at);
}

#endif

static float sum_lanes(product4 v)
{
#if ATTENTION_HALF
    float4 f = convert_float4(v);
    return (f.x + f.y) + (f.z + f.w);
#else
    return (v.x + v.y) + (v.z + v.w);
#endif
}

/* Scores of four keys. */
static float4 score_keys(tile keys, uint4 at, size_t key_units, const __global tt_elem *q, size_t query_at,
                         size_t query_units, const product4 *query)
{
    float4 scores = (float4)(0.0f);
    for (uint first = 0; first < HEAD_SLICES; first += RUN_SLICES) {
        product4 a = (product4)(0), b = a, c = a, d = a;
        for (uint s = first; s < min((uint)HEAD_SLICES, first + RUN_SLICES); s++) {
#if KEEP_QUERY
            const product4 x = query[s];
#else
            const product4 x = load_unit(q, query_at + s * query_units);
#endif
            a += x * tile_unit(keys, key_units, s, at.x);
            b += x * tile_unit(keys, key_units, s, at.y);
            c += x * tile_unit(keys, key_units, s, at.z);
            d += x * tile_unit(keys, key_units, s, at.w);
        }
        scores += (float4)(sum_lanes(a), sum_lanes(b), sum_lanes(c), sum_lanes(d));
    }
    return scores;
}

#if ATTENTION_HALF
#define to_weights convert_half4
#define to_float4 convert_float4
#else
#define to_weights
#define to_float4
#endif

/* A query's share of the softmax. */
typedef struct softmax {
    float top, sum;
} softmax;

/* Adds KEY_GROUPS groups of four keys from token `first` on to the outputs. base: the token that tiles count from; keys
 * beyond `last` count for nothing. */
static softmax add_keys(softmax so_far, tile keys, tile values, uint first, uint base, uint last, size_t key_units,
                        uint n_slices, float scale, const __global tt_elem *q, size_t query_at, size_t query_units,
                        const product4 *query, float4 *output)
{
    float4 scores[KEY_GROUPS];
    uint4 at[KEY_GROUPS];
    float largest = so_far.top;
#pragma unroll
    for (uint g = 0; g < KEY_GROUPS; g++) {
        const uint4 tokens = (uint4)(first + g * 4) + (uint4)(0, 1, 2, 3);
        at[g] = min(tokens, (uint4)(last)) - (uint4)(base);
        scores[g] = score_keys(keys, at[g], key_units, q, query_at, query_units, query) * scale;
        scores[g] = select(scores[g], (float4)(MASKED), tokens > (uint4)(last));
        largest = max(largest, max(max(scores[g].x, scores[g].y), max(scores[g].z, scores[g].w)));
    }
    const float shrink = exp2(so_far.top - largest);
    softmax next = {largest, so_far.sum * shrink};
    product4 weights[KEY_GROUPS];
#pragma unroll
    for (uint g = 0; g < KEY_GROUPS; g++) {
        const float4 w = exp2(scores[g] - largest);
        next.sum += (w.x + w.y) + (w.z + w.w);
        weights[g] = to_weights(w);
    }
    for (uint s = 0; s < n_slices; s++) {
        product4 add = (product4)(0);
#pragma unroll
        for (uint g = 0; g < KEY_GROUPS; g++) {
            add += weights[g].x * tile_unit(values, key_units, s, at[g].x);
            add += weights[g].y * tile_unit(values, key_units, s, at[g].y);
            add += weights[g].z * tile_unit(values, key_units, s, at[g].z);
            add += weights[g].w * tile_unit(values, key_units, s, at[g].w);
        }
        output[s] = output[s] * shrink + to_float4(add);
    }
    return next;
}

#define N_CHUNKS ((HEAD_SLICES + CHUNK_SLICES - 1) / CHUNK_SLICES)

__kernel void attention_gpu(const __global tt_elem *q, uint q_offset, const __global tt_elem *k, uint k_offset,
                            const __global tt_elem *v, uint v_offset, __global tt_elem *out, uint out_offset,
                            uint4 shape, float scale)
{
#if ATTENTION_LOCAL
    __local product4 key_tile[HEAD_SLICES * TILE_KEYS], value_tile[CHUNK_SLICES * TILE_KEYS];
#endif
    const uint n_keys = shape.y, image = get_global_id(2), at = min((uint)get_global_id(0), shape.x - 1);
    const uint part = get_global_id(1), head = part / N_CHUNKS, chunk = (part - head * N_CHUNKS) * CHUNK_SLICES;
    const uint n_slices = min((uint)(HEAD_SLICES - chunk), (uint)CHUNK_SLICES);
    const size_t query_units = (size_t)shape.x * shape.z, key_units = (size_t)n_keys * shape.z;
    size_t query_at = (size_t)head * HEAD_SLICES * query_units + (size_t)image * shape.x + at;
    const size_t key_at = (size_t)head * HEAD_SLICES * key_units + (size_t)image * n_keys;
    k += (k_offset + key_at) * 4;
    v += (v_offset + key_at + chunk * key_units) * 4;
    out += (out_offset + query_at + chunk * query_units) * 4;
    query_at += q_offset;

    product4 query[KEEP_QUERY ? HEAD_SLICES : 1];
#if KEEP_QUERY
    for (uint s = 0; s < HEAD_SLICES; s++)
        query[s] = load_unit(q, query_at + s * query_units);
#endif
    float4 output[CHUNK_SLICES];
    for (uint s = 0; s < CHUNK_SLICES; s++)
        output[s] = (float4)(0.0f);
    softmax state = {MASKED, 0.0f};
    const uint last = shape.w != 0 ? min(n_keys - 1, at) : n_keys - 1;
#if ATTENTION_LOCAL
    const uint group_end = (uint)get_group_id(0) * GROUP_LANES + GROUP_LANES;
    const uint n_tiled = shape.w != 0 ? min(n_keys, group_end) : n_keys;
    for (uint first = 0; first < n_tiled; first += TILE_KEYS) {
        barrier(CLK_LOCAL_MEM_FENCE);
        copy_tile(k, key_units, HEAD_SLICES, first, n_keys - 1, key_tile);
        copy_tile(v, key_units, n_slices, first, n_keys - 1, value_tile);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint key = first; key <= last && key < first + TILE_KEYS; key += 4 * KEY_GROUPS)
            state = add_keys(state, key_tile, value_tile, key, first, last, key_units, n_slices, scale, q, query_at,
                             query_units, query, output);
    }
#else
    for (uint key = 0; key <= last; key += 4 * KEY_GROUPS)
        state = add_keys(state, k, v, key, 0, last, key_units, n_slices, scale, q, query_at, query_units, query,
                         output);
#endif
    if (get_global_id(0) < shape.x)
        for (uint s = 0; s < n_slices; s++)
            tt_store4(output[s] / state.sum, out, s * query_units);
}
