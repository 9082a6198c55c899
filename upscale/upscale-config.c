/* upscale-config.c - which network a file holds, told by names and shapes of its tensors. */
#include "upscale/upscale-build.h"

#include <stdio.h>
#include <string.h>

const char *tt_upscale_kind_name(tt_upscale_kind kind)
{
    static const char *const names[] = {"srvgg", "rrdb", "upconv7", "fsrcnn", "espcn"};
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "?";
}

enum { MAX_FEATURES = 1024, MAX_UNSHUFFLE = 4, MAX_SCALE = 4 };

static const char *const prefixes[] = {"", "params_ema.", "params."};

/* A file with the prefix and layout that are tried. */
typedef struct tt_look {
    const tt_tensor_file *file;
    const tt_upscale_config *config;
} tt_look;

/* The stored tensor of a builder's name, NULL when there is none. */
static const tt_tensor *look_up(const tt_look *look, const char *canonical)
{
    tt_tensor_place place;
    char name[TT_MAX_NAME + 16];
    if (!tt_upscale_name(look->config, canonical, &place))
        return NULL;
    (void)snprintf(name, sizeof name, "%s%s", look->config->prefix, place.name);
    return tt_tensor_file_find(look->file, name);
}

static const tt_tensor *look_up_conv(const tt_look *look, uint32_t index, const char *suffix)
{
    char name[32];
    (void)snprintf(name, sizeof name, "conv%u.%s", (unsigned)index, suffix);
    return look_up(look, name);
}

/* True for weights of a convolution with `side` taps along each side and a number of outputs that can be. */
static bool is_conv(const tt_tensor *tensor, uint32_t side)
{
    return tensor && tensor->n_dims == 4 && tensor->dims[2] == side && tensor->dims[3] == side &&
           tensor->dims[0] >= 1 && tensor->dims[0] <= MAX_FEATURES && tensor->dims[1] >= 1 &&
           tensor->dims[1] <= MAX_FEATURES;
}

static tt_status fail_unknown(const tt_tensor_file *file, tt_error *err)
{
    return tt_fail(err, TT_ERROR_UNSUPPORTED,
                   "%s: this is no super-resolution network that is known; looked for the tensors of SRVGGNetCompact "
                   "(body.0.weight, body.1.weight), RRDBNet (conv_first.weight), upconv_7, FSRCNN and ESPCN "
                   "(conv0.weight)",
                   tt_tensor_file_path(file));
}

static tt_status fail_shape(const tt_look *look, const char *canonical, const char *expected, tt_error *err)
{
    const tt_tensor *tensor = look_up(look, canonical);
    char shape[160] = "no such tensor";
    if (tensor)
        tt_shape_text(tensor->n_dims, tensor->dims, shape, sizeof shape);
    return tt_fail(err, TT_ERROR_FORMAT, "%s: %s (%s in %s) has the shape %s, expected %s",
                   tt_tensor_file_path(look->file), tensor ? tensor->name : canonical, canonical,
                   tt_upscale_kind_name(look->config->kind), shape, expected);
}

/* Side of the pixel shuffle that makes n channels of n_outs outputs, 0: none. */
static uint32_t shuffle_side(uint32_t n_outs, uint32_t n_channels)
{
    for (uint32_t side = 1; side <= MAX_SCALE; side++)
        if (n_outs == n_channels * side * side)
            return side;
    return 0;
}

/* ---- convolutions in a row: SRVGGNetCompact, upconv_7, FSRCNN, ESPCN */

