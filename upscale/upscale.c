/* upscale.c - a network on its device: weights, the graph of the current size, and a pass over one tile. */
#include "base/checked.h"
#include "upscale/upscale-private.h"

#include <stdlib.h>

tt_status tt_upscale_create(const tt_kernels *kernels, const tt_upscale_config *config, tt_weights *weights,
                            uint32_t tile, tt_upscale_net **net, tt_error *err)
{
    tt_upscale_net *n = calloc(1, sizeof *n);
    if (!n)
        return tt_fail_memory(err, "a network", sizeof *n);
    n->kernels = *kernels;
    n->config = *config;
    n->tile = tt_upscale_tile(config, tile);
    tt_status status = tt_weight_store_create(kernels, weights, &n->store, err);
    if (status != TT_OK) {
        free(n);
        return status;
    }
    *net = n;
    return TT_OK;
}

void tt_upscale_destroy(tt_upscale_net *net)
{
    if (!net)
        return;
    tt_graph_destroy(net->graph);
    tt_weight_store_destroy(net->store);
    free(net);
}

/* A network for one size of the graph's input. */
typedef struct tt_upscale_request {
    const tt_upscale_config *config;
    uint32_t height, width;
} tt_upscale_request;

static void build(tt_graph *graph, const void *user)
{
    const tt_upscale_request *r = user;
    tt_upscale_build(graph, r->config, r->height, r->width);
}

tt_status tt_upscale_forecast(const tt_kernels *kernels, const tt_upscale_config *config, tt_weights *weights,
                              uint32_t tile, uint64_t *weight_bytes, tt_graph_forecast *forecast, tt_error *err)
{
    uint32_t side =
        (tt_upscale_tile(config, tile) + tt_upscale_form_of(config).fold - 1) / tt_upscale_form_of(config).fold;
    tt_upscale_request request = {config, side, side};
    tt_weight_store *store = NULL;
    tt_status status = tt_graph_forecast_of(kernels, "upscaler", weights, build, &request, &store, forecast, err);
    if (status == TT_OK && weight_bytes)
        *weight_bytes = tt_weight_store_bytes(store);
    tt_weight_store_destroy(store);
    return status;
}

/* Builds (or keeps) the graph for an input of this size. */
static tt_status prepare(tt_upscale_net *net, uint32_t height, uint32_t width, tt_error *err)
{
    if (net->graph && net->graph_height == height && net->graph_width == width)
        return TT_OK;
    tt_graph_destroy(net->graph);
    net->graph = NULL;
    tt_status status = tt_graph_create(&net->kernels, "upscaler", net->store, &net->graph, err);
    if (status != TT_OK)
        return status;
    build(net->graph, &(tt_upscale_request){&net->config, height, width});
    status = tt_graph_compile(net->graph, err);
    if (status != TT_OK) {
        tt_graph_destroy(net->graph);
        net->graph = NULL;
    }
    net->graph_height = height;
    net->graph_width = width;
    return status;
}

/* ---- what the host does before and after the graph */

/* Blocks of side x side pixels become channels: [n][h][w] -> [n * side^2][h / side][w / side]. */
static void fold(const float *in, uint32_t n, uint32_t height, uint32_t width, uint32_t side, float *out)
{
    for (size_t c = 0; c < (size_t)n * side * side; c++) {
        const float *plane = in + c / (side * side) * height * width;
        size_t dy = c % (side * side) / side, dx = c % side;
        for (size_t y = 0; y < height / side; y++)
            for (size_t x = 0; x < width / side; x++)
                *out++ = plane[(y * side + dy) * width + x * side + dx];
    }
}

/* The neighbourhood of side x side pixels becomes channels, zeros outside: [n][h][w] -> [n * side^2][h][w]. */
static void unfold(const float *in, uint32_t n, uint32_t height, uint32_t width, uint32_t side, float *out)
{
    for (size_t c = 0; c < (size_t)n * side * side; c++) {
        const float *plane = in + c / (side * side) * height * width;
        int64_t dy = (int64_t)(c % (side * side) / side) - side / 2, dx = (int64_t)(c % side) - side / 2;
        for (int64_t y = dy; y < dy + height; y++)
            for (int64_t x = dx; x < dx + width; x++)
                *out++ = y < 0 || x < 0 || y >= height || x >= width ? 0.0f : plane[y * width + x];
    }
}

/* Sizes of a pass over `height` x `width` pixels of the input, padding included. */
typedef struct tt_pass_sizes {
    size_t n_in, n_out;     /* floats of the graph's arrays */
    uint32_t height, width; /* of the graph's input */
} tt_pass_sizes;

static tt_pass_sizes sizes_of(const tt_upscale_config *c, uint32_t height, uint32_t width)
{
    tt_upscale_form form = tt_upscale_form_of(c);
    tt_pass_sizes s = {.height = height / form.fold, .width = width / form.fold};
    size_t positions = (size_t)s.height * s.width;
    s.n_in = positions * tt_upscale_in_channels(c);
    s.n_out = positions * form.grow * form.grow * tt_upscale_out_channels(c);
    return s;
}

tt_status tt_upscale_pass(tt_upscale_net *net, const float *in, uint32_t height, uint32_t width, float *out,
                          tt_error *err)
{
    const tt_upscale_config *c = &net->config;
    tt_upscale_form form = tt_upscale_form_of(c);
    tt_pass_sizes sizes = sizes_of(c, height, width);
    bool is_plain = form.fold == 1 && form.unfold == 1;
    tt_status status = prepare(net, sizes.height, sizes.width, err);
    if (status != TT_OK)
        return status;
    float *arranged = is_plain ? NULL : malloc(sizes.n_in * sizeof *arranged);
    if (!is_plain && !arranged)
        return tt_fail_memory(err, "a tile", sizes.n_in * sizeof *arranged);
    if (form.fold > 1)
        fold(in, c->n_channels, height, width, form.fold, arranged);
    else if (form.unfold > 1)
        unfold(in, c->n_channels, height, width, form.unfold, arranged);
    status = tt_graph_write(net->graph, "in", is_plain ? in : arranged, sizes.n_in, err);
    free(arranged);
    if (status == TT_OK)
        status = tt_graph_run(net->graph, err);
    return status == TT_OK ? tt_graph_read(net->graph, "out", out, sizes.n_out, err) : status;
}
