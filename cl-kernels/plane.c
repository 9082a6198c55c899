/* plane.c - geometry of C4 planes and the making of kernels that work on them. */
#include "cl-kernels/plane.h"

#include "base/text.h"
#include "cl-kernels/kernel-source.h"
#include "cl-kernels/tuning.h"
#include "device/crash-marker.h"
#include "device/program.h"

#include <string.h>

uint32_t tt_plane_slices(const tt_plane *plane)
{
    return plane->channels / 4 + (plane->channels % 4 != 0);
}

size_t tt_plane_slice_units(const tt_plane *plane)
{
    size_t rows = (size_t)plane->height + 2 * plane->border, columns = (size_t)plane->width + 2 * plane->border;
    return (size_t)plane->batch * rows * columns;
}

size_t tt_plane_bytes(const tt_plane *plane, tt_storage storage)
{
    size_t element_bytes = storage == TT_STORAGE_F16 ? 2 : 4;
    return tt_plane_slices(plane) * tt_plane_slice_units(plane) * 4 * element_bytes;
}

size_t tt_plane_positions(const tt_plane *plane)
{
    return (size_t)plane->batch * plane->height * plane->width;
}

bool tt_plane_needs_border(const tt_plane *plane)
{
    return plane->border != 0 && !plane->border_unread;
}

size_t tt_plane_nchw_index(const tt_plane *plane, size_t at)
{
    size_t rows = (size_t)plane->height + 2 * plane->border, columns = (size_t)plane->width + 2 * plane->border;
    size_t lane = at % 4, unit = at / 4;
    size_t x = unit % columns, y = unit / columns % rows;
    size_t image = unit / (columns * rows) % plane->batch, slice = unit / (columns * rows * plane->batch);
    size_t channel = slice * 4 + lane;
    bool inside = x >= plane->border && x < plane->border + plane->width && y >= plane->border &&
                  y < plane->border + plane->height;
    if (!inside || channel >= plane->channels)
        return SIZE_MAX;
    return ((image * plane->channels + channel) * plane->height + (y - plane->border)) * plane->width +
           (x - plane->border);
}

tt_plane tt_plane_channels(const tt_plane *plane, uint32_t first_channel, uint32_t n_channels)
{
    tt_plane view = *plane;
    view.offset += (uint32_t)(first_channel / 4 * tt_plane_slice_units(plane));
    view.channels = n_channels;
    return view;
}

/* Makes the kernel; while its program is built, a marker says which variant to avoid should the driver crash. Compilers
 * for CPUs do not crash but take seconds, in which people end programs: no markers there. */
static tt_status create_guarded(const tt_kernels *kernels, const char *file, const char *options, const char *entry,
                                cl_kernel *kernel, tt_error *err)
{
    char text[TT_TUNING_MARKER];
    tt_crash_marker marker = {0};
    bool is_risky = kernels->tuning != NULL && !tt_device_caps(kernels->device)->is_cpu;
    if (is_risky && tt_tuning_marker(kernels->tuning, text) && !tt_program_is_built(kernels->device, file, options))
        tt_crash_marker_begin(kernels->device, text, &marker);
    tt_status status = tt_kernel_create(kernels->device, file, options, entry, kernel, err);
    tt_crash_marker_release(&marker);
    return status;
}

tt_status tt_kernels_make(const tt_kernels *kernels, const char *file, const char *extra_options, const char *entry,
                          cl_kernel *kernel, tt_error *err)
{
    tt_text options = {0};
    *kernel = NULL;
    tt_text_format(&options, "-DTT_HALF=%d -DTT_CPU_TILE=%d", kernels->storage == TT_STORAGE_F16,
                   kernels->family == TT_FAMILY_CPU_TILE);
    if (extra_options[0] != '\0')
        tt_text_format(&options, " %s", extra_options);
    tt_status status = tt_text_status(&options, err);
    if (status == TT_OK)
        status = create_guarded(kernels, file, options.bytes, entry, kernel, err);
    tt_text_free(&options);
    return status;
}

tt_status tt_kernels_set(const tt_kernels *kernels, cl_kernel kernel, cl_uint *index, size_t n_bytes, const void *value,
                         tt_error *err)
{
    cl_int code = tt_device_cl(kernels->device)->set_kernel_arg(kernel, *index, n_bytes, value);
    if (code != CL_SUCCESS)
        return tt_device_fail(kernels->device, err, code, "clSetKernelArg");
    (*index)++;
    return TT_OK;
}

tt_status tt_kernels_set_plane(const tt_kernels *kernels, cl_kernel kernel, cl_uint *index, const tt_plane *plane,
                               tt_error *err)
{
    cl_uint offset = plane->offset;
    tt_status status = tt_kernels_set(kernels, kernel, index, sizeof(plane->mem), &plane->mem, err);
    return status != TT_OK ? status : tt_kernels_set(kernels, kernel, index, sizeof(offset), &offset, err);
}

const char *tt_kernel_source_text(const char *name, size_t *n_bytes)
{
    for (size_t i = 0; i < tt_n_kernel_sources; i++)
        if (strcmp(tt_kernel_sources[i].name, name) == 0) {
            *n_bytes = tt_kernel_sources[i].n_bytes;
            return tt_kernel_sources[i].text;
        }
    return NULL;
}

tt_status tt_kernels_fail_shape(tt_error *err, const char *op, const char *what, const tt_plane *plane)
{
    return tt_fail(err, TT_ERROR_INTERNAL,
                   "%s: %s, found [batch %u, channels %u, height %u, width %u] with border %u; please report this", op,
                   what, (unsigned)plane->batch, (unsigned)plane->channels, (unsigned)plane->height,
                   (unsigned)plane->width, (unsigned)plane->border);
}
