/* embedding.h - token plus position embedding of a text encoder. */
#ifndef TT_CL_KERNELS_EMBEDDING_H
#define TT_CL_KERNELS_EMBEDDING_H

#include "base/dtype.h"
#include "cl-kernels/plane.h"

/* A table [n_rows][width] on the device, half or float as stored. */
typedef struct tt_table {
    tt_buffer values;
    uint32_t n_rows, width;
    bool is_half;
} tt_table;

tt_status tt_table_create(const tt_kernels *kernels, tt_dtype dtype, const void *values, uint32_t n_rows,
                          uint32_t width, tt_table *table, tt_error *err);
void tt_table_release(tt_device *device, tt_table *table);

typedef struct tt_embedding_args {
    cl_mem ids;          /* int [batch][tokens], already checked against n_rows */
    uint32_t ids_offset; /* in ints */
    const tt_table *tokens, *positions;
    tt_plane out; /* height 1, width = tokens, border 0 */
} tt_embedding_args;

tt_status tt_embedding_record(const tt_kernels *kernels, const tt_embedding_args *args, tt_recorder *recorder,
                              tt_error *err);

#endif
