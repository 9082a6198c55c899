/* conv3x3-dot.c - cuts a convolution into rectangles and records it. */
#include "cl-kernels/conv3x3-dot.h"

#include "cl-kernels/conv3x3-phases.h"
#include "cl-kernels/launch.h"
#include "cl-kernels/matrix-dot.h"
#include "cl-kernels/tuning.h"

#include <stdio.h>

/* Sizes of the kernel's private arrays: the staged patch, vectors of 16 positions, rows and columns of a patch. */
enum { PATCH_BYTES = 1 << 20, MAX_VECTORS = 64, MAX_ROWS = 288, MAX_COLUMNS = 140, MAX_RUN = 80 };

/* TT_CONV_PHASED of conv3x3-taps.clh, after the modes; bytes that the place of the weights is counted in. */
enum { PHASED = 4, WEIGHTS_UNIT = 256 };

/* Cuts that a tuning may choose from. */
enum { N_CUTS = 6 };

/* What a cut is judged by. */
typedef struct work {
    tt_plane grid;             /* what is cut: the output, in phases as many positions as the input has */
    uint32_t n_phases, n_taps; /* taps of all phases */
    uint32_t n_channel_blocks, n_panels, n_units;
    size_t panel_bytes;
    bool is_strided;
    double block_cycles; /* of 32 outputs x 16 positions x 64 bytes */
} work;

/* Positions that are staged for a rectangle. */
static size_t patch_positions(const work *w, const tt_conv3x3_cut *cut)
{
    size_t pictures = w->is_strided ? 4 : 1, margin = w->is_strided ? 1 : 2;
    return pictures * cut->images * (cut->height + margin) * (cut->width + margin);
}

/* Vectors of 16 positions of a rectangle: parts of rows, or of the patch's positions in one piece. */
static size_t count_vectors(const work *w, const tt_conv3x3_cut *cut)
{
    size_t pitch = cut->width + (w->is_strided ? 1 : 2);
    size_t vectors = cut->width % 16 == 0 ? (size_t)cut->height * cut->width / 16
                                          : tt_ceil_div((cut->height - 1) * pitch + cut->width, 16);
    return vectors * cut->images;
}

static bool fits(const work *w, const tt_conv3x3_cut *cut)
{
    uint32_t pictures = w->is_strided ? 4 : 1, margin = w->is_strided ? 1 : 2;
    return cut->width + margin <= MAX_COLUMNS && pictures * cut->images * (cut->height + margin) <= MAX_ROWS &&
           count_vectors(w, cut) <= MAX_VECTORS &&
           patch_positions(w, cut) * TT_DOT_BLOCK_BYTES * w->n_channel_blocks <= PATCH_BYTES;
}

/* Estimated cycles of the launch, fitted to measurements. An item stages its patch, which takes longer where rows of
 * the input are not read as a whole, then multiplies pairs of vectors; its weights come from memory at 4 bytes a cycle.
 * Items come in rounds of one for each compute unit. */
static double estimate(const work *w, const tt_conv3x3_cut *cut)
{
    const tt_plane *out = &w->grid;
    size_t n_vectors = count_vectors(w, cut);
    double rectangles = (double)(tt_ceil_div(out->width, cut->width) * tt_ceil_div(out->height, cut->height) *
                                 tt_ceil_div(out->batch, cut->images));
    double items = rectangles * (double)tt_ceil_div(w->n_panels, cut->panels);
    double lines = (double)cut->images * (cut->height + 2) * (cut->width == out->width ? 1 : 160);
    double staging = ((double)patch_positions(w, cut) * 36.0 + lines) * w->n_channel_blocks;
    double multiplying = (double)(n_vectors + n_vectors % 2) * w->n_channel_blocks * w->n_taps * w->block_cycles;
    double fetching = (double)w->panel_bytes / 4.0, finishing = (double)n_vectors * w->n_phases * 440.0;
    double panel = (multiplying > fetching ? multiplying : fetching) + finishing;
    double rounds = (double)tt_ceil_div((size_t)items, w->n_units);
    return (staging + panel * cut->panels) * (rounds + 0.1);
}

/* The best cuts so far, best first; of equal ones the first that was tried. */
typedef struct ranking {
    tt_conv3x3_cut cuts[N_CUTS];
    double times[N_CUTS];
    size_t n;
} ranking;

static void rank(ranking *best, const tt_conv3x3_cut *cut, double time)
{
    size_t at = best->n;
    if (at == N_CUTS && time >= best->times[at - 1])
        return;
    at = at == N_CUTS ? at - 1 : best->n++;
    for (; at > 0 && time < best->times[at - 1]; at--) {
        best->cuts[at] = best->cuts[at - 1];
        best->times[at] = best->times[at - 1];
    }
    best->cuts[at] = *cut;
    best->times[at] = time;
}

