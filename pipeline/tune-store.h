/* tune-store.h - the tuning of a context's device: read from the cache folder when the device is opened, written when
 * something was found out; used inside this room. */
#ifndef TT_PIPELINE_TUNE_STORE_H
#define TT_PIPELINE_TUNE_STORE_H

#include "cl-kernels/tuning-file.h"
#include "pipeline/context.h"

/* Makes the tuning of a device that was opened just now: what the cache folder holds for this device, driver and
 * engine, and what crash markers say. Files that do not fit or are damaged are ignored with a log line; only lack of
 * memory is an error. */
tt_status tt_tune_store_open(const tt_context *context, tt_device *device, tt_tuning **tuning, tt_error *err);

/* Writes the tuning of the open device into the cache folder, at once or not at all; failures are logged. */
void tt_tune_store_save(const tt_context *context);

/* The family of kernels that suits the device, or the other one where that was found wrong. */
tt_family tt_tune_store_family(const tt_device *device, const tt_tuning *tuning);

#endif
