/* conv3x3-phases.h - upsampling convolutions as four phases, for conv3x3-dot.c.
 *
 * After nearest upsampling by two, taps of a 3x3 convolution read the same position twice. Results whose row and column
 * are even or odd alike (a phase) need four positions only, with weights that are sums of one, two or four: 16 products
 * instead of 36. The sums are made before each run, which pays where there are many more positions than channels. */
#ifndef TT_CL_KERNELS_CONV3X3_PHASES_H
#define TT_CL_KERNELS_CONV3X3_PHASES_H

#include "cl-kernels/matrix.h"

enum { TT_CONV_PHASES = 4, TT_CONV_PHASE_TAPS = 4 };

/* True for weights and sizes that are multiplied in phases where there is scratch. */
bool tt_conv3x3_phases_pay(const tt_kernels *kernels, const tt_matrix *matrix, const tt_plane *in, const tt_plane *out);

/* Bytes of the sums of a panel, and of all panels. */
size_t tt_conv3x3_phases_panel_bytes(const tt_matrix *matrix);
size_t tt_conv3x3_phases_bytes(const tt_matrix *matrix);

/* Sums the weights into scratch from a byte on, a multiple of 256. */
tt_status tt_conv3x3_phases_record(const tt_kernels *kernels, const tt_matrix *matrix, cl_mem scratch, size_t offset,
                                   tt_recorder *recorder, tt_error *err);

#endif
