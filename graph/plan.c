/* plan.c - lives of values and their places in one arena, largest first (greedy by size; Pisarchyk and Lee,
 * arXiv 2001.03288). */
#include "base/checked.h"
#include "graph/graph-private.h"

#include <stdlib.h>

enum { ALIGNMENT = 256 };

/* Static ops come first, each part in building order. */
static void number_ops(tt_graph *graph)
{
    uint32_t order = 0;
    for (int is_static = 1; is_static >= 0; is_static--)
        for (size_t i = 0; i < graph->n_ops; i++)
            if (graph->ops[i].is_static == (is_static == 1))
                graph->ops[i].order = order++;
}

/* Extends the life of a value's root to an op; a static result that a step op uses lives for ever. */
static void use_value(tt_graph *graph, tt_value value, const tt_op *op)
{
    if (value == TT_NONE)
        return;
    tt_node *root = tt_graph_node(graph, tt_graph_node(graph, value)->root);
    if (op->order < root->first)
        root->first = op->order;
    if (op->order > root->last)
        root->last = op->order;
    if (root->is_static && !op->is_static)
        root->last = UINT32_MAX;
}

static void find_lives(tt_graph *graph)
{
    for (size_t i = 0; i < graph->n_nodes; i++) {
        graph->nodes[i].first = graph->nodes[i].is_kept ? 0 : UINT32_MAX;
        graph->nodes[i].last = graph->nodes[i].is_kept ? UINT32_MAX : 0;
    }
    for (size_t i = 0; i < graph->n_ops; i++) {
        const tt_op *op = &graph->ops[i];
        const tt_value values[] = {op->in, op->in2, op->residual, op->per_image, op->out, op->scratch};
        for (size_t j = 0; j < sizeof values / sizeof *values; j++)
            use_value(graph, values[j], op);
    }
}

/* True when a group norm may write over its input: nothing reads the input later, and both are whole values of one part
 * of the execution. */
static bool can_overwrite(const tt_graph *graph, const tt_op *op)
{
    if (op->kind != TT_OP_GROUP_NORM || op->in2 != TT_NONE)
        return false;
    const tt_node *in = &graph->nodes[op->in], *out = &graph->nodes[op->out];
    return in->root == op->in && out->root == op->out && !out->is_kept && in->last == op->order &&
           in->is_static == out->is_static;
}

/* Lets group norms work in place: their outputs become views of their inputs, which take over the border. */
static void share_norms(tt_graph *graph)
{
    for (size_t i = 0; i < graph->n_ops; i++) {
        const tt_op *op = &graph->ops[i];
        if (!can_overwrite(graph, op))
            continue;
        tt_node *in = &graph->nodes[op->in];
        if (in->plane.border == 0 && graph->nodes[op->out].plane.border != 0) {
            in->plane.border = 1;
            in->plane.border_unread = true; /* the norm makes it zero for those who read its result */
        }
        in->last = graph->nodes[op->out].last;
        for (size_t j = 0; j < graph->n_nodes; j++)
            if (graph->nodes[j].root == op->out)
                graph->nodes[j].root = op->in;
    }
}

/* Values that own memory, largest first; equal sizes in building order, so that plans are reproducible. */
typedef struct tt_placed {
    tt_node *node;
    size_t index;
} tt_placed;

