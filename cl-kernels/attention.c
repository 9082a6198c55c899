/* attention.c - launcher of attention.cl. */
#include "cl-kernels/attention.h"

#include "base/checked.h"
#include "cl-kernels/attention-gpu.h"
#include "cl-kernels/launch.h"
#include "cl-kernels/tuning.h"

#include <math.h>
#include <stdio.h>

/* Register tiles: 8 keys (or channels) x 3 vectors of 16 queries fill 24 of 32 wide registers; 4 x 1 suit 16 registers
 * of 8 floats or 32 of 4. Keys of a block: scores, keys and values should stay in the first or second cache level. */
enum { WIDE_VECTORS = 3, WIDE_ROWS = 8, NARROW_VECTORS = 1, NARROW_ROWS = 4, VECTOR = 16 };
static const uint32_t tile_keys[] = {64, 128, 32};

/* Dot product units: most queries of a work item and most values of its sums, which should fit into the second cache
 * level; fewest queries; keys of a block. Sizes differ by factors of 4, since each is a program of its own. */
enum { DOT_QUERIES = 1024, DOT_SUMS = 131072, DOT_LEAST = 64, DOT_KEYS = 256 };

/* Output slices and lanes of a GPU work item. */
typedef struct plain_cut {
    uint32_t slices, lanes;
} plain_cut;
static const plain_cut plain_cuts[] = {{20, 32}, {20, 64}, {20, 128}, {20, 16}, {10, 32}, {10, 64}, {10, 16}};
enum { N_PLAIN_CUTS = sizeof(plain_cuts) / sizeof(plain_cuts[0]) };

static tt_status check(const tt_attention_args *args, tt_error *err)
{
    const tt_plane *q = &args->q, *k = &args->k, *v = &args->v, *out = &args->out;
    uint64_t channels = (uint64_t)args->n_heads * args->head_dim;
    if (channels == 0 || args->head_dim % 4 != 0 || channels != q->channels)
        return tt_kernels_fail_shape(err, "attention", "heads and their width do not make up the channels of", q);
    if (k->channels != channels || v->channels != channels || k->batch != q->batch)
        return tt_kernels_fail_shape(err, "attention", "keys differ from the queries in channels or batch", k);
    if (v->batch != k->batch || v->height != k->height || v->width != k->width)
        return tt_kernels_fail_shape(err, "attention", "values differ from the keys", v);
    if (out->channels != channels || out->batch != q->batch || out->height != q->height || out->width != q->width)
        return tt_kernels_fail_shape(err, "attention", "output differs from the queries", out);
    if (q->border != 0 || k->border != 0 || v->border != 0 || out->border != 0)
        return tt_kernels_fail_shape(err, "attention", "planes must have no border; output", out);
    return TT_OK;
}

/* Vectors of 16 queries in a register tile: as many as suit the registers, fewer where few queries would leave most
 * lanes empty. */
static uint32_t choose_vectors(uint32_t most, size_t n_queries)
{
    uint32_t best = most;
    for (uint32_t vectors = most; vectors > 1; vectors--) {
        size_t waste = tt_round_up(n_queries, (size_t)vectors * VECTOR);
        if (waste * 10 < tt_round_up(n_queries, (size_t)best * VECTOR) * 9)
            best = vectors;
    }
    return best;
}

/* Whether bfloat16 dot products do the work. */
static bool uses_dot(const tt_kernels *kernels)
{
    tt_dot_unit unit = kernels->dot.half;
    return kernels->family == TT_FAMILY_CPU_TILE && kernels->arithmetic != TT_ARITHMETIC_FLOAT &&
           (unit == TT_DOT_AMX || unit == TT_DOT_AVX512);
}

/* Asks the tuning for one of n variants with these names; type: what is multiplied. */
static size_t ask(const tt_kernels *kernels, const tt_attention_args *args, const char *type,
                  char names[][TT_TUNING_NAME], size_t n)
{
    char key[TT_TUNING_KEY];
    const char *list[TT_TUNING_NAMES], *storage = kernels->storage == TT_STORAGE_F16 ? "f16" : "f32";
    (void)snprintf(key, sizeof(key), "d%u h%u b%u q%u k%u%s %s %s", (unsigned)args->head_dim, (unsigned)args->n_heads,
                   (unsigned)args->q.batch, (unsigned)(args->q.height * args->q.width),
                   (unsigned)(args->k.height * args->k.width), args->causal ? " causal" : "", type, storage);
    for (size_t i = 0; i < n; i++)
        list[i] = names[i];
    return tt_tuning_choose(kernels, "attention", key, list, n);
}

/* Asks for a way of the phones' family: a cut of attention.cl, or *variant. With half products the variants come first
 * and "float" is the last way; else the cuts come first. */
