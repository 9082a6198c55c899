/* program.h - OpenCL programs: source lookup, build, in-memory and on-disk cache.
 *
 * Cache key: SHA-256 over source text (with its includes), options, device name, driver and platform version and format
 * version; a file holds a magic, the key, the length, a checksum and the binary, is written under a temporary name and
 * renamed. A corrupt, foreign or stale file is ignored and replaced. A crash marker is written before a program is
 * built or loaded for the first time on a driver and removed after; a marker left by a crash makes the next start
 * ignore the cached binary. Where the driver makes binaries slowly and keeps programs itself (PoCL: device/quirks.c)
 * none are written before tt_programs_store. */
#ifndef TT_DEVICE_PROGRAM_H
#define TT_DEVICE_PROGRAM_H

#include "device/device.h"

/* Finds the text of a kernel file ("linear.cl"); NULL when there is none. */
typedef const char *(*tt_source_fn)(const char *name, size_t *n_bytes);

/* Tells the device where kernel sources come from (the embedded table). Must be called once before tt_kernel_create;
 * tt_device_options.kernel_dir overrides it file by file. */
void tt_device_set_sources(tt_device *device, tt_source_fn sources);

/* Makes a new kernel object (owned by the caller: clReleaseKernel) of `entry` in the program `file` built with
 * `options` ("-DTT_HALF=1"). Lines `#include "name.clh"` of the source are replaced by that file's text (one level).
 * Programs are built once per (file, options). A build failure gives a sentence with the first lines of the log. */
tt_status tt_kernel_create(tt_device *device, const char *file, const char *options, const char *entry,
                           cl_kernel *kernel, tt_error *err);

/* Writes the binaries of all programs that were built so far and are not in the cache on disk: seconds each on drivers
 * that make binaries slowly; elsewhere nothing is left to do. *n_stored counts them. Does nothing without a cache
 * folder. */
tt_status tt_programs_store(tt_device *device, uint32_t *n_stored, tt_error *err);

/* True when tt_kernel_create would find the program built. */
bool tt_program_is_built(const tt_device *device, const char *file, const char *options);

#endif
