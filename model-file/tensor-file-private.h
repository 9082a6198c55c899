/* tensor-file-private.h - what the readers of containers share. Private to model-file/. */
#ifndef TT_MODEL_FILE_TENSOR_FILE_PRIVATE_H
#define TT_MODEL_FILE_TENSOR_FILE_PRIVATE_H

#include "base/file.h"
#include "model-file/tensor-file.h"

/* One pair of the metadata; both texts are owned. */
typedef struct tt_metadata_pair {
    char *key, *text;
} tt_metadata_pair;

struct tt_tensor_file {
    char *path;
    tt_mapping mapping;
    bool is_mapped;     /* the mapping is ours */
    bool is_gguf;       /* else safetensors */
    tt_tensor *tensors; /* in name order once open */
    size_t n_tensors;
    char *names; /* all names, each with a terminator */
    tt_metadata_pair *metadata;
    size_t n_metadata, metadata_capacity;
};

/* Keeps copies of a metadata key and its text, neither of which may hold a zero byte. */
tt_status tt_tensor_file_add_metadata(tt_tensor_file *file, const char *key, size_t n_key, const char *text,
                                      size_t n_text, tt_error *err);

/* The readers: fill tensors, names and metadata from path and mapping, which are set. Tensors may be in any order. */
tt_status tt_safetensors_parse(tt_tensor_file *file, tt_error *err);
tt_status tt_gguf_parse(tt_tensor_file *file, tt_error *err);

#endif
