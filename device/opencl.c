/* opencl.c - finding the OpenCL library and its entry points. */
#include "device/opencl-private.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* Linux names first; then what Android vendors ship: apps may only open the names that their manifest declares, and
 * some drivers keep OpenCL inside the GLES library. */
static const char *const library_names[] = {
    "libOpenCL.so.1",
    "libOpenCL.so",
    "libOpenCL-pixel.so",
    "libOpenCL-car.so",
#if UINTPTR_MAX > UINT32_MAX
    "/vendor/lib64/libOpenCL.so",
    "/system/vendor/lib64/libOpenCL.so",
    "/vendor/lib64/egl/libGLES_mali.so",
    "/vendor/lib64/libPVROCL.so",
#else
    "/vendor/lib/libOpenCL.so",
    "/system/vendor/lib/libOpenCL.so",
    "/vendor/lib/egl/libGLES_mali.so",
    "/vendor/lib/libPVROCL.so",
#endif
};

typedef struct entry_point {
    const char *name;
    size_t offset; /* of the pointer in tt_cl */
} entry_point;

static const entry_point entry_points[] = {
    {"clGetPlatformIDs", offsetof(tt_cl, get_platform_ids)},
    {"clGetPlatformInfo", offsetof(tt_cl, get_platform_info)},
    {"clGetDeviceIDs", offsetof(tt_cl, get_device_ids)},
    {"clGetDeviceInfo", offsetof(tt_cl, get_device_info)},
    {"clCreateContext", offsetof(tt_cl, create_context)},
    {"clReleaseContext", offsetof(tt_cl, release_context)},
    {"clCreateCommandQueue", offsetof(tt_cl, create_command_queue)},
    {"clReleaseCommandQueue", offsetof(tt_cl, release_command_queue)},
    {"clCreateBuffer", offsetof(tt_cl, create_buffer)},
    {"clCreateImage", offsetof(tt_cl, create_image)},
    {"clReleaseMemObject", offsetof(tt_cl, release_mem_object)},
    {"clGetMemObjectInfo", offsetof(tt_cl, get_mem_object_info)},
    {"clCreateProgramWithSource", offsetof(tt_cl, create_program_with_source)},
    {"clCreateProgramWithBinary", offsetof(tt_cl, create_program_with_binary)},
    {"clBuildProgram", offsetof(tt_cl, build_program)},
    {"clGetProgramInfo", offsetof(tt_cl, get_program_info)},
    {"clGetProgramBuildInfo", offsetof(tt_cl, get_program_build_info)},
    {"clReleaseProgram", offsetof(tt_cl, release_program)},
    {"clCreateKernel", offsetof(tt_cl, create_kernel)},
    {"clSetKernelArg", offsetof(tt_cl, set_kernel_arg)},
    {"clGetKernelWorkGroupInfo", offsetof(tt_cl, get_kernel_work_group_info)},
    {"clReleaseKernel", offsetof(tt_cl, release_kernel)},
    {"clEnqueueNDRangeKernel", offsetof(tt_cl, enqueue_nd_range_kernel)},
    {"clEnqueueReadBuffer", offsetof(tt_cl, enqueue_read_buffer)},
    {"clEnqueueWriteBuffer", offsetof(tt_cl, enqueue_write_buffer)},
    {"clEnqueueMapBuffer", offsetof(tt_cl, enqueue_map_buffer)},
    {"clEnqueueUnmapMemObject", offsetof(tt_cl, enqueue_unmap_mem_object)},
    {"clGetEventProfilingInfo", offsetof(tt_cl, get_event_profiling_info)},
    {"clWaitForEvents", offsetof(tt_cl, wait_for_events)},
    {"clReleaseEvent", offsetof(tt_cl, release_event)},
    {"clFlush", offsetof(tt_cl, flush)},
    {"clFinish", offsetof(tt_cl, finish)},
};

enum { N_LIBRARY_NAMES = sizeof(library_names) / sizeof(library_names[0]) };
enum { N_ENTRY_POINTS = sizeof(entry_points) / sizeof(entry_points[0]) };

/* Fills the table; the name of the first missing function, NULL when all are there. */
static const char *find_entry_points(tt_cl *cl)
{
    for (size_t i = 0; i < N_ENTRY_POINTS; i++) {
        void *symbol = dlsym(cl->library, entry_points[i].name);
        if (symbol == NULL)
            return entry_points[i].name;
        /* POSIX lets a data pointer carry a function's address; memcpy says so without a cast that C forbids. */
        memcpy((char *)cl + entry_points[i].offset, &symbol, sizeof(symbol));
    }
    return NULL;
}

tt_status tt_cl_load_from(tt_cl *cl, const char *const *names, size_t n_names, tt_error *err)
{
    char found[300] = "";
    for (size_t i = 0; i < n_names; i++) {
        *cl = (tt_cl){0};
        /* NODELETE: drivers start threads and register exit handlers, so their code must outlive the handle. */
        cl->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (cl->library == NULL)
            continue;
        const char *missing = find_entry_points(cl);
        if (missing == NULL)
            return TT_OK;
        (void)snprintf(found, sizeof(found), " (%s was found but has no %s)", names[i], missing);
        (void)dlclose(cl->library);
    }
    *cl = (tt_cl){0};
    return tt_fail(err, TT_ERROR_DEVICE,
                   "no OpenCL library: expected %s%s; install an OpenCL driver, on Debian and Ubuntu "
                   "`apt install ocl-icd-libopencl1 pocl-opencl-icd` for the CPU",
                   n_names > 0 ? names[0] : "a name", found);
}

tt_status tt_cl_load(tt_cl *cl, tt_error *err)
{
    return tt_cl_load_from(cl, library_names, N_LIBRARY_NAMES, err);
}

