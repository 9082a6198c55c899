/* weight-store.h - one component's weights on the device, packed once and shared by all its graphs.
 *
 * Tensors are asked for by layer name; the store finds NAME.weight and NAME.bias in the component's tt_weights and
 * checks their shapes. Matrices are only described then: tt_weight_store_pack, called when a graph is compiled, packs
 * those that stay on the device and gives the file's pages back to the system on the way. With a limit the others stay
 * in their file and are packed into a graph's ring of buffers each time they are used (graph/stream.c). */
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
    const char *slope; /* NULL, or full name of the slopes of PReLU (one part only) */
    float leak;        /* slope of all outputs where they have none of their own; 0: no PReLU */
    bool keep_float;   /* multiplied in float whatever the store's arithmetic: a sensitive layer */
    bool keep_half;    /* the same, but multiplied in half where that is less than the store's arithmetic */
    bool is_static;    /* not used at every run: the last to stay on the device when there is a limit */
} tt_matrix_request;

typedef struct tt_weight_store tt_weight_store;

/* weights and kernels are kept by reference (kernels is copied). */
tt_status tt_weight_store_create(const tt_kernels *kernels, tt_weights *weights, tt_weight_store **store,
                                 tt_error *err);

/* A store that only notes what it is asked for: shapes are checked, sizes are summed and tensors are listed, nothing is
 * packed and no device is used (kernels->device may be NULL). For graphs that are planned, not run. */
tt_status tt_weight_store_create_plan(const tt_kernels *kernels, tt_weights *weights, tt_weight_store **store,
                                      tt_error *err);

/* A plan store without a file, for "what if": every tensor is taken to be there, matrices and tables of this type where
 * their rows are whole blocks, everything else F16. */
tt_status tt_weight_store_create_assumed(const tt_kernels *kernels, tt_dtype type, tt_weight_store **store,
                                         tt_error *err);

/* Limits a store's device memory before anything is packed: matrices stay on the device while all of them together take
 * at most resident_bytes (biases and vectors always stay); the others are described only and pass through
 * n_slots (>= 2, fewer count as 2) buffers, each as large as the largest of them. Matrices that are used at every run
 * come before static ones and large ones before small ones, so that slots are small. UINT64_MAX: everything stays (the
 * default). Must be called before the first graph over the store is compiled: what is packed then stays. A plan store
 * may be given other limits at any time and forecasts for the last one. */
void tt_weight_store_set_limit(tt_weight_store *store, uint64_t resident_bytes, uint32_t n_slots);

/* Sizes of everything asked for so far; plan stores (with the same limit set) forecast the same numbers. Each compiled
 * graph over a store that streams has n_slots * slot_bytes of its own beside resident_bytes. */
typedef struct tt_weight_sizes {
    uint64_t resident_bytes; /* matrices, biases, vectors on the device */
    uint64_t streamed_bytes; /* matrices that pass through, as large as they are packed */
    uint64_t slot_bytes;     /* of one slot, 0 when nothing is streamed */
    uint32_t n_slots;        /* the limit's, or fewer when fewer matrices are streamed */
} tt_weight_sizes;
tt_weight_sizes tt_weight_store_sizes(const tt_weight_store *store);

/* Frees the device memory of everything packed so far; no graph that uses it may run again. */
void tt_weight_store_destroy(tt_weight_store *store);

/* The pointers stay valid until the store is destroyed. A matrix has no device memory before tt_weight_store_pack, and
 * values.mem stays NULL when it is to be streamed. */
tt_status tt_weight_store_matrix(tt_weight_store *store, const tt_matrix_request *request, const tt_matrix **matrix,
                                 tt_error *err);

/* name is the full tensor name, e.g. "norm1.weight". */
tt_status tt_weight_store_vector(tt_weight_store *store, const char *name, uint32_t n, const tt_vector **vector,
                                 tt_error *err);

/* Finds and checks a table [n_rows][width] of which the host reads single rows: it stays in its file and takes no
 * memory of the device. */
tt_status tt_weight_store_table(tt_weight_store *store, const char *name, uint32_t n_rows, uint32_t width,
                                tt_weight *table, tt_error *err);

/* Decides which of the matrices asked for so far stay on the device and packs them; makes all biases. Matrices that
 * were packed by an earlier call are left as they are. Does nothing for a plan. */
tt_status tt_weight_store_pack(tt_weight_store *store, tt_error *err);

/* The same in two steps, between which other threads pack: begin_packing makes the device's memory, so launches that
 * use it can be recorded, but none may run before pack_rest, which helps and waits. Only one thread may use a store.
 * The first step waits for packing that was begun before; destroying the store ends it. After a failure the matrices
 * have no memory of the device. */
tt_status tt_weight_store_begin_packing(tt_weight_store *store, tt_error *err);
tt_status tt_weight_store_pack_rest(tt_weight_store *store, tt_error *err);

/* Packs a streamed matrix of this store into matrix->values.n_bytes bytes of host memory, 64-byte aligned, and gives
 * the file's pages back to the system in portions of a few MB. The file must not have become shorter since it was
 * opened: the system kills a process that reads a mapping beyond the file's end. */
void tt_weight_store_fill(const tt_weight_store *store, const tt_matrix *matrix, void *bytes);

/* Lets the system fetch a streamed matrix from the disk, where it is not in memory; returns at once. */
void tt_weight_store_prefetch(const tt_matrix *matrix);

/* The resident_bytes of tt_weight_store_sizes. */
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
