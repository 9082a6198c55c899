/* take.c - launcher of take.cl. */
#include "cl-kernels/take.h"

#include "base/checked.h"
#include "cl-kernels/launch.h"

/* Slices of a CPU work item, lanes of a GPU work-group. */
enum { CPU_SLICES = 1024, GPU_LANES = 32 };

tt_status tt_take_record(const tt_kernels *kernels, const tt_take_args *args, tt_recorder *recorder, tt_error *err)
{
    const tt_plane *in = &args->in, *out = &args->out;
    bool is_cpu = kernels->family == TT_FAMILY_CPU_TILE;
    if (in->height != 1 || in->border != 0)
        return tt_kernels_fail_shape(err, "take", "the input must be one row without border", in);
    if (out->channels != in->channels || out->height != 1 || out->width != 1 || out->border != 0)
        return tt_kernels_fail_shape(err, "take", "the output must have one position and the input's channels", out);
    size_t n_slices = tt_plane_slices(in);
    tt_launch launch = {
        .stem = "take",
        .n_dims = 2,
        .global = {is_cpu ? tt_ceil_div(n_slices, CPU_SLICES) : tt_round_up(n_slices, GPU_LANES), out->batch, 1},
        .local = {is_cpu ? 1 : GPU_LANES, 1, 1},
        .bytes = 2 * tt_launch_plane_bytes(kernels, out)};
    tt_launcher launcher = tt_launcher_begin(kernels, "take.cl", is_cpu ? "-DSLICES=1024" : "-DSLICES=1", "take", err);
    tt_launcher_plane(&launcher, in, false);
    tt_launcher_buffer(&launcher, args->index);
    tt_launcher_uint(&launcher, args->index_offset);
    tt_launcher_plane(&launcher, out, false);
    tt_launcher_uint2(&launcher, (uint32_t)n_slices, in->batch * in->width);
    return tt_launcher_record(&launcher, &launch, recorder);
}
