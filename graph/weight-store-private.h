/* weight-store-private.h - the entries of a weight store, shared by its files. */
#ifndef TT_GRAPH_WEIGHT_STORE_PRIVATE_H
#define TT_GRAPH_WEIGHT_STORE_PRIVATE_H

#include "graph/observe.h"
#include "graph/weight-store.h"

typedef enum tt_entry_kind { TT_ENTRY_MATRIX, TT_ENTRY_VECTOR } tt_entry_kind;

/* Entries are allocated one by one: their addresses are handed out. */
typedef struct tt_entry {
    char *key;
    tt_entry_kind kind;
    size_t index; /* in the store */
    tt_matrix_part
        *parts; /* matrices of stores that pack: where the file has them; NULL once nobody reads them again */
    uint32_t n_parts;
    bool is_static;
    union {
        tt_matrix matrix; /* packed when values.mem is set */
        tt_vector vector;
    } as;
} tt_entry;

/* Matrices that are being packed (packer.c). */
typedef struct tt_packer tt_packer;

struct tt_weight_store {
    tt_kernels kernels;
    tt_weights *weights;
    tt_entry **entries;
    size_t n_entries, capacity;
    uint64_t resident_limit; /* bytes of matrices */
    uint32_t n_slots;
    bool is_plan;
    tt_dtype assumed;         /* plans without weights */
    tt_listed_tensor *listed; /* plans only */
    size_t n_listed, listed_capacity;
    uint32_t n_groups;
    tt_packer *packer;          /* NULL: nothing is being packed */
    tt_graph_observer observer; /* see NULL: none */
};

/* residency.c: counts, and in stays[] (by index of the entry, NULL: not wanted) says which matrices stay. */
tt_weight_sizes tt_weight_store_decide(const tt_weight_store *store, bool *stays);

/* packer.c: stops packing; what is not packed has no memory of the device any more. NULL is allowed. */
void tt_packer_cancel(tt_packer *packer);

#endif
