/* linear.c - launcher of linear.cl. */
#include "cl-kernels/linear.h"

#include "cl-kernels/tile.h"
#include "cl-kernels/zero-border.h"

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
    if (matrix->is_geglu && (args->residual != NULL || args->activation != TT_ACT_NONE))
        return tt_kernels_fail_shape(err, "linear", "GEGLU takes neither residual nor activation; output", out);
    if (args->residual != NULL && (!same_geometry(args->residual, out) || args->residual->channels != out->channels))
        return tt_kernels_fail_shape(err, "linear", "residual differs from the output", args->residual);
    return TT_OK;
}

static tt_status set_planes(const tt_kernels *kernels, const tt_linear_args *args, cl_kernel kernel, cl_uint *index,
                            tt_error *err)
{
    const tt_plane *in2 = args->in2 != NULL ? args->in2 : &args->in;
    const tt_plane *residual = args->residual != NULL ? args->residual : &args->in;
    const tt_matrix *matrix = args->matrix;
    tt_status status = tt_tile_set_plane(kernels, kernel, index, &args->in, false, err);
    if (status == TT_OK)
        status = tt_tile_set_plane(kernels, kernel, index, in2, false, err);
    if (status == TT_OK)
        status = tt_kernels_set(kernels, kernel, index, sizeof(cl_mem), &matrix->values.mem, err);
    if (status == TT_OK)
        status = tt_kernels_set(kernels, kernel, index, sizeof(cl_mem), &matrix->bias.mem, err);
    if (status == TT_OK)
        status = tt_tile_set_plane(kernels, kernel, index, residual, false, err);
    if (status == TT_OK)
        status = tt_tile_set_plane(kernels, kernel, index, &args->out, false, err);
    return status;
}

static tt_status set_arguments(const tt_kernels *kernels, const tt_linear_args *args, const tt_tile_plan *plan,
                               cl_kernel kernel, tt_error *err)
{
    cl_uint index = 0;
    const tt_plane *out = &args->out;
    const tt_matrix *matrix = args->matrix;
    tt_status status = set_planes(kernels, args, kernel, &index, err);
    if (status == TT_OK)
        status = tt_tile_set_uint4(kernels, kernel, &index, out->width, out->height, (uint32_t)tt_plane_positions(out),
                                   tt_plane_slices(out), err);
    if (status == TT_OK)
        status = tt_tile_set_uint4(kernels, kernel, &index, tt_plane_slices(&args->in), tt_matrix_slices(matrix),
                                   (matrix->n_out + 31) / 32, 0, err);
    if (status == TT_OK)
        status = tt_tile_set_uint4(kernels, kernel, &index, args->residual != NULL, (uint32_t)args->activation,
                                   matrix->is_geglu, 0, err);
    if (status == TT_OK)
        status = tt_tile_set_uint4(kernels, kernel, &index, plan->tiles, plan->panels, plan->block_slices, 0, err);
    return status;
}

static void count_work(const tt_kernels *kernels, const tt_linear_args *args, tt_launch *launch)
{
    const tt_matrix *matrix = args->matrix;
    launch->flops = 2.0 * (double)tt_plane_positions(&args->out) * matrix->n_in * matrix->n_out;
    launch->bytes = tt_tile_plane_bytes(kernels, &args->in) + tt_tile_plane_bytes(kernels, &args->out) +
                    (double)matrix->values.n_bytes;
    if (args->in2 != NULL)
        launch->bytes += tt_tile_plane_bytes(kernels, args->in2);
    if (args->residual != NULL)
        launch->bytes += tt_tile_plane_bytes(kernels, args->residual);
}

tt_status tt_linear_record(const tt_kernels *kernels, const tt_linear_args *args, tt_recorder *recorder, tt_error *err)
{
    tt_tile_plan plan;
    cl_kernel kernel = NULL;
    tt_status status = check(args, err);
    if (status == TT_OK)
        status = tt_zero_border_record(kernels, &args->out, recorder, err);
    if (status == TT_OK)
        status = tt_tile_make_plan(kernels, args->matrix, tt_plane_positions(&args->out), &plan, err);
    if (status == TT_OK)
        status = tt_kernels_make(kernels, "linear.cl", plan.options, "linear", &kernel, err);
    if (status != TT_OK)
        return status;
    status = set_arguments(kernels, args, &plan, kernel, err);
    if (status != TT_OK) {
        (void)tt_device_cl(kernels->device)->release_kernel(kernel);
        return status;
    }
    tt_launch launch = {.stem = "linear",
                        .kernel = kernel,
                        .n_dims = 2,
                        .global = {plan.global[0], plan.global[1], 1},
                        .local = {plan.local[0], plan.local[1], 1}};
    count_work(kernels, args, &launch);
    return tt_recorder_add(recorder, &launch, err);
}
