/* upscale-tiles.c - a whole picture by tiles: cut, padded, made larger, shuffled, blended, handed on in rows.
 *
 * Tiles of a row are summed with weights in a band of the larger picture; rows that no later tile reaches are divided
 * by the sum of their weights and handed on. A tile's weight is zero within the margin of an edge that is not the
 * picture's and rises linearly from there, so that what a tile does not know about never shows. */
#include "base/checked.h"
#include "base/pieces.h"
#include "upscale/upscale-private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pixels of the input over which neighbouring tiles are blended. */
enum { BLEND = 8 };

static uint32_t overlap_of(const tt_upscale_config *c)
{
    return 2 * c->margin + BLEND;
}

static uint32_t round_up(uint32_t value, uint32_t step)
{
    return (value + step - 1) / step * step;
}

uint32_t tt_upscale_tile(const tt_upscale_config *c, uint32_t wanted)
{
    uint32_t least = 2 * (overlap_of(c) + c->pad), tile = wanted > least ? wanted : least;
    return round_up(tile, tt_upscale_form_of(c).fold);
}

/* Tiles along one side of the picture. */
typedef struct tt_side {
    uint32_t size;    /* pixels of the input, raised to a multiple of what is folded */
    uint32_t piece;   /* of a tile, without padding */
    uint32_t overlap; /* of two tiles */
    uint32_t n;
} tt_side;

static tt_side make_side(const tt_upscale_net *net, uint32_t size)
{
    const tt_upscale_config *c = &net->config;
    uint32_t unit = tt_upscale_form_of(c).fold;
    tt_side side = {.size = round_up(size, unit), .piece = net->tile - 2 * c->pad};
    side.overlap = round_up(overlap_of(c), unit);
    if (side.piece > side.size)
        side.piece = side.size;
    side.n = tt_pieces_count(side.size, side.piece, side.overlap);
    return side;
}

uint32_t tt_upscale_count(const tt_upscale_net *net, uint32_t height, uint32_t width)
{
    return make_side(net, height).n * make_side(net, width).n;
}

static uint32_t start_of(const tt_side *side, uint32_t index)
{
    return tt_pieces_start(index, side->size, side->piece, side->overlap);
}

/* Weight of a pixel of the larger picture, `at` pixels from the beginning of tile `index`. */
static float weight_at(const tt_side *side, const tt_upscale_config *c, uint32_t index, uint32_t at)
{
    uint32_t n = side->piece * c->scale, margin = c->margin * c->scale, ramp = BLEND * c->scale;
    int64_t left = index == 0 ? INT32_MAX : (int64_t)at + 1 - margin;
    int64_t right = index + 1 == side->n ? INT32_MAX : (int64_t)n - at - margin;
    int64_t least = left < right ? left : right;
    return least <= 0 ? 0.0f : least >= ramp ? 1.0f : (float)least / (float)ramp;
}

/* Weights of the tiles of a side [n][piece * scale], and their sums [size * scale]. */
static void fill_weights(const tt_side *side, const tt_upscale_config *c, float *weights, float *sums)
{
    uint32_t n = side->piece * c->scale;
    memset(sums, 0, (size_t)side->size * c->scale * sizeof *sums);
    for (uint32_t i = 0; i < side->n; i++)
        for (uint32_t j = 0; j < n; j++) {
            weights[(size_t)i * n + j] = weight_at(side, c, i, j);
            sums[(size_t)start_of(side, i) * c->scale + j] += weights[(size_t)i * n + j];
        }
}

/* A picture on its way. */
typedef struct tt_run {
    tt_upscale_net *net;
    const tt_upscale_picture *picture;
    tt_side rows, columns;
    float *row_weights, *row_sums, *column_weights, *column_sums;
    float *tile;   /* [n_channels][piece + 2 pad][...]: what the network sees */
    float *result; /* before the pixel shuffle */
    float *band;   /* [n_channels][piece * scale][width * scale]: sums */
} tt_run;

static uint32_t clamped(int64_t value, uint32_t size)
{
    return value < 0 ? 0 : value >= size ? size - 1 : (uint32_t)value;
}

