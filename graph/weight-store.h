/* weight-store.h - one component's weights on the device, packed on first use and shared by all its graphs.
 *
 * Tensors are asked for by layer name; the store finds NAME.weight and NAME.bias in the component's tt_weights, checks
 * their shapes, packs them, and gives the file's pages back to the system. */
#ifndef TT_GRAPH_WEIGHT_STORE_H
#define TT_GRAPH_WEIGHT_STORE_H

#include "cl-kernels/matrix.h"
#include "model-file/weights.h"

enum { TT_MAX_PARTS = 64 };

/* A matrix of the store: n_parts layers stacked along their outputs. */
typedef struct tt_matrix_request {
    const char *const *names; /* layer names without ".weight" */
    const uint32_t *n_out;    /* outputs of each part */
    uint32_t n_parts;         /* 1..TT_MAX_PARTS */
    uint32_t n_in, n_taps, split;
    bool geglu;
    bool has_bias;
} tt_matrix_request;

typedef struct tt_weight_store tt_weight_store;

/* weights and kernels are kept by reference (kernels is copied). */
tt_status tt_weight_store_create(const tt_kernels *kernels, tt_weights *weights, tt_weight_store **store,
                                 tt_error *err);

/* A store that only notes what it is asked for: shapes are checked, sizes are summed and tensors are listed, nothing is
 * packed and no device is used (kernels->device may be NULL). For graphs that are planned, not run. */
tt_status tt_weight_store_create_plan(const tt_kernels *kernels, tt_weights *weights, tt_weight_store **store,
                                      tt_error *err);

/* Frees the device memory of everything packed so far; no graph that uses it may run again. */
void tt_weight_store_destroy(tt_weight_store *store);

/* The pointers stay valid until the store is destroyed. */
tt_status tt_weight_store_matrix(tt_weight_store *store, const tt_matrix_request *request, const tt_matrix **matrix,
                                 tt_error *err);

/* name is the full tensor name, e.g. "norm1.weight". */
tt_status tt_weight_store_vector(tt_weight_store *store, const char *name, uint32_t n, const tt_vector **vector,
                                 tt_error *err);

/* Finds and checks a table [n_rows][width] of which the host reads single rows: it stays in its file and takes no
 * memory of the device. */
tt_status tt_weight_store_table(tt_weight_store *store, const char *name, uint32_t n_rows, uint32_t width,
                                tt_weight *table, tt_error *err);

/* Device bytes of everything packed so far, or that would have been packed. */
uint64_t tt_weight_store_bytes(const tt_weight_store *store);

/* What a tensor is used as. */
typedef enum tt_tensor_role { TT_ROLE_MATRIX = 0, TT_ROLE_BIAS, TT_ROLE_VECTOR, TT_ROLE_TABLE } tt_tensor_role;

/* One tensor that was asked for, by its canonical name. */
typedef struct tt_listed_tensor {
    const char *name; /* owned by the store */
    tt_tensor_role role;
    uint32_t n_dims;
    uint64_t dims[4];
    uint32_t group; /* tensors of one packed matrix (QKV) share a number; they must be of one type to stay quantized */
    uint32_t split; /* matrices with two sources: inputs of the first, else 0 */
} tt_listed_tensor;

/* Tensors in the order in which they were first asked for, each once; only stores made by _create_plan list. */
size_t tt_weight_store_n_tensors(const tt_weight_store *store);
const tt_listed_tensor *tt_weight_store_tensor(const tt_weight_store *store, size_t index);

#endif
