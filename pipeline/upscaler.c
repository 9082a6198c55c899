/* upscaler.c - the public upscaler: files, forms, pictures of bytes, passes until the wanted scale is reached. */
#include "base/checked.h"
#include "base/file.h"
#include "base/text.h"
#include "image/read.h"
#include "pipeline/context.h"
#include "pipeline/tune-store.h"
#include "upscale/upscale.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef TT_SHARE_DIR
#define TT_SHARE_DIR "/usr/local/share/tintype"
#endif

enum { USUAL_TILE = 256, LEAST_TILE = 32, MOST_TILE = 1024, MAX_SIDE = 16384, MOST_PIXELS = 64 << 20, LUMA = 1 };

static const char network_name[] = "tintype-x2.safetensors";

struct tt_upscaler {
    tt_context *context;
    char name[128];
    tt_precision precision;
    uint32_t tile; /* wanted */
    tt_upscale_file *file;
    tt_upscale_net *net; /* made when first used */
    bool counted;        /* counts as alive in the context */
};

void tt_upscaler_params_default(tt_upscaler_params *params)
{
    *params = (tt_upscaler_params){.precision = TT_PRECISION_AUTO};
}

/* ---- files */

/* Where the network that comes with the library is; *path is new (free()). */
static tt_status find_network(char **path, tt_error *err)
{
    const char *share = getenv("TINTYPE_SHARE");
    const char *const folders[] = {share && share[0] ? share : TT_SHARE_DIR, TT_SHARE_DIR, "models"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        *path = tt_path_join(folders[i], network_name);
        if (!*path)
            return tt_fail_memory(err, "a path", 0);
        if (tt_path_is_file(*path))
            return TT_OK;
        free(*path);
        *path = NULL;
    }
    return tt_fail(err, TT_ERROR_IO,
                   "the upscaling network %s is neither in %s nor in models; name a network, or set TINTYPE_SHARE to "
                   "its folder",
                   network_name, folders[0]);
}

static void set_name(tt_upscaler *upscaler, const char *path)
{
    size_t length;
    const char *last = tt_path_last(path, &length);
    (void)snprintf(upscaler->name, sizeof upscaler->name, "%.*s", (int)length, last);
    char *dot = strrchr(upscaler->name, '.');
    if (dot && dot != upscaler->name && strcmp(dot, ".safetensors") == 0)
        *dot = '\0';
}

static tt_status check_params(const tt_upscaler_params *params, tt_error *err)
{
    if (params->tile != 0 && (params->tile < LEAST_TILE || params->tile > MOST_TILE))
        return tt_fail(err, TT_ERROR_ARGUMENT, "tiles of %u pixels a side are not possible: %d to %d are",
                       (unsigned)params->tile, (int)LEAST_TILE, (int)MOST_TILE);
    if ((unsigned)params->precision > TT_PRECISION_INT8)
        return tt_fail(err, TT_ERROR_ARGUMENT, "%d is no precision", (int)params->precision);
    return TT_OK;
}

/* Plans a tile, so that a tensor that is missing or has a wrong shape is found now. */
static tt_status check_tensors(const tt_upscaler *upscaler, tt_error *err)
{
    const tt_kernels plain = {.storage = TT_STORAGE_F16};
    tt_graph_forecast forecast;
    return tt_upscale_forecast(&plain, tt_upscale_file_config(upscaler->file), tt_upscale_file_weights(upscaler->file),
                               LEAST_TILE, NULL, &forecast, err);
}

tt_status tt_upscaler_load(tt_context *context, const tt_upscaler_params *params, tt_upscaler **upscaler)
{
    tt_error *err = tt_context_begin(context);
    char *own = NULL;
    *upscaler = NULL;
    tt_status status = check_params(params, err);
    if (status == TT_OK && !params->path)
        status = find_network(&own, err);
    if (status != TT_OK)
        return status;
    const char *path = params->path ? params->path : own;
    tt_upscaler *u = calloc(1, sizeof *u);
    if (!u) {
        free(own);
        return tt_fail_memory(err, "an upscaler", sizeof *u);
    }
    u->context = context;
    u->precision = params->precision;
    u->tile = params->tile ? params->tile : USUAL_TILE;
    set_name(u, path);
    status = tt_upscale_file_open(path, &u->file, err);
    if (status == TT_OK)
        status = check_tensors(u, err);
    free(own);
    if (status != TT_OK) {
        tt_upscaler_destroy(u);
        return status;
    }
    *upscaler = u;
    return TT_OK;
}

