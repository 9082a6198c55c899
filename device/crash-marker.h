/* crash-marker.h - files that say what a process was about to do when it did not come back.
 *
 * A marker is held by a lock while its process lives. One that nobody holds was left by a process that ended between
 * hold and release: the driver crashed, or somebody killed it. */
#ifndef TT_DEVICE_CRASH_MARKER_H
#define TT_DEVICE_CRASH_MARKER_H

#include "device/device.h"

/* A marker that may be held; a zeroed one is not. */
typedef struct tt_crash_marker {
    char *path; /* NULL: not held */
    int lock;   /* descriptor of the locked file */
} tt_crash_marker;

/* Writes text into the file `path` and locks it. *was_left (may be NULL): a marker of a process that has ended was
 * there; its text stays. False, and nothing is held, when the file cannot be written or another process holds it. */
bool tt_crash_marker_hold(const char *path, const char *text, tt_crash_marker *marker, bool *was_left);

/* Takes the file away. Harmless on a marker that is not held. */
void tt_crash_marker_release(tt_crash_marker *marker);

/* Holds a marker for a risky step on this device, in its cache folder; nothing is held where there is none. */
void tt_crash_marker_begin(const tt_device *device, const char *text, tt_crash_marker *marker);

/* Calls found for the text of every such marker of this device that was left, and takes them away. */
typedef void (*tt_crash_found_fn)(void *user, const char *text);
tt_status tt_crash_markers_collect(const tt_device *device, tt_crash_found_fn found, void *user, tt_error *err);

#endif
