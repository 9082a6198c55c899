/* gguf.h - the GGUF container, versions 2 and 3 (the specification in ggml's docs/gguf.md), read and written.
 *
 * Read (tensor-file.h opens it): little-endian files. Checked with overflow-checked arithmetic before anything is used:
 * counts of tensors (<= 65536) and key-value pairs (<= 65536), lengths of keys, texts and arrays against what is left
 * of the file, nesting of arrays, alignment (a power of two, 8 to 65536), rank 1..4, dims > 0, products of dims, whole
 * blocks in a row (dims[0] of the file, our last one), offsets aligned, in the file, without overlap, no name twice.
 * Types: F64, F32, F16, BF16, I8, I16, I32, I64 and the block types of base/dtype.h; others are refused by name. Dims
 * are turned around: tt_tensor.dims[0] is the outermost as in safetensors. A tensor NAME whose original shape is kept
 * under the key "comfy.gguf.orig_shape.NAME" (an array of I32) gets that shape when the number of elements agrees. Text
 * values, and numbers and bools as their decimal text, become metadata; arrays are skipped after being checked.
 *
 * Written: version 3, alignment 32, in one pass. */
#ifndef TT_MODEL_FILE_GGUF_H
#define TT_MODEL_FILE_GGUF_H

#include "base/file.h"
#include "model-file/tensor-file.h"

/* A GGUF file that is being written: everything but the tensors' data is known when it is begun. The data then follows
 * in the order of the tensors, in pieces of any size, so that a model passes through little memory. */
typedef struct tt_gguf_writer tt_gguf_writer;

/* One metadata pair. */
typedef struct tt_gguf_pair {
    const char *key;
    const char *text; /* NULL: number */
    uint32_t number;
} tt_gguf_pair;

/* Writes the header to a temporary file beside path. Of the tensors name, dtype, dims and n_bytes are read. Fails with
 * TT_ERROR_ARGUMENT for a tensor that the reader would refuse. */
tt_status tt_gguf_writer_begin(const char *path, const tt_tensor *tensors, size_t n_tensors, const tt_gguf_pair *pairs,
                               size_t n_pairs, tt_gguf_writer **writer, tt_error *err);

/* Appends data of the current tensor; the next one begins when its n_bytes are complete. */
tt_status tt_gguf_writer_add(tt_gguf_writer *writer, const void *bytes, size_t n_bytes, tt_error *err);

/* Flushes to disk and renames onto path; fails when data is missing. Ends the object in any case. */
tt_status tt_gguf_writer_commit(tt_gguf_writer *writer, tt_error *err);

/* Removes the temporary file. Ends the object; NULL is allowed. */
void tt_gguf_writer_abort(tt_gguf_writer *writer);

#endif