/* Reads a tile with its padding; beyond the picture's edge is the edge. */
static void read_tile(const tt_run *run, uint32_t top, uint32_t left)
{
    const tt_upscale_config *c = &run->net->config;
    const tt_upscale_picture *p = run->picture;
    size_t height = run->rows.piece + 2 * c->pad, width = run->columns.piece + 2 * c->pad, stride = height * width;
    int64_t first = (int64_t)left - c->pad;
    uint32_t from = clamped(first, p->width), to = clamped(first + (int64_t)width - 1, p->width);
    for (size_t y = 0; y < height; y++) {
        float *row = run->tile + y * width;
        size_t before = (size_t)((int64_t)from - first), n = to - from + 1;
        p->read(p->user, clamped((int64_t)top - c->pad + (int64_t)y, p->height), from, (uint32_t)n, row + before,
                stride);
        for (size_t channel = 0; channel < c->n_channels; channel++, row += stride) {
            for (size_t x = 0; x < before; x++)
                row[x] = row[before];
            for (size_t x = before + n; x < width; x++)
                row[x] = row[before + n - 1];
        }
    }
}

/* What a network makes of its last layer's value; added: the input's pixel, where it adds that. */
static float finish(const tt_upscale_config *c, float value, float added)
{
    return c->kind == TT_UPSCALE_ESPCN ? tanhf(value) : value + added + c->shift;
}

/* Adds row y of a tile's result to the band. The pixel shuffle takes every s-th pixel from one plane, so that a row is
 * s runs through rows of planes. */
static void add_row(const tt_run *run, size_t channel, size_t y, float row_weight, const float *weights, float *out)
{
    const tt_upscale_config *c = &run->net->config;
    tt_upscale_form form = tt_upscale_form_of(c);
    size_t s = form.shuffle, pad = (size_t)c->pad * form.grow, from_y = y + pad * s;
    size_t height = (run->rows.piece + 2 * (size_t)c->pad) * form.grow / form.fold;
    size_t width = (run->columns.piece + 2 * (size_t)c->pad) * form.grow / form.fold;
    bool adds_input = c->kind == TT_UPSCALE_SRVGG;
    const float *input = run->tile + (channel * run->rows.piece + y / c->scale) * run->columns.piece;
    for (size_t phase = 0; phase < s; phase++) {
        size_t plane = (channel * s + from_y % s) * s + phase;
        const float *from = run->result + (plane * height + from_y / s) * width + pad;
        for (size_t i = 0; i < width - 2 * pad; i++)
            out[i * s + phase] +=
                row_weight * weights[i * s + phase] * finish(c, from[i], adds_input ? input[i] : 0.0f);
    }
}

static void add_tile(const tt_run *run, uint32_t row, uint32_t column)
{
    const tt_upscale_config *c = &run->net->config;
    size_t n = (size_t)run->rows.piece * c->scale, width = (size_t)run->columns.size * c->scale;
    size_t left = (size_t)start_of(&run->columns, column) * c->scale;
    const float *weights = run->column_weights + (size_t)column * run->columns.piece * c->scale;
    for (size_t channel = 0; channel < c->n_channels; channel++)
        for (size_t y = 0; y < n; y++) {
            float row_weight = run->row_weights[row * n + y];
            if (row_weight > 0)
                add_row(run, channel, y, row_weight, weights, run->band + (channel * n + y) * width + left);
        }
}

/* Hands on the band's first n_done rows and moves the others up. */
static void end_rows(const tt_run *run, uint32_t row, size_t n_done)
{
    const tt_upscale_config *c = &run->net->config;
    const tt_upscale_picture *p = run->picture;
    size_t n = (size_t)run->rows.piece * c->scale, width = (size_t)run->columns.size * c->scale;
    size_t first = (size_t)start_of(&run->rows, row) * c->scale;
    for (size_t y = 0; y < n_done && first + y < (size_t)p->height * c->scale; y++) {
        for (size_t channel = 0; channel < c->n_channels; channel++)
            for (size_t x = 0; x < width; x++)
                run->band[(channel * n + y) * width + x] /= run->row_sums[first + y] * run->column_sums[x];
        p->write(p->user, (uint32_t)(first + y), run->band + y * width, n * width);
    }
    for (size_t channel = 0; channel < c->n_channels; channel++) {
        float *band = run->band + channel * n * width;
        memmove(band, band + n_done * width, (n - n_done) * width * sizeof *band);
        memset(band + (n - n_done) * width, 0, n_done * width * sizeof *band);
    }
}

