/* graph.c - life of a graph: create, compile, write inputs, run, read outputs. */
#include "graph/graph.h"
#include "graph/graph-private.h"
#include "graph/weight-store-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tt_status tt_graph_create(const tt_kernels *kernels, const char *name, tt_weight_store *store, tt_graph **graph,
                          tt_error *err)
{
    tt_graph *g = calloc(1, sizeof *g);
    if (!g)
        return tt_fail_memory(err, "a graph", sizeof *g);
    g->kernels = *kernels;
    g->store = store;
    g->static_is_stale = true;
    g->aim = TT_NONE;
    snprintf(g->name, sizeof g->name, "%s", name);
    *graph = g;
    return TT_OK;
}

void tt_graph_destroy(tt_graph *graph)
{
    if (!graph)
        return;
    tt_stream_destroy(graph->stream);
    for (int list = 0; list < TT_N_LISTS; list++)
        tt_recorder_destroy(graph->lists[list]);
    for (size_t i = 0; i < graph->n_ios; i++)
        tt_buffer_release(graph->kernels.device, &graph->ios[i].buffer);
    tt_buffer_release(graph->kernels.device, &graph->arena);
    free(graph->ios);
    free(graph->ops);
    free(graph->nodes);
    free(graph);
}

/* Everything on the device that launches refer to: weights, the ring of those that pass through, activations. */
static tt_status make_memory(tt_graph *graph, tt_error *err)
{
    tt_device *device = graph->kernels.device;
    size_t n_bytes = 0;
    char what[96];
    tt_status status = tt_graph_plan(graph, &n_bytes, err);
    if (status == TT_OK && graph->store)
        status = tt_weight_store_begin_packing(graph->store, err);
    if (status == TT_OK && graph->store)
        status = tt_stream_create(device, graph->store, graph->name, &graph->stream, err);
    snprintf(what, sizeof what, "activations of %s", graph->name);
    return status == TT_OK ? tt_buffer_create(device, n_bytes ? n_bytes : 1, what, &graph->arena, err) : status;
}

/* Builds what launches refer to, once. */
static tt_status need_memory(tt_graph *graph, tt_error *err)
{
    if (graph->has_memory)
        return TT_OK;
    tt_status status = make_memory(graph, err);
    graph->has_memory = status == TT_OK;
    return status;
}

/* What went wrong while ops were appended. */
static tt_status check_built(const tt_graph *graph, tt_error *err)
{
    if (graph->status != TT_OK && err)
        *err = graph->error;
    return graph->status;
}

tt_status tt_graph_begin_compile(tt_graph *graph, tt_error *err)
{
    tt_status status = check_built(graph, err);
    if (status != TT_OK)
        return status;
    status = need_memory(graph, err);
    if (status != TT_OK)
        tt_error_prefix(err, graph->name);
    return status;
}

tt_status tt_graph_compile(tt_graph *graph, tt_error *err)
{
    tt_status status = check_built(graph, err);
    if (status != TT_OK)
        return status;
    status = need_memory(graph, err);
    for (int list = 0; list < TT_N_LISTS && status == TT_OK; list++)
        if (list != TT_LIST_SHORT || graph->has_short)
            status = tt_recorder_create(graph->kernels.device, &graph->lists[list], err);
    if (status == TT_OK)
        status = tt_graph_record(graph, err);
    if (status == TT_OK && graph->store)
        status = tt_weight_store_pack_rest(graph->store, err);
    if (status != TT_OK)
        tt_error_prefix(err, graph->name);
    graph->compiled = status == TT_OK;
    return status;
}

static tt_status replay(tt_graph *graph, tt_list list, tt_error *err)
{
    tt_recorder *recorder = graph->lists[list];
    return graph->stream ? tt_stream_replay(graph->stream, list, recorder, err) : tt_recorder_replay(recorder, err);
}

