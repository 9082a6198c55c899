/* recorder.h - an ordered list of kernel launches, built once and replayed every step. */
#ifndef TT_DEVICE_RECORDER_H
#define TT_DEVICE_RECORDER_H

#include "device/device.h"

typedef struct tt_recorder tt_recorder;

/* One launch. local[0] == 0: the driver chooses. */
typedef struct tt_launch {
    const char *stem; /* op name for profiles, static storage: "linear" */
    cl_kernel kernel; /* with all arguments set; owned by the recorder from now on, also on failure */
    uint32_t n_dims;
    size_t global[3], local[3];
    double flops, bytes; /* work of this launch, for reports; 0 when unknown */
} tt_launch;

tt_status tt_recorder_create(tt_device *device, tt_recorder **recorder, tt_error *err);
void tt_recorder_destroy(tt_recorder *recorder);

/* Appends a launch. */
tt_status tt_recorder_add(tt_recorder *recorder, const tt_launch *launch, tt_error *err);

/* Enqueues all launches in order, flushing now and then; does not wait. On devices that are no CPUs the first replay
 * has the driver record the list where it can (cl_khr_command_buffer), and one call enqueues it. No allocation later.
 */
tt_status tt_recorder_replay(tt_recorder *recorder, tt_error *err);

/* Asks for the driver's recording, or for the plain loop, whatever the device is; and whether there is a recording. */
void tt_recorder_want_buffer(tt_recorder *recorder, bool wanted);
bool tt_recorder_has_buffer(const tt_recorder *recorder);

/* The same for launches first .. end - 1. The first of them waits for `after` (NULL: for nothing); *done, unless done
 * is NULL, becomes the event of the last, to be released by the caller, NULL after a failure. A range with either must
 * not be empty. Always ends with a flush. */
tt_status tt_recorder_replay_range(tt_recorder *recorder, size_t first, size_t end, cl_event after, cl_event *done,
                                   tt_error *err);

size_t tt_recorder_count(const tt_recorder *recorder);

/* One of the launches. */
const tt_launch *tt_recorder_launch(const tt_recorder *recorder, size_t index);

/* Sums of the launches' work. */
void tt_recorder_work(const tt_recorder *recorder, double *flops, double *bytes);

/* Most private memory that a kernel of the list takes for each work item: on GPUs what does not fit its registers. */
uint64_t tt_recorder_private_bytes(const tt_recorder *recorder);

/* Runs the list once, on a queue with times, and sums milliseconds, FLOPs and bytes per stem. *rows is freed with
 * free(). */
typedef struct tt_profile_row {
    const char *stem;
    uint32_t n_launches;
    double ms, flops, bytes;
} tt_profile_row;
tt_status tt_recorder_profile(tt_recorder *recorder, tt_profile_row **rows, size_t *n_rows, tt_error *err);

#endif
