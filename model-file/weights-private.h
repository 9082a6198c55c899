/* weights-private.h - what weights.c and weights-sums.c share. Private to model-file/. */
#ifndef TT_MODEL_FILE_WEIGHTS_PRIVATE_H
#define TT_MODEL_FILE_WEIGHTS_PRIVATE_H

#include "model-file/weights.h"

struct tt_weights {
    tt_tensor_file **files;
    size_t n_files;
    bool owns_files;
    char *prefix;
    size_t n_prefix;
    tt_translate_fn translate;
    const void *layout;
    bool **used;              /* per file, per tensor */
    size_t n_used, n_tensors; /* under the prefix */
    uint64_t n_parameters;
    tt_weights *over; /* asked first; NULL: none */
};

bool tt_is_floating(tt_dtype dtype);

bool tt_weights_has_prefix(const tt_weights *weights, const tt_tensor *tensor);

/* The tensor name + suffix ("_scale", "_offset") of a file, NULL when there is none. */
const tt_tensor *tt_find_companion(const tt_tensor_file *file, const char *name, const char *suffix);

#endif
