/* buffer.c - device memory and its account. */
#include "device/device-private.h"

#include <inttypes.h>

/* MiB, rounded up, for sentences. */
static uint64_t mib(uint64_t n_bytes)
{
    return n_bytes / (1 << 20) + (n_bytes % (1 << 20) != 0);
}

static tt_status check_room(const tt_device *device, size_t n_bytes, const char *what, tt_error *err)
{
    const tt_caps *caps = &device->found.caps;
    static const char advice[] = "ask for a smaller picture, half precision or VAE tiling, or choose another device";
    if (n_bytes == 0)
        return tt_fail(err, TT_ERROR_INTERNAL, "%s: a buffer of 0 bytes was asked for; please report this", what);
    if (n_bytes > caps->max_alloc_bytes)
        return tt_fail(err, TT_ERROR_MEMORY,
                       "%s needs a buffer of %" PRIu64 " MiB and %s allows at most %" PRIu64 " MiB in one; %s", what,
                       mib(n_bytes), caps->info.name, mib(caps->max_alloc_bytes), advice);
    uint64_t room = caps->global_bytes > device->bytes ? caps->global_bytes - device->bytes : 0;
    if (n_bytes > room)
        return tt_fail(err, TT_ERROR_MEMORY,
                       "%s needs %" PRIu64 " MiB beside %" PRIu64 " MiB in use and %s has %" PRIu64 " MiB; %s", what,
                       mib(n_bytes), mib(device->bytes), caps->info.name, mib(caps->global_bytes), advice);
    return TT_OK;
}

tt_status tt_buffer_create(tt_device *device, size_t n_bytes, const char *what, tt_buffer *buffer, tt_error *err)
{
    *buffer = (tt_buffer){0};
    tt_status status = check_room(device, n_bytes, what, err);
    if (status != TT_OK)
        return status;
    cl_mem_flags flags = CL_MEM_READ_WRITE;
    if (device->found.shared_memory)
        flags |= CL_MEM_ALLOC_HOST_PTR;
    cl_int code;
    cl_mem mem = device->cl.create_buffer(device->context, flags, n_bytes, NULL, &code);
    if (mem == NULL)
        return tt_device_fail(device, err, code, what);
    *buffer = (tt_buffer){mem, n_bytes};
    device->bytes += n_bytes;
    if (device->bytes > device->peak_bytes)
        device->peak_bytes = device->bytes;
    return TT_OK;
}

void tt_buffer_release(tt_device *device, tt_buffer *buffer)
{
    if (buffer->mem != NULL) {
        tt_texels_release(device, buffer->mem);
        (void)device->cl.release_mem_object(buffer->mem);
        device->bytes -= buffer->n_bytes;
    }
    *buffer = (tt_buffer){0};
}

/* A range outside the buffer is a mistake of the engine, not of its user. */
static tt_status check_range(const tt_buffer *buffer, size_t offset, size_t n_bytes, tt_error *err)
{
    if (offset <= buffer->n_bytes && n_bytes <= buffer->n_bytes - offset)
        return TT_OK;
    return tt_fail(err, TT_ERROR_INTERNAL,
                   "a copy of %zu bytes at %zu leaves a buffer of %zu bytes; please report this", n_bytes, offset,
                   buffer->n_bytes);
}

static tt_status enqueue_write(tt_device *device, const tt_buffer *buffer, cl_bool is_blocking, size_t offset,
                               const void *src, size_t n_bytes, tt_error *err)
{
    tt_status status = check_range(buffer, offset, n_bytes, err);
    if (status != TT_OK || n_bytes == 0)
        return status;
    cl_int code =
        device->cl.enqueue_write_buffer(device->queue, buffer->mem, is_blocking, offset, n_bytes, src, 0, NULL, NULL);
    return code == CL_SUCCESS ? TT_OK : tt_device_fail(device, err, code, "clEnqueueWriteBuffer");
}

tt_status tt_buffer_write(tt_device *device, const tt_buffer *buffer, size_t offset, const void *src, size_t n_bytes,
                          tt_error *err)
{
    return enqueue_write(device, buffer, CL_TRUE, offset, src, n_bytes, err);
}

tt_status tt_buffer_write_later(tt_device *device, const tt_buffer *buffer, size_t offset, const void *src,
                                size_t n_bytes, tt_error *err)
{
    return enqueue_write(device, buffer, CL_FALSE, offset, src, n_bytes, err);
}

tt_status tt_buffer_read(tt_device *device, const tt_buffer *buffer, size_t offset, void *dst, size_t n_bytes,
                         tt_error *err)
{
    tt_status status = check_range(buffer, offset, n_bytes, err);
    if (status != TT_OK || n_bytes == 0)
        return status;
    cl_int code =
        device->cl.enqueue_read_buffer(device->queue, buffer->mem, CL_TRUE, offset, n_bytes, dst, 0, NULL, NULL);
    return code == CL_SUCCESS ? TT_OK : tt_device_fail(device, err, code, "clEnqueueReadBuffer");
}

tt_status tt_buffer_map(tt_device *device, const tt_buffer *buffer, void **bytes, tt_error *err)
{
    cl_int code;
    *bytes = device->cl.enqueue_map_buffer(device->queue, buffer->mem, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0,
                                           buffer->n_bytes, 0, NULL, NULL, &code);
    return *bytes != NULL ? TT_OK : tt_device_fail(device, err, code, "clEnqueueMapBuffer");
}

tt_status tt_buffer_unmap(tt_device *device, const tt_buffer *buffer, void *bytes, tt_error *err)
{
    cl_int code = device->cl.enqueue_unmap_mem_object(device->queue, buffer->mem, bytes, 0, NULL, NULL);
    return code == CL_SUCCESS ? TT_OK : tt_device_fail(device, err, code, "clEnqueueUnmapMemObject");
}

uint64_t tt_device_bytes(const tt_device *device)
{
    return device->bytes;
}

uint64_t tt_device_peak_bytes(const tt_device *device)
{
    return device->peak_bytes;
}

bool tt_device_shares_memory(const tt_device *device)
{
    return device->found.shared_memory;
}

void tt_device_restart_peak(tt_device *device)
{
    device->peak_bytes = device->bytes;
}
