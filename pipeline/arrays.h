/* arrays.h - sets of named arrays inside the library, where errors go to a tt_error. */
#ifndef TT_PIPELINE_ARRAYS_H
#define TT_PIPELINE_ARRAYS_H

#include "base/error.h"

/* Appends a copy of the data. */
tt_status tt_arrays_append(tt_arrays *arrays, const char *name, tt_array_type type, uint32_t n_dims,
                           const uint64_t *dims, const void *data, tt_error *err);

/* Bytes of one element. */
size_t tt_array_type_size(tt_array_type type);

/* Number of elements; the array was checked when it was made. */
size_t tt_array_count(const tt_array *array);

/* Finds an F32 array of exactly n_dims dimensions; `what` says in the sentence what it is for. */
tt_status tt_arrays_need_f32(const tt_arrays *arrays, const char *name, uint32_t n_dims, const tt_array **array,
                             tt_error *err);

#endif
