/* vae.c - the VAE object: weights, graphs of the current size, tiles. */
#include "vae/vae.h"
#include "base/checked.h"
#include "vae/vae-build.h"

#include <stdlib.h>
#include <string.h>

enum { TILE = 64, OVERLAP = 16 }; /* latent positions */

struct tt_vae {
    tt_kernels kernels;
    tt_vae_config config;
    bool tiling;
    tt_weights *decoder_weights, *encoder_weights;
    uint64_t resident_bytes; /* limit of each store */
    uint32_t n_slots;
    tt_weight_store *decoder_store, *encoder_store;
    tt_graph *graph; /* of one half and size */
    bool graph_is_decoder;
    uint32_t graph_height, graph_width;
};

tt_status tt_vae_create(const tt_kernels *kernels, const tt_vae_config *config, tt_weights *weights,
                        tt_weights *encoder_weights, bool tiling, tt_vae **vae, tt_error *err)
{
    tt_vae *v = calloc(1, sizeof *v);
    if (!v)
        return tt_fail_memory(err, "a VAE", sizeof *v);
    v->kernels = *kernels;
    v->config = *config;
    v->tiling = tiling;
    v->decoder_weights = weights;
    v->encoder_weights = encoder_weights ? encoder_weights : weights;
    v->resident_bytes = UINT64_MAX;
    v->n_slots = 2;
    *vae = v;
    return TT_OK;
}

void tt_vae_release_graph(tt_vae *vae)
{
    tt_graph_destroy(vae->graph);
    vae->graph = NULL;
}

void tt_vae_release_device(tt_vae *vae)
{
    tt_vae_release_graph(vae);
    tt_weight_store_destroy(vae->decoder_store);
    tt_weight_store_destroy(vae->encoder_store);
    vae->decoder_store = NULL;
    vae->encoder_store = NULL;
}

void tt_vae_set_weight_limit(tt_vae *vae, uint64_t resident_bytes, uint32_t n_slots)
{
    if (vae->resident_bytes == resident_bytes && vae->n_slots == n_slots)
        return;
    tt_vae_release_device(vae);
    vae->resident_bytes = resident_bytes;
    vae->n_slots = n_slots;
}

void tt_vae_destroy(tt_vae *vae)
{
    if (!vae)
        return;
    tt_vae_release_device(vae);
    free(vae);
}

uint64_t tt_vae_weight_bytes(const tt_vae *vae)
{
    return (vae->decoder_store ? tt_weight_store_bytes(vae->decoder_store) : 0) +
           (vae->encoder_store ? tt_weight_store_bytes(vae->encoder_store) : 0);
}

/* One half for one picture of this input size. */
typedef struct tt_vae_request {
    const tt_vae_config *config;
    bool is_decoder;
    uint32_t height, width;
} tt_vae_request;

static void build(tt_graph *graph, const void *user)
{
    const tt_vae_request *r = user;
    bool tiny = r->config->kind == TT_VAE_TINY;
    if (r->is_decoder)
        (tiny ? tt_vae_build_tiny_decoder : tt_vae_build_kl_decoder)(graph, r->config, r->height, r->width);
    else
        (tiny ? tt_vae_build_tiny_encoder : tt_vae_build_kl_encoder)(graph, r->config, r->height, r->width);
}

tt_status tt_vae_forecast(const tt_kernels *kernels, const tt_vae_config *config, tt_weights *weights, bool is_decoder,
                          uint32_t height, uint32_t width, tt_weight_store **store, tt_graph_forecast *forecast,
                          tt_error *err)
{
    tt_vae_request request = {config, is_decoder, height, width};
    return tt_graph_forecast_of(kernels, is_decoder ? "vae decoder" : "vae encoder", weights, build, &request, store,
                                forecast, err);
}