void tt_upscaler_destroy(tt_upscaler *upscaler)
{
    if (!upscaler)
        return;
    tt_upscale_destroy(upscaler->net);
    tt_upscale_file_close(upscaler->file);
    if (upscaler->counted)
        upscaler->context->n_models--;
    free(upscaler);
}

/* ---- forms */

/* Half storage unless float was asked for; dot products where the device has them. These networks are small, and their
 * int8 form was never trained for: INT8 does what HALF does. Without a device: half. */
static tt_status make_kernels(const tt_upscaler *upscaler, tt_kernels *kernels, tt_error *err)
{
    tt_context *context = upscaler->context;
    bool is_float = upscaler->precision == TT_PRECISION_F32, is_plain = upscaler->precision == TT_PRECISION_F16;
    *kernels = (tt_kernels){.device = context->device,
                            .storage = is_float ? TT_STORAGE_F32 : TT_STORAGE_F16,
                            .arithmetic = is_float || is_plain ? TT_ARITHMETIC_FLOAT : TT_ARITHMETIC_HALF,
                            .tuning = context->tuning};
    if (!context->device)
        return TT_OK;
    kernels->family = tt_tune_store_family(context->device, context->tuning);
    return kernels->arithmetic == TT_ARITHMETIC_FLOAT ? TT_OK : tt_context_units(context, &kernels->dot, err);
}

static tt_status need_net(tt_upscaler *upscaler, tt_error *err)
{
    tt_kernels kernels;
    if (upscaler->net)
        return TT_OK;
    if (!upscaler->context->device)
        return tt_fail(err, TT_ERROR_ARGUMENT, "no device is open; call tt_context_open_device first");
    tt_status status = make_kernels(upscaler, &kernels, err);
    if (status == TT_OK)
        status = tt_upscale_create(&kernels, tt_upscale_file_config(upscaler->file),
                                   tt_upscale_file_weights(upscaler->file), upscaler->tile, &upscaler->net, err);
    if (status == TT_OK && !upscaler->counted) {
        upscaler->counted = true;
        upscaler->context->n_models++;
    }
    return status;
}

tt_status tt_upscaler_get_info(tt_upscaler *upscaler, tt_upscaler_info *info)
{
    tt_error *err = tt_context_begin(upscaler->context);
    const tt_upscale_config *config = tt_upscale_file_config(upscaler->file);
    tt_weights *weights = tt_upscale_file_weights(upscaler->file);
    tt_kernels kernels;
    uint64_t weight_bytes = 0;
    tt_graph_forecast forecast = {0};
    tt_status status = make_kernels(upscaler, &kernels, err);
    if (status == TT_OK)
        status = tt_upscale_forecast(&kernels, config, weights, upscaler->tile, &weight_bytes, &forecast, err);
    if (status != TT_OK)
        return status;
    *info = (tt_upscaler_info){.scale = config->scale,
                               .n_channels = config->n_channels,
                               .n_parameters = tt_weights_elements(weights),
                               .n_bytes = tt_weights_bytes(weights),
                               .flops_per_pixel = tt_upscale_flops_per_pixel(config),
                               .tile = tt_upscale_tile(config, upscaler->tile),
                               .peak_bytes = weight_bytes + forecast.arena_bytes + forecast.io_bytes};
    (void)snprintf(info->name, sizeof info->name, "%s", upscaler->name);
    (void)snprintf(info->architecture, sizeof info->architecture, "%s", tt_upscale_kind_name(config->kind));
    return TT_OK;
}

/* ---- one pass over a picture of bytes */

typedef struct tt_byte_picture {
    const tt_image *in;
    tt_image *out; /* holds the bicubic picture where alpha or colours are taken from it */
    bool is_luma;  /* what the network makes larger */
    tt_upscale_progress_fn progress;
    void *user;
    uint32_t first_tile, n_tiles; /* of all passes */
} tt_byte_picture;