/* Counts them and notes their outputs; every one takes what the one before gives. */
static tt_status read_convs(const tt_look *look, tt_upscale_config *c, tt_error *err)
{
    const tt_tensor *tensor;
    char name[32];
    for (c->n_convs = 0; (tensor = look_up_conv(look, c->n_convs, "weight")) != NULL; c->n_convs++) {
        (void)snprintf(name, sizeof name, "conv%u.weight", (unsigned)c->n_convs);
        bool is_first = c->n_convs == 0, is_transposed = c->kind == TT_UPSCALE_UPCONV7 && c->n_convs == 6;
        if (c->n_convs == TT_UPSCALE_MAX_CONVS)
            return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: a network of more than %d convolutions is not known",
                           tt_tensor_file_path(look->file), (int)TT_UPSCALE_MAX_CONVS);
        uint64_t n_in = tensor->n_dims == 4 ? tensor->dims[is_transposed ? 0 : 1] : 0;
        bool fits = is_first || n_in == c->n_outs[c->n_convs - 1];
        if (!fits || !(is_conv(tensor, 1) || is_conv(tensor, 3) || is_conv(tensor, 5) || is_conv(tensor, 4)))
            return fail_shape(look, name, "weights of a convolution that takes what the one before it gives", err);
        c->n_outs[c->n_convs] = (uint32_t)tensor->dims[is_transposed ? 1 : 0];
    }
    return TT_OK;
}

/* Checks that convolution i has `side` taps along a side. */
static tt_status check_side(const tt_look *look, uint32_t index, uint32_t side, tt_error *err)
{
    char name[32], expected[64];
    if (is_conv(look_up_conv(look, index, "weight"), side))
        return TT_OK;
    (void)snprintf(name, sizeof name, "conv%u.weight", (unsigned)index);
    (void)snprintf(expected, sizeof expected, "weights of a convolution of %u x %u", (unsigned)side, (unsigned)side);
    return fail_shape(look, name, expected, err);
}

uint32_t tt_upscale_conv_side(const tt_upscale_config *c, uint32_t index)
{
    bool is_inner = index > 1 && index + 2 < c->n_convs;
    switch (c->kind) {
    case TT_UPSCALE_FSRCNN:
        return index == 0 ? 5 : is_inner ? 3 : 1;
    case TT_UPSCALE_ESPCN:
        return index == 0 ? 5 : 3;
    case TT_UPSCALE_UPCONV7:
        return index == 6 ? 4 : 3;
    default:
        return 3;
    }
}

static tt_status check_row(const tt_look *look, tt_upscale_config *c, uint32_t n_channels, uint32_t least,
                           tt_error *err)
{
    tt_status status = read_convs(look, c, err);
    if (status == TT_OK && (c->n_convs < least || (c->kind == TT_UPSCALE_UPCONV7 && c->n_convs != 7)))
        status = tt_fail(err, TT_ERROR_FORMAT, "%s: %u convolutions of %s were found, expected %u%s",
                         tt_tensor_file_path(look->file), (unsigned)c->n_convs, tt_upscale_kind_name(c->kind),
                         (unsigned)least, c->kind == TT_UPSCALE_UPCONV7 ? "" : " or more");
    for (uint32_t i = 0; i < c->n_convs && status == TT_OK; i++) {
        status = check_side(look, i, tt_upscale_conv_side(c, i), err);
        c->margin += tt_upscale_conv_side(c, i) / 2;
    }
    c->n_channels = n_channels;
    c->first_side = tt_upscale_conv_side(c, 0);
    const tt_tensor *first = look_up_conv(look, 0, "weight");
    if (status == TT_OK && first->dims[1] != n_channels)
        status = fail_shape(look, "conv0.weight", n_channels == 3 ? "3 inputs (RGB)" : "1 input (luma)", err);
    return status;
}

/* The last convolution's outputs are the pixels of a shuffle. */
static tt_status read_shuffle(const tt_look *look, tt_upscale_config *c, tt_error *err)
{
    char name[32];
    c->scale = shuffle_side(c->n_outs[c->n_convs - 1], c->n_channels);
    if (c->scale > 0)
        return TT_OK;
    (void)snprintf(name, sizeof name, "conv%u.weight", (unsigned)(c->n_convs - 1));
    return fail_shape(look, name, "outputs for a pixel shuffle of 1 to 4", err);
}

