/* winograd.c - chooses and cuts the work of winograd.cl. */
#include "cl-kernels/winograd.h"

#include "cl-kernels/launch.h"

#include <stdio.h>

/* Limits that size the private arrays of winograd.cl (470 KB), and the sums that fit beside them in a core's cache. */
enum { MAX_SQUARES = 65, MAX_SLICES = 8, MAX_SUM_BYTES = 1536 * 1024 };

/* Below so many slices of inputs the transforms are most of the work. */
enum { MIN_SLICES = 4 };

/* Squares of a register tile that there are programs for, best first. */
enum { N_POSITIONS = 3 };
static const uint32_t wide_positions[N_POSITIONS] = {13, 8, 4}, narrow_positions[N_POSITIONS] = {6, 4, 4};

/* What a square side costs. The unit of time is one register tile's work for one position, four inputs and 32 outputs,
 * of which the direct form does 9; fitted to measurements. */
typedef struct method {
    uint32_t side, points;
    double input;   /* transforming a square's window, shared by the panels of a work item */
    double weights; /* transforming a panel's weights, shared by its squares */
} method;

static const method methods[] = {{2, 16, 10.0, 114.0}, {4, 36, 20.0, 358.0}};

static const method *method_of(uint32_t side)
{
    return side == 2 ? &methods[0] : &methods[1];
}

/* Squares of all images. */
static size_t count_squares(const tt_plane *out, uint32_t side)
{
    return tt_ceil_div(out->width, side) * tt_ceil_div(out->height, side) * out->batch;
}

/* Bytes of the sums of some squares and panels. */
static size_t sum_bytes(const method *m, size_t squares, size_t panels)
{
    return squares * panels * m->points * 32 * sizeof(float);
}

bool tt_winograd_can(const tt_kernels *kernels, tt_conv_mode mode, uint32_t side)
{
    return kernels->family == TT_FAMILY_CPU_TILE && (mode == TT_CONV_SAME || mode == TT_CONV_UP) &&
           tt_device_caps(kernels->device)->local_bytes >=
               sum_bytes(method_of(side), wide_positions[N_POSITIONS - 1], 1);
}

/* A way to cut the work, and its estimated time for each slice of inputs. */
typedef struct cut {
    uint32_t positions, tiles, panels;
    double time;
} cut;

/* The work that is to be cut. */
typedef struct work {
    const method *method;
    size_t n_squares, n_panels, max_sum_bytes;
    uint32_t n_units;
} work;

/* Work items come in rounds of one for each compute unit, and few rounds mean waiting at the end. Tiles of few
 * positions wait for their own sums. */
static double estimate(const work *w, const cut *c)
{
    size_t squares = (size_t)c->positions * c->tiles, n_groups = tt_ceil_div(w->n_squares, squares);
    size_t items = n_groups * tt_ceil_div(w->n_panels, c->panels);
    double rounds = (double)tt_ceil_div(items, w->n_units) + 0.25;
    double product = (double)squares * w->method->points * (c->positions <= 4 ? 1.2 : 1.0);
    return rounds * (c->panels * (product + w->method->weights) + (double)squares * w->method->input);
}

/* The best cut with tiles of some positions, if it is better than *best. */
static void try_positions(const work *w, uint32_t positions, cut *best)
{
    size_t most_tiles = tt_ceil_div(w->n_squares, positions);
    for (uint32_t tiles = 1; tiles * positions <= MAX_SQUARES && tiles <= most_tiles; tiles++)
        for (uint32_t panels = 1; panels <= w->n_panels; panels++) {
            cut c = {.positions = positions, .tiles = tiles, .panels = panels};
            if (sum_bytes(w->method, (size_t)tiles * positions, panels) > w->max_sum_bytes)
                break;
            c.time = estimate(w, &c);
            if (best->time <= 0 || c.time < best->time)
                *best = c;
        }
}

static cut choose_cut(const tt_kernels *kernels, const tt_matrix *matrix, const tt_plane *out, uint32_t side,
                      bool is_wide)
{
    const tt_caps *caps = tt_device_caps(kernels->device);
    work w = {.method = method_of(side),
              .n_squares = count_squares(out, side),
              .n_panels = tt_matrix_panels(matrix),
              .max_sum_bytes = caps->local_bytes < MAX_SUM_BYTES ? (size_t)caps->local_bytes : MAX_SUM_BYTES,
              .n_units = caps->n_compute_units};
    cut best = {0};
    for (int i = 0; i < N_POSITIONS; i++)
        try_positions(&w, is_wide ? wide_positions[i] : narrow_positions[i], &best);
    return best;
}

uint32_t tt_winograd_side(const tt_kernels *kernels, const tt_matrix *matrix, tt_conv_mode mode, const tt_plane *out)
{
    bool is_wide = false;
    tt_error ignored;
    if (matrix->arithmetic != TT_ARITHMETIC_FLOAT || tt_matrix_slices(matrix) < MIN_SLICES ||
        !tt_winograd_can(kernels, mode, 2) || tt_launch_wide_registers(kernels, &is_wide, &ignored) != TT_OK)
        return 0;
    double n_units = tt_device_caps(kernels->device)->n_compute_units;
    double best = 9.0 * (double)tt_plane_positions(out) * tt_matrix_panels(matrix) / n_units;
    uint32_t side = 0;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (!tt_winograd_can(kernels, mode, methods[i].side))
            continue;
        double time = choose_cut(kernels, matrix, out, methods[i].side, is_wide).time;
        if (time < best) {
            best = time;
            side = methods[i].side;
        }
    }
    return side;
}

tt_status tt_winograd_make_plan(const tt_kernels *kernels, const tt_matrix *matrix, const tt_tile_weights *weights,
                                const tt_plane *out, uint32_t side, tt_tile_plan *plan, tt_error *err)
{
    bool is_wide = false;
    tt_status status = tt_launch_wide_registers(kernels, &is_wide, err);
    if (status != TT_OK)
        return status;
    cut best = choose_cut(kernels, matrix, out, side, is_wide);
    size_t slices = tt_matrix_slices(matrix), own_squares = (size_t)best.positions * best.tiles;
    *plan = (tt_tile_plan){.tiles = best.tiles * best.positions, .panels = best.panels, .local = {1, 1}};
    plan->block_slices = (uint32_t)tt_ceil_div(slices, tt_ceil_div(slices, MAX_SLICES));
    plan->local_bytes = sum_bytes(method_of(side), own_squares, best.panels);
    plan->global[0] = tt_ceil_div(count_squares(out, side), own_squares);
    plan->global[1] = tt_ceil_div(tt_matrix_panels(matrix), best.panels);
    (void)snprintf(plan->options, sizeof(plan->options),
                   "-DTT_WEIGHT_HALF=%d -DTT_WEIGHT_QUANT=%d -DTILE_POSITIONS=%u -DTILE_WIDE=%d -DWINOGRAD_SIDE=%u "
                   "-DWINOGRAD_MAX_SQUARES=%d -DWINOGRAD_MAX_SLICES=%d",
                   weights->dtype == TT_F16, tt_quant_is_type(weights->dtype), best.positions, is_wide, side,
                   MAX_SQUARES, MAX_SLICES);
    return TT_OK;
}
