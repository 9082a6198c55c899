/* elementwise.c - launcher of elementwise.cl. */
#include "cl-kernels/elementwise.h"

#include "cl-kernels/launch.h"

static bool same_shape(const tt_plane *a, const tt_plane *b)
{
    return a->batch == b->batch && a->height == b->height && a->width == b->width && a->channels == b->channels;
}

tt_status tt_elementwise_record(const tt_kernels *kernels, const tt_elementwise_args *args, tt_recorder *recorder,
                                tt_error *err)
{
    tt_plane a = args->a, b = args->b != NULL ? *args->b : args->a, out = args->out;
    if (args->activation == TT_ACT_PRELU)
        return tt_kernels_fail_shape(err, "elementwise", "PReLU belongs to linear layers and convolutions; output",
                                     &out);
    if (!same_shape(&a, &out))
        return tt_kernels_fail_shape(err, "elementwise", "output differs from the input", &out);
    if (!same_shape(&b, &out))
        return tt_kernels_fail_shape(err, "elementwise", "second input differs from the output", &b);
    if (a.border == 0 && b.border == 0 && out.border == 0) {
        tt_launch_flatten(&a);
        tt_launch_flatten(&b);
        tt_launch_flatten(&out);
    }
    tt_launch launch = {.stem = "elementwise", .bytes = 2 * tt_launch_plane_bytes(kernels, &out)};
    if (args->b != NULL)
        launch.bytes += tt_launch_plane_bytes(kernels, &out);
    const char *options = tt_launch_rows(kernels, &out, &launch);
    tt_launcher launcher = tt_launcher_begin(kernels, "elementwise.cl", options, "elementwise", err);
    tt_launcher_plane(&launcher, &a, false);
    tt_launcher_plane(&launcher, &b, false);
    tt_launcher_plane(&launcher, &out, false);
    tt_launcher_uint4(&launcher, out.width, out.height, out.batch, out.channels);
    tt_launcher_float4(&launcher, args->scale, args->scale2, args->offset, 0);
    tt_launcher_uint4(&launcher, args->b != NULL, (uint32_t)args->activation, tt_plane_needs_border(&out), 0);
    return tt_launcher_record(&launcher, &launch, recorder);
}
