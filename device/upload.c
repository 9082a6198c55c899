/* upload.c - slots: mapping, unmapping, and the events between host and launches. */
#include "device/upload.h"

tt_status tt_slot_create(tt_device *device, size_t n_bytes, const char *what, tt_slot *slot, tt_error *err)
{
    cl_int code;
    *slot = (tt_slot){.device = device};
    slot->queue = tt_device_cl(device)->create_command_queue(tt_device_context(device), tt_device_id(device), 0, &code);
    if (slot->queue == NULL)
        return tt_device_fail(device, err, code, "clCreateCommandQueue for uploads");
    return tt_buffer_create(device, n_bytes, what, &slot->buffer, err);
}

static void release_event(const tt_slot *slot, cl_event *event)
{
    if (*event != NULL)
        (void)tt_device_cl(slot->device)->release_event(*event);
    *event = NULL;
}

static tt_status flush(const tt_slot *slot, tt_error *err)
{
    cl_int code = tt_device_cl(slot->device)->flush(slot->queue);
    return code == CL_SUCCESS ? TT_OK : tt_device_fail(slot->device, err, code, "clFlush of uploads");
}

/* Enqueues the mapping, behind `last` unless that is NULL. */
static tt_status ask_for_mapping(tt_slot *slot, cl_event last, tt_error *err)
{
    cl_int code;
    void *bytes =
        tt_device_cl(slot->device)
            ->enqueue_map_buffer(slot->queue, slot->buffer.mem, CL_FALSE, CL_MAP_WRITE_INVALIDATE_REGION, 0,
                                 slot->buffer.n_bytes, last != NULL, last != NULL ? &last : NULL, &slot->mapped, &code);
    if (bytes == NULL) {
        slot->mapped = NULL;
        return tt_device_fail(slot->device, err, code, "clEnqueueMapBuffer for weights");
    }
    slot->bytes = bytes;
    return flush(slot, err);
}

tt_status tt_slot_begin(tt_slot *slot, void **bytes, tt_error *err)
{
    tt_status status = slot->bytes == NULL ? ask_for_mapping(slot, NULL, err) : TT_OK;
    if (status == TT_OK && slot->mapped != NULL) {
        cl_int code = tt_device_cl(slot->device)->wait_for_events(1, &slot->mapped);
        if (code != CL_SUCCESS)
            status = tt_device_fail(slot->device, err, code, "clWaitForEvents for weights");
        release_event(slot, &slot->mapped);
    }
    *bytes = slot->bytes;
    return status;
}

tt_status tt_slot_end(tt_slot *slot, cl_event *ready, tt_error *err)
{
    *ready = NULL;
    if (slot->bytes == NULL)
        return tt_fail(err, TT_ERROR_INTERNAL, "a slot for weights is not mapped; please report this");
    cl_int code = tt_device_cl(slot->device)
                      ->enqueue_unmap_mem_object(slot->queue, slot->buffer.mem, slot->bytes, 0, NULL, ready);
    if (code != CL_SUCCESS) {
        *ready = NULL;
        return tt_device_fail(slot->device, err, code, "clEnqueueUnmapMemObject for weights");
    }
    slot->bytes = NULL;
    tt_status status = flush(slot, err);
    if (status != TT_OK)
        release_event(slot, ready);
    return status;
}

tt_status tt_slot_reuse(tt_slot *slot, cl_event last, tt_error *err)
{
    if (slot->bytes != NULL)
        return tt_fail(err, TT_ERROR_INTERNAL, "a slot for weights is mapped twice; please report this");
    return ask_for_mapping(slot, last, err);
}

void tt_slot_reset(tt_slot *slot)
{
    const tt_cl *cl = tt_device_cl(slot->device);
    (void)cl->finish(tt_device_queue(slot->device));
    if (slot->mapped != NULL)
        (void)cl->wait_for_events(1, &slot->mapped);
    release_event(slot, &slot->mapped);
    if (slot->bytes != NULL)
        (void)cl->enqueue_unmap_mem_object(slot->queue, slot->buffer.mem, slot->bytes, 0, NULL, NULL);
    slot->bytes = NULL;
    (void)cl->finish(slot->queue);
}

void tt_slot_release(tt_slot *slot)
{
    if (slot->device == NULL)
        return;
    if (slot->buffer.mem != NULL)
        tt_slot_reset(slot);
    tt_buffer_release(slot->device, &slot->buffer);
    if (slot->queue != NULL)
        (void)tt_device_cl(slot->device)->release_command_queue(slot->queue);
    *slot = (tt_slot){0};
}
