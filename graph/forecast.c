/* forecast.c - what a graph will need and do, counted without running it. */
#include "graph/graph-private.h"

static double plane_bytes(const tt_graph *graph, tt_value value)
{
    if (value == TT_NONE)
        return 0;
    const tt_plane *plane = &graph->nodes[value].plane;
    double units = (double)tt_plane_slices(plane) * (double)tt_plane_positions(plane);
    return units * (graph->kernels.storage == TT_STORAGE_F16 ? 8 : 16);
}

static double op_flops(const tt_graph *graph, const tt_op *op)
{
    const tt_plane *out = op->out == TT_NONE ? NULL : &graph->nodes[op->out].plane;
    if (op->matrix)
        return 2.0 * (double)tt_plane_positions(out) * op->matrix->n_in * op->matrix->n_taps * op->matrix->n_out;
    if (op->kind != TT_OP_ATTENTION)
        return 0;
    const tt_plane *keys = &graph->nodes[op->in2].plane;
    return 4.0 * (double)tt_plane_positions(out) * keys->height * keys->width * out->channels;
}

static void count_work(const tt_graph *graph, const tt_op *op, tt_graph_work *work)
{
    double flops = op_flops(graph, op), weights = op->matrix ? (double)op->matrix->values.n_bytes : 0;
    double bytes = plane_bytes(graph, op->in) + plane_bytes(graph, op->in2) + plane_bytes(graph, op->residual) +
                   plane_bytes(graph, op->out) + weights;
    work->n_ops++;
    work->flops += flops;
    work->linear_flops += op->kind == TT_OP_LINEAR ? flops : 0;
    work->conv3x3_flops += op->kind == TT_OP_CONV3X3 ? flops : 0;
    work->attention_flops += op->kind == TT_OP_ATTENTION ? flops : 0;
    work->bytes += bytes;
    work->weight_bytes += weights;
    work->other_bytes += op->matrix || op->kind == TT_OP_ATTENTION ? 0 : bytes;
}

static void count_op(const tt_graph *graph, const tt_op *op, tt_graph_forecast *f)
{
    if (op->is_static)
        f->static_flops += op_flops(graph, op);
    else
        count_work(graph, op, &f->step);
    if (!op->is_static && graph->has_short && !op->is_deep)
        count_work(graph, op, &f->short_step);
}

tt_status tt_graph_make_forecast(tt_graph *graph, tt_graph_forecast *forecast, tt_error *err)
{
    *forecast = (tt_graph_forecast){0};
    if (graph->status != TT_OK) {
        if (err)
            *err = graph->error;
        return graph->status;
    }
    tt_status status = tt_graph_plan(graph, &forecast->arena_bytes, err);
    for (size_t i = 0; i < graph->n_ios && status == TT_OK; i++)
        forecast->io_bytes += graph->ios[i].n * sizeof(float);
    for (size_t i = 0; i < graph->n_ops && status == TT_OK; i++)
        count_op(graph, &graph->ops[i], forecast);
    return status;
}

tt_status tt_graph_forecast_of(const tt_kernels *kernels, const char *name, tt_weights *weights,
                               tt_graph_build_fn build, const void *user, tt_weight_store **store,
                               tt_graph_forecast *forecast, tt_error *err)
{
    tt_kernels without = *kernels;
    tt_weight_store *made = NULL, *used = store ? *store : NULL;
    tt_graph *graph = NULL;
    tt_status status = TT_OK;
    without.device = NULL;
    if (!used) {
        status = tt_weight_store_create_plan(&without, weights, &made, err);
        used = made;
    }
    if (status == TT_OK)
        status = tt_graph_create(&without, name, used, &graph, err);
    if (status == TT_OK) {
        build(graph, user);
        status = tt_graph_make_forecast(graph, forecast, err);
    }
    tt_graph_destroy(graph);
    if (store && status == TT_OK)
        *store = used;
    else
        tt_weight_store_destroy(made);
    return status;
}