/* The weights of one half, made when they are not there. */
static tt_status need_store(tt_vae *vae, bool is_decoder, tt_weight_store **store, tt_error *err)
{
    tt_weight_store **kept = is_decoder ? &vae->decoder_store : &vae->encoder_store;
    tt_status status = TT_OK;
    if (!*kept) {
        status =
            tt_weight_store_create(&vae->kernels, is_decoder ? vae->decoder_weights : vae->encoder_weights, kept, err);
        if (status == TT_OK)
            tt_weight_store_set_limit(*kept, vae->resident_bytes, vae->n_slots);
    }
    *store = *kept;
    return status;
}

/* Builds (or keeps) the graph of one half for one picture of this input size. */
static tt_status prepare(tt_vae *vae, bool is_decoder, uint32_t height, uint32_t width, tt_error *err)
{
    if (vae->graph && vae->graph_is_decoder == is_decoder && vae->graph_height == height && vae->graph_width == width)
        return TT_OK;
    tt_vae_release_graph(vae);
    tt_weight_store *store = NULL;
    tt_status status = need_store(vae, is_decoder, &store, err);
    if (status == TT_OK)
        status = tt_graph_create(&vae->kernels, is_decoder ? "vae decoder" : "vae encoder", store, &vae->graph, err);
    if (status != TT_OK)
        return status;
    build(vae->graph, &(tt_vae_request){&vae->config, is_decoder, height, width});
    status = tt_graph_compile(vae->graph, err);
    if (status != TT_OK)
        tt_vae_release_graph(vae);
    vae->graph_is_decoder = is_decoder;
    vae->graph_height = height;
    vae->graph_width = width;
    return status;
}

/* One latent (or tile) to a picture in -1..1. */
static tt_status decode_whole(tt_vae *vae, const float *latent, uint32_t height, uint32_t width, float *image,
                              tt_error *err)
{
    const tt_vae_config *c = &vae->config;
    size_t positions = (size_t)height * width, n_pixels = positions * c->factor * c->factor * 3;
    tt_status status = prepare(vae, true, height, width, err);
    if (status == TT_OK)
        status = tt_graph_write(vae->graph, "latent", latent, positions * c->latent_channels, err);
    if (status == TT_OK)
        status = tt_graph_run(vae->graph, err);
    if (status == TT_OK)
        status = tt_graph_read(vae->graph, "image", image, n_pixels, err);
    if (status == TT_OK && c->kind == TT_VAE_TINY)
        for (size_t i = 0; i < n_pixels; i++)
            image[i] = 2.0f * image[i] - 1.0f;
    return status;
}

/* ---- tiles: all of one size, the last ones moved inwards, blended by weights that rise linearly from the tile's edge
 */

typedef struct tt_tiles {
    uint32_t height, width; /* of the whole latent */
    uint32_t tile_height, tile_width;
    uint32_t n_rows, n_columns;
} tt_tiles;

static uint32_t count_tiles(uint32_t size, uint32_t tile)
{
    return size <= tile ? 1 : 1 + (size - tile + (TILE - OVERLAP) - 1) / (TILE - OVERLAP);
}

static tt_tiles make_tiles(uint32_t height, uint32_t width)
{
    tt_tiles t = {.height = height, .width = width};
    t.tile_height = height < TILE ? height : TILE;
    t.tile_width = width < TILE ? width : TILE;
    t.n_rows = count_tiles(height, t.tile_height);
    t.n_columns = count_tiles(width, t.tile_width);
    return t;
}

static uint32_t tile_start(uint32_t index, uint32_t size, uint32_t tile)
{
    uint32_t start = index * (TILE - OVERLAP);
    return start + tile > size ? size - tile : start;
}

static void cut_tile(const float *latent, const tt_tiles *t, uint32_t channels, uint32_t top, uint32_t left, float *out)
{
    for (uint32_t c = 0; c < channels; c++)
        for (uint32_t y = 0; y < t->tile_height; y++)
            memcpy(out + ((size_t)c * t->tile_height + y) * t->tile_width,
                   latent + ((size_t)c * t->height + top + y) * t->width + left, t->tile_width * sizeof *out);
}