void tt_cl_unload(tt_cl *cl)
{
    if (cl->library != NULL)
        (void)dlclose(cl->library);
    *cl = (tt_cl){0};
}

typedef struct error_name {
    cl_int code;
    const char *name;
} error_name;

static const error_name error_names[] = {
    {CL_SUCCESS, "CL_SUCCESS"},
    {CL_DEVICE_NOT_FOUND, "CL_DEVICE_NOT_FOUND"},
    {CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE"},
    {CL_COMPILER_NOT_AVAILABLE, "CL_COMPILER_NOT_AVAILABLE"},
    {CL_MEM_OBJECT_ALLOCATION_FAILURE, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
    {CL_OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES"},
    {CL_OUT_OF_HOST_MEMORY, "CL_OUT_OF_HOST_MEMORY"},
    {CL_PROFILING_INFO_NOT_AVAILABLE, "CL_PROFILING_INFO_NOT_AVAILABLE"},
    {CL_MEM_COPY_OVERLAP, "CL_MEM_COPY_OVERLAP"},
    {CL_BUILD_PROGRAM_FAILURE, "CL_BUILD_PROGRAM_FAILURE"},
    {CL_MAP_FAILURE, "CL_MAP_FAILURE"},
    {CL_MISALIGNED_SUB_BUFFER_OFFSET, "CL_MISALIGNED_SUB_BUFFER_OFFSET"},
    {CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST"},
    {CL_COMPILE_PROGRAM_FAILURE, "CL_COMPILE_PROGRAM_FAILURE"},
    {CL_LINKER_NOT_AVAILABLE, "CL_LINKER_NOT_AVAILABLE"},
    {CL_LINK_PROGRAM_FAILURE, "CL_LINK_PROGRAM_FAILURE"},
    {CL_KERNEL_ARG_INFO_NOT_AVAILABLE, "CL_KERNEL_ARG_INFO_NOT_AVAILABLE"},
    {CL_INVALID_VALUE, "CL_INVALID_VALUE"},
    {CL_INVALID_DEVICE_TYPE, "CL_INVALID_DEVICE_TYPE"},
    {CL_INVALID_PLATFORM, "CL_INVALID_PLATFORM"},
    {CL_INVALID_DEVICE, "CL_INVALID_DEVICE"},
    {CL_INVALID_CONTEXT, "CL_INVALID_CONTEXT"},
    {CL_INVALID_QUEUE_PROPERTIES, "CL_INVALID_QUEUE_PROPERTIES"},
    {CL_INVALID_COMMAND_QUEUE, "CL_INVALID_COMMAND_QUEUE"},
    {CL_INVALID_HOST_PTR, "CL_INVALID_HOST_PTR"},
    {CL_INVALID_MEM_OBJECT, "CL_INVALID_MEM_OBJECT"},
    {CL_INVALID_BINARY, "CL_INVALID_BINARY"},
    {CL_INVALID_BUILD_OPTIONS, "CL_INVALID_BUILD_OPTIONS"},
    {CL_INVALID_PROGRAM, "CL_INVALID_PROGRAM"},
    {CL_INVALID_PROGRAM_EXECUTABLE, "CL_INVALID_PROGRAM_EXECUTABLE"},
    {CL_INVALID_KERNEL_NAME, "CL_INVALID_KERNEL_NAME"},
    {CL_INVALID_KERNEL_DEFINITION, "CL_INVALID_KERNEL_DEFINITION"},
    {CL_INVALID_KERNEL, "CL_INVALID_KERNEL"},
    {CL_INVALID_ARG_INDEX, "CL_INVALID_ARG_INDEX"},
    {CL_INVALID_ARG_VALUE, "CL_INVALID_ARG_VALUE"},
    {CL_INVALID_ARG_SIZE, "CL_INVALID_ARG_SIZE"},
    {CL_INVALID_KERNEL_ARGS, "CL_INVALID_KERNEL_ARGS"},
    {CL_INVALID_WORK_DIMENSION, "CL_INVALID_WORK_DIMENSION"},
    {CL_INVALID_WORK_GROUP_SIZE, "CL_INVALID_WORK_GROUP_SIZE"},
    {CL_INVALID_WORK_ITEM_SIZE, "CL_INVALID_WORK_ITEM_SIZE"},
    {CL_INVALID_GLOBAL_OFFSET, "CL_INVALID_GLOBAL_OFFSET"},
    {CL_INVALID_EVENT_WAIT_LIST, "CL_INVALID_EVENT_WAIT_LIST"},
    {CL_INVALID_EVENT, "CL_INVALID_EVENT"},
    {CL_INVALID_OPERATION, "CL_INVALID_OPERATION"},
    {CL_INVALID_BUFFER_SIZE, "CL_INVALID_BUFFER_SIZE"},
    {CL_INVALID_GLOBAL_WORK_SIZE, "CL_INVALID_GLOBAL_WORK_SIZE"},
    {CL_INVALID_PROPERTY, "CL_INVALID_PROPERTY"},
    {CL_INVALID_COMPILER_OPTIONS, "CL_INVALID_COMPILER_OPTIONS"},
    {CL_INVALID_LINKER_OPTIONS, "CL_INVALID_LINKER_OPTIONS"},
    {CL_INVALID_DEVICE_PARTITION_COUNT, "CL_INVALID_DEVICE_PARTITION_COUNT"},
    {-1001, "CL_PLATFORM_NOT_FOUND_KHR"}, /* of cl_khr_icd */
};

const char *tt_cl_error_name(cl_int code)
{
    for (size_t i = 0; i < sizeof(error_names) / sizeof(error_names[0]); i++)
        if (error_names[i].code == code)
            return error_names[i].name;
    return "unknown OpenCL error";
}
