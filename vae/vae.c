/* vae.c - the VAE object: weights, graphs of the current size, tiles. */
#include "vae/vae.h"
#include "base/checked.h"
#include "vae/vae-build.h"

#include <stdlib.h>
#include <string.h>

struct tt_vae {
    tt_kernels kernels;
    tt_vae_config config;
    tt_vae_tile decoder_tile, encoder_tile; /* zeros: the whole picture */
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
    if (tiling)
        v->decoder_tile = (tt_vae_tile){TT_USUAL_TILE, TT_USUAL_TILE};
    v->decoder_weights = weights;
    v->encoder_weights = encoder_weights ? encoder_weights : weights;
    v->resident_bytes = UINT64_MAX;
    v->n_slots = 2;
    *vae = v;
    return TT_OK;
}

void tt_vae_set_tiles(tt_vae *vae, tt_vae_tile decoder, tt_vae_tile encoder)
{
    vae->decoder_tile = decoder;
    vae->encoder_tile = encoder;
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

uint64_t tt_vae_half_bytes(const tt_vae *vae, bool is_decoder)
{
    const tt_weight_store *store = is_decoder ? vae->decoder_store : vae->encoder_store;
    return store ? tt_weight_store_bytes(store) : 0;
}

uint64_t tt_vae_weight_bytes(const tt_vae *vae)
{
    return tt_vae_half_bytes(vae, true) + tt_vae_half_bytes(vae, false);
}

/* Of one half. Only AutoencoderKL's decoder, by far the largest piece, multiplies int8. */
static tt_kernels kernels_of(const tt_kernels *kernels, const tt_vae_config *config, bool is_decoder)
{
    tt_kernels own = *kernels;
    if (own.arithmetic == TT_ARITHMETIC_INT8 && !(is_decoder && config->kind == TT_VAE_KL))
        own.arithmetic = TT_ARITHMETIC_HALF;
    return own;
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
    tt_kernels own = kernels_of(kernels, config, is_decoder);
    return tt_graph_forecast_of(&own, is_decoder ? "vae decoder" : "vae encoder", weights, build, &request, store,
                                forecast, err);
}

/* The weights of one half, made when they are not there. */
static tt_status need_store(tt_vae *vae, bool is_decoder, tt_weight_store **store, tt_error *err)
{
    tt_weight_store **kept = is_decoder ? &vae->decoder_store : &vae->encoder_store;
    tt_status status = TT_OK;
    if (!*kept) {
        tt_kernels kernels = kernels_of(&vae->kernels, &vae->config, is_decoder);
        status = tt_weight_store_create(&kernels, is_decoder ? vae->decoder_weights : vae->encoder_weights, kept, err);
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
    tt_kernels kernels = kernels_of(&vae->kernels, &vae->config, is_decoder);
    tt_status status = need_store(vae, is_decoder, &store, err);
    if (status == TT_OK)
        status = tt_graph_create(&kernels, is_decoder ? "vae decoder" : "vae encoder", store, &vae->graph, err);
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

tt_status tt_vae_tune(tt_vae *vae, bool is_decoder, uint32_t height, uint32_t width, tt_tuner *tuner, tt_error *err)
{
    tt_status status = prepare(vae, is_decoder, height, width, err);
    if (status == TT_OK)
        status = tt_graph_tune(vae->graph, tuner, err);
    tt_vae_release_graph(vae);
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

/* ---- tiles */

/* A whole picture or one tile of it: decode_whole or encode_whole. */
typedef tt_status (*tt_half_fn)(tt_vae *vae, const float *in, uint32_t height, uint32_t width, float *out,
                                tt_error *err);

/* One half over all tiles. n_in and n_out are planes; one of the scales is 1, the other the VAE's factor. */
typedef struct tt_tile_job {
    tt_half_fn half;
    tt_tiling tiling;
    uint32_t n_in, n_out, in_scale, out_scale;
    const char *verb; /* for the sentence */
    tt_vae_tile_fn tile;
    void *user;
} tt_tile_job;

static tt_status run_tile(tt_vae *vae, const tt_tile_job *job, uint32_t index, const float *in, float *cut,
                          float *result, float *out, tt_error *err)
{
    uint32_t top, left;
    const tt_tiling *t = &job->tiling;
    tt_tiling_place(t, index, &top, &left);
    tt_tiling_cut(t, top, left, job->in_scale, job->n_in, in, cut);
    tt_status status = job->half(vae, cut, t->tile_height * job->in_scale, t->tile_width * job->in_scale, result, err);
    if (status == TT_OK)
        tt_tiling_add(t, top, left, job->out_scale, job->n_out, result, out);
    return status;
}

static tt_status run_tiles(tt_vae *vae, const tt_tile_job *job, const float *in, float *out, tt_error *err)
{
    const tt_tiling *t = &job->tiling;
    size_t n_tile = (size_t)t->tile_height * t->tile_width, n = (size_t)t->n_rows * t->n_columns;
    size_t n_cut = n_tile * job->in_scale * job->in_scale * job->n_in;
    size_t n_result = n_tile * job->out_scale * job->out_scale * job->n_out;
    size_t n_whole = (size_t)t->height * t->width * job->out_scale * job->out_scale * job->n_out;
    float *cut = malloc((n_cut + n_result) * sizeof *cut);
    if (!cut)
        return tt_fail_memory(err, "VAE tiles", (n_cut + n_result) * sizeof *cut);
    tt_status status = TT_OK;
    memset(out, 0, n_whole * sizeof *out);
    for (uint32_t i = 0; i < n && status == TT_OK; i++) {
        if (job->tile && !job->tile(job->user, i, (uint32_t)n))
            status = tt_fail(err, TT_ERROR_CANCELLED, "cancelled while %s tile %u of %zu", job->verb, i + 1, n);
        else
            status = run_tile(vae, job, i, in, cut, cut + n_cut, out, err);
    }
    free(cut);
    return status == TT_OK ? tt_tiling_divide(t, job->out_scale, job->n_out, out, err) : status;
}

/* True when a tile is smaller than the picture. */
static bool is_tiled(const tt_tiling *tiling)
{
    return tiling->n_rows > 1 || tiling->n_columns > 1;
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
    tt_tile_job job = {.half = decode_whole,
                       .tiling = tt_tiling_make(height, width, vae->decoder_tile),
                       .n_in = c->latent_channels,
                       .n_out = 3,
                       .in_scale = 1,
                       .out_scale = c->factor,
                       .verb = "decoding",
                       .tile = tile,
                       .user = user};
    for (uint32_t i = 0; i < batch && status == TT_OK; i++) {
        const float *from = latent + i * n_latent;
        float *to = image + i * n_image;
        status = is_tiled(&job.tiling) ? run_tiles(vae, &job, from, to, err)
                                       : decode_whole(vae, from, height, width, to, err);
    }
    return status;
}

/* One picture (or tile) to its latent statistics. */
static tt_status encode_whole(tt_vae *vae, const float *image, uint32_t height, uint32_t width, float *moments,
                              tt_error *err)
{
    const tt_vae_config *c = &vae->config;
    bool tiny = c->kind == TT_VAE_TINY;
    size_t n_pixels = (size_t)3 * height * width;
    size_t n = (size_t)(tiny ? 1 : 2) * c->latent_channels * (height / c->factor) * (width / c->factor);
    tt_status status = prepare(vae, false, height, width, err);
    if (status != TT_OK)
        return status;
    float *scaled = tiny ? malloc(n_pixels * sizeof *scaled) : NULL;
    if (tiny && !scaled)
        return tt_fail_memory(err, "the picture", n_pixels * sizeof *scaled);
    for (size_t i = 0; i < n_pixels && tiny; i++)
        scaled[i] = (image[i] + 1.0f) / 2.0f;
    status = tt_graph_write(vae->graph, "image", tiny ? scaled : image, n_pixels, err);
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
    tt_tile_job job = {.half = encode_whole,
                       .tiling = tt_tiling_make(height / c->factor, width / c->factor, vae->encoder_tile),
                       .n_in = 3,
                       .n_out = c->kind == TT_VAE_TINY ? c->latent_channels : 2 * c->latent_channels,
                       .in_scale = c->factor,
                       .out_scale = 1,
                       .verb = "encoding"};
    for (uint32_t i = 0; i < batch && status == TT_OK; i++) {
        const float *from = image + (size_t)i * 3 * height * width;
        status = is_tiled(&job.tiling) ? run_tiles(vae, &job, from, moments, err)
                                       : encode_whole(vae, from, height, width, moments, err);
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

tt_recorder *tt_vae_recorder(tt_vae *vae)
{
    return vae->graph ? tt_graph_recorder(vae->graph) : NULL;
}

size_t tt_vae_arena_bytes(const tt_vae *vae)
{
    return vae->graph ? tt_graph_arena_bytes(vae->graph) : 0;
}
