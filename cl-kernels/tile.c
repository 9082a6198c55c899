/* tile.c - cuts matrix work into work items. */
#include "cl-kernels/tile.h"

#include "cl-kernels/dequantize.h"
#include "cl-kernels/tuning.h"

#include <stdio.h>

/* Limits that size the private arrays of tile.clh: about 200 KB with 13 positions. */
enum { MAX_TILES = 8, MAX_SUMS = 80, BLOCK_ROWS = 36 };

/* Register tiles: 13 x 32 sums fill 26 of 32 registers of 16 floats, 6 x 16 suit 16 registers of 8 or 32 of 4. */
enum { WIDE_POSITIONS = 13, NARROW_POSITIONS = 6 };

/* From how many positions on weights are widened into scratch (GPUs), and what its places are multiples of. */
enum { SCRATCH_POSITIONS = 64, SCRATCH_ALIGNMENT = 256 };

/* Work items of plain.clh for a panel. */
enum { PLAIN_PARTS = 4 };

/* Cuts of the register tile family that a tuning may choose from: one for each of the best numbers of tiles. */
enum { N_TILE_CUTS = 6 };

uint32_t tt_matrix_slices(const tt_matrix *matrix)
{
    return (matrix->split + 3) / 4 + (matrix->n_in - matrix->split + 3) / 4;
}

/* Estimated time of a cut relative to a perfect one, fitted to measurements. Copying the inputs is shared by the panels
 * of an item; fetching the weights ahead is shared by its tiles, and fewer than five do not hide it; work items come in
 * rounds of one for each compute unit, and few rounds mean waiting at the end. */
static double estimate(size_t n_tiles, size_t n_panels, uint32_t tiles, uint32_t panels, uint32_t n_units)
{
    size_t items = tt_ceil_div(n_tiles, tiles) * tt_ceil_div(n_panels, panels);
    double rounds = (double)tt_ceil_div(items, n_units), fewest = (double)items / n_units;
    return (1.0 + 0.4 / panels + 4.0 / (tiles * tiles)) * (rounds + 0.25) / fewest;
}

typedef struct tile_cut {
    uint32_t tiles, panels;
    double time; /* estimated */
} tile_cut;

/* The best cut with so many tiles. */
static tile_cut best_panels(size_t n_tiles, size_t n_panels, uint32_t tiles, uint32_t n_units)
{
    tile_cut best = {tiles, 1, estimate(n_tiles, n_panels, tiles, 1, n_units)};
    for (uint32_t panels = 2; tiles * panels <= MAX_SUMS && panels <= n_panels; panels++) {
        double time = estimate(n_tiles, n_panels, tiles, panels, n_units);
        if (time < best.time)
            best = (tile_cut){tiles, panels, time};
    }
    return best;
}

/* Fills cuts with the best of each number of tiles, best first; of equal ones those with fewer tiles come first. */
static size_t list_cuts(size_t n_tiles, size_t n_panels, uint32_t n_units, tile_cut cuts[MAX_TILES])
{
    size_t n = 0;
    for (uint32_t tiles = 1; tiles <= MAX_TILES && tiles <= n_tiles; tiles++) {
        tile_cut cut = best_panels(n_tiles, n_panels, tiles, n_units);
        size_t at = n++;
        for (; at > 0 && cut.time < cuts[at - 1].time; at--)
            cuts[at] = cuts[at - 1];
        cuts[at] = cut;
    }
    return n < N_TILE_CUTS ? n : N_TILE_CUTS;
}

tt_plain_cut tt_plain_cut_at(size_t index)
{
    static const tt_plain_cut cuts[TT_PLAIN_CUTS] = {{4, 32}, {4, 64}, {4, 128}, {4, 16}, {2, 64}, {8, 32}, {8, 64}};
    return cuts[index];
}

size_t tt_tile_ask(const tt_kernels *kernels, const tt_matrix *matrix, const char *type, size_t n_positions,
                   char names[][TT_TUNING_NAME], size_t n)
{
    char key[TT_TUNING_KEY];
    const char *list[TT_TUNING_NAMES];
    (void)snprintf(key, sizeof(key), "%ux%u n%zu %s %s", (unsigned)matrix->n_in, (unsigned)matrix->n_out, n_positions,
                   type, kernels->storage == TT_STORAGE_F16 ? "f16" : "f32");
    for (size_t i = 0; i < n; i++)
        list[i] = names[i];
    return tt_tuning_choose(kernels, matrix->n_taps == 1 ? "linear" : "conv3x3", key, list, n);
}

static tile_cut choose_cut(const tt_kernels *kernels, const tt_matrix *matrix, tt_dtype dtype, size_t n_positions,
                           size_t n_tiles)
{
    tile_cut cuts[MAX_TILES];
    char names[N_TILE_CUTS][TT_TUNING_NAME];
    uint32_t n_units = tt_device_caps(kernels->device)->n_compute_units;
    size_t n = list_cuts(n_tiles, tt_ceil_div(matrix->n_out, 32), n_units, cuts);
    for (size_t i = 0; i < n; i++)
        (void)snprintf(names[i], sizeof(names[i]), "t%up%u", (unsigned)cuts[i].tiles, (unsigned)cuts[i].panels);
    return cuts[tt_tile_ask(kernels, matrix, tt_dtype_name(dtype), n_positions, names, n)];
}

