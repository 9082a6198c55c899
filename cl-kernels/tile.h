/* tile.h - what the launchers of matrix kernels (linear, conv3x3) share: how work is cut. */
#ifndef TT_CL_KERNELS_TILE_H
#define TT_CL_KERNELS_TILE_H

#include "cl-kernels/launch.h"
#include "cl-kernels/matrix.h"
#include "cl-kernels/tuning.h"

/* How a launch is cut into work items. Register tiles (CPU): `tiles` tiles of positions times `panels` panels of 32
 * outputs, inputs in blocks of block_slices. Plain (GPU): fixed shares, the three are unused. */
typedef struct tt_tile_plan {
    char options[160]; /* build options of the program */
    uint32_t tiles, panels, block_slices;
    size_t global[2], local[2];
    size_t local_bytes; /* of local memory, the last argument of kernels that want it */
} tt_tile_plan;

/* Where the weights of a launch are, and as what. */
typedef struct tt_tile_weights {
    cl_mem mem;
    size_t offset; /* bytes, a multiple of 256 */
    tt_dtype dtype;
} tt_tile_weights;

/* Bytes of scratch with which a launch over n_positions positions is faster: the matrix is widened into it once instead
 * of in every work item. 0 when it would not help. */
size_t tt_tile_scratch_bytes(const tt_kernels *kernels, const tt_matrix *matrix, size_t n_positions);

/* The weights of a launch: the matrix's own, or (when there is scratch and the matrix is quantized) a widened copy in
 * the scratch, whose making is recorded. */
tt_status tt_tile_prepare(const tt_kernels *kernels, const tt_matrix *matrix, cl_mem scratch, size_t scratch_offset,
                          tt_recorder *recorder, tt_tile_weights *weights, tt_error *err);

/* Cuts of plain.clh (GPUs): positions of a work item, lanes of a work-group. The first is the table's choice. */
enum { TT_PLAIN_CUTS = 7 };
typedef struct tt_plain_cut {
    uint32_t positions, lanes;
} tt_plain_cut;
tt_plain_cut tt_plain_cut_at(size_t index);

/* Asks the tuning for one of n ways with these names. type: what is multiplied, "f16" or "int8". */
size_t tt_tile_ask(const tt_kernels *kernels, const tt_matrix *matrix, const char *type, size_t n_positions,
                   char names[][TT_TUNING_NAME], size_t n);

/* Chooses the cut for n_positions positions of a matrix. cut: the phones' family, whose launchers have asked already
 * (see gpu-tile.h). */
tt_status tt_tile_make_plan(const tt_kernels *kernels, const tt_matrix *matrix, const tt_tile_weights *weights,
                            size_t n_positions, tt_plain_cut cut, tt_tile_plan *plan, tt_error *err);

/* The three arguments that weights are: buffer, sections, coded (see linear.cl). */
void tt_tile_set_weights(tt_launcher *launcher, const tt_matrix *matrix, const tt_tile_weights *weights);

/* The last two of them for the matrix's own weights, zeros when they are not quantized; offset in bytes. */
void tt_tile_set_quant(tt_launcher *launcher, const tt_matrix *matrix, size_t offset);

/* Ends a launcher whose arguments are set by recording the launch of a plan. */
tt_status tt_tile_record(tt_launcher *launcher, const tt_tile_plan *plan, const char *stem, double flops, double bytes,
                         tt_recorder *recorder);

/* Input slices of a packed matrix: each of its two sources is padded to four channels on its own. */
uint32_t tt_matrix_slices(const tt_matrix *matrix);

#endif
