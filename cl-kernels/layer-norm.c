/* layer-norm.c - launcher of layer-norm.cl. */
#include "cl-kernels/layer-norm.h"

#include "base/checked.h"
#include "cl-kernels/launch.h"
#include "cl-kernels/zero-border.h"

/* Positions of a CPU work item, lanes of a GPU work-group. */
enum { CPU_POSITIONS = 16, GPU_LANES = 32 };

static tt_status check(const tt_layer_norm_args *args, tt_error *err)
{
    const tt_plane *in = &args->in, *out = &args->out;
    if (out->batch != in->batch || out->height != in->height || out->width != in->width ||
        out->channels != in->channels)
        return tt_kernels_fail_shape(err, "layer-norm", "output differs from the input", out);
    if (args->scale->n != in->channels || args->shift->n != in->channels)
        return tt_kernels_fail_shape(err, "layer-norm", "scale or shift differ in length from", in);
    return TT_OK;
}

tt_status tt_layer_norm_record(const tt_kernels *kernels, const tt_layer_norm_args *args, tt_recorder *recorder,
                               tt_error *err)
{
    bool is_cpu = kernels->family == TT_FAMILY_CPU_TILE;
    tt_plane in = args->in, out = args->out;
    tt_status status = check(args, err);
    if (status == TT_OK)
        status = tt_zero_border_record(kernels, &out, recorder, err);
    if (status != TT_OK)
        return status;
    if (in.border == 0 && out.border == 0) {
        tt_launch_flatten(&in);
        tt_launch_flatten(&out);
    }
    tt_launcher launcher = tt_launcher_begin(kernels, "layer-norm.cl", "", "layer_norm", err);
    tt_launcher_plane(&launcher, &in, false);
    tt_launcher_buffer(&launcher, args->scale->values.mem);
    tt_launcher_buffer(&launcher, args->shift->values.mem);
    tt_launcher_float(&launcher, args->eps);
    tt_launcher_plane(&launcher, &out, false);
    tt_launcher_uint4(&launcher, in.width, in.height, in.batch, in.channels);
    tt_launch launch = {.stem = "layer-norm",
                        .n_dims = 2,
                        .global = {is_cpu ? tt_ceil_div(in.width, CPU_POSITIONS) : tt_round_up(in.width, GPU_LANES),
                                   (size_t)in.height * in.batch, 1},
                        .local = {is_cpu ? 1 : GPU_LANES, 1, 1},
                        .bytes = 2 * tt_launch_plane_bytes(kernels, &in)};
    return tt_launcher_record(&launcher, &launch, recorder);
}
