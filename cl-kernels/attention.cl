/* attention.cl - softmax(q k' / sqrt(d)) v per head with an online softmax (FlashAttention, arXiv 2205.14135).
 *
 * Planes are given by a buffer and their first unit; shape: queries, keys and images of the batch, and whether query i
 * sees keys 0..i only; scale: log2(e) / sqrt(d), so that weights are powers of two. */
#include "common.clh"

#if TT_CPU_TILE

#include "wide.clh"
#include "attention-tile.clh"

/* Work item: TILE_QUERIES queries (id 0) of a head (id 1) and image (id 2). */
__kernel void attention(const __global tt_elem *q, uint q_offset, const __global tt_elem *k, uint k_offset,
                        const __global tt_elem *v, uint v_offset, __global tt_elem *out, uint out_offset,
                        uint4 shape, float scale)
{
    uint n_keys = shape.y, image = get_global_id(2), first = get_global_id(0) * TILE_QUERIES;
    uint n_queries = min(shape.x - first, (uint)TILE_QUERIES);
    bool is_causal = shape.w != 0;
    size_t query_units = (size_t)shape.x * shape.z, key_units = (size_t)n_keys * shape.z;
    size_t query_at = get_global_id(1) * HEAD_SLICES * query_units + (size_t)image * shape.x + first;
    size_t key_at = get_global_id(1) * HEAD_SLICES * key_units + (size_t)image * n_keys;

    float queries[HEAD_SLICES * 4 * TILE_QUERIES] __attribute__((aligned(64)));
    float outputs[HEAD_SLICES * 4 * TILE_QUERIES] __attribute__((aligned(64)));
    float block[HEAD_SLICES * 4 * TILE_KEYS] __attribute__((aligned(64)));
    float scores[TILE_KEYS * TILE_QUERIES] __attribute__((aligned(64)));
    float16 top[TILE_VECTORS], sum[TILE_VECTORS], shrink[TILE_VECTORS];
    int16 last[TILE_VECTORS];

    tile_load_queries(q + (q_offset + query_at) * 4, query_units, n_queries, queries);
    for (uint i = 0; i < HEAD_SLICES * 4 * TILE_VECTORS; i++)
        vstore16((float16)(0.0f), 0, outputs + i * 16);
    for (uint i = 0; i < TILE_VECTORS; i++) {
        top[i] = (float16)(TILE_MASKED);
        sum[i] = (float16)(0.0f);
        last[i] = (int)(first + i * 16) + (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        last[i] = is_causal && last[i] < (int)n_keys ? last[i] : (int16)((int)n_keys - 1);
    }
    uint n_visible = is_causal ? min(n_keys, first + n_queries) : n_keys;
    for (uint key = 0; key < n_visible; key += TILE_KEYS) {
        uint n = min(n_visible - key, (uint)TILE_KEYS), n_rows = (n + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
        tile_copy_keys(k + (k_offset + key_at + key) * 4, key_units, n, block);
        for (uint j = 0; j < n_rows; j += TILE_ROWS)
            tile_scores(queries, block + j * 4, scores + j * TILE_QUERIES);
        if (n < n_rows || (is_causal && key + n > first + 1))
            tile_mask(scores, key, n_rows, last);
        tile_softmax(scores, n, scale, top, sum, shrink);
        tile_copy_keys(v + (v_offset + key_at + key) * 4, key_units, n, block);
        tile_add_values(scores, block, n, shrink, outputs);
    }
    for (uint i = 0; i < TILE_VECTORS; i++)
        sum[i] = 1.0f / sum[i];
    tile_store_outputs(outputs, sum, n_queries, query_units, out + (out_offset + query_at) * 4);
}

#else

#include "attention-plain.clh"

#define PLAIN_CHUNKS ((HEAD_SLICES + CHUNK_SLICES - 1) / CHUNK_SLICES)

/* Work item: a query (id 0), a head and a chunk of its channels (id 1), an image (id 2). */
__kernel void attention(const __global tt_elem *q, uint q_offset, const __global tt_elem *k, uint k_offset,
                        const __global tt_elem *v, uint v_offset, __global tt_elem *out, uint out_offset, uint4 shape,
                        float scale)
{
    uint n_keys = shape.y, image = get_global_id(2), at = get_global_id(0);
    if (at >= shape.x)
        return;
    uint part = get_global_id(1), head = part / PLAIN_CHUNKS, chunk = (part - head * PLAIN_CHUNKS) * CHUNK_SLICES;
    uint n_slices = min((uint)(HEAD_SLICES - chunk), (uint)CHUNK_SLICES);
    size_t query_units = (size_t)shape.x * shape.z, key_units = (size_t)n_keys * shape.z;
    size_t query_at = (size_t)head * HEAD_SLICES * query_units + (size_t)image * shape.x + at;
    size_t key_at = (size_t)head * HEAD_SLICES * key_units + (size_t)image * n_keys;
    k += (k_offset + key_at) * 4;
    v += (v_offset + key_at + chunk * key_units) * 4;
    out += (out_offset + query_at + chunk * query_units) * 4;
    query_at += q_offset;

    float4 query[PLAIN_KEEP_QUERY ? HEAD_SLICES : 1], output[CHUNK_SLICES];
#if PLAIN_KEEP_QUERY
    for (uint s = 0; s < HEAD_SLICES; s++)
        query[s] = tt_load4(q, query_at + s * query_units);
#endif
    for (uint s = 0; s < CHUNK_SLICES; s++)
        output[s] = (float4)(0.0f);
    float top = PLAIN_MASKED, sum = 0.0f;
    uint n_visible = shape.w != 0 ? min(n_keys, at + 1) : n_keys;
    for (uint key = 0; key < n_visible; key += PLAIN_KEYS) {
        uint last = n_visible - 1;
        uint4 keys = min((uint4)(key, key + 1, key + 2, key + 3), (uint4)(last));
        float4 score = plain_scores(k, keys, key_units, q, query_at, query_units, query) * scale;
        score.y = key + 1 <= last ? score.y : PLAIN_MASKED;
        score.z = key + 2 <= last ? score.z : PLAIN_MASKED;
        score.w = key + 3 <= last ? score.w : PLAIN_MASKED;
        float largest = max(max(max(score.x, score.y), max(score.z, score.w)), top);
        float shrink = exp2(top - largest);
        float4 w = exp2(score - largest);
        top = largest;
        sum = sum * shrink + ((w.x + w.y) + (w.z + w.w));
        for (uint s = 0; s < n_slices; s++) {
            const __global tt_elem *slice = v + s * key_units * 4;
            float4 add = w.x * tt_load4(slice, keys.x) + w.y * tt_load4(slice, keys.y) +
                         w.z * tt_load4(slice, keys.z) + w.w * tt_load4(slice, keys.w);
            output[s] = output[s] * shrink + add;
        }
    }
    for (uint s = 0; s < n_slices; s++)
        tt_store4(output[s] / sum, out, s * query_units);
}

#endif
