/* tile.h - what the launchers of matrix kernels (linear, conv3x3) share: how work is cut and how planes are passed. */
#ifndef TT_CL_KERNELS_TILE_H
#define TT_CL_KERNELS_TILE_H

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

/* Geometry of a plane for place.clh: unit of the first inner position (of the border's corner with at_corner) in the
 * first slice, units of a row, of an image and of a slice. */
cl_uint4 tt_tile_geometry(const tt_plane *plane, bool at_corner);

/* Sets a buffer and its geometry as two kernel arguments. */
tt_status tt_tile_set_plane(const tt_kernels *kernels, cl_kernel kernel, cl_uint *index, const tt_plane *plane,
                            bool at_corner, tt_error *err);

/* Sets four unsigned values as one uint4 argument. */
tt_status tt_tile_set_uint4(const tt_kernels *kernels, cl_kernel kernel, cl_uint *index, uint32_t a, uint32_t b,
                            uint32_t c, uint32_t d, tt_error *err);

/* Bytes of activations of a plane without its border. */
double tt_tile_plane_bytes(const tt_kernels *kernels, const tt_plane *plane);

/* Input slices of a packed matrix: each of its two sources is padded to four channels on its own. */
uint32_t tt_matrix_slices(const tt_matrix *matrix);

#endif
