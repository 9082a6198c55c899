/* unet.c - the UNet object: weights, the graph of the current shape, conditions, passes. */
#include "unet/unet.h"
#include "graph/graph.h"
#include "unet/unet-window.h"

#include <stdlib.h>
#include <string.h>

struct tt_unet {
    tt_kernels kernels;
    tt_unet_config config; /* of the weights */
    tt_unet_config tried;  /* of the graphs: the same, or with more removed */
    tt_weights *weights;
    uint64_t resident_bytes; /* limit of the store */
    uint32_t n_slots;
    tt_weight_store *store; /* NULL until it is needed */
    tt_graph *graph;
    bool is_ready;       /* the graph is compiled */
    tt_unet_shape shape; /* of graph */
    tt_unet_window window;
};

tt_status tt_unet_create(const tt_kernels *kernels, const tt_unet_config *config, tt_weights *weights, tt_unet **unet,
                         tt_error *err)
{
    tt_unet *u = calloc(1, sizeof *u);
    if (!u)
        return tt_fail_memory(err, "a UNet", sizeof *u);
    u->kernels = *kernels;
    u->config = u->tried = *config;
    u->weights = weights;
    u->resident_bytes = UINT64_MAX;
    u->n_slots = 2;
    *unet = u;
    return TT_OK;
}

void tt_unet_release_graph(tt_unet *unet)
{
    tt_graph_destroy(unet->graph);
    unet->graph = NULL;
    unet->is_ready = false;
    tt_unet_window_free(&unet->window);
}

void tt_unet_release_device(tt_unet *unet)
{
    tt_unet_release_graph(unet);
    tt_weight_store_destroy(unet->store);
    unet->store = NULL;
}

void tt_unet_destroy(tt_unet *unet)
{
    if (!unet)
        return;
    tt_unet_release_device(unet);
    free(unet);
}

void tt_unet_set_weight_limit(tt_unet *unet, uint64_t resident_bytes, uint32_t n_slots)
{
    if (unet->resident_bytes == resident_bytes && unet->n_slots == n_slots)
        return;
    tt_unet_release_device(unet);
    unet->resident_bytes = resident_bytes;
    unet->n_slots = n_slots;
}

/* Makes the store when there is none. */
static tt_status need_store(tt_unet *unet, tt_error *err)
{
    if (unet->store)
        return TT_OK;
    tt_status status = tt_weight_store_create(&unet->kernels, unet->weights, &unet->store, err);
    if (status == TT_OK)
        tt_weight_store_set_limit(unet->store, unet->resident_bytes, unet->n_slots);
    return status;
}

static bool same_shape(const tt_unet_shape *a, const tt_unet_shape *b)
{
    return a->batch == b->batch && a->height == b->height && a->width == b->width && a->n_tokens == b->n_tokens &&
           a->trace == b->trace && a->reuse_depth == b->reuse_depth && a->kv_downsample == b->kv_downsample;
}

/* The down path halves the picture between blocks, rounding up: any size >= 1 works; limits keep indexes in range. */
static tt_status check_shape(const tt_unet_config *config, const tt_unet_shape *shape, tt_error *err)
{
    if (shape->reuse_depth > tt_unet_n_up(config))
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "a reuse depth of %u is out of range: the up path of this UNet has %u residual blocks",
                       shape->reuse_depth, tt_unet_n_up(config));
    bool good = shape->batch >= 1 && shape->batch <= 64 && shape->height >= 1 && shape->height <= 2048 &&
                shape->width >= 1 && shape->width <= 2048 && shape->n_tokens >= 1 && shape->n_tokens <= 77 * 64;
    if (good)
        return TT_OK;
    return tt_fail(
        err, TT_ERROR_ARGUMENT,
        "a UNet pass of batch %u, %u x %u latent positions and %u tokens is out of range (batch 1..64, sides "
        "1..2048, tokens 1..4928)",
        shape->batch, shape->width, shape->height, shape->n_tokens);
}

tt_status tt_unet_begin(tt_unet *unet, const tt_unet_shape *shape, tt_error *err)
{
    if (unet->graph && same_shape(&unet->shape, shape))
        return TT_OK;
    tt_status status = check_shape(&unet->config, shape, err);
    if (status != TT_OK)
        return status;
    tt_unet_release_graph(unet);
    status = tt_unet_window_create(&unet->config, shape->batch, &unet->window, err);
    if (status == TT_OK)
        status = need_store(unet, err);
    if (status == TT_OK)
        status = tt_graph_create(&unet->kernels, "unet", unet->store, &unet->graph, err);
    if (status == TT_OK) {
        tt_unet_build(unet->graph, &unet->config, &unet->tried, shape);
        status = tt_graph_begin_compile(unet->graph, err);
    }
    if (status != TT_OK)
        tt_unet_release_graph(unet);
    unet->shape = *shape;
    return status;
}