/* Weight of pixel i of n: 1 in the middle, rising from the edges over the overlap. */
static float edge_weight(uint32_t i, uint32_t n, uint32_t overlap)
{
    uint32_t from_edge = i + 1 < n - i ? i + 1 : n - i;
    return from_edge >= overlap ? 1.0f : (float)from_edge / (float)overlap;
}

static void add_tile(const float *tile, const tt_tiles *t, uint32_t f, uint32_t top, uint32_t left, float *image,
                     float *weights)
{
    uint32_t height = t->tile_height * f, width = t->tile_width * f;
    size_t full_width = (size_t)t->width * f, plane = full_width * t->height * f;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            float w = edge_weight(y, height, OVERLAP * f) * edge_weight(x, width, OVERLAP * f);
            size_t to = ((size_t)top * f + y) * full_width + (size_t)left * f + x;
            size_t from = (size_t)y * width + x;
            weights[to] += w;
            for (size_t c = 0; c < 3; c++)
                image[c * plane + to] += w * tile[c * (size_t)height * width + from];
        }
}

typedef struct tt_tile_buffers {
    float *latent, *image, *weights;
} tt_tile_buffers;

static void free_buffers(tt_tile_buffers *b)
{
    free(b->latent);
    free(b->image);
    free(b->weights);
}

static tt_status make_buffers(const tt_tiles *t, const tt_vae_config *c, tt_tile_buffers *b, tt_error *err)
{
    size_t tile = (size_t)t->tile_height * t->tile_width, f2 = (size_t)c->factor * c->factor;
    size_t whole = (size_t)t->height * t->width * f2;
    b->latent = malloc(tile * c->latent_channels * sizeof(float));
    b->image = malloc(tile * f2 * 3 * sizeof(float));
    b->weights = calloc(whole, sizeof(float));
    if (b->latent && b->image && b->weights)
        return TT_OK;
    free_buffers(b);
    return tt_fail_memory(err, "VAE tiles", whole * sizeof(float));
}

static tt_status decode_tiles(tt_vae *vae, const float *latent, uint32_t height, uint32_t width, float *image,
                              tt_vae_tile_fn tile_fn, void *user, tt_error *err)
{
    const tt_vae_config *c = &vae->config;
    tt_tiles t = make_tiles(height, width);
    tt_tile_buffers b = {0};
    tt_status status = make_buffers(&t, c, &b, err);
    if (status != TT_OK)
        return status;
    size_t plane = (size_t)height * width * c->factor * c->factor;
    memset(image, 0, 3 * plane * sizeof *image);
    uint32_t n = t.n_rows * t.n_columns;
    for (uint32_t i = 0; i < n && status == TT_OK; i++) {
        uint32_t top = tile_start(i / t.n_columns, height, t.tile_height);
        uint32_t left = tile_start(i % t.n_columns, width, t.tile_width);
        if (tile_fn && !tile_fn(user, i, n))
            status = tt_fail(err, TT_ERROR_CANCELLED, "cancelled while decoding tile %u of %u", i + 1, n);
        if (status != TT_OK)
            break;
        cut_tile(latent, &t, c->latent_channels, top, left, b.latent);
        status = decode_whole(vae, b.latent, t.tile_height, t.tile_width, b.image, err);
        if (status == TT_OK)
            add_tile(b.image, &t, c->factor, top, left, image, b.weights);
    }
    for (size_t i = 0; i < 3 * plane && status == TT_OK; i++)
        image[i] /= b.weights[i % plane];
    free_buffers(&b);
    return status;
}

static tt_status check_half(bool present, const char *half, const char *use, tt_error *err)
{
    if (present)
        return TT_OK;
    return tt_fail(err, TT_ERROR_UNSUPPORTED, "this model's VAE has no %s, so it cannot %s; give another VAE", half,
                   use);
}