/* FSRCNN's bias of the one output channel. */
static tt_status read_shift(const tt_look *look, tt_upscale_config *c, tt_error *err)
{
    const tt_tensor *bias = look_up(look, "out.bias");
    if (!bias)
        return TT_OK;
    if (bias->n_dims != 1 || bias->dims[0] != 1 || !tt_dtype_size(bias->dtype))
        return fail_shape(look, "out.bias", "one number", err);
    tt_to_float(bias->dtype, bias->data, &c->shift, 1);
    return TT_OK;
}

static tt_status derive_row(const tt_look *look, tt_upscale_config *c, tt_error *err)
{
    bool is_luma = c->kind == TT_UPSCALE_FSRCNN || c->kind == TT_UPSCALE_ESPCN;
    uint32_t least = c->kind == TT_UPSCALE_UPCONV7 ? 7 : c->kind == TT_UPSCALE_FSRCNN ? 4 : 2;
    tt_status status = check_row(look, c, is_luma ? 1 : 3, least, err);
    if (status == TT_OK && c->kind == TT_UPSCALE_FSRCNN)
        status = read_shift(look, c, err);
    if (status != TT_OK || c->kind != TT_UPSCALE_UPCONV7)
        return status == TT_OK ? read_shuffle(look, c, err) : status;
    if (c->n_outs[6] != 3)
        return fail_shape(look, "conv6.weight", "3 outputs (RGB)", err);
    c->scale = 2;
    c->pad = 7;
    c->margin = 0; /* its padding shows it all that it sees */
    return TT_OK;
}

/* ---- RRDBNet: sizes here, the many layers when a graph asks for them */

static bool has(const tt_look *look, const char *canonical)
{
    return look_up(look, canonical) != NULL;
}

/* Counts blocks and upsamplings; old names need the number of blocks to find the layers behind them. */
static tt_status count_rrdb(const tt_look *look, tt_upscale_config *c, tt_error *err)
{
    char name[32] = "block 0.1.1.weight";
    for (c->n_blocks = 0; c->n_blocks <= TT_UPSCALE_MAX_RRDB && has(look, name); c->n_blocks++)
        (void)snprintf(name, sizeof name, "block %u.1.1.weight", (unsigned)c->n_blocks + 1);
    if (c->n_blocks > TT_UPSCALE_MAX_RRDB)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "%s: an RRDBNet of more than %d blocks is not known",
                       tt_tensor_file_path(look->file), (int)TT_UPSCALE_MAX_RRDB);
    c->n_ups = (uint32_t)has(look, "up1.weight");
    c->n_ups += c->n_ups == 1 && has(look, "up2.weight");
    return TT_OK;
}

/* How the input is folded and how much larger the result is. */
static tt_status read_rrdb_scale(const tt_look *look, tt_upscale_config *c, tt_error *err)
{
    const tt_tensor *first = look_up(look, "first.weight");
    uint64_t n_in = first->dims[1];
    c->n_channels = 3;
    c->unshuffle = n_in == 12 ? 2 : n_in == 48 ? 4 : 1;
    if (n_in != 3 * (uint64_t)c->unshuffle * c->unshuffle)
        return fail_shape(look, "first.weight", "3, 12 or 48 inputs (RGB, folded by 2 or 4)", err);
    if ((1u << c->n_ups) < c->unshuffle)
        return fail_shape(look, "up1.weight", "upsampling that undoes the folding", err);
    c->scale = (1u << c->n_ups) / c->unshuffle;
    return TT_OK;
}

