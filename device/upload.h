/* upload.h - buffers that the host fills while the device computes.
 *
 * A slot is a device buffer that the host writes through a mapping (no copy where memory is shared), over and over. One
 * round of a slot:
 *
 *     tt_slot_begin(&slot, &bytes, err)           waits until the slot is free; the host writes bytes[0 .. n_bytes)
 *     tt_slot_end(&slot, &ready, err)             gives it to the device; launches that read it wait for `ready`
 *     tt_slot_reuse(&slot, last, err)             the next mapping waits for `last`, the event of the last such launch
 *
 * Each slot has an in-order queue of its own. With one queue for all, the mapping of a slot, which waits for a launch,
 * would hold up the slots that are given to the device after it. Queues are flushed before anything waits for them. */
#ifndef TT_DEVICE_UPLOAD_H
#define TT_DEVICE_UPLOAD_H

#include "device/device.h"

typedef struct tt_slot {
    tt_device *device;
    cl_command_queue queue;
    tt_buffer buffer;
    void *bytes;     /* mapped or being mapped; NULL: with the device */
    cl_event mapped; /* the mapping is done; NULL: it was waited for */
} tt_slot;

/* Makes buffer and queue. `what` names the buffer in sentences. */
tt_status tt_slot_create(tt_device *device, size_t n_bytes, const char *what, tt_slot *slot, tt_error *err);

/* Waits for what is under way, unmaps and frees. A zeroed slot is allowed. */
void tt_slot_release(tt_slot *slot);

/* Maps the slot (contents undefined before), or waits for the mapping that tt_slot_reuse asked for. */
tt_status tt_slot_begin(tt_slot *slot, void **bytes, tt_error *err);

/* Unmaps. *ready is to be released by the caller. */
tt_status tt_slot_end(tt_slot *slot, cl_event *ready, tt_error *err);

/* Asks for the next mapping, after `last`; returns at once. The compute queue must have been flushed up to `last`,
 * which stays the caller's. */
tt_status tt_slot_reuse(tt_slot *slot, cl_event last, tt_error *err);

/* Brings a slot back to its first state after a failure: waits for all work of the device and ends the mapping. */
void tt_slot_reset(tt_slot *slot);

#endif
