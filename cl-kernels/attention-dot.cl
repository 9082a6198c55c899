/* attention-dot.cl - attention.cl with bfloat16 dot products, for CPUs that have such instructions. */
#include "common.clh"
#include "wide.clh"

#if ATTEND_AMX
#define ATTEND_TARGET __attribute__((target("amx-bf16,amx-tile,avx512f,avx512bw,avx512vl,avx512bf16")))
#else
#define ATTEND_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#endif

#include "attention-dot.clh"
#if ATTEND_AMX
#include "attention-amx.clh"
#else
#include "attention-avx512.clh"
#endif

/* A group of 32 queries at its work: what it sees and its part of the sums. */
typedef struct attend_group {
    short *queries;
    float *outputs; /* [ATTEND_CHANNELS][32][16] */
    float *base;    /* [ATTEND_GROUP_BASE]: 256 * (80 - m) */
    int last[32];   /* the last visible key of every query, counted from the block's first */
} attend_group;

/* Ends the scores of step i, 32 keys of the block, and masks them. */
ATTEND_TARGET static void group_end_scores(const attend_group *group, const short *keys, uint i, float *scores)
{
    attend_end_scores(group->queries, keys + i * (ATTEND_DEPTH * 1024), group->base, scores);
    if (group->last[0] < (int)i * 32 + 31)
        attend_mask(scores, group->last, (int)i * 32);
}

/* Makes m the largest score so far, looking through a block. */
ATTEND_TARGET static void group_raise(attend_group *group, const short *keys, uint n_steps, bool is_first)
{
    float scores[1024] __attribute__((aligned(64)));
    float16 largest[32];
    for (uint j = 0; j < 32; j++)
        largest[j] = (float16)(ATTEND_MASKED);
    attend_hold_queries(group->queries);
    for (uint i = 0; i < n_steps; i++) {
        attend_begin_scores(group->queries, keys + i * (ATTEND_DEPTH * 1024), group->base);
        group_end_scores(group, keys, i, scores);
        for (uint j = 0; j < 32; j++) {
            const float *row = scores + j / 16 * 512 + j % 16 * 16;
            float16 a = vload16(0, row), b = vload16(16, row);
            a = a > b ? a : b;
            largest[j] = a > largest[j] ? a : largest[j];
        }
    }
    for (uint j = 0; j < 32; j++) {
        float8 a = max(largest[j].lo, largest[j].hi);
        float4 b = max(a.lo, a.hi);
        float rise = max(max(b.x, b.y), max(b.z, b.w)) - ATTEND_ONE;
        rise = is_first ? rise : max(rise, 0.0f);
        attend_set_base(group->base, group->queries, j, group->base[j * ATTEND_BASE_STEP] - rise);
        float16 shrink = wide_exp2((float16)(is_first ? 0.0f : rise * (-1.0f / 256.0f)));
        for (uint c = 0; c < ATTEND_CHANNELS; c++)
            vstore16(vload16(c * 32 + j, group->outputs) * shrink, c * 32 + j, group->outputs);
    }
}

/* Makes the weights of a block; false when m does not suit some query. The products of a step begin before the weights
 * of the step before and are stored behind them, so that both units of the processor have work. */
ATTEND_TARGET static bool group_weights(const attend_group *group, const short *keys, uint n_steps, short *weights)
{
    float scores[1024] __attribute__((aligned(64)));
    ushort32 largest = (ushort32)(0);
    attend_hold_queries(group->queries);
    attend_begin_scores(group->queries, keys, group->base);
    group_end_scores(group, keys, 0, scores);
    for (uint i = 0; i < n_steps; i++) {
        bool has_next = i + 1 < n_steps;
        if (has_next)
            attend_begin_scores(group->queries, keys + (i + 1) * (ATTEND_DEPTH * 1024), group->base);
        largest = attend_weights(scores, weights + i * 1024, largest);
        largest = attend_weights(scores + 512, weights + i * 1024 + 512, largest);
        if (has_next)
            group_end_scores(group, keys, i + 1, scores);
    }
    return attend_fits(largest);
}

/* Adds a block to a group's sums. */
ATTEND_TARGET static void group_add_block(attend_group *group, const short *keys, const short *values, uint n_steps,
                                          bool is_first)
{
    short weights[TILE_KEYS * 32] __attribute__((aligned(64)));
    bool fits = group_weights(group, keys, n_steps, weights);
    if (fits) {
        attend_add_values(weights, values, n_steps, group->outputs);
        fits = !is_first || attend_sums_fit(group->outputs);
    }
    if (fits)
        return;
    for (uint i = 0; i < ATTEND_GROUP_OUTPUTS && is_first; i += 16)
        vstore16((float16)(0.0f), 0, group->outputs + i);
    group_raise(group, keys, n_steps, is_first);
    (void)group_weights(group, keys, n_steps, weights);
    attend_add_values(weights, values, n_steps, group->outputs);
}

