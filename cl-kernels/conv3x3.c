/* conv3x3.c - launcher of conv3x3.cl. */
#include "cl-kernels/conv3x3.h"

#include "cl-kernels/conv3x3-dot.h"
#include "cl-kernels/conv3x3-phases.h"
#include "cl-kernels/gpu-tile.h"
#include "cl-kernels/tile.h"
#include "cl-kernels/winograd.h"

#include <stdio.h>

/* True when a side of n_in pixels gives n_out pixels. */
static bool fits(tt_conv_mode mode, uint32_t n_in, uint32_t n_out)
{
    switch (mode) {
    case TT_CONV_SAME:
        return n_out == n_in;
    case TT_CONV_DOWN:
        return n_out == (n_in + 1) / 2;
    case TT_CONV_DOWN_ASYM:
        return n_out == n_in / 2;
    case TT_CONV_UP:
        return n_out == 2 * n_in || n_out == 2 * n_in - 1;
    }
    return false;
}

static bool same_geometry(const tt_plane *a, const tt_plane *b)
{
    return a->batch == b->batch && a->height == b->height && a->width == b->width && a->channels == b->channels;
}

static tt_status check(const tt_kernels *kernels, const tt_conv3x3_args *args, tt_error *err)
{
    const tt_matrix *matrix = args->matrix;
    const tt_plane *in = &args->in, *out = &args->out, *bias = args->per_image_bias;
    if (matrix->n_taps != 9 || matrix->split != matrix->n_in || matrix->is_geglu)
        return tt_kernels_fail_shape(err, "conv3x3", "the matrix is not packed for a 3x3 convolution; input", in);
    if (in->border != 1)
        return tt_kernels_fail_shape(err, "conv3x3", "the input needs a border of one pixel", in);
    if (args->activation == TT_ACT_PRELU && !matrix->has_slopes)
        return tt_kernels_fail_shape(err, "conv3x3", "PReLU needs a matrix with slopes; output", out);
    if (in->channels != matrix->n_in)
        return tt_kernels_fail_shape(err, "conv3x3", "input channels differ from the matrix's", in);
    if (out->channels != matrix->n_out || out->batch != in->batch || out->height == 0 || out->width == 0 ||
        !fits(args->mode, in->height, out->height) || !fits(args->mode, in->width, out->width))
        return tt_kernels_fail_shape(err, "conv3x3", "output differs from matrix, input or mode", out);
    if (bias != NULL &&
        (bias->channels != out->channels || bias->batch != out->batch || bias->height != 1 || bias->width != 1))
        return tt_kernels_fail_shape(err, "conv3x3", "per-image bias differs from the output", bias);
    if (args->method >= TT_CONV_WINOGRAD2 &&
        !tt_winograd_can(kernels, args->mode, args->method == TT_CONV_WINOGRAD2 ? 2 : 4))
        return tt_kernels_fail_shape(err, "conv3x3", "Winograd's method has no kernel for the mode; output", out);
    if (args->residual != NULL && !same_geometry(args->residual, out))
        return tt_kernels_fail_shape(err, "conv3x3", "residual differs from the output", args->residual);
    return TT_OK;
}

static void set_arguments(tt_launcher *launcher, const tt_conv3x3_args *args, const tt_tile_weights *weights,
                          const tt_tile_plan *plan)
{
    const tt_plane *in = &args->in, *out = &args->out;
    const tt_matrix *matrix = args->matrix;
    tt_launcher_plane(launcher, in, true);
    tt_tile_set_weights(launcher, matrix, weights);
    tt_launcher_buffer(launcher, matrix->bias.mem);
    tt_launcher_plane(launcher, args->per_image_bias != NULL ? args->per_image_bias : in, false);
    tt_launcher_plane(launcher, args->residual != NULL ? args->residual : in, false);
    tt_launcher_plane(launcher, out, false);
    tt_launcher_uint4(launcher, out->width, out->height, (uint32_t)tt_plane_positions(out), tt_plane_slices(out));
    tt_launcher_uint4(launcher, in->width, in->height, tt_plane_slices(in), (matrix->n_out + 31) / 32);
    tt_launcher_uint4(launcher, args->per_image_bias != NULL, args->residual != NULL, (uint32_t)args->activation,
                      (uint32_t)args->mode);
    tt_launcher_uint4(launcher, plan->tiles, plan->panels, plan->block_slices, tt_plane_needs_border(out));
}

static double count_bytes(const tt_kernels *kernels, const tt_conv3x3_args *args)
{
    double bytes = tt_launch_plane_bytes(kernels, &args->in) + tt_launch_plane_bytes(kernels, &args->out) +
                   (double)args->matrix->values.n_bytes;
    if (args->residual != NULL)
        bytes += tt_launch_plane_bytes(kernels, args->residual);
    return bytes;
}

void tt_conv3x3_key(const tt_kernels *kernels, const tt_conv3x3_args *args, const char *form, char key[TT_TUNING_KEY])
{
    static const char *const modes[] = {"same", "down", "down-asym", "up"};
    const tt_plane *out = &args->out;
    (void)snprintf(key, TT_TUNING_KEY, "%ux%u %ux%u b%u %s %s %s", (unsigned)args->matrix->n_in,
                   (unsigned)args->matrix->n_out, (unsigned)out->width, (unsigned)out->height, (unsigned)out->batch,
                   modes[args->mode], form, kernels->storage == TT_STORAGE_F16 ? "f16" : "f32");
}

