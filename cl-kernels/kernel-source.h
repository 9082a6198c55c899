/* kernel-source.h - the OpenCL sources that the build embeds into the library (cmake/embed-kernels.cmake). */
#ifndef TT_CL_KERNELS_KERNEL_SOURCE_H
#define TT_CL_KERNELS_KERNEL_SOURCE_H

#include <stddef.h>

/* One file of cl-kernels/: a program (*.cl) or a piece that programs include (*.clh). Static storage, read-only. */
typedef struct tt_kernel_source {
    const char *name; /* file name without folder, "linear.cl" */
    const char *text; /* the file's bytes and a NUL behind them */
    size_t n_bytes;   /* without the NUL */
} tt_kernel_source;

/* All embedded files, sorted by name. */
extern const tt_kernel_source tt_kernel_sources[];
extern const size_t tt_n_kernel_sources;

#endif