/* Everything of a work item: n_queries queries of a head from `first` on. The planes begin at the head, q and out at
 * the first query. */
ATTEND_TARGET __attribute__((noinline)) static void
attend_item(const __global tt_elem *q, const __global tt_elem *k, const __global tt_elem *v, __global tt_elem *out,
            size_t query_units, size_t key_units, uint first, uint n_queries, uint n_keys, bool is_causal, float scale)
{
    short queries[TILE_QUERIES / 32 * ATTEND_GROUP_QUERIES] __attribute__((aligned(64)));
    float outputs[TILE_QUERIES / 32 * ATTEND_GROUP_OUTPUTS] __attribute__((aligned(64)));
    float base[TILE_QUERIES / 32 * ATTEND_GROUP_BASE] __attribute__((aligned(64)));
    short keys[TILE_KEYS / 16 * ATTEND_DEPTH * 512] __attribute__((aligned(64)));
    short values[TILE_KEYS / 32 * ATTEND_CHANNELS * 512] __attribute__((aligned(64)));
    uint n_groups = (n_queries + 31) / 32, n_visible = is_causal ? min(n_keys, first + n_queries) : n_keys;
    attend_begin();
    for (uint i = 0; i < n_groups; i++)
        attend_load_queries(q + i * 128, query_units, n_queries - i * 32, scale, queries + i * ATTEND_GROUP_QUERIES);
    for (uint i = 0; i < n_groups * ATTEND_GROUP_OUTPUTS; i += 16)
        vstore16((float16)(0.0f), 0, outputs + i);
    for (uint i = 0; i < n_groups * 32; i++)
        attend_set_base(base + i / 32 * ATTEND_GROUP_BASE, queries + i / 32 * ATTEND_GROUP_QUERIES, i % 32, ATTEND_ONE);
    attend_clear_keys(keys);
    for (uint key = 0; key < n_visible; key += TILE_KEYS) {
        uint n = min(n_visible - key, (uint)TILE_KEYS);
        attend_load_keys(k + key * 4, key_units, n, keys);
        attend_load_values(v + key * 4, key_units, n, values);
        for (uint i = 0; i < n_groups; i++) {
            attend_group group = {queries + i * ATTEND_GROUP_QUERIES,
                                  outputs + i * ATTEND_GROUP_OUTPUTS,
                                  base + i * ATTEND_GROUP_BASE,
                                  {0}};
            uint query = first + i * 32;
            for (uint j = 0; j < 32; j++)
                group.last[j] = (int)(is_causal ? min(query + j, n_visible - 1) : n_visible - 1) - (int)key;
            if (group.last[31] >= 0)
                group_add_block(&group, keys, values, min((uint)group.last[31] / 32 + 1, (n + 31) / 32), key == 0);
        }
    }
    for (uint i = 0; i < n_groups; i++)
        attend_store_outputs(outputs + i * ATTEND_GROUP_OUTPUTS, min(n_queries - i * 32, 32u), query_units,
                             out + i * 128);
    attend_end();
}

/* Arguments as in attention.cl. Work item: TILE_QUERIES queries (id 0) of a head (id 1) and image (id 2). */
__kernel void attention_dot(const __global tt_elem *q, uint q_offset, const __global tt_elem *k, uint k_offset,
                            const __global tt_elem *v, uint v_offset, __global tt_elem *out, uint out_offset,
                            uint4 shape, float scale)
{
    uint n_keys = shape.y, image = get_global_id(2), first = get_global_id(0) * TILE_QUERIES;
    size_t query_units = (size_t)shape.x * shape.z, key_units = (size_t)n_keys * shape.z;
    size_t query_at = get_global_id(1) * HEAD_SLICES * query_units + (size_t)image * shape.x + first;
    size_t key_at = get_global_id(1) * HEAD_SLICES * key_units + (size_t)image * n_keys;
    attend_item(q + (q_offset + query_at) * 4, k + (k_offset + key_at) * 4, v + (v_offset + key_at) * 4,
                out + (out_offset + query_at) * 4, query_units, key_units, first,
                min(shape.x - first, (uint)TILE_QUERIES), n_keys, shape.w != 0, scale * 256.0f);
}
