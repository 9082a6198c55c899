/* pack.c - launchers of pack.cl. */
#include "cl-kernels/pack.h"

#include "cl-kernels/launch.h"

static tt_status record(const tt_kernels *kernels, const tt_pack_args *args, const char *entry, tt_recorder *recorder,
                        tt_error *err)
{
    const tt_plane *plane = &args->plane;
    uint64_t n_positions = (uint64_t)plane->height * plane->width;
    if (n_positions > UINT32_MAX)
        return tt_kernels_fail_shape(err, entry, "too many positions in", plane);
    uint32_t channel = args->channels_last ? 1 : (uint32_t)n_positions;
    tt_launch launch = {.stem = entry, .bytes = tt_launch_plane_bytes(kernels, plane)};
    launch.bytes += 4.0 * (double)tt_plane_positions(plane) * plane->channels;
    const char *options = tt_launch_rows(kernels, plane, &launch);
    tt_launcher launcher = tt_launcher_begin(kernels, "pack.cl", options, entry, err);
    tt_launcher_buffer(&launcher, args->array);
    tt_launcher_uint(&launcher, args->array_offset);
    tt_launcher_uint4(&launcher, plane->width, plane->height, plane->batch, plane->channels);
    tt_launcher_uint2(&launcher, channel, args->channels_last ? plane->channels : 1);
    tt_launcher_plane(&launcher, plane, false);
    tt_launcher_uint(&launcher, tt_plane_needs_border(plane));
    return tt_launcher_record(&launcher, &launch, recorder);
}

tt_status tt_pack_record(const tt_kernels *kernels, const tt_pack_args *args, tt_recorder *recorder, tt_error *err)
{
    return record(kernels, args, "pack", recorder, err);
}

tt_status tt_unpack_record(const tt_kernels *kernels, const tt_pack_args *args, tt_recorder *recorder, tt_error *err)
{
    return record(kernels, args, "unpack", recorder, err);
}
