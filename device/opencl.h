/* opencl.h - the OpenCL functions that the engine uses, found at run time. */
#ifndef TT_DEVICE_OPENCL_H
#define TT_DEVICE_OPENCL_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

#include "base/error.h"

/* Table of entry points; every pointer is set after a successful load. */
typedef struct tt_cl {
    void *library; /* dlopen handle */
    cl_int (*get_platform_ids)(cl_uint, cl_platform_id *, cl_uint *);
    cl_int (*get_platform_info)(cl_platform_id, cl_platform_info, size_t, void *, size_t *);
    cl_int (*get_device_ids)(cl_platform_id, cl_device_type, cl_uint, cl_device_id *, cl_uint *);
    cl_int (*get_device_info)(cl_device_id, cl_device_info, size_t, void *, size_t *);
    cl_context (*create_context)(const cl_context_properties *, cl_uint, const cl_device_id *,
                                 void(CL_CALLBACK *)(const char *, const void *, size_t, void *), void *, cl_int *);
    cl_int (*release_context)(cl_context);
    cl_command_queue (*create_command_queue)(cl_context, cl_device_id, cl_command_queue_properties, cl_int *);
    cl_int (*release_command_queue)(cl_command_queue);
    cl_mem (*create_buffer)(cl_context, cl_mem_flags, size_t, void *, cl_int *);
    cl_mem (*create_image)(cl_context, cl_mem_flags, const cl_image_format *, const cl_image_desc *, void *, cl_int *);
    cl_int (*release_mem_object)(cl_mem);
    cl_int (*get_mem_object_info)(cl_mem, cl_mem_info, size_t, void *, size_t *);
    cl_program (*create_program_with_source)(cl_context, cl_uint, const char **, const size_t *, cl_int *);
    cl_program (*create_program_with_binary)(cl_context, cl_uint, const cl_device_id *, const size_t *,
                                             const unsigned char **, cl_int *, cl_int *);
    cl_int (*build_program)(cl_program, cl_uint, const cl_device_id *, const char *,
                            void(CL_CALLBACK *)(cl_program, void *), void *);
    cl_int (*get_program_info)(cl_program, cl_program_info, size_t, void *, size_t *);
    cl_int (*get_program_build_info)(cl_program, cl_device_id, cl_program_build_info, size_t, void *, size_t *);
    cl_int (*release_program)(cl_program);
    cl_kernel (*create_kernel)(cl_program, const char *, cl_int *);
    cl_int (*set_kernel_arg)(cl_kernel, cl_uint, size_t, const void *);
    cl_int (*get_kernel_work_group_info)(cl_kernel, cl_device_id, cl_kernel_work_group_info, size_t, void *, size_t *);
    cl_int (*release_kernel)(cl_kernel);
    cl_int (*enqueue_nd_range_kernel)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *,
                                      const size_t *, cl_uint, const cl_event *, cl_event *);
    cl_int (*enqueue_read_buffer)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint, const cl_event *,
                                  cl_event *);
    cl_int (*enqueue_write_buffer)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void *, cl_uint,
                                   const cl_event *, cl_event *);
    void *(*enqueue_map_buffer)(cl_command_queue, cl_mem, cl_bool, cl_map_flags, size_t, size_t, cl_uint,
                                const cl_event *, cl_event *, cl_int *);
    cl_int (*enqueue_unmap_mem_object)(cl_command_queue, cl_mem, void *, cl_uint, const cl_event *, cl_event *);
    cl_int (*get_event_profiling_info)(cl_event, cl_profiling_info, size_t, void *, size_t *);
    cl_int (*wait_for_events)(cl_uint, const cl_event *);
    cl_int (*release_event)(cl_event);
    cl_int (*flush)(cl_command_queue);
    cl_int (*finish)(cl_command_queue);
} tt_cl;

/* Tries libOpenCL.so.1, libOpenCL.so, then the Android names and folders; fills the table. TT_ERROR_DEVICE says what
 * to install when there is none. */
tt_status tt_cl_load(tt_cl *cl, tt_error *err);
void tt_cl_unload(tt_cl *cl);

/* "CL_OUT_OF_RESOURCES" for -5; static storage. */
const char *tt_cl_error_name(cl_int code);

#endif
