/* bench-unet.c - time of one UNet pass and the share of each op.
 * usage: bench-unet MODEL [f32|f16|half|int8] [HEIGHT WIDTH] [BATCH] [PASSES] [RESIDENT_MB SLOTS]
 * Sizes are latent positions, 64 64 by default. With RESIDENT_MB and SLOTS weights are streamed: at most RESIDENT_MB of
 * matrices stay on the device, the others pass through SLOTS buffers. -1 MB: everything stays. */
#include "base/clock.h"
#include "cl-kernels/dot.h"
#include "device/program.h"
#include "graph/graph.h"
#include "pipeline/model.h"
#include "unet/unet-build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static int die(const tt_error *err)
{
    fprintf(stderr, "bench-unet: %s\n", err->text);
    return 1;
}

static void print_profile(tt_graph *graph, double total_ms)
{
    tt_profile_row *rows = NULL;
    size_t n = 0;
    tt_error err;
    if (tt_recorder_profile(tt_graph_recorder(graph), &rows, &n, &err) != TT_OK) {
        fprintf(stderr, "bench-unet: %s\n", err.text);
        return;
    }
    double flops = 0.0;
    printf("%-16s %8s %10s %10s %8s\n", "op", "launches", "ms", "GFLOP/s", "GB/s");
    for (size_t i = 0; i < n; i++) {
        printf("%-16s %8u %10.2f %10.1f %8.1f\n", rows[i].stem, rows[i].n_launches, rows[i].ms,
               rows[i].flops / rows[i].ms * 1e-6, rows[i].bytes / rows[i].ms * 1e-6);
        flops += rows[i].flops;
    }
    printf("whole pass: %.1f GFLOP in %.1f ms: %.1f GFLOP/s\n", flops * 1e-9, total_ms, flops / total_ms * 1e-6);
    free(rows);
}

/* Times `passes` replays and prints them; *best is the fastest. */
static tt_status time_passes(tt_graph *graph, tt_device *device, int passes, double *best, tt_error *err)
{
    tt_status status = tt_graph_run(graph, err); /* kernels are finished by the driver at their first launch */
    if (status == TT_OK)
        status = tt_device_finish(device, err);
    *best = 1e30;
    for (int i = 0; i < passes && status == TT_OK; i++) {
        double begun = tt_clock_ms();
        status = tt_graph_run(graph, err);
        if (status == TT_OK)
            status = tt_device_finish(device, err);
        double ms = tt_clock_ms() - begun;
        printf("pass %d: %.1f ms\n", i + 1, ms);
        *best = ms < *best ? ms : *best;
    }
    return status;
}

/* Which weights stay: bytes, and slots for the others. */
typedef struct limit {
    uint64_t resident_bytes;
    uint32_t n_slots;
} limit;

static void print_weights(const tt_weight_store *store)
{
    tt_weight_sizes sizes = tt_weight_store_sizes(store);
    printf("weights: %.1f MB stay, %.1f MB pass through %u slots of %.1f MB\n", (double)sizes.resident_bytes * 1e-6,
           (double)sizes.streamed_bytes * 1e-6, sizes.n_slots, (double)sizes.slot_bytes * 1e-6);
}

static void print_memory(const tt_device *device)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("device memory at its peak %.1f MB, resident memory of the process %.1f MB\n",
           (double)tt_device_peak_bytes(device) * 1e-6, (double)usage.ru_maxrss * 1024e-6);
}

static tt_status run(tt_model *model, tt_device *device, const tt_unet_shape *shape, limit weights, int passes,
                     tt_error *err)
{
    tt_kernels kernels = {.device = device,
                          .storage = model->is_half ? TT_STORAGE_F16 : TT_STORAGE_F32,
                          .family = tt_device_caps(device)->family,
                          .arithmetic = model->arithmetic};
    tt_weight_store *store = NULL;
    tt_graph *graph = NULL;
    double best = 0.0, begun = tt_clock_ms();
    tt_status status = tt_dot_probe(device, NULL, &kernels.dot, err);
    if (status == TT_OK)
        status = tt_weight_store_create(&kernels, model->unet_weights, &store, err);
    if (status == TT_OK) {
        tt_weight_store_set_limit(store, weights.resident_bytes, weights.n_slots);
        status = tt_graph_create(&kernels, "unet", store, &graph, err);
    }
    if (status == TT_OK) {
        tt_unet_build(graph, &model->unet_config, &model->unet_config, shape);
        status = tt_graph_compile(graph, err);
    }
    if (status == TT_OK) {
        print_weights(store);
        printf("planned, packed and recorded in %.0f ms: arena %.1f MB, %zu launches\n", tt_clock_ms() - begun,
               (double)tt_graph_arena_bytes(graph) * 1e-6, tt_graph_launches(graph));
        status = time_passes(graph, device, passes, &best, err);
    }
    if (status == TT_OK && tt_graph_recorder(graph))
        print_profile(graph, best);
    print_memory(device);
    tt_graph_destroy(graph);
    tt_weight_store_destroy(store);
    return status;
}

int main(int argc, char **argv)
{
    tt_error err;
    if (argc < 2) {
        fprintf(stderr,
                "usage: bench-unet MODEL [f32|f16|half|int8] [HEIGHT WIDTH] [BATCH] [PASSES] [RESIDENT_MB SLOTS]\n");
        return 2;
    }
    tt_unet_shape shape = {.batch = argc > 5 ? (uint32_t)atoi(argv[5]) : 1,
                           .height = argc > 4 ? (uint32_t)atoi(argv[3]) : 64,
                           .width = argc > 4 ? (uint32_t)atoi(argv[4]) : 64,
                           .n_tokens = 77};
    long resident = argc > 8 ? atol(argv[7]) : -1;
    limit weights = {resident < 0 ? UINT64_MAX : (uint64_t)resident * 1000000, argc > 8 ? (uint32_t)atoi(argv[8]) : 2};
    tt_device_options options = {.profiling = true};
    tt_device *device = NULL;
    if (tt_device_open(&options, &device, &err) != TT_OK)
        return die(&err);
    tt_device_set_sources(device, tt_kernel_source_text);
    tt_context *context = tt_context_create();
    tt_model_params params;
    tt_model *model = NULL;
    tt_model_params_default(&params);
    params.path = argv[1];
    params.precision = TT_PRECISION_F32;
    for (int i = TT_PRECISION_F32; argc > 2 && i <= TT_PRECISION_INT8; i++)
        if (strcmp(argv[2], tt_precision_name((tt_precision)i)) == 0)
            params.precision = (tt_precision)i;
    int rc = 1;
    if (!context || tt_model_load(context, &params, &model) != TT_OK)
        fprintf(stderr, "bench-unet: %s\n", context ? tt_context_message(context) : "memory is out");
    else if (run(model, device, &shape, weights, argc > 6 ? atoi(argv[6]) : 3, &err) != TT_OK)
        die(&err);
    else
        rc = 0;
    tt_model_destroy(model);
    tt_context_destroy(context);
    tt_device_close(device);
    return rc;
}