tt_status tt_unet_prepare(tt_unet *unet, const tt_unet_shape *shape, tt_error *err)
{
    tt_status status = tt_unet_begin(unet, shape, err);
    if (status != TT_OK || unet->is_ready)
        return status;
    status = tt_graph_compile(unet->graph, err);
    unet->is_ready = status == TT_OK;
    if (status != TT_OK)
        tt_unet_release_graph(unet);
    return status;
}

void tt_unet_abandon(tt_unet *unet)
{
    if (unet->graph && !unet->is_ready)
        tt_unet_release_device(unet);
}

/* Writes one row for every image to a static input that has a row for every slot of an image. */
static tt_status write_rows(tt_unet *unet, const char *name, const float *rows, size_t width, tt_error *err)
{
    tt_unet_times times = unet->window.times;
    size_t n = (size_t)times.n_images * times.n_slots * width;
    float *repeated = calloc(n, sizeof *repeated);
    if (!repeated)
        return tt_fail_memory(err, name, n * sizeof *repeated);
    for (size_t i = 0; rows && i < (size_t)times.n_images * times.n_slots; i++)
        memcpy(repeated + i * width, rows + i / times.n_slots * width, width * sizeof *rows);
    tt_status status = tt_graph_write(unet->graph, name, repeated, n, err);
    free(repeated);
    return status;
}

tt_status tt_unet_tune(tt_unet *unet, const tt_unet_shape *shape, tt_tuner *tuner, tt_error *err)
{
    tt_status status = tt_unet_prepare(unet, shape, err);
    if (status == TT_OK)
        status = tt_graph_tune(unet->graph, tuner, err);
    tt_unet_release_graph(unet);
    return status;
}

/* SDXL: [pooled text | sinusoids of the six time ids] for every image. */
static tt_status write_added(tt_unet *unet, const tt_unet_condition *condition, tt_error *err)
{
    const tt_unet_config *c = &unet->config;
    size_t batch = unet->shape.batch, n_pooled = c->addition_input_dim - 6 * c->addition_time_dim;
    if (!condition->text_embeds || !condition->time_ids)
        return tt_fail(err, TT_ERROR_ARGUMENT, "this UNet (SDXL) needs text_embeds and time_ids");
    float *added = malloc(batch * c->addition_input_dim * sizeof *added);
    if (!added)
        return tt_fail_memory(err, "the added embedding", batch * c->addition_input_dim * sizeof *added);
    for (size_t i = 0; i < batch; i++) {
        double ids[6];
        for (size_t j = 0; j < 6; j++)
            ids[j] = condition->time_ids[i * 6 + j];
        float *row = added + i * c->addition_input_dim;
        memcpy(row, condition->text_embeds + i * n_pooled, n_pooled * sizeof *row);
        tt_timestep_embedding(ids, 6, c->addition_time_dim, c->flip_sin_to_cos, c->freq_shift, row + n_pooled);
    }
    tt_status status = write_rows(unet, "added", added, c->addition_input_dim, err);
    free(added);
    return status;
}

tt_status tt_unet_set_condition(tt_unet *unet, const tt_unet_condition *condition, tt_error *err)
{
    const tt_unet_config *c = &unet->config;
    if (!unet->is_ready)
        return tt_fail(err, TT_ERROR_INTERNAL, "the UNet was not prepared");
    size_t n_context = (size_t)unet->shape.batch * unet->shape.n_tokens * c->cross_attention_dim;
    tt_status status = tt_graph_write(unet->graph, "context", condition->context, n_context, err);
    if (status == TT_OK && c->addition_input_dim > 0)
        status = write_added(unet, condition, err);
    if (status == TT_OK && c->time_cond_dim > 0)
        status = write_rows(unet, "timestep_cond", condition->timestep_cond, c->time_cond_dim, err);
    return status;
}

/* Embeddings of the window that begins at a pass's timesteps; the static part computes them at the next run. */
static tt_status move_window(tt_unet *unet, const double *timesteps, tt_error *err)
{
    tt_unet_window *window = &unet->window;
    size_t n = (size_t)window->times.n_images * window->times.n_slots * unet->config.channels[0];
    tt_unet_window_fill(window, &unet->config, timesteps);
    return tt_graph_write_later(unet->graph, "time", window->sinusoids, n, err);
}

