/* launch.h - setting the arguments of a kernel one after the other and recording it, with one check at the end. */
#ifndef TT_CL_KERNELS_LAUNCH_H
#define TT_CL_KERNELS_LAUNCH_H

#include "cl-kernels/plane.h"

/* A kernel whose arguments are being set. The first failure is kept and makes later calls do nothing. */
typedef struct tt_launcher {
    const tt_kernels *kernels;
    cl_kernel kernel;
    cl_uint index;
    tt_status status;
    tt_error *err;
} tt_launcher;

/* Makes the kernel `entry` of `file` with extra build options. Must be ended by tt_launcher_record. */
tt_launcher tt_launcher_begin(const tt_kernels *kernels, const char *file, const char *options, const char *entry,
                              tt_error *err);

/* The same for a kernel whose work-groups have *lanes items, which the option GROUP_LANES tells it: fewer, halved down
 * to 16, where the driver allows no more for it. */
tt_launcher tt_launcher_begin_group(const tt_kernels *kernels, const char *file, const char *options, const char *entry,
                                    size_t *lanes, tt_error *err);

/* A plane as two arguments: its buffer, and its geometry for place.clh as a uint4 - unit of the first inner position
 * (of the border's corner with at_corner) in the first slice, units of a row, of an image and of a slice. */
void tt_launcher_plane(tt_launcher *launcher, const tt_plane *plane, bool at_corner);

/* The same with an image over the plane's buffer in place of the buffer. */
void tt_launcher_texels(tt_launcher *launcher, const tt_plane *plane, bool at_corner, tt_texel texel);

/* One argument each. */
void tt_launcher_buffer(tt_launcher *launcher, cl_mem buffer);
void tt_launcher_uint4(tt_launcher *launcher, uint32_t a, uint32_t b, uint32_t c, uint32_t d);
void tt_launcher_uint2(tt_launcher *launcher, uint32_t a, uint32_t b);
void tt_launcher_float4(tt_launcher *launcher, float a, float b, float c, float d);
void tt_launcher_uint(tt_launcher *launcher, uint32_t value);
void tt_launcher_float(tt_launcher *launcher, float value);

/* Local memory of n_bytes as an argument. */
void tt_launcher_local(tt_launcher *launcher, size_t n_bytes);

/* Adds the launch (its kernel is filled in) to the recorder, or releases the kernel after a failure. */
tt_status tt_launcher_record(tt_launcher *launcher, const tt_launch *launch, tt_recorder *recorder);

/* Runs one program of its own over n_items items of one work-group and waits for it: `entry` of `file` with three
 * buffers as arguments. For probes, whose failures are answers. */
tt_status tt_launch_once(const tt_kernels *kernels, const char *file, const char *options, const char *entry,
                         size_t n_items, const tt_buffer buffers[3], tt_error *err);

/* Bytes of activations of a plane without its border, for reports. */
double tt_launch_plane_bytes(const tt_kernels *kernels, const tt_plane *plane);

/* Makes one row of a plane without border: its images and rows follow each other in memory. */
void tt_launch_flatten(tt_plane *plane);

/* Sizes of a launch over the positions of a plane: id 0 counts segments of a row, id 1 rows of all images, id 2 slices.
 * Returns the build option that defines SEGMENT, positions of a work item. */
const char *tt_launch_rows(const tt_kernels *kernels, const tt_plane *plane, tt_launch *launch);

/* True when the device has registers of 16 floats. */
tt_status tt_launch_wide_registers(const tt_kernels *kernels, bool *is_wide, tt_error *err);

/* ceil(value / step). */
size_t tt_ceil_div(size_t value, size_t step);

#endif
