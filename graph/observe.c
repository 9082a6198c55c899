/* observe.c - a run op by op, with a look at what each matrix reads. */
#include "graph/observe.h"
#include "graph/graph-private.h"
#include "graph/weight-store-private.h"

#include <stdlib.h>
#include <string.h>

void tt_weight_store_observe(tt_weight_store *store, const tt_graph_observer *observer)
{
    store->observer = observer ? *observer : (tt_graph_observer){0};
}

tt_status tt_graph_read_plane(tt_graph *graph, const tt_plane *plane, float **values, tt_error *err)
{
    bool is_half = graph->kernels.storage == TT_STORAGE_F16;
    size_t n = tt_plane_slices(plane) * tt_plane_slice_units(plane) * 4, size = is_half ? 2 : 4;
    void *bytes = malloc(n * size);
    *values = malloc(n * sizeof **values);
    tt_status status = bytes && *values ? TT_OK : tt_fail_memory(err, "activations", n * sizeof **values);
    if (status == TT_OK)
        status = tt_buffer_read(graph->kernels.device, &graph->arena, (size_t)plane->offset * 4 * size, bytes, n * size,
                                err);
    if (status == TT_OK)
        tt_to_float(is_half ? TT_F16 : TT_F32, bytes, *values, n);
    free(bytes);
    if (status != TT_OK) {
        free(*values);
        *values = NULL;
    }
    return status;
}

/* Adds the squares of every channel to sums[channels]; the border is not counted. */
static void add_squares(const tt_plane *plane, const float *values, double *sums)
{
    size_t width = plane->width + 2 * plane->border, height = plane->height + 2 * plane->border;
    size_t slice = tt_plane_slice_units(plane) * 4;
    for (uint32_t c = 0; c < plane->channels; c++)
        for (size_t b = 0; b < plane->batch; b++)
            for (size_t y = plane->border; y < plane->border + plane->height; y++)
                for (size_t x = plane->border; x < plane->border + plane->width; x++) {
                    double v = (double)values[c / 4 * slice + ((b * height + y) * width + x) * 4 + c % 4];
                    sums[c] += v * v;
                }
}

static tt_status sum_plane(tt_graph *graph, tt_value value, double *sums, tt_error *err)
{
    float *values = NULL;
    const tt_plane *plane = &graph->nodes[value].plane;
    tt_status status = tt_graph_read_plane(graph, plane, &values, err);
    if (status == TT_OK)
        add_squares(plane, values, sums);
    free(values);
    return status;
}

/* "a+b+" from a store's key "a+b+split0", without the last "+". */
static const tt_entry *find_entry(const tt_weight_store *store, const tt_matrix *matrix)
{
    for (size_t i = 0; i < store->n_entries; i++)
        if (store->entries[i]->kind == TT_ENTRY_MATRIX && &store->entries[i]->as.matrix == matrix)
            return store->entries[i];
    return NULL;
}

static tt_status tell(const tt_weight_store *store, const tt_matrix *matrix, const double *sums, size_t n_channels,
                      uint64_t n_positions, tt_error *err)
{
    const tt_entry *entry = find_entry(store, matrix);
    const char *end = entry ? strrchr(entry->key, '+') : NULL;
    char *layers = end ? malloc((size_t)(end - entry->key) + 1) : NULL;
    if (!layers)
        return tt_fail_memory(err, "names of layers", 0);
    memcpy(layers, entry->key, (size_t)(end - entry->key));
    layers[end - entry->key] = '\0';
    tt_status status = store->observer.see(store->observer.user, layers, sums, n_channels, n_positions, err);
    free(layers);
    return status;
}

static tt_status look(tt_graph *graph, const tt_op *op, tt_error *err)
{
    const tt_plane *first = &graph->nodes[op->in].plane;
    size_t n_second = op->in2 == TT_NONE ? 0 : graph->nodes[op->in2].plane.channels, n = first->channels + n_second;
    double *sums = calloc(n, sizeof *sums);
    if (!sums)
        return tt_fail_memory(err, "sums of activations", n * sizeof *sums);
    tt_status status = sum_plane(graph, op->in, sums, err);
    if (status == TT_OK && n_second > 0)
        status = sum_plane(graph, op->in2, sums + first->channels, err);
    if (status == TT_OK)
        status = tell(graph->store, op->matrix, sums, n, tt_plane_positions(first), err);
    free(sums);
    return status;
}

static tt_status run_op(tt_graph *graph, const tt_op *op, tt_error *err)
{
    tt_recorder *list = NULL;
    if (op->matrix && op->matrix->values.mem == NULL)
        return tt_fail(err, TT_ERROR_INTERNAL, "%s: a graph with streamed weights cannot be observed", graph->name);
    tt_status status = op->matrix ? look(graph, op, err) : TT_OK;
    if (status == TT_OK)
        status = tt_recorder_create(graph->kernels.device, &list, err);
    if (status == TT_OK)
        status = tt_graph_record_op(graph, op, list, err);
    if (status == TT_OK)
        status = tt_recorder_replay(list, err);
    if (status == TT_OK)
        status = tt_device_finish(graph->kernels.device, err);
    tt_recorder_destroy(list);
    return status;
}

tt_status tt_graph_run_observed(tt_graph *graph, bool is_short, tt_error *err)
{
    tt_status status = TT_OK;
    for (int is_static = graph->static_is_stale ? 1 : 0; is_static >= 0; is_static--)
        for (size_t i = 0; i < graph->n_ops && status == TT_OK; i++)
            if (graph->ops[i].is_static == (is_static == 1) && !(is_short && graph->ops[i].is_deep))
                status = run_op(graph, &graph->ops[i], err);
    graph->static_is_stale = graph->static_is_stale && status != TT_OK;
    return status;
}
