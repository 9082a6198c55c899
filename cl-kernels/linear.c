/* linear.c - launcher of linear.cl. */
#include "cl-kernels/linear.h"

#include "cl-kernels/gpu-tile.h"
#include "cl-kernels/linear-dot.h"
#include "cl-kernels/tile.h"

static bool same_geometry(const tt_plane *a, const tt_plane *b)
{
    return a->batch == b->batch && a->height == b->height && a->width == b->width;
}

/* Channels that the op stores. */
static uint32_t n_results(const tt_matrix *matrix)
{
    return matrix->is_geglu ? matrix->n_out / 2 : matrix->n_out;
}

static tt_status check(const tt_linear_args *args, tt_error *err)
{
    const tt_matrix *matrix = args->matrix;
    const tt_plane *out = &args->out;
    if (matrix->n_taps != 1)
        return tt_kernels_fail_shape(err, "linear", "the matrix has more than one tap; input", &args->in);
    if (args->in.channels != matrix->split)
        return tt_kernels_fail_shape(err, "linear", "input channels differ from the matrix's", &args->in);
    if (args->in2 == NULL && matrix->split != matrix->n_in)
        return tt_kernels_fail_shape(err, "linear", "the matrix wants a second input beside", &args->in);
    if (args->in2 != NULL && args->in2->channels != matrix->n_in - matrix->split)
        return tt_kernels_fail_shape(err, "linear", "second input's channels differ from the matrix's", args->in2);
    if (out->channels != n_results(matrix) || !same_geometry(&args->in, out))
        return tt_kernels_fail_shape(err, "linear", "output differs from matrix or input", out);
    if (args->in2 != NULL && !same_geometry(args->in2, out))
        return tt_kernels_fail_shape(err, "linear", "second input differs from the output", args->in2);
    if (args->activation == TT_ACT_PRELU && !matrix->has_slopes)
        return tt_kernels_fail_shape(err, "linear", "PReLU needs a matrix with slopes; output", out);
    if (matrix->is_geglu && (args->residual != NULL || args->activation != TT_ACT_NONE))
        return tt_kernels_fail_shape(err, "linear", "GEGLU takes neither residual nor activation; output", out);
    if (args->residual != NULL && (!same_geometry(args->residual, out) || args->residual->channels != out->channels))
        return tt_kernels_fail_shape(err, "linear", "residual differs from the output", args->residual);
    return TT_OK;
}

static void set_arguments(tt_launcher *launcher, const tt_linear_args *args, const tt_tile_weights *weights,
                          const tt_tile_plan *plan)
{
    const tt_plane *out = &args->out;
    const tt_matrix *matrix = args->matrix;
    tt_launcher_plane(launcher, &args->in, false);
    tt_launcher_plane(launcher, args->in2 != NULL ? args->in2 : &args->in, false);
    tt_tile_set_weights(launcher, matrix, weights);
    tt_launcher_buffer(launcher, matrix->bias.mem);
    tt_launcher_plane(launcher, args->residual != NULL ? args->residual : &args->in, false);
    tt_launcher_plane(launcher, out, false);
    tt_launcher_uint4(launcher, out->width, out->height, (uint32_t)tt_plane_positions(out), tt_plane_slices(out));
    tt_launcher_uint4(launcher, tt_plane_slices(&args->in), tt_matrix_slices(matrix), (matrix->n_out + 31) / 32, 0);
    tt_launcher_uint4(launcher, args->residual != NULL, (uint32_t)args->activation, matrix->is_geglu, 0);
    tt_launcher_uint4(launcher, plan->tiles, plan->panels, plan->block_slices, tt_plane_needs_border(out));
}

static double count_bytes(const tt_kernels *kernels, const tt_linear_args *args)
{
    double bytes = tt_launch_plane_bytes(kernels, &args->in) + tt_launch_plane_bytes(kernels, &args->out) +
                   (double)args->matrix->values.n_bytes;
    if (args->in2 != NULL)
        bytes += tt_launch_plane_bytes(kernels, args->in2);
    if (args->residual != NULL)
        bytes += tt_launch_plane_bytes(kernels, args->residual);
    return bytes;
}

/* The launch as register tiles for GPUs take it. */
static tt_gpu_tile_args gpu_args(const tt_linear_args *args, const tt_tile_weights *weights, double bytes)
{
    return (tt_gpu_tile_args){.in = args->in,
                              .in2 = args->in2,
                              .matrix = args->matrix,
                              .weights = *weights,
                              .residual = args->residual,
                              .activation = args->activation,
                              .out = args->out,
                              .scratch = args->scratch,
                              .scratch_offset = args->scratch_offset,
                              .bytes = bytes};
}

tt_status tt_linear_record(const tt_kernels *kernels, const tt_linear_args *args, tt_recorder *recorder, tt_error *err)
{
    tt_tile_weights weights;
    tt_tile_plan plan;
    size_t n_positions = tt_plane_positions(&args->out);
    tt_status status = check(args, err);
    if (status == TT_OK && tt_linear_dot_takes(kernels, args->matrix))
        return tt_linear_dot_record(kernels, args, count_bytes(kernels, args), recorder, err);
    if (status == TT_OK)
        status = tt_tile_prepare(kernels, args->matrix, args->scratch, args->scratch_offset, recorder, &weights, err);
    tt_plain_cut cut = tt_plain_cut_at(0);
    if (status == TT_OK && kernels->family == TT_FAMILY_GPU_PLAIN) {
        tt_gpu_tile_args gpu = gpu_args(args, &weights, count_bytes(kernels, args));
        const tt_gpu_variant *variant = tt_gpu_tile_choose(kernels, &gpu, &cut);
        if (variant != NULL)
            return tt_gpu_tile_record(kernels, &gpu, variant, recorder, err);
    }
    if (status == TT_OK)
        status = tt_tile_make_plan(kernels, args->matrix, &weights, n_positions, cut, &plan, err);
    if (status != TT_OK)
        return status;
    tt_launcher launcher = tt_launcher_begin(kernels, "linear.cl", plan.options, "linear", err);
    set_arguments(&launcher, args, &weights, &plan);
    double flops = 2.0 * (double)n_positions * args->matrix->n_in * args->matrix->n_out;
    return tt_tile_record(&launcher, &plan, "linear", flops, count_bytes(kernels, args), recorder);
}

size_t tt_linear_scratch_bytes(const tt_kernels *kernels, const tt_matrix *matrix, const tt_plane *out)
{
    if (tt_linear_dot_takes(kernels, matrix))
        return 0;
    if (kernels->family == TT_FAMILY_GPU_PLAIN && matrix->arithmetic == TT_ARITHMETIC_INT8)
        return tt_gpu_tile_scratch_bytes(matrix, out);
    return tt_tile_scratch_bytes(kernels, matrix, tt_plane_positions(out));
}