/* The static part when it is stale, then a list. */
static tt_status run_list(tt_graph *graph, tt_list list, tt_error *err)
{
    if (!graph->compiled)
        return tt_fail(err, TT_ERROR_INTERNAL, "%s: the graph was not compiled", graph->name);
    if (graph->store && graph->store->observer.see)
        return tt_graph_run_observed(graph, list == TT_LIST_SHORT, err);
    tt_status status = TT_OK;
    if (graph->static_is_stale)
        status = replay(graph, TT_LIST_STATIC, err);
    if (status == TT_OK) {
        graph->static_is_stale = false;
        status = replay(graph, list, err);
    }
    return status;
}

tt_status tt_graph_run(tt_graph *graph, tt_error *err)
{
    tt_status status = run_list(graph, TT_LIST_STEP, err);
    graph->kept_is_made = status == TT_OK;
    return status;
}

tt_status tt_graph_run_short(tt_graph *graph, tt_error *err)
{
    if (!graph->has_short || !graph->kept_is_made)
        return tt_fail(err, TT_ERROR_INTERNAL, "%s: a short run needs a whole run before it%s", graph->name,
                       graph->has_short ? "" : ", and this graph keeps nothing of one");
    return run_list(graph, TT_LIST_SHORT, err);
}

/* The array `name` of the wanted direction and length, or NULL with a sentence. */
static tt_io *find_io(tt_graph *graph, const char *name, size_t n, bool is_output, tt_error *err)
{
    for (size_t i = 0; i < graph->n_ios; i++) {
        tt_io *io = &graph->ios[i];
        if (strcmp(io->name, name) != 0 || io->is_output != is_output)
            continue;
        if (io->n == n)
            return io;
        tt_fail(err, TT_ERROR_INTERNAL, "%s: array %s has %zu elements, not %zu", graph->name, name, io->n, n);
        return NULL;
    }
    tt_fail(err, TT_ERROR_INTERNAL, "%s: there is no array %s", graph->name, name);
    return NULL;
}

static tt_status write_io(tt_graph *graph, const char *name, const float *values, size_t n, bool later, tt_error *err)
{
    tt_device *device = graph->kernels.device;
    tt_io *io = find_io(graph, name, n, false, err);
    if (!io)
        return TT_ERROR_INTERNAL;
    if (io->is_static)
        graph->static_is_stale = true;
    return later ? tt_buffer_write_later(device, &io->buffer, 0, values, n * sizeof *values, err)
                 : tt_buffer_write(device, &io->buffer, 0, values, n * sizeof *values, err);
}

tt_status tt_graph_write(tt_graph *graph, const char *name, const float *values, size_t n, tt_error *err)
{
    return write_io(graph, name, values, n, false, err);
}

tt_status tt_graph_write_later(tt_graph *graph, const char *name, const float *values, size_t n, tt_error *err)
{
    return write_io(graph, name, values, n, true, err);
}

tt_status tt_graph_read(tt_graph *graph, const char *name, float *values, size_t n, tt_error *err)
{
    tt_io *io = find_io(graph, name, n, true, err);
    if (!io)
        return TT_ERROR_INTERNAL;
    return tt_buffer_read(graph->kernels.device, &io->buffer, 0, values, n * sizeof *values, err);
}

bool tt_graph_output_at(const tt_graph *graph, size_t index, const char **name, tt_plane *shape, bool *channels_last)
{
    for (size_t i = 0; i < graph->n_ios; i++) {
        const tt_io *io = &graph->ios[i];
        if (!io->is_output || index-- > 0)
            continue;
        *name = io->name;
        *shape = graph->nodes[io->value].plane;
        *channels_last = io->channels_last;
        return true;
    }
    return false;
}

size_t tt_graph_arena_bytes(const tt_graph *graph)
{
    return graph->arena.n_bytes;
}

size_t tt_graph_launches(const tt_graph *graph)
{
    return graph->lists[TT_LIST_STEP] ? tt_recorder_count(graph->lists[TT_LIST_STEP]) : 0;
}

tt_recorder *tt_graph_recorder(tt_graph *graph)
{
    return graph->stream ? NULL : graph->lists[TT_LIST_STEP];
}