/* Side of Winograd's squares that the tuning takes, 0: the direct form. best: the estimate's choice. */
static uint32_t ask_side(const tt_kernels *kernels, const tt_conv3x3_args *args, uint32_t best)
{
    static const uint32_t sides[] = {0, 2, 4};
    static const char *const all_names[] = {"direct", "winograd2", "winograd4"};
    char key[TT_TUNING_KEY];
    const char *names[3];
    uint32_t known[3];
    size_t n = 0;
    for (size_t turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < 3; i++) {
            bool can = sides[i] == 0 || tt_winograd_can(kernels, args->mode, sides[i]);
            if (!can || (sides[i] == best) != (turn == 0))
                continue;
            names[n] = all_names[i];
            known[n++] = sides[i];
        }
    tt_conv3x3_key(kernels, args, tt_dtype_name(args->matrix->dtype), key);
    return n > 1 ? known[tt_tuning_choose(kernels, "conv3x3", key, names, n)] : best;
}

/* The launch as register tiles for GPUs take it. */
static tt_gpu_tile_args gpu_args(const tt_conv3x3_args *args, const tt_tile_weights *weights, double bytes)
{
    return (tt_gpu_tile_args){.in = args->in,
                              .matrix = args->matrix,
                              .weights = *weights,
                              .mode = args->mode,
                              .per_image_bias = args->per_image_bias,
                              .residual = args->residual,
                              .activation = args->activation,
                              .out = args->out,
                              .scratch = args->scratch,
                              .scratch_offset = args->scratch_offset,
                              .bytes = bytes};
}

/* Side of Winograd's squares, 0: the direct form. */
static uint32_t choose_side(const tt_kernels *kernels, const tt_conv3x3_args *args)
{
    switch (args->method) {
    case TT_CONV_DIRECT:
        return 0;
    case TT_CONV_WINOGRAD2:
        return 2;
    case TT_CONV_WINOGRAD4:
        return 4;
    case TT_CONV_FASTEST:
        break;
    }
    return ask_side(kernels, args, tt_winograd_side(kernels, args->matrix, args->mode, &args->out));
}

tt_status tt_conv3x3_record(const tt_kernels *kernels, const tt_conv3x3_args *args, tt_recorder *recorder,
                            tt_error *err)
{
    tt_tile_weights weights;
    tt_tile_plan plan;
    size_t n_positions = tt_plane_positions(&args->out);
    tt_status status = check(kernels, args, err);
    if (status == TT_OK && tt_conv3x3_dot_takes(kernels, args->matrix))
        return tt_conv3x3_dot_record(kernels, args, count_bytes(kernels, args), recorder, err);
    if (status == TT_OK)
        status = tt_tile_prepare(kernels, args->matrix, args->scratch, args->scratch_offset, recorder, &weights, err);
    uint32_t side = choose_side(kernels, args);
    tt_plain_cut cut = tt_plain_cut_at(0);
    if (status == TT_OK && side == 0 && kernels->family == TT_FAMILY_GPU_PLAIN) {
        tt_gpu_tile_args gpu = gpu_args(args, &weights, count_bytes(kernels, args));
        const tt_gpu_variant *variant = tt_gpu_tile_choose(kernels, &gpu, &cut);
        if (variant != NULL)
            return tt_gpu_tile_record(kernels, &gpu, variant, recorder, err);
    }
    if (status == TT_OK)
        status = side == 0 ? tt_tile_make_plan(kernels, args->matrix, &weights, n_positions, cut, &plan, err)
                           : tt_winograd_make_plan(kernels, args->matrix, &weights, &args->out, side, &plan, err);
    if (status != TT_OK)
        return status;
    tt_launcher launcher = side == 0 ? tt_launcher_begin(kernels, "conv3x3.cl", plan.options, "conv3x3", err)
                                     : tt_launcher_begin(kernels, "winograd.cl", plan.options, "winograd", err);
    set_arguments(&launcher, args, &weights, &plan);
    if (plan.local_bytes > 0)
        tt_launcher_local(&launcher, plan.local_bytes);
    double flops = 18.0 * (double)n_positions * args->matrix->n_in * args->matrix->n_out;
    return tt_tile_record(&launcher, &plan, "conv3x3", flops, count_bytes(kernels, args), recorder);
}

size_t tt_conv3x3_scratch_bytes(const tt_kernels *kernels, const tt_matrix *matrix, const tt_plane *in,
                                const tt_plane *out)
{
    if (tt_conv3x3_dot_takes(kernels, matrix))
        return tt_conv3x3_phases_pay(kernels, matrix, in, out) ? tt_conv3x3_phases_bytes(matrix) : 0;
    if (kernels->family == TT_FAMILY_GPU_PLAIN && matrix->arithmetic == TT_ARITHMETIC_INT8)
        return tt_gpu_tile_scratch_bytes(matrix, in);
    return tt_tile_scratch_bytes(kernels, matrix, tt_plane_positions(out));
}
