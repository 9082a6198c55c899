/* launch.c - arguments and recording of a kernel. */
#include "cl-kernels/launch.h"

#include "base/checked.h"

#include <stdio.h>

/* Positions of a CPU work item, lanes of a GPU work-group. */
enum { CPU_SEGMENT = 1024, GPU_LANES = 32, LEAST_LANES = 16 };

tt_launcher tt_launcher_begin(const tt_kernels *kernels, const char *file, const char *options, const char *entry,
                              tt_error *err)
{
    tt_launcher launcher = {.kernels = kernels, .err = err};
    launcher.status = tt_kernels_make(kernels, file, options, entry, &launcher.kernel, err);
    return launcher;
}

/* Items that the driver allows a work-group of the kernel; none when it cannot be asked. */
static size_t group_limit(const tt_launcher *launcher)
{
    size_t limit = 0;
    tt_device *device = launcher->kernels->device;
    cl_int code = tt_device_cl(device)->get_kernel_work_group_info(
        launcher->kernel, tt_device_id(device), CL_KERNEL_WORK_GROUP_SIZE, sizeof(limit), &limit, NULL);
    return code == CL_SUCCESS ? limit : 0;
}

tt_launcher tt_launcher_begin_group(const tt_kernels *kernels, const char *file, const char *options, const char *entry,
                                    size_t *lanes, tt_error *err)
{
    for (;; *lanes /= 2) {
        char all[400];
        (void)snprintf(all, sizeof(all), "%s -DGROUP_LANES=%zu", options, *lanes);
        tt_launcher launcher = tt_launcher_begin(kernels, file, all, entry, err);
        if (launcher.status != TT_OK || *lanes <= LEAST_LANES || group_limit(&launcher) >= *lanes)
            return launcher;
        (void)tt_device_cl(kernels->device)->release_kernel(launcher.kernel);
    }
}

static void set(tt_launcher *launcher, size_t n_bytes, const void *value)
{
    if (launcher->status == TT_OK)
        launcher->status =
            tt_kernels_set(launcher->kernels, launcher->kernel, &launcher->index, n_bytes, value, launcher->err);
}

/* Unit of the first inner position (or of the border's corner) in the first slice; units of a row, an image, a slice.
 */
static cl_uint4 geometry_of(const tt_plane *plane, bool at_corner)
{
    uint32_t row = plane->width + 2 * plane->border, image = row * (plane->height + 2 * plane->border);
    uint32_t inset = at_corner ? 0 : plane->border * (row + 1);
    return (cl_uint4){{plane->offset + inset, row, image, image * plane->batch}};
}

void tt_launcher_plane(tt_launcher *launcher, const tt_plane *plane, bool at_corner)
{
    cl_uint4 geometry = geometry_of(plane, at_corner);
    set(launcher, sizeof(plane->mem), &plane->mem);
    set(launcher, sizeof(geometry), &geometry);
}

void tt_launcher_texels(tt_launcher *launcher, const tt_plane *plane, bool at_corner, tt_texel texel)
{
    cl_uint4 geometry = geometry_of(plane, at_corner);
    cl_mem image = NULL;
    if (launcher->status == TT_OK)
        launcher->status = tt_buffer_texels(launcher->kernels->device, plane->mem, texel, &image, launcher->err);
    set(launcher, sizeof(image), &image);
    set(launcher, sizeof(geometry), &geometry);
}

void tt_launcher_buffer(tt_launcher *launcher, cl_mem buffer)
{
    set(launcher, sizeof(buffer), &buffer);
}

void tt_launcher_uint4(tt_launcher *launcher, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    cl_uint4 value = {{a, b, c, d}};
    set(launcher, sizeof(value), &value);
}

void tt_launcher_uint2(tt_launcher *launcher, uint32_t a, uint32_t b)
{
    cl_uint2 value = {{a, b}};
    set(launcher, sizeof(value), &value);
}