tt_status tt_unet_set_timesteps(tt_unet *unet, const double *timesteps, size_t n, tt_error *err)
{
    if (!unet->is_ready)
        return tt_fail(err, TT_ERROR_INTERNAL, "the UNet was not prepared");
    unet->window.n_known = 0;
    return tt_unet_window_plan(&unet->window, timesteps, n, err);
}

/* Enqueues the inputs of a pass and the pass. */
static tt_status enqueue_pass(tt_unet *unet, const float *sample, const double *timesteps, size_t n_sample,
                              bool is_short, tt_error *err)
{
    tt_unet_window *window = &unet->window;
    tt_status status = TT_OK;
    if (!tt_unet_window_find(window, timesteps))
        status = move_window(unet, timesteps, err);
    if (status == TT_OK)
        status = tt_graph_write_later(unet->graph, "time_index", window->index, window->batch, err);
    if (status == TT_OK)
        status = tt_graph_write_later(unet->graph, "sample", sample, n_sample, err);
    if (status != TT_OK)
        return status;
    return is_short ? tt_graph_run_short(unet->graph, err) : tt_graph_run(unet->graph, err);
}

static tt_status run(tt_unet *unet, const float *sample, const double *timesteps, bool is_short, float *out,
                     tt_error *err)
{
    const tt_unet_config *c = &unet->config;
    if (!unet->is_ready)
        return tt_fail(err, TT_ERROR_INTERNAL, "the UNet was not prepared");
    size_t positions = (size_t)unet->shape.batch * unet->shape.height * unet->shape.width;
    tt_status status = enqueue_pass(unet, sample, timesteps, positions * c->in_channels, is_short, err);
    if (status == TT_OK)
        status = tt_graph_read(unet->graph, "out", out, positions * c->out_channels, err);
    if (status != TT_OK) /* nothing may read the sample after this call */
        (void)tt_device_finish(unet->kernels.device, NULL);
    return status;
}

tt_status tt_unet_run(tt_unet *unet, const float *sample, const double *timesteps, float *out, tt_error *err)
{
    return run(unet, sample, timesteps, false, out, err);
}

tt_status tt_unet_run_reusing(tt_unet *unet, const float *sample, const double *timesteps, float *out, tt_error *err)
{
    return run(unet, sample, timesteps, true, out, err);
}

void tt_unet_try(tt_unet *unet, const tt_unet_removed *removed)
{
    tt_unet_release_graph(unet);
    unet->tried.removed = *removed;
}

bool tt_unet_trace_at(const tt_unet *unet, size_t index, const char **name, tt_plane *shape, bool *channels_last)
{
    /* The last output is the pass's own. */
    if (!unet->graph || !tt_graph_output_at(unet->graph, index, name, shape, channels_last))
        return false;
    return strcmp(*name, "out") != 0;
}

tt_status tt_unet_trace_read(tt_unet *unet, const char *name, float *values, size_t n, tt_error *err)
{
    return tt_graph_read(unet->graph, name, values, n, err);
}

typedef struct tt_unet_request {
    const tt_unet_config *config;
    const tt_unet_shape *shape;
} tt_unet_request;

static void build_requested(tt_graph *graph, const void *user)
{
    const tt_unet_request *request = user;
    tt_unet_build(graph, request->config, request->config, request->shape);
}

tt_status tt_unet_forecast(const tt_kernels *kernels, const tt_unet_config *config, tt_weights *weights,
                           const tt_unet_shape *shape, tt_weight_store **store, tt_graph_forecast *forecast,
                           tt_error *err)
{
    tt_unet_request request = {config, shape};
    tt_status status = check_shape(config, shape, err);
    if (status != TT_OK)
        return status;
    return tt_graph_forecast_of(kernels, "unet", weights, build_requested, &request, store, forecast, err);
}

uint64_t tt_unet_weight_bytes(const tt_unet *unet)
{
    return unet->store ? tt_weight_store_bytes(unet->store) : 0;
}

size_t tt_unet_arena_bytes(const tt_unet *unet)
{
    return unet->graph ? tt_graph_arena_bytes(unet->graph) : 0;
}

size_t tt_unet_launches(const tt_unet *unet)
{
    return unet->graph ? tt_graph_launches(unet->graph) : 0;
}

tt_recorder *tt_unet_recorder(tt_unet *unet)
{
    return unet->graph ? tt_graph_recorder(unet->graph) : NULL;
}

tt_status tt_unet_store(tt_unet *unet, tt_weight_store **store, tt_error *err)
{
    tt_status status = need_store(unet, err);
    *store = unet->store;
    return status;
}
