/* tile.h - what the launchers of matrix kernels (linear, conv3x3) share: how work is cut. */
#ifndef TT_CL_KERNELS_TILE_H
#define TT_CL_KERNELS_TILE_H

#include "cl-kernels/launch.h"
#include "cl-kernels/matrix.h"

/* How a launch is cut into work items. Register tiles (CPU): `tiles` tiles of positions times `panels` panels of 32
 * outputs, inputs in blocks of block_slices. Plain (GPU): fixed shares, the three are unused. */
typedef struct tt_tile_plan {
    char options[160]; /* build options of the program */
    uint32_t tiles, panels, block_slices;
    size_t global[2], local[2];
} tt_tile_plan;

/* Chooses the cut for n_positions positions of a matrix. */
tt_status tt_tile_make_plan(const tt_kernels *kernels, const tt_matrix *matrix, size_t n_positions, tt_tile_plan *plan,
                            tt_error *err);

/* Ends a launcher whose arguments are set by recording the launch of a plan. */
tt_status tt_tile_record(tt_launcher *launcher, const tt_tile_plan *plan, const char *stem, double flops, double bytes,
                         tt_recorder *recorder);

/* Input slices of a packed matrix: each of its two sources is padded to four channels on its own. */
uint32_t tt_matrix_slices(const tt_matrix *matrix);

#endif