static tt_status run_tile(const tt_run *run, uint32_t row, uint32_t column, tt_error *err)
{
    const tt_upscale_config *c = &run->net->config;
    const tt_upscale_picture *p = run->picture;
    uint32_t index = row * run->columns.n + column, n = run->rows.n * run->columns.n;
    if (p->tile && !p->tile(p->user, index, n))
        return tt_fail(err, TT_ERROR_CANCELLED, "cancelled before tile %u of %u", (unsigned)index + 1, (unsigned)n);
    read_tile(run, start_of(&run->rows, row), start_of(&run->columns, column));
    tt_status status = tt_upscale_pass(run->net, run->tile, run->rows.piece + 2 * c->pad,
                                       run->columns.piece + 2 * c->pad, run->result, err);
    if (status == TT_OK)
        add_tile(run, row, column);
    return status;
}

static tt_status run_rows(const tt_run *run, tt_error *err)
{
    tt_status status = TT_OK;
    for (uint32_t row = 0; row < run->rows.n && status == TT_OK; row++) {
        for (uint32_t column = 0; column < run->columns.n && status == TT_OK; column++)
            status = run_tile(run, row, column, err);
        uint32_t piece = run->rows.piece, start = start_of(&run->rows, row);
        uint32_t done = row + 1 == run->rows.n ? piece : start_of(&run->rows, row + 1) - start;
        if (status == TT_OK)
            end_rows(run, row, (size_t)done * run->net->config.scale);
    }
    return status;
}

/* All memory of a run in one block. */
static tt_status allocate(tt_run *run, float **block, tt_error *err)
{
    const tt_upscale_config *c = &run->net->config;
    tt_upscale_form form = tt_upscale_form_of(c);
    size_t scale = c->scale, piece_rows = run->rows.piece, piece_columns = run->columns.piece;
    size_t n_pixels = (piece_rows + 2 * c->pad) * (piece_columns + 2 * c->pad);
    size_t n_result = n_pixels / (form.fold * form.fold) * form.grow * form.grow * tt_upscale_out_channels(c);
    const size_t sizes[] = {run->rows.n * piece_rows * scale,
                            run->rows.size * scale,
                            run->columns.n * piece_columns * scale,
                            run->columns.size * scale,
                            n_pixels * c->n_channels,
                            n_result,
                            piece_rows * scale * run->columns.size * scale * c->n_channels};
    float **parts[] = {&run->row_weights, &run->row_sums, &run->column_weights, &run->column_sums, &run->tile,
                       &run->result,      &run->band};
    size_t n = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        n += sizes[i];
    float *at = calloc(n, sizeof *at);
    if (!at)
        return tt_fail_memory(err, "the tiles of a picture", n * sizeof *at);
    *block = at;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        *parts[i] = at;
        at += sizes[i];
    }
    return TT_OK;
}

tt_status tt_upscale_run(tt_upscale_net *net, const tt_upscale_picture *picture, tt_error *err)
{
    enum { MAX_SIDE = 16384 };
    if (picture->height == 0 || picture->width == 0 || picture->height > MAX_SIDE || picture->width > MAX_SIDE)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a picture of %u x %u cannot be made larger: sides are 1 to %d",
                       (unsigned)picture->width, (unsigned)picture->height, (int)MAX_SIDE);
    tt_run run = {.net = net,
                  .picture = picture,
                  .rows = make_side(net, picture->height),
                  .columns = make_side(net, picture->width)};
    float *block = NULL;
    tt_status status = allocate(&run, &block, err);
    if (status != TT_OK)
        return status;
    fill_weights(&run.rows, &net->config, run.row_weights, run.row_sums);
    fill_weights(&run.columns, &net->config, run.column_weights, run.column_sums);
    status = run_rows(&run, err);
    free(block);
    return status;
}