static tt_status plan_tiles(const tt_kernels *kernels, const tt_matrix *matrix, tt_dtype dtype, size_t n_positions,
                            tt_tile_plan *plan, tt_error *err)
{
    bool is_wide = false;
    tt_status status = tt_launch_wide_registers(kernels, &is_wide, err);
    if (status != TT_OK)
        return status;
    uint32_t positions = is_wide ? WIDE_POSITIONS : NARROW_POSITIONS;
    (void)snprintf(plan->options, sizeof(plan->options),
                   "-DTT_WEIGHT_HALF=%d -DTT_WEIGHT_QUANT=%d -DTILE_POSITIONS=%u -DTILE_WIDE=%d -DTILE_BLOCK_ROWS=%d "
                   "-DTILE_MAX_TILES=%d -DTILE_MAX_SUMS=%d",
                   dtype == TT_F16, tt_quant_is_type(dtype), positions, is_wide, BLOCK_ROWS, MAX_TILES, MAX_SUMS);
    size_t n_tiles = tt_ceil_div(n_positions, positions), n_panels = tt_ceil_div(matrix->n_out, 32);
    tile_cut cut = choose_cut(kernels, matrix, dtype, n_positions, n_tiles);
    plan->tiles = cut.tiles;
    plan->panels = cut.panels;
    size_t slices = tt_matrix_slices(matrix), n_blocks = tt_ceil_div(slices, BLOCK_ROWS / matrix->n_taps);
    plan->block_slices = (uint32_t)tt_ceil_div(slices, n_blocks);
    plan->global[0] = tt_ceil_div(n_tiles, plan->tiles);
    plan->global[1] = tt_ceil_div(n_panels, plan->panels);
    plan->local[0] = plan->local[1] = 1;
    return TT_OK;
}

static void plan_plain(const tt_matrix *matrix, tt_dtype dtype, size_t n_positions, tt_plain_cut cut,
                       tt_tile_plan *plan)
{
    char quant[40] = "";
    if (tt_quant_is_type(dtype))
        (void)snprintf(quant, sizeof(quant), "-DTT_WEIGHT_QUANT=1 -DQUANT_TYPE=%d", (int)dtype);
    else
        (void)snprintf(quant, sizeof(quant), "-DTT_WEIGHT_HALF=%d", dtype == TT_F16);
    (void)snprintf(plan->options, sizeof(plan->options), "%s -DPLAIN_POSITIONS=%u", quant, (unsigned)cut.positions);
    plan->global[0] = tt_ceil_div(tt_ceil_div(n_positions, cut.positions), cut.lanes) * cut.lanes;
    plan->global[1] = tt_ceil_div(matrix->n_out, 32) * PLAIN_PARTS;
    plan->local[0] = cut.lanes;
    plan->local[1] = 1;
}

tt_status tt_tile_make_plan(const tt_kernels *kernels, const tt_matrix *matrix, const tt_tile_weights *weights,
                            size_t n_positions, tt_plain_cut cut, tt_tile_plan *plan, tt_error *err)
{
    *plan = (tt_tile_plan){0};
    if (kernels->family == TT_FAMILY_CPU_TILE)
        return plan_tiles(kernels, matrix, weights->dtype, n_positions, plan, err);
    plan_plain(matrix, weights->dtype, n_positions, cut, plan);
    return TT_OK;
}

size_t tt_tile_scratch_bytes(const tt_kernels *kernels, const tt_matrix *matrix, size_t n_positions)
{
    if (kernels->family == TT_FAMILY_CPU_TILE || !tt_quant_is_type(matrix->dtype) || n_positions < SCRATCH_POSITIONS)
        return 0;
    return tt_dequantize_bytes(kernels, matrix);
}

tt_status tt_tile_prepare(const tt_kernels *kernels, const tt_matrix *matrix, cl_mem scratch, size_t scratch_offset,
                          tt_recorder *recorder, tt_tile_weights *weights, tt_error *err)
{
    *weights = (tt_tile_weights){.mem = matrix->values.mem, .dtype = matrix->dtype};
    if (matrix->arithmetic == TT_ARITHMETIC_INT8 || scratch == NULL || kernels->family == TT_FAMILY_CPU_TILE ||
        !tt_quant_is_type(matrix->dtype))
        return TT_OK;
    *weights = (tt_tile_weights){
        .mem = scratch, .offset = scratch_offset, .dtype = kernels->storage == TT_STORAGE_F16 ? TT_F16 : TT_F32};
    tt_dequantize_args args = {.matrix = matrix, .out = scratch, .out_offset = scratch_offset};
    return tt_dequantize_record(kernels, &args, recorder, err);
}

void tt_tile_set_quant(tt_launcher *launcher, const tt_matrix *matrix, size_t offset)
{
    tt_quant_layout layout = {0};
    uint32_t n_columns = tt_matrix_columns(matrix), unit = (uint32_t)(offset / SCRATCH_ALIGNMENT);
    if (tt_quant_is_type(matrix->dtype))
        (void)tt_quant_layout_of(matrix->dtype, n_columns, &layout); /* fits: the matrix was described */
    tt_launcher_uint4(launcher, layout.high_at, layout.d_at, layout.scales_at, layout.n_bytes);
    tt_launcher_uint4(launcher, (uint32_t)matrix->dtype, n_columns, unit, 0);
}

void tt_tile_set_weights(tt_launcher *launcher, const tt_matrix *matrix, const tt_tile_weights *weights)
{
    tt_launcher_buffer(launcher, weights->mem);
    tt_tile_set_quant(launcher, matrix, weights->offset);
}

tt_status tt_tile_record(tt_launcher *launcher, const tt_tile_plan *plan, const char *stem, double flops, double bytes,
                         tt_recorder *recorder)
{
    tt_launch launch = {.stem = stem,
                        .n_dims = 2,
                        .global = {plan->global[0], plan->global[1], 1},
                        .local = {plan->local[0], plan->local[1], 1},
                        .flops = flops,
                        .bytes = bytes};
    return tt_launcher_record(launcher, &launch, recorder);
}
