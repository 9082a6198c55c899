/* attention-gpu.c - launcher of attention-gpu.cl and the table of its variants. */
#include "cl-kernels/attention-gpu.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>

/* Most lanes of a work-group; output slices of an item whose sums are float and whose query is half or float; keys of a
 * tile in local memory. */
enum { LANES = 64, CHUNK_SLICES = 20, TILE_KEYS = 32 };

static const tt_attention_variant table[] = {{"half-local", true, true}, {"half", true, false}, {"local", false, true}};

enum { N_TABLE = sizeof(table) / sizeof(table[0]) };

static uint32_t slices_of(const tt_attention_args *args)
{
    return args->head_dim / 4;
}

/* Slices of one of equal chunks. */
static uint32_t chunk_of(uint32_t slices)
{
    uint32_t n_chunks = (slices + CHUNK_SLICES - 1) / CHUNK_SLICES;
    return (slices + n_chunks - 1) / n_chunks;
}

bool tt_attention_gpu_is_half(const tt_kernels *kernels)
{
    return kernels->arithmetic != TT_ARITHMETIC_FLOAT && kernels->dot.half == TT_DOT_GPU_FP16;
}

static bool can_run(const tt_kernels *kernels, const tt_attention_args *args, const tt_attention_variant *variant)
{
    uint32_t slices = slices_of(args);
    uint64_t unit = variant->is_half ? 8 : 16, tile = (slices + chunk_of(slices)) * (uint64_t)TILE_KEYS * unit;
    if (variant->is_local && tile > tt_device_caps(kernels->device)->local_bytes)
        return false;
    return !variant->is_half || tt_attention_gpu_is_half(kernels);
}

size_t tt_attention_gpu_variants(const tt_kernels *kernels, const tt_attention_args *args,
                                 const tt_attention_variant *variants[TT_ATTENTION_MAX_VARIANTS])
{
    /* Local memory pays where it is memory of its own. Untested on phones. */
    const char *first = tt_device_caps(kernels->device)->has_local_memory ? "half-local" : "half";
    size_t n = 0;
    for (size_t i = 0; i < N_TABLE; i++) {
        if (!can_run(kernels, args, &table[i]))
            continue;
        variants[n++] = &table[i];
        if (strcmp(table[i].name, first) == 0) {
            variants[n - 1] = variants[0];
            variants[0] = &table[i];
        }
    }
    return n;
}

tt_status tt_attention_gpu_record(const tt_kernels *kernels, const tt_attention_args *args,
                                  const tt_attention_variant *variant, const tt_launch *work, tt_recorder *recorder,
                                  tt_error *err)
{
    uint32_t slices = slices_of(args), chunk = chunk_of(slices);
    char options[160];
    (void)snprintf(options, sizeof(options),
                   "-DHEAD_SLICES=%u -DCHUNK_SLICES=%u -DATTENTION_HALF=%d -DATTENTION_LOCAL=%d", slices, chunk,
                   variant->is_half, variant->is_local);
    size_t lanes = LANES;
    tt_launcher launcher = tt_launcher_begin_group(kernels, "attention-gpu.cl", options, "attention_gpu", &lanes, err);
    tt_launch launch = *work;
    launch.stem = "attention";
    launch.n_dims = 3;
    launch.local[0] = lanes;
    launch.local[1] = launch.local[2] = 1;
    launch.global[0] = tt_round_up((size_t)args->q.height * args->q.width, lanes);
    launch.global[1] = (size_t)args->n_heads * ((slices + chunk - 1) / chunk);
    launch.global[2] = args->q.batch;
    return tt_attention_finish(&launcher, args, &launch, recorder);
}
