/* conv3x3-phases.c - launcher of conv3x3-phases.cl. */
#include "cl-kernels/conv3x3-phases.h"

#include "cl-kernels/launch.h"
#include "cl-kernels/matrix-dot.h"

/* Positions of an input from which the products that are saved outweigh the sums. */
enum { LEAST_POSITIONS = 4096 };

bool tt_conv3x3_phases_pay(const tt_kernels *kernels, const tt_matrix *matrix, const tt_plane *in, const tt_plane *out)
{
    return kernels->family == TT_FAMILY_CPU_TILE && matrix->arithmetic == TT_ARITHMETIC_HALF && matrix->n_taps == 9 &&
           out->height == 2 * in->height && out->width == 2 * in->width &&
           (size_t)in->height * in->width >= LEAST_POSITIONS;
}

size_t tt_conv3x3_phases_panel_bytes(const tt_matrix *matrix)
{
    return (size_t)tt_dot_blocks(matrix) * TT_CONV_PHASES * TT_CONV_PHASE_TAPS * TT_DOT_PANEL * TT_DOT_BLOCK_BYTES;
}

size_t tt_conv3x3_phases_bytes(const tt_matrix *matrix)
{
    return tt_conv3x3_phases_panel_bytes(matrix) * tt_matrix_panels(matrix);
}

tt_status tt_conv3x3_phases_record(const tt_kernels *kernels, const tt_matrix *matrix, cl_mem scratch, size_t offset,
                                   tt_recorder *recorder, tt_error *err)
{
    tt_launcher launcher = tt_launcher_begin(kernels, "conv3x3-phases.cl", "", "sum_phases", err);
    tt_launcher_buffer(&launcher, matrix->values.mem);
    tt_launcher_buffer(&launcher, scratch);
    tt_launcher_uint(&launcher, tt_dot_blocks(matrix));
    tt_launcher_uint(&launcher, (uint32_t)(offset / sizeof(uint32_t)));
    tt_launch launch = {.stem = "conv3x3-phases",
                        .n_dims = 2,
                        .global = {tt_dot_blocks(matrix), tt_matrix_panels(matrix), 1},
                        .local = {1, 1, 1},
                        .bytes = (double)matrix->values.n_bytes + (double)tt_conv3x3_phases_bytes(matrix)};
    return tt_launcher_record(&launcher, &launch, recorder);
}