static tt_status derive_rrdb(const tt_look *look, tt_upscale_config *c, tt_error *err)
{
    enum { NOTICEABLE = 24 };
    tt_status status = count_rrdb(look, c, err);
    if (status != TT_OK)
        return status;
    const tt_tensor *first = look_up(look, "first.weight"), *dense = look_up(look, "block 0.1.1.weight");
    if (!is_conv(first, 3) || first->dims[0] % 4 != 0)
        return fail_shape(look, "first.weight", "a 3x3 convolution with a multiple of 4 outputs", err);
    if (!is_conv(dense, 3) || dense->dims[0] % 4 != 0)
        return fail_shape(look, "block 0.1.1.weight", "a 3x3 convolution with a multiple of 4 outputs", err);
    if (!is_conv(look_up(look, "last.weight"), 3) || look_up(look, "last.weight")->dims[0] != 3)
        return fail_shape(look, "last.weight", "a 3x3 convolution with 3 outputs (RGB)", err);
    c->n_features = (uint32_t)first->dims[0];
    c->n_growth = (uint32_t)dense->dims[0];
    status = read_rrdb_scale(look, c, err);
    uint32_t reach = (3 + 15 * c->n_blocks + 2) * c->unshuffle; /* upsampled layers see less than two pixels */
    c->margin = reach < NOTICEABLE ? reach : NOTICEABLE;
    return status;
}

/* ---- which one */

/* Tries one layout and prefix. */
static bool recognise(const tt_look *look, tt_upscale_config *c)
{
    const tt_tensor *first;
    if (strcmp(c->layout, "plain") != 0 && has(look, "first.weight") && has(look, "block 0.1.1.weight")) {
        c->kind = TT_UPSCALE_RRDB;
        return true;
    }
    c->kind = TT_UPSCALE_SRVGG;
    if (strcmp(c->layout, "plain") != 0)
        return strcmp(c->layout, "basicsr") == 0 && has(look, "conv0.weight") && has(look, "conv0.slope");
    if ((first = look_up_conv(look, 0, "weight")) == NULL || first->n_dims != 4)
        return false;
    bool has_slopes = has(look, "conv0.slope"), is_wide = first->dims[2] == 5;
    c->kind = is_wide ? (has_slopes ? TT_UPSCALE_FSRCNN : TT_UPSCALE_ESPCN)
                      : (has_slopes ? TT_UPSCALE_SRVGG : TT_UPSCALE_UPCONV7);
    return true;
}

tt_status tt_upscale_config_derive(const tt_tensor_file *file, tt_upscale_config *c, tt_error *err)
{
    static const char *const layouts[] = {"basicsr", "esrgan", "old-esrgan", "plain"};
    tt_look look = {file, c};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        for (size_t j = 0; j < sizeof prefixes / sizeof *prefixes; j++) {
            *c = (tt_upscale_config){.layout = layouts[i], .prefix = prefixes[j], .unshuffle = 1};
            if (!recognise(&look, c))
                continue;
            return c->kind == TT_UPSCALE_RRDB ? derive_rrdb(&look, c, err) : derive_row(&look, c, err);
        }
    return fail_unknown(file, err);
}

static double rrdb_flops(const tt_upscale_config *c)
{
    const double tap_flops = 18, n = c->n_features, growth = c->n_growth,
                 n_in = c->n_channels * c->unshuffle * c->unshuffle;
    double dense = (n + 4 * growth) * n;
    for (uint32_t k = 0; k < 4; k++)
        dense += (n + k * growth) * growth;
    double sum = n_in * n + 3 * dense * c->n_blocks + n * n, area = 1;
    for (uint32_t i = 0; i < c->n_ups; i++) {
        area *= 4;
        sum += area * n * n;
    }
    sum += area * (n * n + n * c->n_channels);
    return tap_flops * sum / (c->unshuffle * c->unshuffle);
}

double tt_upscale_flops_per_pixel(const tt_upscale_config *c)
{
    double sum = 0, n_in = c->n_channels;
    if (c->kind == TT_UPSCALE_RRDB)
        return rrdb_flops(c);
    for (uint32_t i = 0; i < c->n_convs; i++) {
        /* upconv_7's last layer is computed as nine taps for each of four pixels. */
        bool is_phases = c->kind == TT_UPSCALE_UPCONV7 && i + 1 == c->n_convs;
        double side = tt_upscale_conv_side(c, i), n_products = is_phases ? 36 : side * side;
        sum += 2.0 * n_in * n_products * c->n_outs[i];
        n_in = c->n_outs[i];
    }
    return sum;
}
