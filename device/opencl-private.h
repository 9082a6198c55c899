/* opencl-private.h - the search for the OpenCL library with the names given by the caller; tests use it. */
#ifndef TT_DEVICE_OPENCL_PRIVATE_H
#define TT_DEVICE_OPENCL_PRIVATE_H

#include "device/opencl.h"

/* As tt_cl_load, with the library names or paths of a list instead of the usual ones, tried in order. */
tt_status tt_cl_load_from(tt_cl *cl, const char *const *names, size_t n_names, tt_error *err);

#endif