/* Tries all shares of panels for a rectangle and ranks the best of them. */
static void try_panels(const work *w, tt_conv3x3_cut cut, ranking *best)
{
    if (!fits(w, &cut))
        return;
    double least = 0.0;
    tt_conv3x3_cut chosen = cut;
    for (uint32_t parts = 1; parts <= w->n_panels; parts++) {
        cut.panels = (uint32_t)tt_ceil_div(w->n_panels, parts);
        double time = estimate(w, &cut);
        if (parts > 1 && time >= least)
            continue;
        least = time;
        chosen = cut;
    }
    rank(best, &chosen, least);
}

/* Tries all heights for a width; whole images also together. */
static void try_heights(const work *w, uint32_t width, ranking *best)
{
    const tt_plane *out = &w->grid;
    uint32_t tried = 0;
    for (uint32_t rows = 1; rows <= out->height; rows++) {
        uint32_t height = (uint32_t)tt_ceil_div(out->height, tt_ceil_div(out->height, rows));
        uint32_t most = width == out->width && height == out->height ? out->batch : 1;
        for (uint32_t images = 1; height != tried && images <= most; images++)
            try_panels(w, (tt_conv3x3_cut){.width = width, .height = height, .images = images}, best);
        tried = height;
        if (count_vectors(w, &(tt_conv3x3_cut){.width = width, .height = rows, .images = 1}) > MAX_VECTORS)
            return;
    }
}

/* Widths of rectangles that are tried: the whole one, multiples of 16, and small ones for very many channels. */
static uint32_t first_width(uint32_t out_width)
{
    return out_width + 2 <= MAX_COLUMNS ? out_width : MAX_COLUMNS / 16 * 16;
}

static uint32_t next_width(uint32_t width)
{
    return width > 16 ? (width - 1) / 16 * 16 : width / 2;
}

bool tt_conv3x3_dot_takes(const tt_kernels *kernels, const tt_matrix *matrix)
{
    return matrix->arithmetic != TT_ARITHMETIC_FLOAT && kernels->family == TT_FAMILY_CPU_TILE;
}

/* Whether the launch multiplies in phases. */
static bool is_phased(const tt_kernels *kernels, const tt_conv3x3_args *args)
{
    return args->scratch != NULL && tt_conv3x3_phases_pay(kernels, args->matrix, &args->in, &args->out);
}

/* Asks the tuning for one of the cuts. */
static tt_conv3x3_cut ask(const tt_kernels *kernels, const tt_conv3x3_args *args, const ranking *best)
{
    char key[TT_TUNING_KEY], names[N_CUTS][TT_TUNING_NAME];
    const char *list[N_CUTS];
    const char *form = args->matrix->arithmetic == TT_ARITHMETIC_INT8 ? "int8"
                       : is_phased(kernels, args)                     ? "half-phases"
                                                                      : "half";
    tt_conv3x3_key(kernels, args, form, key);
    for (size_t i = 0; i < best->n; i++) {
        const tt_conv3x3_cut *cut = &best->cuts[i];
        (void)snprintf(names[i], sizeof(names[i]), "w%uh%ui%up%u", (unsigned)cut->width, (unsigned)cut->height,
                       (unsigned)cut->images, (unsigned)cut->panels);
        list[i] = names[i];
    }
    return best->cuts[tt_tuning_choose(kernels, "conv3x3", key, list, best->n)];
}

tt_status tt_conv3x3_dot_cut(const tt_kernels *kernels, const tt_conv3x3_args *args, tt_conv3x3_cut *cut, tt_error *err)
{
    const tt_matrix *matrix = args->matrix;
    bool is_amx = (matrix->arithmetic == TT_ARITHMETIC_INT8 ? kernels->dot.int8 : kernels->dot.half) == TT_DOT_AMX;
    bool phased = is_phased(kernels, args);
    work w = {.grid = args->out,
              .n_phases = phased ? TT_CONV_PHASES : 1,
              .n_taps = phased ? TT_CONV_PHASES * TT_CONV_PHASE_TAPS : 9,
              .n_channel_blocks = tt_dot_blocks(matrix),
              .n_panels = tt_matrix_panels(matrix),
              .n_units = tt_device_caps(kernels->device)->n_compute_units,
              .panel_bytes = phased ? tt_conv3x3_phases_panel_bytes(matrix) : tt_dot_panel_bytes(matrix),
              .is_strided = args->mode == TT_CONV_DOWN || args->mode == TT_CONV_DOWN_ASYM,
              .block_cycles = is_amx ? 43 : 512};
    ranking best = {.n = 0};
    if (phased) {
        w.grid.width = args->in.width;
        w.grid.height = args->in.height;
    }
    for (uint32_t width = first_width(w.grid.width); width > 0; width = next_width(width))
        try_heights(&w, width, &best);
    if (best.n == 0)
        return tt_kernels_fail_shape(err, "conv3x3", "the input has too many channels", &args->in);
    *cut = ask(kernels, args, &best);
    return TT_OK;
}

