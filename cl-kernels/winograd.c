/* winograd.c - cuts the work of winograd.cl. */
#include "cl-kernels/winograd.h"

#include "cl-kernels/launch.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t env(const char *name, uint32_t d) { const char *s = getenv(name); return s ? (uint32_t)atoi(s) : d; }

/* Limits that size the private arrays of winograd.cl. */
enum { MAX_SQUARES = 65, MAX_SUMS = 330, MAX_PANELS = 16 };

bool tt_winograd_can(const tt_kernels *kernels, tt_conv_mode mode)
{
    return kernels->family == TT_FAMILY_CPU_TILE && (mode == TT_CONV_SAME || mode == TT_CONV_UP);
}

/* Squares of a side in all images. */
static size_t count_squares(const tt_plane *out, uint32_t side)
{
    return tt_ceil_div(out->width, side) * tt_ceil_div(out->height, side) * out->batch;
}

uint32_t tt_winograd_side(const tt_kernels *kernels, const tt_matrix *matrix, tt_conv_mode mode, const tt_plane *out)
{
    (void)matrix; (void)out;
    if (!tt_winograd_can(kernels, mode))
        return 0;
    return env("WSIDE", 0);
}

tt_status tt_winograd_make_plan(const tt_kernels *kernels, const tt_matrix *matrix, const tt_tile_weights *weights,
                                const tt_plane *out, uint32_t side, tt_tile_plan *plan, tt_error *err)
{
    bool is_wide = false;
    tt_status status = tt_launch_wide_registers(kernels, &is_wide, err);
    if (status != TT_OK)
        return status;
    *plan = (tt_tile_plan){0};
    size_t n_squares = count_squares(out, side), n_panels = tt_ceil_div(matrix->n_out, 32);
    uint32_t positions = env("WPOS", 13);
    plan->tiles = env("WTILES", 65);
    plan->panels = env("WPANELS", 5);
    plan->block_slices = env("WSLICES", 8);
    uint32_t slices = tt_matrix_slices(matrix);
    plan->block_slices = (uint32_t)tt_ceil_div(slices, tt_ceil_div(slices, plan->block_slices));
    (void)snprintf(plan->options, sizeof(plan->options),
                   "-DTT_WEIGHT_HALF=%d -DTT_WEIGHT_QUANT=%d -DTILE_POSITIONS=%u -DTILE_WIDE=%d -DWINOGRAD_SIDE=%u",
                   weights->dtype == TT_F16, tt_quant_is_type(weights->dtype), positions, is_wide, side);
    plan->global[0] = tt_ceil_div(n_squares, plan->tiles);
    plan->global[1] = tt_ceil_div(n_panels, plan->panels);
    plan->local[0] = plan->local[1] = 1;
    return TT_OK;
}
