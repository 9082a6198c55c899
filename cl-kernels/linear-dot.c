/* linear-dot.c - launcher of linear-dot.cl: how work is cut. */
#include "cl-kernels/linear-dot.h"

#include "cl-kernels/launch.h"
#include "cl-kernels/matrix-dot.h"
#include "cl-kernels/tile.h"

#include <stdio.h>

/* Sizes of the private arrays of a work item: 8 vectors of 16 positions with 5120 inputs as bytes. */
enum { MAX_VECTORS = 64, STAGED_BYTES = 640 << 10, LANES = 16, CACHED_BYTES = 256 << 10 };

typedef struct dot_plan {
    uint32_t vectors, panels; /* of a work item */
    size_t global[2];
} dot_plan;

bool tt_linear_dot_takes(const tt_kernels *kernels, const tt_matrix *matrix)
{
    return matrix->arithmetic != TT_ARITHMETIC_FLOAT && kernels->family == TT_FAMILY_CPU_TILE;
}

/* Staged bytes of a vector. */
static size_t vector_bytes(const tt_matrix *matrix)
{
    return (size_t)tt_dot_blocks(matrix) * TT_DOT_GROUPS * LANES * 4;
}

/* Estimated time of a cut relative to the products alone on all units at once. Staging is shared by the panels of an
 * item, fetching weights by its vectors; a last round of items may leave units idle. */
static double estimate(size_t n_vectors, size_t n_panels, uint32_t vectors, uint32_t panels, uint32_t n_units)
{
    size_t items = tt_ceil_div(n_vectors, vectors) * tt_ceil_div(n_panels, panels);
    double rounds = (double)tt_ceil_div(items, n_units), fewest = (double)items / n_units;
    double work = (double)(tt_ceil_div(n_vectors, vectors) * vectors * tt_ceil_div(n_panels, panels) * panels) /
                  ((double)n_vectors * (double)n_panels);
    return work * (1.0 + 8.0 / panels + 1.0 / vectors) * (rounds + 0.1) / fewest;
}

static dot_plan choose(const tt_matrix *matrix, size_t n_positions, uint32_t n_units)
{
    size_t n_vectors = tt_ceil_div(n_positions, LANES), n_panels = tt_matrix_panels(matrix);
    size_t most = STAGED_BYTES / vector_bytes(matrix);
    double best = 0;
    dot_plan plan = {1, 1, {0, 0}};
    most = most > MAX_VECTORS ? MAX_VECTORS : most;
    for (uint32_t vectors = 1; vectors <= most && vectors <= n_vectors; vectors++)
        for (uint32_t groups = 1; groups <= n_panels && groups <= 4 * n_units; groups++) {
            uint32_t panels = (uint32_t)tt_ceil_div(n_panels, groups);
            double time = estimate(n_vectors, n_panels, vectors, panels, n_units);
            if (best > 0 && time >= best)
                continue;
            best = time;
            plan.vectors = vectors;
            plan.panels = panels;
        }
    plan.global[0] = tt_ceil_div(n_vectors, plan.vectors);
    plan.global[1] = tt_ceil_div(n_panels, plan.panels);
    return plan;
}

/* Panels that stay in a core's second cache beside the inputs. */
static uint32_t cached_panels(const tt_matrix *matrix)
{
    size_t n = CACHED_BYTES / tt_dot_panel_bytes(matrix);
    return n > 1 ? (uint32_t)n : 1;
}

static void set_arguments(tt_launcher *launcher, const tt_linear_args *args, const dot_plan *plan)
{
    const tt_plane *out = &args->out;
    const tt_matrix *matrix = args->matrix;
    uint32_t second_slices = args->in2 != NULL ? tt_plane_slices(args->in2) : 0;
    tt_launcher_plane(launcher, &args->in, false);
    tt_launcher_plane(launcher, args->in2 != NULL ? args->in2 : &args->in, false);
    tt_launcher_buffer(launcher, matrix->values.mem);
    tt_launcher_buffer(launcher, matrix->bias.mem);
    tt_launcher_plane(launcher, args->residual != NULL ? args->residual : &args->in, false);
    tt_launcher_plane(launcher, out, false);
    tt_launcher_uint4(launcher, out->width, out->height, (uint32_t)tt_plane_positions(out), tt_plane_slices(out));
    tt_launcher_uint4(launcher, tt_plane_slices(&args->in), second_slices, tt_matrix_panels(matrix),
                      (uint32_t)tt_dot_panel_bytes(matrix));
    tt_launcher_uint4(launcher, args->residual != NULL, (uint32_t)args->activation, matrix->is_geglu, 0);
    tt_launcher_uint4(launcher, plan->vectors, plan->panels, cached_panels(matrix), 0);
}

tt_status tt_linear_dot_record(const tt_kernels *kernels, const tt_linear_args *args, double bytes,
                               tt_recorder *recorder, tt_error *err)
{
    const tt_matrix *matrix = args->matrix;
    size_t n_positions = tt_plane_positions(&args->out);
    bool is_half = matrix->arithmetic == TT_ARITHMETIC_HALF;
    char options[128];
    (void)snprintf(options, sizeof(options), "-DDOT_UNIT=%d -DDOT_HALF=%d -DLINEAR_BYTES=%d -DLINEAR_VECTORS=%d",
                   (int)(is_half ? kernels->dot.half : kernels->dot.int8), is_half, STAGED_BYTES, MAX_VECTORS);
    dot_plan plan = choose(matrix, n_positions, tt_device_caps(kernels->device)->n_compute_units);
    tt_launcher launcher = tt_launcher_begin(kernels, "linear-dot.cl", options, "linear_dot", err);
    set_arguments(&launcher, args, &plan);
    tt_launch launch = {.stem = is_half ? "linear-bf16" : "linear-int8",
                        .n_dims = 2,
                        .global = {plan.global[0], plan.global[1], 1},
                        .local = {1, 1, 1},
                        .flops = 2.0 * (double)n_positions * matrix->n_in * matrix->n_out,
                        .bytes = bytes};
    return tt_launcher_record(&launcher, &launch, recorder);
}
