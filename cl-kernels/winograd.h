/* winograd.h - 3x3 convolutions of stride 1 with fewer multiplications: Winograd's F(2x2, 3x3) and F(4x4, 3x3).
 *
 * They take 4 and 2.25 multiplications for each output and input channel instead of 9. tt_conv3x3_record uses them
 * where they are faster; weights and arguments are those of the direct form, so that the choice is made for every shape
 * and costs no memory. */
#ifndef TT_CL_KERNELS_WINOGRAD_H
#define TT_CL_KERNELS_WINOGRAD_H

#include "cl-kernels/conv3x3.h"
#include "cl-kernels/tile.h"

/* True when the device and its family can run squares of a side of 2 or 4 in a mode. */
bool tt_winograd_can(const tt_kernels *kernels, tt_conv_mode mode, uint32_t side);

/* Side of the squares that the estimate takes for a shape: 2 or 4, or 0 where the direct form is faster. A tuning's
 * candidates are "direct", "winograd2" and "winograd4". */
uint32_t tt_winograd_side(const tt_kernels *kernels, const tt_matrix *matrix, tt_conv_mode mode, const tt_plane *out);

/* Cuts the work for squares of a side of 2 or 4. */
tt_status tt_winograd_make_plan(const tt_kernels *kernels, const tt_matrix *matrix, const tt_tile_weights *weights,
                                const tt_plane *out, uint32_t side, tt_tile_plan *plan, tt_error *err);

#endif
