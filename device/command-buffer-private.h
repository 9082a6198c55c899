/* command-buffer-private.h - a list of launches kept by the driver (cl_khr_command_buffer), which one call enqueues. */
#ifndef TT_DEVICE_COMMAND_BUFFER_PRIVATE_H
#define TT_DEVICE_COMMAND_BUFFER_PRIVATE_H

#include "device/recorder.h"

typedef struct tt_command_buffer tt_command_buffer;

/* Has the driver record the launches, whose kernels must stay as they are. NULL where the device has no command buffers
 * or they do not work, which the log then says: the launches are enqueued one by one instead. */
tt_command_buffer *tt_command_buffer_create(tt_device *device, const tt_launch *launches, size_t n_launches);
void tt_command_buffer_destroy(tt_command_buffer *buffer);

/* Enqueues all launches. False, with nothing enqueued, when the driver refuses: it may while an earlier replay is not
 * done. */
bool tt_command_buffer_replay(tt_command_buffer *buffer);

#endif