/* BT.601 luma of full-range RGB. */
static float luma_of(const uint8_t *pixel)
{
    return 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
}

static uint8_t to_byte(float value)
{
    return value >= 255.0f ? 255 : value > 0.0f ? (uint8_t)(value + 0.5f) : 0; /* no number: 0 */
}

static void read_bytes(void *user, uint32_t y, uint32_t x, uint32_t n, float *values, size_t stride)
{
    const tt_byte_picture *p = user;
    uint32_t n_channels = p->in->n_channels;
    const uint8_t *pixel = p->in->pixels + ((size_t)y * p->in->width + x) * n_channels;
    for (uint32_t i = 0; i < n; i++, pixel += n_channels)
        if (p->is_luma)
            values[i] = (n_channels == 1 ? pixel[0] : luma_of(pixel)) / 255.0f;
        else
            for (uint32_t c = 0; c < 3; c++)
                values[c * stride + i] = (float)pixel[n_channels == 1 ? 0 : c] / 255.0f;
}

/* Takes a pixel of the network's: a new luma moves the colours of the bicubic picture, RGB replaces it. */
static void store_pixel(const tt_byte_picture *p, const float *value, size_t stride, uint8_t *pixel)
{
    if (p->out->n_channels == 1) {
        pixel[0] = to_byte(255.0f * (p->is_luma ? value[0] : (value[0] + value[stride] + value[2 * stride]) / 3.0f));
        return;
    }
    float change = p->is_luma ? 255.0f * value[0] - luma_of(pixel) : 0.0f;
    for (uint32_t c = 0; c < 3; c++)
        pixel[c] = to_byte(p->is_luma ? (float)pixel[c] + change : 255.0f * value[c * stride]);
}

static void write_bytes(void *user, uint32_t y, const float *values, size_t stride)
{
    const tt_byte_picture *p = user;
    uint8_t *pixel = p->out->pixels + (size_t)y * p->out->width * p->out->n_channels;
    for (uint32_t x = 0; x < p->out->width; x++, pixel += p->out->n_channels)
        store_pixel(p, values + x, stride, pixel);
}

static bool tell_tile(void *user, uint32_t tile, uint32_t n_tiles)
{
    const tt_byte_picture *p = user;
    (void)n_tiles;
    return !p->progress || p->progress(p->user, p->first_tile + tile, p->n_tiles);
}

/* Room for the larger picture, filled bicubically where that is needed. */
static tt_status make_out(const tt_byte_picture *p, uint32_t scale, tt_error *err)
{
    const tt_image *in = p->in;
    if (in->n_channels == 4 || (p->is_luma && in->n_channels == 3))
        return tt_image_resize(in, in->width * scale, in->height * scale, p->out, err);
    size_t n_bytes = (size_t)in->width * scale * in->height * scale * in->n_channels;
    *p->out = (tt_image){in->width * scale, in->height * scale, in->n_channels, malloc(n_bytes)};
    return p->out->pixels ? TT_OK : tt_fail_memory(err, "the larger picture", n_bytes);
}

static tt_status run_pass(tt_upscaler *upscaler, tt_byte_picture *p, tt_error *err)
{
    const tt_upscale_config *config = tt_upscale_file_config(upscaler->file);
    tt_upscale_picture picture = {.height = p->in->height,
                                  .width = p->in->width,
                                  .read = read_bytes,
                                  .write = write_bytes,
                                  .tile = tell_tile,
                                  .user = p};
    p->is_luma = config->n_channels == LUMA;
    *p->out = (tt_image){0};
    tt_status status = make_out(p, config->scale, err);
    if (status == TT_OK)
        status = tt_upscale_run(upscaler->net, &picture, err);
    if (status != TT_OK)
        tt_image_free(p->out);
    return status;
}

/* ---- all passes */

/* Passes that reach a scale. */
static uint32_t passes_for(uint32_t own, uint32_t wanted)
{
    uint32_t n = 1;
    for (uint32_t reached = own; reached < wanted; reached *= own)
        n++;
    return n;
}