tt_status tt_vae_decode(tt_vae *vae, const float *latent, uint32_t batch, uint32_t height, uint32_t width, float *image,
                        tt_vae_tile_fn tile, void *user, tt_error *err)
{
    const tt_vae_config *c = &vae->config;
    size_t n_latent = (size_t)c->latent_channels * height * width;
    size_t n_image = (size_t)3 * height * width * c->factor * c->factor;
    tt_status status = check_half(c->has_decoder, "decoder", "make a picture from a latent", err);
    if (status == TT_OK && (batch == 0 || height == 0 || width == 0 || height > 4096 || width > 4096))
        return tt_fail(err, TT_ERROR_ARGUMENT, "a latent of %u x %u x %u is out of range (sides 1..4096)", batch,
                       height, width);
    for (uint32_t i = 0; i < batch && status == TT_OK; i++) {
        const float *from = latent + i * n_latent;
        float *to = image + i * n_image;
        if (vae->tiling && (height > TILE || width > TILE))
            status = decode_tiles(vae, from, height, width, to, tile, user, err);
        else
            status = decode_whole(vae, from, height, width, to, err);
    }
    return status;
}

/* One picture to its latent statistics. */
static tt_status encode_one(tt_vae *vae, const float *image, uint32_t height, uint32_t width, float *moments,
                            tt_error *err)
{
    const tt_vae_config *c = &vae->config;
    bool tiny = c->kind == TT_VAE_TINY;
    size_t n_pixels = (size_t)3 * height * width;
    size_t n = (size_t)(tiny ? 1 : 2) * c->latent_channels * (height / c->factor) * (width / c->factor);
    tt_status status = prepare(vae, false, height, width, err);
    if (status != TT_OK)
        return status;
    float *scaled = malloc(n_pixels * sizeof *scaled);
    if (!scaled)
        return tt_fail_memory(err, "the picture", n_pixels * sizeof *scaled);
    for (size_t i = 0; i < n_pixels; i++)
        scaled[i] = tiny ? (image[i] + 1.0f) / 2.0f : image[i];
    status = tt_graph_write(vae->graph, "image", scaled, n_pixels, err);
    free(scaled);
    if (status == TT_OK)
        status = tt_graph_run(vae->graph, err);
    return status == TT_OK ? tt_graph_read(vae->graph, "latent", moments, n, err) : status;
}

tt_status tt_vae_encode(tt_vae *vae, const float *image, uint32_t batch, uint32_t height, uint32_t width, float *mean,
                        float *logvar, tt_error *err)
{
    const tt_vae_config *c = &vae->config;
    tt_status status = check_half(c->has_encoder, "encoder", "start from a picture", err);
    if (status != TT_OK)
        return status;
    if (batch == 0 || height == 0 || width == 0 || height % c->factor || width % c->factor || height > 16384 ||
        width > 16384)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a picture of %u x %u cannot be encoded: sides must be multiples of %u",
                       width, height, c->factor);
    size_t n = (size_t)c->latent_channels * (height / c->factor) * (width / c->factor);
    float *moments = malloc(2 * n * sizeof *moments);
    if (!moments)
        return tt_fail_memory(err, "latents", 2 * n * sizeof *moments);
    for (uint32_t i = 0; i < batch && status == TT_OK; i++) {
        status = encode_one(vae, image + (size_t)i * 3 * height * width, height, width, moments, err);
        if (status != TT_OK)
            break;
        memcpy(mean + i * n, moments, n * sizeof *mean);
        if (logvar && c->kind == TT_VAE_KL)
            memcpy(logvar + i * n, moments + n, n * sizeof *logvar);
    }
    free(moments);
    return status;
}

tt_status tt_vae_decoder_store(tt_vae *vae, tt_weight_store **store, tt_error *err)
{
    return need_store(vae, true, store, err);
}
