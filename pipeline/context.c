/* context.c - contexts, devices, and the calls on pictures that need no model. */
#include "pipeline/context.h"
#include "base/text.h"
#include "cl-kernels/plane.h"
#include "device/program.h"
#include "image/inspect.h"
#include "image/png-write.h"
#include "image/read.h"
#include "pipeline/tune-store.h"

#include <stdio.h>
#include <stdlib.h>

#define TT_TEXT_OF(x) #x
#define TT_VERSION_TEXT(major, minor, patch) TT_TEXT_OF(major) "." TT_TEXT_OF(minor) "." TT_TEXT_OF(patch)

const char *tt_version(void)
{
    return TT_VERSION_TEXT(TT_VERSION_MAJOR, TT_VERSION_MINOR, TT_VERSION_PATCH);
}

tt_context *tt_context_create(void)
{
    return calloc(1, sizeof(tt_context));
}

void tt_context_destroy(tt_context *context)
{
    if (!context)
        return;
    tt_device_close(context->device);
    tt_tuning_destroy(context->tuning);
    free(context);
}

const char *tt_context_message(const tt_context *context)
{
    return context->error.text;
}

void tt_context_set_log(tt_context *context, tt_log_fn log, void *user)
{
    context->log = (tt_log){.fn = log, .user = user};
}

tt_error *tt_context_begin(tt_context *context)
{
    context->error.text[0] = '\0';
    return &context->error;
}

tt_status tt_devices_list(tt_context *context, tt_device_info **devices, size_t *n_devices)
{
    return tt_device_list(devices, n_devices, tt_context_begin(context));
}

void tt_devices_free(tt_device_info *devices)
{
    free(devices);
}

void tt_device_params_default(tt_device_params *params)
{
    *params = (tt_device_params){0};
}

tt_status tt_context_open_device(tt_context *context, const tt_device_params *params)
{
    tt_error *err = tt_context_begin(context);
    if (context->n_models > 0)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "the device cannot be replaced while %u models use it; destroy them first", context->n_models);
    tt_device_options options = {.device = params->device,
                                 .cache_dir = params->cache_dir,
                                 .kernel_dir = params->kernel_dir,
                                 .log = &context->log};
    tt_device *device = NULL;
    tt_status status = tt_device_open(&options, &device, err);
    if (status != TT_OK)
        return status;
    tt_device_set_sources(device, tt_kernel_source_text);
    tt_tuning *tuning = NULL;
    status = tt_tune_store_open(context, device, &tuning, err);
    if (status != TT_OK) {
        tt_device_close(device);
        return status;
    }
    tt_device_close(context->device);
    tt_tuning_destroy(context->tuning);
    context->device = device;
    context->tuning = tuning;
    context->rates_known = false;
    return TT_OK;
}

tt_status tt_context_device(tt_context *context, tt_device_info *info)
{
    tt_error *err = tt_context_begin(context);
    if (!context->device)
        return tt_fail(err, TT_ERROR_ARGUMENT, "no device is open; call tt_context_open_device first");
    *info = tt_device_caps(context->device)->info;
    return TT_OK;
}

tt_status tt_context_store_programs(tt_context *context, uint32_t *n_stored)
{
    tt_error *err = tt_context_begin(context);
    uint32_t own;
    if (!context->device)
        return tt_fail(err, TT_ERROR_ARGUMENT, "no device is open; call tt_context_open_device first");
    return tt_programs_store(context->device, n_stored ? n_stored : &own, err);
}

void tt_image_free(tt_image *image)
{
    if (!image)
        return;
    free(image->pixels);
    *image = (tt_image){0};
}

tt_status tt_image_read(tt_context *context, const char *path, uint32_t n_channels, tt_image *image)
{
    tt_image_limits limits = tt_image_limits_device();
    return tt_image_read_file(path, &limits, n_channels, image, tt_context_begin(context));
}

tt_status tt_image_read_header(tt_context *context, const void *bytes, size_t n_bytes, tt_image_header *header)
{
    return tt_image_header_read(bytes, n_bytes, "the picture", header, tt_context_begin(context));
}

tt_status tt_image_read_bytes(tt_context *context, const void *bytes, size_t n_bytes, const tt_image_bounds *bounds,
                              uint32_t n_channels, tt_image *image)
{
    tt_image_limits limits = tt_image_limits_device();
    if (bounds != NULL && bounds->max_side > 0)
        limits.max_side = bounds->max_side;
    if (bounds != NULL && bounds->max_pixels > 0)
        limits.max_pixels = bounds->max_pixels;
    return tt_image_decode(bytes, n_bytes, "the picture", &limits, n_channels, image, tt_context_begin(context));
}

tt_status tt_image_resized(tt_context *context, const tt_image *image, uint32_t width, uint32_t height, tt_image *out)
{
    return tt_image_resize(image, width, height, out, tt_context_begin(context));
}

tt_status tt_image_write_png(tt_context *context, const char *path, const tt_image *image, const tt_image_marks *marks)
{
    return tt_png_write_file(path, image, marks, tt_context_begin(context));
}

tt_status tt_image_encode_png(tt_context *context, const tt_image *image, const tt_image_marks *marks, uint8_t **bytes,
                              size_t *n_bytes)
{
    tt_error *err = tt_context_begin(context);
    tt_text out = {0};
    tt_status status = tt_png_encode(image, marks, &out, err);
    if (status != TT_OK) {
        tt_text_free(&out);
        return status;
    }
    *bytes = (uint8_t *)out.bytes;
    *n_bytes = out.n_bytes;
    return TT_OK;
}

tt_status tt_image_inspect(tt_context *context, const char *path, tt_image_report *report)
{
    return tt_inspect_file(path, report, tt_context_begin(context));
}

void tt_image_report_free(tt_image_report *report)
{
    tt_inspect_free(report);
}
