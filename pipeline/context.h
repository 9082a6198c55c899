/* context.h - what a tt_context holds; used inside this room. */
#ifndef TT_PIPELINE_CONTEXT_H
#define TT_PIPELINE_CONTEXT_H

#include "base/error.h"
#include "base/log.h"
#include "cl-kernels/tuning.h"
#include "device/device.h"
#include "pipeline/rates.h"

struct tt_context {
    tt_error error;
    tt_log log;
    tt_device *device; /* NULL until one is opened */
    tt_tuning *tuning; /* of the device */
    uint32_t n_models; /* alive on the device */
    bool rates_known;  /* of the device */
    tt_rates_key rates_key;
    tt_rates rates;
};

/* The open device's units for dot products without those that a self-test found wrong, and without any where another
 * family of kernels than the device's own is used (model.c). */
tt_status tt_context_units(const tt_context *context, tt_dot *dot, tt_error *err);

/* Starts a public call: clears the sentence and returns where the next one goes. */
tt_error *tt_context_begin(tt_context *context);

#endif