static plain_cut choose_plain(const tt_kernels *kernels, const tt_attention_args *args,
                              const tt_attention_variant **variant)
{
    const tt_attention_variant *variants[TT_ATTENTION_MAX_VARIANTS];
    char names[N_PLAIN_CUTS + TT_ATTENTION_MAX_VARIANTS][TT_TUNING_NAME];
    bool is_half = tt_attention_gpu_is_half(kernels);
    size_t n = tt_attention_gpu_variants(kernels, args, variants), n_cuts = is_half ? 1 : N_PLAIN_CUTS;
    size_t first_cut = is_half ? n : 0, first_variant = is_half ? 0 : n_cuts;
    for (size_t i = 0; i < n_cuts; i++)
        (void)snprintf(names[first_cut + i], TT_TUNING_NAME, "c%ul%u", (unsigned)plain_cuts[i].slices,
                       (unsigned)plain_cuts[i].lanes);
    if (is_half)
        (void)snprintf(names[first_cut], TT_TUNING_NAME, "float");
    for (size_t i = 0; i < n; i++)
        (void)snprintf(names[first_variant + i], TT_TUNING_NAME, "%s", variants[i]->name);
    size_t chosen = ask(kernels, args, is_half ? "half" : "float", names, n_cuts + n);
    bool is_cut = chosen >= first_cut && chosen < first_cut + n_cuts;
    *variant = is_cut ? NULL : variants[chosen - first_variant];
    return plain_cuts[is_cut ? chosen - first_cut : 0];
}

static void plan_plain(const tt_attention_args *args, plain_cut cut, tt_launch *launch, char options[160])
{
    uint32_t slices = args->head_dim / 4, n_chunks = (slices + cut.slices - 1) / cut.slices;
    (void)snprintf(options, 160, "-DHEAD_SLICES=%u -DCHUNK_SLICES=%u", slices, (slices + n_chunks - 1) / n_chunks);
    launch->global[0] = tt_round_up((size_t)args->q.height * args->q.width, cut.lanes);
    launch->global[1] *= n_chunks;
    launch->local[0] = cut.lanes;
}

/* Vectors of queries, rows of keys and keys of a block: what suits the registers, then each with one thing changed. */
static tt_status plan_tiles(const tt_kernels *kernels, const tt_attention_args *args, tt_launch *launch,
                            char options[160], tt_error *err)
{
    enum { N_KEYS = sizeof(tile_keys) / sizeof(tile_keys[0]), MAX_CUTS = N_KEYS + WIDE_VECTORS - 1 };
    uint32_t cuts[MAX_CUTS][2]; /* vectors, keys */
    char names[MAX_CUTS][TT_TUNING_NAME];
    bool is_wide = false;
    tt_status status = tt_launch_wide_registers(kernels, &is_wide, err);
    if (status != TT_OK)
        return status;
    size_t n_queries = (size_t)args->q.height * args->q.width, n = 0;
    uint32_t most = is_wide ? WIDE_VECTORS : NARROW_VECTORS, best = choose_vectors(most, n_queries);
    int rows = is_wide ? WIDE_ROWS : NARROW_ROWS;
    for (size_t i = 0; i < N_KEYS; i++) {
        cuts[n][0] = best;
        cuts[n++][1] = tile_keys[i];
    }
    for (uint32_t vectors = 1; vectors <= most; vectors++)
        if (vectors != best) {
            cuts[n][0] = vectors;
            cuts[n++][1] = tile_keys[0];
        }
    for (size_t i = 0; i < n; i++)
        (void)snprintf(names[i], sizeof(names[i]), "v%ur%dk%u", (unsigned)cuts[i][0], rows, (unsigned)cuts[i][1]);
    const uint32_t *cut = cuts[ask(kernels, args, "float", names, n)];
    (void)snprintf(options, 160, "-DHEAD_SLICES=%u -DTILE_VECTORS=%u -DTILE_ROWS=%d -DTILE_KEYS=%u", args->head_dim / 4,
                   cut[0], rows, cut[1]);
    launch->global[0] = tt_ceil_div(n_queries, (size_t)cut[0] * VECTOR);
    return TT_OK;
}

/* Fills the launch's sizes and the build options, or *variant. */
static tt_status make_plan(const tt_kernels *kernels, const tt_attention_args *args, tt_launch *launch,
                           char options[160], const tt_attention_variant **variant, tt_error *err)
{
    *launch = (tt_launch){.stem = "attention", .n_dims = 3, .local = {1, 1, 1}};
    launch->global[1] = args->n_heads;
    launch->global[2] = args->q.batch;
    if (kernels->family == TT_FAMILY_CPU_TILE)
        return plan_tiles(kernels, args, launch, options, err);
    plan_plain(args, choose_plain(kernels, args, variant), launch, options);
    return TT_OK;
}

