/* gpu-codes.c - launcher of gpu-codes.cl. Scratch: pairs of floats about the positions, then the codes. */
#include "cl-kernels/gpu-codes.h"

#include "base/checked.h"
#include "cl-kernels/launch.h"

/* Positions of a work-group and most shares of their slices. */
enum { ALIGNMENT = 256, POSITIONS = 16, SHARES = 8 };

static uint32_t count_slices(const tt_gpu_codes_args *args)
{
    return tt_plane_slices(&args->in) + (args->in2 != NULL ? tt_plane_slices(args->in2) : 0);
}

/* The plane that the codes make up, without its place. */
static tt_plane codes_plane(const tt_gpu_codes_args *args)
{
    tt_plane plane = args->in;
    plane.channels = count_slices(args) * 4;
    plane.border = args->with_border ? args->in.border : 0;
    return plane;
}

static size_t about_bytes(const tt_plane *plane)
{
    return tt_round_up(tt_plane_slice_units(plane) * 2 * sizeof(float), ALIGNMENT);
}

size_t tt_gpu_codes_bytes(const tt_gpu_codes_args *args)
{
    tt_plane plane = codes_plane(args);
    return about_bytes(&plane) + tt_plane_slice_units(&plane) * tt_plane_slices(&plane) * sizeof(uint32_t);
}

tt_status tt_gpu_codes_record(const tt_kernels *kernels, const tt_gpu_codes_args *args, tt_recorder *recorder,
                              tt_gpu_codes *codes, tt_error *err)
{
    tt_plane plane = codes_plane(args);
    size_t n = tt_plane_slice_units(&plane), first_code = (args->scratch_offset + about_bytes(&plane)) / 4;
    uint32_t first_about = (uint32_t)(args->scratch_offset / 8);
    if (args->scratch == NULL || args->scratch_offset % ALIGNMENT != 0 || first_code > UINT32_MAX)
        return tt_kernels_fail_shape(err, "gpu-codes", "int8 codes need room in 32-bit reach of", &args->in);
    plane.mem = args->scratch;
    plane.offset = (uint32_t)first_code;
    *codes = (tt_gpu_codes){plane, first_about - (uint32_t)first_code};
    size_t lanes = POSITIONS * SHARES;
    tt_launcher launcher = tt_launcher_begin_group(kernels, "gpu-codes.cl", "", "gpu_codes", &lanes, err);
    tt_launcher_plane(&launcher, &args->in, args->with_border);
    tt_launcher_plane(&launcher, args->in2 != NULL ? args->in2 : &args->in, args->with_border);
    tt_launcher_buffer(&launcher, args->scratch);
    tt_launcher_uint(&launcher, plane.offset);
    tt_launcher_buffer(&launcher, args->scratch);
    tt_launcher_uint(&launcher, first_about);
    tt_launcher_uint4(&launcher, plane.width + 2 * plane.border, plane.height + 2 * plane.border, (uint32_t)n, 0);
    tt_launcher_uint2(&launcher, tt_plane_slices(&args->in), tt_plane_slices(&plane));
    double bytes = 2 * tt_launch_plane_bytes(kernels, &plane);
    tt_launch launch = {.stem = "gpu-codes",
                        .n_dims = 2,
                        .global = {tt_round_up(n, POSITIONS), lanes / POSITIONS, 1},
                        .local = {POSITIONS, lanes / POSITIONS, 1},
                        .bytes = bytes + (double)tt_gpu_codes_bytes(args)};
    return tt_launcher_record(&launcher, &launch, recorder);
}
