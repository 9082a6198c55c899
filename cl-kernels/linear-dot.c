/* linear-dot.c - launcher of linear-dot.cl: how work is cut. */
#include "cl-kernels/linear-dot.h"

#include "cl-kernels/launch.h"
#include "cl-kernels/matrix-dot.h"
#include "cl-kernels/tile.h"
#include "cl-kernels/tuning.h"

#include <stdio.h>

/* Sizes of the private arrays of a work item: 12 vectors of 16 positions with 5120 inputs as bytes. */
enum { MAX_VECTORS = 64, STAGED_BYTES = 1 << 20, LANES = 16 };

/* Cuts that a tuning may choose from. */
enum { N_CUTS = 6 };

/* Vectors of 16 positions and panels of 32 outputs of a work item, and the estimated time. */
typedef struct dot_cut {
    uint32_t vectors, panels;
    double time;
} dot_cut;

/* What is cut. */
typedef struct dot_work {
    size_t n_vectors, n_panels;
    uint32_t most_vectors, n_units;
} dot_work;

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
static double estimate(const dot_work *work, uint32_t vectors, uint32_t panels)
{
    size_t rows = tt_ceil_div(work->n_vectors, vectors), columns = tt_ceil_div(work->n_panels, panels);
    double rounds = (double)tt_ceil_div(rows * columns, work->n_units);
    double fewest = (double)(rows * columns) / work->n_units;
    double waste = (double)(rows * vectors * columns * panels) / ((double)work->n_vectors * (double)work->n_panels);
    return waste * (1.0 + 8.0 / panels + 4.0 / vectors) * (rounds + 0.1) / fewest;
}

/* The best cut with so many vectors. */
static dot_cut best_panels(const dot_work *work, uint32_t vectors)
{
    dot_cut best = {vectors, (uint32_t)work->n_panels, estimate(work, vectors, (uint32_t)work->n_panels)};
    for (uint32_t groups = 2; groups <= work->n_panels && groups <= 4 * work->n_units; groups++) {
        uint32_t panels = (uint32_t)tt_ceil_div(work->n_panels, groups);
        double time = estimate(work, vectors, panels);
        if (time < best.time)
            best = (dot_cut){vectors, panels, time};
    }
    return best;
}

/* True when an item can have so many vectors. */
static bool fits(const dot_work *work, uint32_t vectors)
{
    return vectors <= work->most_vectors && vectors < work->n_vectors + 2;
}

/* Fills cuts with the best of all, then the best for every power of two, widest first. Vectors come in pairs. */
static size_t list_cuts(const dot_work *work, dot_cut cuts[N_CUTS])
{
    size_t n = 1;
    cuts[0] = best_panels(work, 2);
    for (uint32_t vectors = 4; fits(work, vectors); vectors += 2) {
        dot_cut cut = best_panels(work, vectors);
        if (cut.time < cuts[0].time)
            cuts[0] = cut;
    }
    for (uint32_t vectors = MAX_VECTORS; vectors >= 2 && n < N_CUTS; vectors /= 2)
        if (fits(work, vectors) && vectors != cuts[0].vectors)
            cuts[n++] = best_panels(work, vectors);
    return n;
}

static dot_work make_work(const tt_kernels *kernels, const tt_matrix *matrix, size_t n_positions)
{
    size_t most = STAGED_BYTES / vector_bytes(matrix);
    return (dot_work){.n_vectors = tt_ceil_div(n_positions, LANES),
                      .n_panels = tt_matrix_panels(matrix),
                      .most_vectors = most > MAX_VECTORS ? MAX_VECTORS : (uint32_t)most,
                      .n_units = tt_device_caps(kernels->device)->n_compute_units};
}

/* The cut that the tuning chose among the listed ones. */
static dot_cut choose(const tt_kernels *kernels, const tt_matrix *matrix, const dot_work *work, size_t n_positions)
{
    dot_cut cuts[N_CUTS];
    char key[TT_TUNING_KEY], names[N_CUTS][TT_TUNING_NAME];
    const char *list[N_CUTS];
    size_t n = list_cuts(work, cuts);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "v%up%u", (unsigned)cuts[i].vectors, (unsigned)cuts[i].panels);
        list[i] = names[i];
    }
    (void)snprintf(key, sizeof(key), "%ux%u n%zu %s %s", (unsigned)matrix->n_in, (unsigned)matrix->n_out, n_positions,
                   matrix->arithmetic == TT_ARITHMETIC_HALF ? "half" : "int8",
                   kernels->storage == TT_STORAGE_F16 ? "f16" : "f32");
    return cuts[tt_tuning_choose(kernels, "linear", key, list, n)];
}

static void set_arguments(tt_launcher *launcher, const tt_linear_args *args, dot_cut cut)
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
    tt_launcher_uint4(launcher, cut.vectors, cut.panels, 0, tt_plane_needs_border(out));
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
    const dot_work work = make_work(kernels, matrix, n_positions);
    const dot_cut cut = choose(kernels, matrix, &work, n_positions);
    tt_launcher launcher = tt_launcher_begin(kernels, "linear-dot.cl", options, "linear_dot", err);
    set_arguments(&launcher, args, cut);
    tt_launch launch = {.stem = is_half ? "linear-bf16" : "linear-int8",
                        .n_dims = 2,
                        .global = {tt_ceil_div(work.n_vectors, cut.vectors), tt_ceil_div(work.n_panels, cut.panels), 1},
                        .local = {1, 1, 1},
                        .flops = 2.0 * (double)n_positions * matrix->n_in * matrix->n_out,
                        .bytes = bytes};
    return tt_launcher_record(&launcher, &launch, recorder);
}