/* Queries of a work item. Keys are converted once per work item, so that items should be large, but there should be a
 * few for every core. */
static size_t choose_item(const tt_kernels *kernels, const tt_attention_args *args, size_t n_queries)
{
    size_t n_cores = tt_device_caps(kernels->device)->n_compute_units, item = DOT_QUERIES;
    size_t heads = (size_t)args->n_heads * args->q.batch;
    while (item > DOT_LEAST && (tt_ceil_div(n_queries, item) * heads < 4 * n_cores || item >= 2 * n_queries ||
                                item * args->head_dim > DOT_SUMS))
        item /= 4;
    return item;
}

/* The plan for bfloat16 dot products: queries of an item and keys of a block. */
static void make_dot_plan(const tt_kernels *kernels, const tt_attention_args *args, tt_launch *launch,
                          char options[160])
{
    enum { MAX_CUTS = 4 };
    size_t n_queries = (size_t)args->q.height * args->q.width, item = choose_item(kernels, args, n_queries);
    const size_t cuts[MAX_CUTS][2] = {
        {item, DOT_KEYS}, {item, DOT_KEYS / 2}, {item / 2, DOT_KEYS}, {item * 2, DOT_KEYS}};
    char names[MAX_CUTS][TT_TUNING_NAME];
    size_t n = item < n_queries && item * 2 * args->head_dim <= DOT_SUMS ? MAX_CUTS : MAX_CUTS - 1;
    for (size_t i = 0; i < n; i++)
        (void)snprintf(names[i], sizeof(names[i]), "q%uk%u", (unsigned)cuts[i][0], (unsigned)cuts[i][1]);
    const size_t *cut = cuts[ask(kernels, args, "half", names, n)];
    *launch = (tt_launch){.stem = "attention", .n_dims = 3, .local = {1, 1, 1}};
    launch->global[0] = tt_ceil_div(n_queries, cut[0]);
    launch->global[1] = args->n_heads;
    launch->global[2] = args->q.batch;
    (void)snprintf(options, 160, "-DHEAD_SLICES=%u -DTILE_QUERIES=%u -DTILE_KEYS=%u -DATTEND_AMX=%d",
                   args->head_dim / 4, (unsigned)cut[0], (unsigned)cut[1], kernels->dot.half == TT_DOT_AMX);
}

static void count_work(const tt_kernels *kernels, const tt_attention_args *args, tt_launch *launch)
{
    double n_keys = (double)args->k.height * args->k.width;
    launch->flops = 4.0 * (double)tt_plane_positions(&args->q) * args->q.channels * n_keys;
    if (args->causal)
        launch->flops *= 0.5;
    launch->bytes = 2 * tt_launch_plane_bytes(kernels, &args->q) + 2 * tt_launch_plane_bytes(kernels, &args->k);
}

tt_status tt_attention_finish(tt_launcher *launcher, const tt_attention_args *args, const tt_launch *launch,
                              tt_recorder *recorder)
{
    const tt_plane *planes[4] = {&args->q, &args->k, &args->v, &args->out};
    for (size_t i = 0; i < 4; i++) {
        tt_launcher_buffer(launcher, planes[i]->mem);
        tt_launcher_uint(launcher, planes[i]->offset);
    }
    tt_launcher_uint4(launcher, args->q.height * args->q.width, args->k.height * args->k.width, args->q.batch,
                      args->causal);
    tt_launcher_float(launcher, (float)(1.4426950408889634 / sqrt((double)args->head_dim)));
    return tt_launcher_record(launcher, launch, recorder);
}

tt_status tt_attention_record(const tt_kernels *kernels, const tt_attention_args *args, tt_recorder *recorder,
                              tt_error *err)
{
    char options[160];
    tt_launch launch;
    const tt_attention_variant *variant = NULL;
    bool is_dot = uses_dot(kernels);
    tt_status status = check(args, err);
    if (status == TT_OK && is_dot)
        make_dot_plan(kernels, args, &launch, options);
    else if (status == TT_OK)
        status = make_plan(kernels, args, &launch, options, &variant, err);
    if (status != TT_OK)
        return status;
    count_work(kernels, args, &launch);
    if (variant != NULL)
        return tt_attention_gpu_record(kernels, args, variant, &launch, recorder, err);
    tt_launcher launcher = tt_launcher_begin(kernels, is_dot ? "attention-dot.cl" : "attention.cl", options,
                                             is_dot ? "attention_dot" : "attention", err);
    return tt_attention_finish(&launcher, args, &launch, recorder);
}