static void set_arguments(tt_launcher *launcher, const tt_conv3x3_args *args, const tt_conv3x3_cut *cut, bool phased)
{
    const tt_plane *in = &args->in, *out = &args->out;
    const tt_matrix *matrix = args->matrix;
    tt_launcher_plane(launcher, in, true);
    tt_launcher_buffer(launcher, phased ? args->scratch : matrix->values.mem);
    tt_launcher_buffer(launcher, matrix->bias.mem);
    tt_launcher_plane(launcher, args->per_image_bias != NULL ? args->per_image_bias : in, false);
    tt_launcher_plane(launcher, args->residual != NULL ? args->residual : in, false);
    tt_launcher_plane(launcher, out, false);
    tt_launcher_uint4(launcher, out->width, out->height, out->batch, tt_plane_slices(out));
    tt_launcher_uint4(launcher, in->width, in->height, tt_plane_slices(in), tt_matrix_panels(matrix));
    tt_launcher_uint4(launcher, args->per_image_bias != NULL, args->residual != NULL, (uint32_t)args->activation,
                      phased ? PHASED : (uint32_t)args->mode);
    tt_launcher_uint4(launcher, cut->width, cut->height, cut->images, cut->panels);
    size_t panel_bytes = phased ? tt_conv3x3_phases_panel_bytes(matrix) : tt_dot_panel_bytes(matrix);
    tt_launcher_uint4(launcher, tt_dot_blocks(matrix), (uint32_t)panel_bytes, tt_plane_needs_border(out),
                      phased ? (uint32_t)(args->scratch_offset / WEIGHTS_UNIT) : 0);
}

/* Options of the program. */
static void set_options(const tt_kernels *kernels, const tt_matrix *matrix, char *options, size_t n_bytes)
{
    bool is_half = matrix->arithmetic == TT_ARITHMETIC_HALF;
    (void)snprintf(options, n_bytes,
                   "-DDOT_UNIT=%d -DDOT_HALF=%d -DCONV_PATCH_BYTES=%d -DCONV_MAX_VECTORS=%d -DCONV_MAX_RUN=%d",
                   (int)(is_half ? kernels->dot.half : kernels->dot.int8), is_half, PATCH_BYTES, MAX_VECTORS, MAX_RUN);
}

/* The launch of the convolution itself. */
static tt_status record(const tt_kernels *kernels, const tt_conv3x3_args *args, double bytes, bool phased,
                        tt_recorder *recorder, tt_error *err)
{
    const tt_plane *out = &args->out, *grid = phased ? &args->in : out;
    tt_conv3x3_cut cut;
    char options[160];
    tt_status status = tt_conv3x3_dot_cut(kernels, args, &cut, err);
    if (status != TT_OK)
        return status;
    set_options(kernels, args->matrix, options, sizeof(options));
    tt_launcher launcher = tt_launcher_begin(kernels, "conv3x3-dot.cl", options, "conv3x3_dot", err);
    set_arguments(&launcher, args, &cut, phased);
    size_t rectangles = tt_ceil_div(grid->width, cut.width) * tt_ceil_div(grid->height, cut.height) *
                        tt_ceil_div(out->batch, cut.images);
    tt_launch launch = {.stem = args->matrix->arithmetic == TT_ARITHMETIC_HALF ? "conv3x3-bf16" : "conv3x3-int8",
                        .n_dims = 2,
                        .global = {rectangles, tt_ceil_div(tt_matrix_panels(args->matrix), cut.panels), 1},
                        .local = {1, 1, 1},
                        .flops = 18.0 * (double)tt_plane_positions(out) * args->matrix->n_in * args->matrix->n_out,
                        .bytes = bytes};
    return tt_launcher_record(&launcher, &launch, recorder);
}

tt_status tt_conv3x3_dot_record(const tt_kernels *kernels, const tt_conv3x3_args *args, double bytes,
                                tt_recorder *recorder, tt_error *err)
{
    bool phased = is_phased(kernels, args);
    tt_status status = TT_OK;
    if (phased)
        status = tt_conv3x3_phases_record(kernels, args->matrix, args->scratch, args->scratch_offset, recorder, err);
    return status == TT_OK ? record(kernels, args, bytes, phased, recorder, err) : status;
}
