/* zero-border.c - launcher of zero-border.cl. */
#include "cl-kernels/zero-border.h"

/* Lanes of a work-group on a GPU; a CPU work item walks the whole border of an image. */
enum { GPU_LANES = 32 };

static tt_status set_arguments(const tt_kernels *kernels, cl_kernel kernel, const tt_plane *plane, tt_error *err)
{
    cl_uint index = 0, width = plane->width + 2, height = plane->height + 2;
    tt_status status = tt_kernels_set_plane(kernels, kernel, &index, plane, err);
    if (status == TT_OK)
        status = tt_kernels_set(kernels, kernel, &index, sizeof(width), &width, err);
    if (status == TT_OK)
        status = tt_kernels_set(kernels, kernel, &index, sizeof(height), &height, err);
    return status;
}

tt_status tt_zero_border_record(const tt_kernels *kernels, const tt_plane *plane, tt_recorder *recorder, tt_error *err)
{
    if (!tt_plane_needs_border(plane))
        return TT_OK;
    if (plane->border != 1)
        return tt_kernels_fail_shape(err, "zero-border", "border must be 0 or 1", plane);
    cl_kernel kernel = NULL;
    tt_status status = tt_kernels_make(kernels, "zero-border.cl", "", "zero_border", &kernel, err);
    if (status != TT_OK)
        return status;
    status = set_arguments(kernels, kernel, plane, err);
    if (status != TT_OK) {
        (void)tt_device_cl(kernels->device)->release_kernel(kernel);
        return status;
    }
    size_t lanes = kernels->family == TT_FAMILY_CPU_TILE ? 1 : GPU_LANES;
    size_t images = (size_t)tt_plane_slices(plane) * plane->batch;
    size_t units = images * 2 * ((size_t)plane->width + plane->height + 2);
    tt_launch launch = {.stem = "zero-border",
                        .kernel = kernel,
                        .n_dims = 2,
                        .global = {lanes, images, 1},
                        .local = {lanes, 1, 1},
                        .bytes = (double)units * (kernels->storage == TT_STORAGE_F16 ? 8 : 16)};
    return tt_recorder_add(recorder, &launch, err);
}
