/* command-buffer.c - cl_khr_command_buffer, whose functions are asked from the platform. Their types are written down
 * here, since headers of many systems lack them or have those of another revision. */
#include "device/command-buffer-private.h"

#include "device/device-private.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* From the extension's text, revision 0.9.0. */
enum {
    COMMAND_BUFFER_CAPABILITIES = 0x12A9, /* of a device: cl_bitfield */
    REQUIRED_QUEUE_PROPERTIES = 0x12AA,   /* of a device: cl_command_queue_properties */
    COMMAND_BUFFER_FLAGS = 0x1293,        /* property of a command buffer */
    CAPABILITY_SIMULTANEOUS_USE = 1 << 2,
    FLAG_SIMULTANEOUS_USE = 1 << 0
};

typedef struct tt_recording *tt_recording; /* cl_command_buffer_khr */
typedef tt_recording(CL_API_CALL *create_fn)(cl_uint, const cl_command_queue *, const cl_bitfield *, cl_int *);
typedef cl_int(CL_API_CALL *one_fn)(tt_recording);
typedef cl_int(CL_API_CALL *enqueue_fn)(cl_uint, cl_command_queue *, tt_recording, cl_uint, const cl_event *,
                                        cl_event *);
typedef cl_int(CL_API_CALL *nd_range_fn)(tt_recording, cl_command_queue, const cl_bitfield *, cl_kernel, cl_uint,
                                         const size_t *, const size_t *, const size_t *, cl_uint, const cl_uint *,
                                         cl_uint *, void **);
typedef void *(CL_API_CALL *find_fn)(cl_platform_id, const char *);

struct tt_command_buffer {
    tt_device *device;
    tt_recording recording;
    create_fn create;
    one_fn finalize, release;
    enqueue_fn enqueue;
    nd_range_fn nd_range;
};

/* Sets a function pointer; false when the platform lacks the function. */
static bool find(const tt_device *device, find_fn find_address, const char *name, void *pointer)
{
    void *address = find_address(device->found.platform, name);
    memcpy(pointer, &address, sizeof address); /* ISO C has no cast from a data pointer to a function's */
    return address != NULL;
}

static bool find_functions(tt_command_buffer *b)
{
    const tt_device *device = b->device;
    find_fn find_address;
    void *symbol = dlsym(device->cl.library, "clGetExtensionFunctionAddressForPlatform");
    memcpy(&find_address, &symbol, sizeof find_address);
    return symbol != NULL && find(device, find_address, "clCreateCommandBufferKHR", &b->create) &&
           find(device, find_address, "clFinalizeCommandBufferKHR", &b->finalize) &&
           find(device, find_address, "clReleaseCommandBufferKHR", &b->release) &&
           find(device, find_address, "clEnqueueCommandBufferKHR", &b->enqueue) &&
           find(device, find_address, "clCommandNDRangeKernelKHR", &b->nd_range);
}

/* Reads a bit field of the device; 0 when it has none. */
static cl_bitfield device_bits(const tt_device *device, cl_device_info what)
{
    cl_bitfield bits = 0;
    cl_int code = device->cl.get_device_info(device->found.id, what, sizeof bits, &bits, NULL);
    return code == CL_SUCCESS ? bits : 0;
}

/* Records the launches, each behind the one before it. */
static cl_int record(tt_command_buffer *b, const tt_launch *launches, size_t n_launches)
{
    cl_uint before = 0, point = 0;
    for (size_t i = 0; i < n_launches; i++) {
        const tt_launch *l = &launches[i];
        cl_int code = b->nd_range(b->recording, NULL, NULL, l->kernel, l->n_dims, NULL, l->global,
                                  l->local[0] == 0 ? NULL : l->local, i > 0, i > 0 ? &before : NULL, &point, NULL);
        if (code != CL_SUCCESS)
            return code;
        before = point;
    }
    return b->finalize(b->recording);
}

static cl_int make_recording(tt_command_buffer *b, const tt_launch *launches, size_t n_launches)
{
    cl_int code = CL_INVALID_OPERATION;
    bool is_simultaneous = device_bits(b->device, COMMAND_BUFFER_CAPABILITIES) & CAPABILITY_SIMULTANEOUS_USE;
    const cl_bitfield properties[] = {COMMAND_BUFFER_FLAGS, FLAG_SIMULTANEOUS_USE, 0};
    if (!find_functions(b) || device_bits(b->device, REQUIRED_QUEUE_PROPERTIES) != 0)
        return code;
    b->recording = b->create(1, &b->device->queue, is_simultaneous ? properties : NULL, &code);
    return b->recording == NULL ? code : record(b, launches, n_launches);
}

tt_command_buffer *tt_command_buffer_create(tt_device *device, const tt_launch *launches, size_t n_launches)
{
    if (!device->found.caps.has_command_buffer || device->profiling)
        return NULL;
    tt_command_buffer *buffer = calloc(1, sizeof *buffer);
    if (buffer == NULL)
        return NULL;
    buffer->device = device;
    cl_int code = make_recording(buffer, launches, n_launches);
    if (code == CL_SUCCESS)
        return buffer;
    tt_log_write(device->log, TT_LOG_INFO, "%s does not record launches (%s, %d): they are enqueued one by one",
                 device->found.caps.info.name, tt_cl_error_name(code), (int)code);
    tt_command_buffer_destroy(buffer);
    return NULL;
}

void tt_command_buffer_destroy(tt_command_buffer *buffer)
{
    if (buffer == NULL)
        return;
    if (buffer->recording != NULL)
        (void)buffer->release(buffer->recording);
    free(buffer);
}

bool tt_command_buffer_replay(tt_command_buffer *buffer)
{
    return buffer->enqueue(0, NULL, buffer->recording, 0, NULL, NULL) == CL_SUCCESS;
}
