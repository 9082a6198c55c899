/* bench-vae.c - time of one decoded picture and the share of each op and launch of the decoder.
 * usage: bench-vae MODEL [f32|f16|half|int8] [HEIGHT WIDTH] [PASSES]
 * Sizes are pixels, 512 512 by default. int8 here means every layer that can, whatever a model's own choice is. */
#include "base/clock.h"
#include "cl-kernels/dot.h"
#include "device/program.h"
#include "graph/graph.h"
#include "pipeline/model.h"
#include "vae/vae-build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int die(const tt_error *err)
{
    fprintf(stderr, "bench-vae: %s\n", err->text);
    return 1;
}

/* Best time of each launch by itself. */
static tt_status time_launches(tt_recorder *list, tt_device *device, double *best, tt_error *err)
{
    size_t n = tt_recorder_count(list);
    tt_status status = TT_OK;
    for (size_t i = 0; i < n && status == TT_OK; i++) {
        double begun = tt_clock_ms();
        status = tt_recorder_replay_range(list, i, i + 1, NULL, NULL, err);
        if (status == TT_OK)
            status = tt_device_finish(device, err);
        double ms = tt_clock_ms() - begun;
        best[i] = ms < best[i] ? ms : best[i];
    }
    return status;
}

static void print_launches(const tt_recorder *list, const double *ms)
{
    printf("%4s %-16s %10s %10s %8s\n", "", "launch", "ms", "GFLOP/s", "GB/s");
    for (size_t i = 0; i < tt_recorder_count(list); i++) {
        const tt_launch *launch = tt_recorder_launch(list, i);
        printf("%4zu %-16s %10.2f %10.1f %8.1f\n", i, launch->stem, ms[i], launch->flops / ms[i] * 1e-6,
               launch->bytes / ms[i] * 1e-6);
    }
}

/* Sums of the launches of a stem that was not printed before. */
static void print_stem(const tt_recorder *list, const double *ms, size_t first)
{
    const char *stem = tt_recorder_launch(list, first)->stem;
    double time = 0.0, flops = 0.0, bytes = 0.0;
    unsigned n_launches = 0;
    for (size_t i = 0; i < tt_recorder_count(list); i++) {
        const tt_launch *launch = tt_recorder_launch(list, i);
        if (strcmp(launch->stem, stem) != 0)
            continue;
        if (i < first)
            return;
        n_launches++;
        time += ms[i];
        flops += launch->flops;
        bytes += launch->bytes;
    }
    printf("%-16s %8u %10.2f %10.1f %8.1f\n", stem, n_launches, time, flops / time * 1e-6, bytes / time * 1e-6);
}

static tt_status print_profile(tt_graph *graph, tt_device *device, int passes, tt_error *err)
{
    tt_recorder *list = tt_graph_recorder(graph);
    size_t n = tt_recorder_count(list);
    double *ms = malloc((n + 1) * sizeof *ms);
    if (!ms)
        return tt_fail_memory(err, "times", n * sizeof *ms);
    for (size_t i = 0; i < n; i++)
        ms[i] = 1e30;
    tt_status status = TT_OK;
    for (int pass = 0; pass < passes && status == TT_OK; pass++)
        status = time_launches(list, device, ms, err);
    if (status == TT_OK) {
        print_launches(list, ms);
        printf("%-16s %8s %10s %10s %8s\n", "op", "launches", "ms", "GFLOP/s", "GB/s");
        for (size_t i = 0; i < n; i++)
            print_stem(list, ms, i);
    }
    free(ms);
    return status;
}

/* Times `passes` replays and prints them; *best is the fastest. */
static tt_status time_passes(tt_graph *graph, tt_device *device, int passes, tt_error *err)
{
    double flops, bytes, best = 1e30;
    tt_status status = TT_OK;
    for (int i = -1; i < passes && status == TT_OK;
         i++) { /* kernels are finished by the driver at their first launch */
        double begun = tt_clock_ms();
        status = tt_graph_run(graph, err);
        if (status == TT_OK)
            status = tt_device_finish(device, err);
        double ms = tt_clock_ms() - begun;
        if (i < 0)
            continue;
        printf("pass %d: %.1f ms\n", i + 1, ms);
        best = ms < best ? ms : best;
    }
    tt_recorder_work(tt_graph_recorder(graph), &flops, &bytes);
    printf("whole picture: %.1f GFLOP in %.1f ms: %.1f GFLOP/s\n", flops * 1e-9, best, flops / best * 1e-6);
    return status;
}

