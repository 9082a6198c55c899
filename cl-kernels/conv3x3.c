/* conv3x3.c - launcher of conv3x3.cl. */
#include "cl-kernels/conv3x3.h"

#include "cl-kernels/tile.h"
#include "cl-kernels/zero-border.h"

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

static tt_status check(const tt_conv3x3_args *args, tt_error *err)
{
    const tt_matrix *matrix = args->matrix;
    const tt_plane *in = &args->in, *out = &args->out, *bias = args->per_image_bias;
    if (matrix->n_taps != 9 || matrix->split != matrix->n_in || matrix->is_geglu)
        return tt_kernels_fail_shape(err, "conv3x3", "the matrix is not packed for a 3x3 convolution; input", in);
    if (in->border != 1)
        return tt_kernels_fail_shape(err, "conv3x3", "the input needs a border of one pixel", in);
    if (in->channels != matrix->n_in)
        return tt_kernels_fail_shape(err, "conv3x3", "input channels differ from the matrix's", in);
    if (out->channels != matrix->n_out || out->batch != in->batch || out->height == 0 || out->width == 0 ||
        !fits(args->mode, in->height, out->height) || !fits(args->mode, in->width, out->width))
        return tt_kernels_fail_shape(err, "conv3x3", "output differs from matrix, input or mode", out);
    if (bias != NULL &&
        (bias->channels != out->channels || bias->batch != out->batch || bias->height != 1 || bias->width != 1))
        return tt_kernels_fail_shape(err, "conv3x3", "per-image bias differs from the output", bias);
    if (args->residual != NULL && !same_geometry(args->residual, out))
        return tt_kernels_fail_shape(err, "conv3x3", "residual differs from the output", args->residual);
    return TT_OK;
}

static tt_status set_planes(const tt_kernels *kernels, const tt_conv3x3_args *args, cl_kernel kernel, cl_uint *index,
                            tt_error *err)
{
    const tt_plane *image_bias = args->per_image_bias != NULL ? args->per_image_bias : &args->in;
    const tt_plane *residual = args->residual != NULL ? args->residual : &args->in;
    const tt_matrix *matrix = args->matrix;
    tt_status status = tt_tile_set_plane(kernels, kernel, index, &args->in, true, err);
    if (status == TT_OK)
        status = tt_kernels_set(kernels, kernel, index, sizeof(cl_mem), &matrix->values.mem, err);
    if (status == TT_OK)
        status = tt_kernels_set(kernels, kernel, index, sizeof(cl_mem), &matrix->bias.mem, err);
    if (status == TT_OK)
        status = tt_tile_set_plane(kernels, kernel, index, image_bias, false, err);
    if (status == TT_OK)
        status = tt_tile_set_plane(kernels, kernel, index, residual, false, err);
    if (status == TT_OK)
        status = tt_tile_set_plane(kernels, kernel, index, &args->out, false, err);
    return status;
}

static tt_status set_arguments(const tt_kernels *kernels, const tt_conv3x3_args *args, const tt_tile_plan *plan,
                               cl_kernel kernel, tt_error *err)
{
    cl_uint index = 0;
    const tt_plane *in = &args->in, *out = &args->out;
    tt_status status = set_planes(kernels, args, kernel, &index, err);
    if (status == TT_OK)
        status = tt_tile_set_uint4(kernels, kernel, &index, out->width, out->height, (uint32_t)tt_plane_positions(out),
                                   tt_plane_slices(out), err);
    if (status == TT_OK)
        status = tt_tile_set_uint4(kernels, kernel, &index, in->width, in->height, tt_plane_slices(in),
                                   (args->matrix->n_out + 31) / 32, err);
    if (status == TT_OK)
        status = tt_tile_set_uint4(kernels, kernel, &index, args->per_image_bias != NULL, args->residual != NULL,
                                   (uint32_t)args->activation, (uint32_t)args->mode, err);
    if (status == TT_OK)
        status = tt_tile_set_uint4(kernels, kernel, &index, plan->tiles, plan->panels, plan->block_slices, 0, err);
    return status;
}

static void count_work(const tt_kernels *kernels, const tt_conv3x3_args *args, tt_launch *launch)
{
    const tt_matrix *matrix = args->matrix;
    launch->flops = 18.0 * (double)tt_plane_positions(&args->out) * matrix->n_in * matrix->n_out;
    launch->bytes = tt_tile_plane_bytes(kernels, &args->in) + tt_tile_plane_bytes(kernels, &args->out) +
                    (double)matrix->values.n_bytes;
    if (args->residual != NULL)
        launch->bytes += tt_tile_plane_bytes(kernels, args->residual);
}

tt_status tt_conv3x3_record(const tt_kernels *kernels, const tt_conv3x3_args *args, tt_recorder *recorder,
                            tt_error *err)
{
    tt_tile_plan plan;
    cl_kernel kernel = NULL;
    tt_status status = check(args, err);
    if (status == TT_OK)
        status = tt_zero_border_record(kernels, &args->out, recorder, err);
    if (status == TT_OK)
        status = tt_tile_make_plan(kernels, args->matrix, tt_plane_positions(&args->out), &plan, err);
    if (status == TT_OK)
        status = tt_kernels_make(kernels, "conv3x3.cl", plan.options, "conv3x3", &kernel, err);
    if (status != TT_OK)
        return status;
    status = set_arguments(kernels, args, &plan, kernel, err);
    if (status != TT_OK) {
        (void)tt_device_cl(kernels->device)->release_kernel(kernel);
        return status;
    }
    tt_launch launch = {.stem = "conv3x3",
                        .kernel = kernel,
                        .n_dims = 2,
                        .global = {plan.global[0], plan.global[1], 1},
                        .local = {plan.local[0], plan.local[1], 1}};
    count_work(kernels, args, &launch);
    return tt_recorder_add(recorder, &launch, err);
}