void tt_launcher_float4(tt_launcher *launcher, float a, float b, float c, float d)
{
    cl_float4 value = {{a, b, c, d}};
    set(launcher, sizeof(value), &value);
}

void tt_launcher_uint(tt_launcher *launcher, uint32_t value)
{
    cl_uint argument = value;
    set(launcher, sizeof(argument), &argument);
}

void tt_launcher_float(tt_launcher *launcher, float value)
{
    cl_float argument = value;
    set(launcher, sizeof(argument), &argument);
}

void tt_launcher_local(tt_launcher *launcher, size_t n_bytes)
{
    set(launcher, n_bytes, NULL);
}

tt_status tt_launcher_record(tt_launcher *launcher, const tt_launch *launch, tt_recorder *recorder)
{
    if (launcher->status != TT_OK) {
        if (launcher->kernel != NULL)
            (void)tt_device_cl(launcher->kernels->device)->release_kernel(launcher->kernel);
        return launcher->status;
    }
    tt_launch complete = *launch;
    complete.kernel = launcher->kernel;
    return tt_recorder_add(recorder, &complete, launcher->err);
}

double tt_launch_plane_bytes(const tt_kernels *kernels, const tt_plane *plane)
{
    double units = (double)tt_plane_slices(plane) * (double)tt_plane_positions(plane);
    return units * (kernels->storage == TT_STORAGE_F16 ? 8 : 16);
}

size_t tt_ceil_div(size_t value, size_t step)
{
    return (value + step - 1) / step;
}

tt_status tt_launch_once(const tt_kernels *kernels, const char *file, const char *options, const char *entry,
                         size_t n_items, const tt_buffer buffers[3], tt_error *err)
{
    tt_recorder *recorder = NULL;
    tt_status status = tt_recorder_create(kernels->device, &recorder, err);
    if (status != TT_OK)
        return status;
    tt_launcher launcher = tt_launcher_begin(kernels, file, options, entry, err);
    for (int i = 0; i < 3; i++)
        tt_launcher_buffer(&launcher, buffers[i].mem);
    tt_launch one = {.stem = entry, .n_dims = 1, .global = {n_items, 1, 1}, .local = {n_items, 1, 1}};
    status = tt_launcher_record(&launcher, &one, recorder);
    if (status == TT_OK)
        status = tt_recorder_replay(recorder, err);
    if (status == TT_OK)
        status = tt_device_finish(kernels->device, err);
    tt_recorder_destroy(recorder);
    return status;
}

void tt_launch_flatten(tt_plane *plane)
{
    plane->width *= plane->height * plane->batch;
    plane->height = plane->batch = 1;
}

const char *tt_launch_rows(const tt_kernels *kernels, const tt_plane *plane, tt_launch *launch)
{
    bool is_cpu = kernels->family == TT_FAMILY_CPU_TILE;
    launch->n_dims = 3;
    launch->global[0] = is_cpu ? tt_ceil_div(plane->width, CPU_SEGMENT) : tt_round_up(plane->width, GPU_LANES);
    launch->global[1] = (size_t)plane->height * plane->batch;
    launch->global[2] = tt_plane_slices(plane);
    launch->local[0] = is_cpu ? 1 : GPU_LANES;
    launch->local[1] = launch->local[2] = 1;
    return is_cpu ? "-DSEGMENT=1024" : "-DSEGMENT=1";
}

tt_status tt_launch_wide_registers(const tt_kernels *kernels, bool *is_wide, tt_error *err)
{
    cl_uint width = 0;
    cl_int code = tt_device_cl(kernels->device)
                      ->get_device_info(tt_device_id(kernels->device), CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT,
                                        sizeof(width), &width, NULL);
    if (code != CL_SUCCESS)
        return tt_device_fail(kernels->device, err, code, "clGetDeviceInfo for the native vector width");
    *is_wide = width >= 16;
    return TT_OK;
}