/* Noise like a latent's. */
static tt_status write_latent(tt_graph *graph, size_t n, tt_error *err)
{
    float *latent = malloc(n * sizeof *latent);
    if (!latent)
        return tt_fail_memory(err, "a latent", n * sizeof *latent);
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        latent[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
    }
    tt_status status = tt_graph_write(graph, "latent", latent, n, err);
    free(latent);
    return status;
}

static tt_status run(const tt_model *model, tt_device *device, uint32_t height, uint32_t width, int passes,
                     tt_error *err)
{
    const tt_vae_config *config = &model->vae_config;
    tt_kernels kernels = {.device = device,
                          .storage = model->is_half ? TT_STORAGE_F16 : TT_STORAGE_F32,
                          .family = tt_device_caps(device)->family,
                          .arithmetic = model->arithmetic};
    tt_weight_store *store = NULL;
    tt_graph *graph = NULL;
    double begun = tt_clock_ms();
    height /= config->factor;
    width /= config->factor;
    tt_status status = tt_dot_probe(device, NULL, &kernels.dot, err);
    if (status == TT_OK)
        status = tt_weight_store_create(&kernels, model->vae_weights, &store, err);
    if (status == TT_OK)
        status = tt_graph_create(&kernels, "vae decoder", store, &graph, err);
    if (status == TT_OK) {
        if (config->kind == TT_VAE_KL)
            tt_vae_build_kl_decoder(graph, config, height, width);
        else
            tt_vae_build_tiny_decoder(graph, config, height, width);
        status = tt_graph_compile(graph, err);
    }
    if (status == TT_OK) {
        printf("planned, packed and recorded in %.0f ms: arena %.1f MB, %zu launches\n", tt_clock_ms() - begun,
               (double)tt_graph_arena_bytes(graph) * 1e-6, tt_graph_launches(graph));
        status = write_latent(graph, (size_t)config->latent_channels * height * width, err);
    }
    if (status == TT_OK)
        status = time_passes(graph, device, passes, err);
    if (status == TT_OK)
        status = print_profile(graph, device, passes, err);
    tt_graph_destroy(graph);
    tt_weight_store_destroy(store);
    return status;
}

static int bench(tt_context *context, const tt_model_params *params, tt_device *device, uint32_t height, uint32_t width,
                 int passes)
{
    tt_model *model = NULL;
    tt_error err;
    int rc = 1;
    if (tt_model_load(context, params, &model) != TT_OK)
        fprintf(stderr, "bench-vae: %s\n", tt_context_message(context));
    else if (!model->has_vae)
        fprintf(stderr, "bench-vae: %s has no VAE\n", params->path);
    else if (run(model, device, height, width, passes, &err) != TT_OK)
        (void)die(&err);
    else
        rc = 0;
    tt_model_destroy(model);
    return rc;
}

int main(int argc, char **argv)
{
    tt_error err;
    if (argc < 2) {
        fprintf(stderr, "usage: bench-vae MODEL [f32|f16|half|int8] [HEIGHT WIDTH] [PASSES]\n");
        return 2;
    }
    tt_device_options options = {.profiling = true};
    tt_device *device = NULL;
    if (tt_device_open(&options, &device, &err) != TT_OK)
        return die(&err);
    tt_device_set_sources(device, tt_kernel_source_text);
    tt_context *context = tt_context_create();
    tt_model_params params;
    tt_model_params_default(&params);
    params.path = argv[1];
    params.precision = TT_PRECISION_F32;
    for (int i = TT_PRECISION_F32; argc > 2 && i <= TT_PRECISION_INT8; i++)
        if (strcmp(argv[2], tt_precision_name((tt_precision)i)) == 0)
            params.precision = (tt_precision)i;
    uint32_t height = argc > 4 ? (uint32_t)atoi(argv[3]) : 512, width = argc > 4 ? (uint32_t)atoi(argv[4]) : 512;
    int rc = context ? bench(context, &params, device, height, width, argc > 5 ? atoi(argv[5]) : 3) : 1;
    tt_context_destroy(context);
    tt_device_close(device);
    return rc;
}