static tt_status check_request(const tt_upscaler *upscaler, const tt_image *image, uint32_t scale, tt_error *err)
{
    uint32_t own = tt_upscale_file_config(upscaler->file)->scale;
    if (scale < 2 || scale > 4)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a picture can be made 2, 3 or 4 times larger, not %u", (unsigned)scale);
    bool is_known = image->n_channels == 1 || image->n_channels == 3 || image->n_channels == 4;
    if (!image->pixels || image->width == 0 || image->height == 0 || !is_known)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the picture is empty or is neither grey, RGB nor RGBA");
    if (own < 2)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s keeps a picture's size, so it cannot make it larger",
                       upscaler->name);
    uint64_t reached = 1, pixels = (uint64_t)image->width * image->height * scale * scale;
    for (uint32_t i = 0; i < passes_for(own, scale); i++)
        reached *= own;
    uint64_t side = image->width > image->height ? image->width : image->height;
    if (pixels > MOST_PIXELS || side * scale > MAX_SIDE || side * reached > MAX_SIDE)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "%u x %u pixels made %u times larger by a network of scale %u are more than 64 megapixels or "
                       "%d a side",
                       (unsigned)image->width, (unsigned)image->height, (unsigned)scale, (unsigned)own, (int)MAX_SIDE);
    return TT_OK;
}

/* Makes the picture larger n times in a row. */
static tt_status run_passes(tt_upscaler *upscaler, const tt_image *image, uint32_t n, tt_byte_picture *p, tt_image *out,
                            tt_error *err)
{
    tt_image made = {0};
    uint32_t own = tt_upscale_file_config(upscaler->file)->scale, height = image->height, width = image->width;
    for (uint32_t i = 0; i < n; i++, height *= own, width *= own)
        p->n_tiles += tt_upscale_count(upscaler->net, height, width);
    for (uint32_t i = 0; i < n; i++) {
        tt_image next = {0};
        p->in = i == 0 ? image : &made;
        p->out = &next;
        tt_status status = run_pass(upscaler, p, err);
        p->first_tile += tt_upscale_count(upscaler->net, p->in->height, p->in->width);
        tt_image_free(&made);
        if (status != TT_OK)
            return status;
        made = next;
    }
    *out = made;
    return TT_OK;
}

/* Alpha went through all passes; it is to be what resizing once makes of it. */
static tt_status resize_alpha(const tt_image *image, tt_image *out, tt_error *err)
{
    tt_image resized;
    if (image->n_channels != 4)
        return TT_OK;
    tt_status status = tt_image_resize(image, out->width, out->height, &resized, err);
    for (size_t i = 0; status == TT_OK && i < (size_t)out->width * out->height; i++)
        out->pixels[4 * i + 3] = resized.pixels[4 * i + 3];
    tt_image_free(&resized);
    return status;
}

/* From what the passes made to the wanted scale. Takes *made. */
static tt_status end_passes(const tt_image *image, uint32_t scale, tt_image *made, tt_image *out, tt_error *err)
{
    tt_status status = TT_OK;
    if (made->width == image->width * scale)
        *out = *made;
    else {
        status = tt_image_resize(made, image->width * scale, image->height * scale, out, err);
        tt_image_free(made);
    }
    if (status == TT_OK)
        status = resize_alpha(image, out, err);
    if (status != TT_OK)
        tt_image_free(out);
    return status;
}

tt_status tt_upscale(tt_upscaler *upscaler, const tt_image *image, uint32_t scale, tt_upscale_progress_fn progress,
                     void *user, tt_image *out)
{
    tt_error *err = tt_context_begin(upscaler->context);
    tt_byte_picture p = {.progress = progress, .user = user};
    tt_image made = {0};
    *out = made;
    tt_status status = check_request(upscaler, image, scale, err);
    if (status == TT_OK)
        status = need_net(upscaler, err);
    if (status != TT_OK)
        return status;
    uint32_t own = tt_upscale_file_config(upscaler->file)->scale;
    status = run_passes(upscaler, image, passes_for(own, scale), &p, &made, err);
    return status == TT_OK ? end_passes(image, scale, &made, out, err) : status;
}
