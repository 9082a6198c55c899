/* tiles.h - overlapping tiles over a picture and its latent, and blending what was computed from them.
 *
 * All tiles of a tiling have one size; they begin a tile less an overlap after each other, and the last of a row or
 * column is moved inwards. Overlap: a quarter of the tile's side, at least TT_MIN_OVERLAP latent positions. A tile
 * counts with a weight that rises linearly from its edges over the overlap. The same geometry serves both directions:
 * `scale` is 1 where arrays have latent positions and the VAE's factor where they have pixels. */
#ifndef TT_VAE_TILES_H
#define TT_VAE_TILES_H

#include "base/error.h"

enum { TT_MIN_OVERLAP = 8 };

/* Sides of a tile in latent positions; 0 or more than the picture has: that whole side (full-width bands have width
 * 0). */
typedef struct tt_vae_tile {
    uint32_t height, width;
} tt_vae_tile;

typedef struct tt_tiling {
    uint32_t height, width;           /* of the whole, latent positions */
    uint32_t tile_height, tile_width; /* no larger than the whole */
    uint32_t n_rows, n_columns;
} tt_tiling;

tt_tiling tt_tiling_make(uint32_t height, uint32_t width, tt_vae_tile tile);

/* Latent position of the top left corner of tile `index` (row by row). */
void tt_tiling_place(const tt_tiling *tiling, uint32_t index, uint32_t *top, uint32_t *left);

/* Copies the tile at (top, left) out of whole [n_planes][height * scale][width * scale]. */
void tt_tiling_cut(const tt_tiling *tiling, uint32_t top, uint32_t left, uint32_t scale, uint32_t n_planes,
                   const float *whole, float *tile);

/* Adds a tile by its weights to whole, which begins as zeros. */
void tt_tiling_add(const tt_tiling *tiling, uint32_t top, uint32_t left, uint32_t scale, uint32_t n_planes,
                   const float *tile, float *whole);

/* Divides the sum of all tiles by the sum of their weights. Fails only when memory is out. */
tt_status tt_tiling_divide(const tt_tiling *tiling, uint32_t scale, uint32_t n_planes, float *whole, tt_error *err);

#endif
