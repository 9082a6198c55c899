/* attention.c - launcher of attention.cl. */
#include "cl-kernels/attention.h"

#include "base/checked.h"
#include "cl-kernels/attention-gpu.h"
#include "cl-kernels/launch.h"

#include <math.h>
#include <stdio.h>

/* Register tiles: 8 keys (or channels) x 3 vectors of 16 queries fill 24 of 32 wide registers; 4 x 1 suit 16 registers
 * of 8 floats or 32 of 4. Keys of a block: scores, keys and values should stay in the first or second cache level. */
enum { WIDE_VECTORS = 3, WIDE_ROWS = 8, NARROW_VECTORS = 1, NARROW_ROWS = 4, VECTOR = 16, BLOCK_KEYS = 64 };

/* Output slices and lanes of a GPU work item. */
enum { CHUNK_SLICES = 20, GPU_LANES = 32 };

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

/* Fills the launch's sizes and the build options. */
static tt_status make_plan(const tt_kernels *kernels, const tt_attention_args *args, tt_launch *launch,
                           char options[160], tt_error *err)
{
    size_t n_queries = (size_t)args->q.height * args->q.width;
    uint32_t slices = args->head_dim / 4;
    *launch = (tt_launch){.stem = "attention", .n_dims = 3, .local = {1, 1, 1}};
    launch->global[1] = args->n_heads;
    launch->global[2] = args->q.batch;
    if (kernels->family != TT_FAMILY_CPU_TILE) {
        uint32_t n_chunks = (slices + CHUNK_SLICES - 1) / CHUNK_SLICES;
        (void)snprintf(options, 160, "-DHEAD_SLICES=%u -DCHUNK_SLICES=%u", slices, (slices + n_chunks - 1) / n_chunks);
        launch->global[0] = tt_round_up(n_queries, GPU_LANES);
        launch->global[1] *= n_chunks;
        launch->local[0] = GPU_LANES;
        return TT_OK;
    }
    bool is_wide = false;
    tt_status status = tt_launch_wide_registers(kernels, &is_wide, err);
    uint32_t vectors = choose_vectors(is_wide ? WIDE_VECTORS : NARROW_VECTORS, n_queries);
    (void)snprintf(options, 160, "-DHEAD_SLICES=%u -DTILE_VECTORS=%u -DTILE_ROWS=%d -DTILE_KEYS=%d", slices, vectors,
                   is_wide ? WIDE_ROWS : NARROW_ROWS, BLOCK_KEYS);
    launch->global[0] = tt_ceil_div(n_queries, (size_t)vectors * VECTOR);
    return status;
}

static void count_work(const tt_kernels *kernels, const tt_attention_args *args, tt_launch *launch)
{
    double n_keys = (double)args->k.height * args->k.width;
    launch->flops = 4.0 * (double)tt_plane_positions(&args->q) * args->q.channels * n_keys;
    if (args->causal)
        launch->flops *= 0.5;
    launch->bytes = 2 * tt_launch_plane_bytes(kernels, &args->q) + 2 * tt_launch_plane_bytes(kernels, &args->k);
}

tt_status tt_attention_finish(tt_launcher *launcher, const tt_attention_args *args, tt_launch *launch,
                              tt_recorder *recorder)
{
    const tt_plane *planes[4] = {&args->q, &args->k, &args->v, &args->out};
    count_work(launcher->kernels, args, launch);
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
    tt_status status = check(args, err);
    if (status == TT_OK && kernels->family == TT_FAMILY_GPU_PLAIN) {
        const tt_attention_variant *variant = tt_attention_gpu_choose(kernels, args);
        if (variant != NULL)
            return tt_attention_gpu_record(kernels, args, variant, recorder, err);
    }
    if (status == TT_OK)
        status = make_plan(kernels, args, &launch, options, err);
    if (status != TT_OK)
        return status;
    tt_launcher launcher = tt_launcher_begin(kernels, "attention.cl", options, "attention", err);
    return tt_attention_finish(&launcher, args, &launch, recorder);
}