static int by_size(const void *a, const void *b)
{
    const tt_placed *x = a, *y = b;
    if (x->node->n_bytes != y->node->n_bytes)
        return x->node->n_bytes < y->node->n_bytes ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

/* Leading bits of a size: sizes that differ by less than a sixteenth are mostly alike. */
static size_t size_class(size_t n_bytes)
{
    unsigned shift = 0;
    while (n_bytes >> shift >= 32)
        shift++;
    return n_bytes >> shift << shift;
}

static int by_size_class(const void *a, const void *b)
{
    const tt_placed *x = a, *y = b;
    size_t x_class = size_class(x->node->n_bytes), y_class = size_class(y->node->n_bytes);
    if (x_class != y_class)
        return x_class < y_class ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

static bool lives_overlap(const tt_node *a, const tt_node *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Lowest offset where node collides with none of the n nodes placed before (in any order of offsets). */
static size_t lowest_gap(const tt_node *node, const tt_placed *placed, size_t n)
{
    size_t offset = 0;
    bool moved = true;
    while (moved) {
        moved = false;
        for (size_t i = 0; i < n; i++) {
            const tt_node *other = placed[i].node;
            size_t end = tt_round_up(other->offset + other->n_bytes, ALIGNMENT);
            if (lives_overlap(node, other) && offset < end && other->offset < offset + node->n_bytes) {
                offset = end;
                moved = true;
            }
        }
    }
    return offset;
}

static size_t place_in_order(tt_placed *items, size_t n, int (*order)(const void *, const void *))
{
    size_t total = 0;
    qsort(items, n, sizeof *items, order);
    for (size_t i = 0; i < n; i++) {
        items[i].node->offset = lowest_gap(items[i].node, items, i);
        size_t end = items[i].node->offset + items[i].node->n_bytes;
        if (end > total)
            total = end;
    }
    return total;
}

/* Places by the better of both orders: planes with and without a border differ so little in size that the one to start
 * with should be the one that is made first, but not always. */
static size_t place_all(tt_placed *items, size_t n)
{
    size_t by_class = place_in_order(items, n, by_size_class), total = place_in_order(items, n, by_size);
    return by_class < total ? place_in_order(items, n, by_size_class) : total;
}

/* Views take place, border and memory of their root. */
static void resolve_views(tt_graph *graph)
{
    size_t unit = graph->kernels.storage == TT_STORAGE_F16 ? 8 : 16;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        tt_node *node = &graph->nodes[i];
        const tt_node *root = &graph->nodes[node->root];
        node->plane.border = root->plane.border;
        node->plane.offset =
            (uint32_t)(root->offset / unit + (size_t)(node->first_channel / 4) * tt_plane_slice_units(&node->plane));
    }
}

/* Short runs must find all that they read: made by an op that is not left out, or kept. */
static tt_status check_short(const tt_graph *graph, tt_error *err)
{
    for (size_t i = 0; i < graph->n_ops; i++) {
        const tt_op *op = &graph->ops[i];
        const tt_value values[] = {op->in, op->in2, op->residual, op->per_image};
        for (size_t j = 0; j < sizeof values / sizeof *values && !op->is_deep; j++)
            if (values[j] != TT_NONE && graph->nodes[values[j]].is_deep &&
                !graph->nodes[graph->nodes[values[j]].root].is_kept)
                return tt_fail(err, TT_ERROR_INTERNAL, "%s: op %zu reads what short runs leave out", graph->name, i);
    }
    return TT_OK;
}

tt_status tt_graph_plan(tt_graph *graph, size_t *n_bytes, tt_error *err)
{
    tt_status status = graph->has_short ? check_short(graph, err) : TT_OK;
    if (status != TT_OK)
        return status;
    tt_placed *items = malloc((graph->n_nodes ? graph->n_nodes : 1) * sizeof *items);
    if (!items)
        return tt_fail_memory(err, "the memory plan", graph->n_nodes * sizeof *items);
    number_ops(graph);
    find_lives(graph);
    share_norms(graph);
    size_t n = 0;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        tt_node *node = &graph->nodes[i];
        if (node->root != (tt_value)i || node->first == UINT32_MAX)
            continue;
        if (!node->is_scratch)
            node->n_bytes = tt_plane_bytes(&node->plane, graph->kernels.storage);
        items[n] = (tt_placed){.node = node, .index = n};
        n++;
    }
    *n_bytes = tt_round_up(place_all(items, n), ALIGNMENT);
    resolve_views(graph);
    free(items);
    return TT_OK;
}
