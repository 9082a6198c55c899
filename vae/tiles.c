/* tiles.c - places, weights and sums of overlapping tiles. */
#include "vae/tiles.h"
#include "base/pieces.h"

#include <stdlib.h>
#include <string.h>

static uint32_t overlap_of(uint32_t tile)
{
    uint32_t quarter = tile / 4;
    return quarter > TT_MIN_OVERLAP ? quarter : TT_MIN_OVERLAP;
}

tt_tiling tt_tiling_make(uint32_t height, uint32_t width, tt_vae_tile tile)
{
    tt_tiling t = {.height = height, .width = width};
    t.tile_height = tile.height == 0 || tile.height > height ? height : tile.height;
    t.tile_width = tile.width == 0 || tile.width > width ? width : tile.width;
    t.n_rows = tt_pieces_count(height, t.tile_height, overlap_of(t.tile_height));
    t.n_columns = tt_pieces_count(width, t.tile_width, overlap_of(t.tile_width));
    return t;
}

static uint32_t tile_start(uint32_t index, uint32_t size, uint32_t tile)
{
    return tt_pieces_start(index, size, tile, overlap_of(tile));
}

void tt_tiling_place(const tt_tiling *t, uint32_t index, uint32_t *top, uint32_t *left)
{
    *top = tile_start(index / t->n_columns, t->height, t->tile_height);
    *left = tile_start(index % t->n_columns, t->width, t->tile_width);
}

void tt_tiling_cut(const tt_tiling *t, uint32_t top, uint32_t left, uint32_t scale, uint32_t n_planes,
                   const float *whole, float *tile)
{
    size_t rows = (size_t)t->tile_height * scale, columns = (size_t)t->tile_width * scale;
    size_t width = (size_t)t->width * scale, height = (size_t)t->height * scale;
    for (size_t c = 0; c < n_planes; c++)
        for (size_t y = 0; y < rows; y++)
            memcpy(tile + (c * rows + y) * columns,
                   whole + (c * height + (size_t)top * scale + y) * width + (size_t)left * scale,
                   columns * sizeof *tile);
}

/* Weight of element i of n: 1 in the middle, rising from the edges over the overlap. A side that one tile covers is
 * divided by the same weights again. */
static float edge_weight(size_t i, size_t n, size_t overlap)
{
    size_t from_edge = i + 1 < n - i ? i + 1 : n - i;
    return from_edge >= overlap ? 1.0f : (float)from_edge / (float)overlap;
}

void tt_tiling_add(const tt_tiling *t, uint32_t top, uint32_t left, uint32_t scale, uint32_t n_planes,
                   const float *tile, float *whole)
{
    size_t rows = (size_t)t->tile_height * scale, columns = (size_t)t->tile_width * scale;
    size_t width = (size_t)t->width * scale, height = (size_t)t->height * scale;
    size_t over_rows = (size_t)overlap_of(t->tile_height) * scale,
           over_columns = (size_t)overlap_of(t->tile_width) * scale;
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++) {
            float w = edge_weight(y, rows, over_rows) * edge_weight(x, columns, over_columns);
            size_t to = ((size_t)top * scale + y) * width + (size_t)left * scale + x;
            for (size_t c = 0; c < n_planes; c++)
                whole[c * height * width + to] += w * tile[(c * rows + y) * columns + x];
        }
}

/* Sums the weights of all tiles along one side. Tiles form a grid, so the sum at a position is the product of its row's
 * and its column's. */
static void sum_side(float *sums, uint32_t n_tiles, uint32_t size, uint32_t tile, uint32_t scale)
{
    size_t n = (size_t)tile * scale, overlap = (size_t)overlap_of(tile) * scale;
    memset(sums, 0, (size_t)size * scale * sizeof *sums);
    for (uint32_t i = 0; i < n_tiles; i++) {
        float *at = sums + (size_t)tile_start(i, size, tile) * scale;
        for (size_t j = 0; j < n; j++)
            at[j] += edge_weight(j, n, overlap);
    }
}

tt_status tt_tiling_divide(const tt_tiling *t, uint32_t scale, uint32_t n_planes, float *whole, tt_error *err)
{
    size_t height = (size_t)t->height * scale, width = (size_t)t->width * scale;
    float *rows = malloc((height + width) * sizeof *rows);
    if (!rows)
        return tt_fail_memory(err, "the weights of tiles", (height + width) * sizeof *rows);
    float *columns = rows + height;
    sum_side(rows, t->n_rows, t->height, t->tile_height, scale);
    sum_side(columns, t->n_columns, t->width, t->tile_width, scale);
    for (size_t c = 0; c < n_planes; c++)
        for (size_t y = 0; y < height; y++)
            for (size_t x = 0; x < width; x++)
                whole[(c * height + y) * width + x] /= rows[y] * columns[x];
    free(rows);
    return TT_OK;
}
