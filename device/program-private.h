/* program-private.h - the parts of the program cache: source assembly and files on disk. */
#ifndef TT_DEVICE_PROGRAM_PRIVATE_H
#define TT_DEVICE_PROGRAM_PRIVATE_H

#include "device/crash-marker.h"
#include "device/device-private.h"

/* The text of a kernel file with its includes put in (free()). Every piece is announced with #line, so that build logs
 * name files as they lie in the source tree. */
tt_status tt_program_source(tt_device *device, const char *file, char **text, size_t *n_bytes, tt_error *err);

/* One entry of the cache on disk. Zeroed: no cache. */
typedef struct tt_cache_entry {
    char *path;   /* of the binary */
    char *marker; /* of the crash marker */
    char key[65];
    tt_crash_marker held; /* the marker while it is ours */
    bool after_crash;     /* the marker of a crashed process was found */
} tt_cache_entry;

/* Computes the key of a program and makes the folder. A cache that cannot be used gives a zeroed entry and, once per
 * device, a warning; only lack of memory is an error. */
tt_status tt_cache_entry_open(tt_device *device, const char *source, size_t n_source, const char *options,
                              tt_cache_entry *entry, tt_error *err);
void tt_cache_entry_close(tt_cache_entry *entry);

/* Writes the crash marker (held by a lock while this process lives) and takes it away. Between the two the driver may
 * crash: the next tt_cache_guard then finds a marker that nobody holds, sets after_crash and removes the binary. */
void tt_cache_guard(tt_device *device, tt_cache_entry *entry);
void tt_cache_unguard(tt_cache_entry *entry);

/* Reads the binary (free()). False when there is none or it is corrupt, stale or of another key. */
bool tt_cache_read(tt_device *device, const tt_cache_entry *entry, unsigned char **binary, size_t *n_bytes);

/* Replaces the binary. Failures are logged, they are no errors. */
void tt_cache_write(tt_device *device, const tt_cache_entry *entry, const unsigned char *binary, size_t n_bytes);

#endif
