/* gguf.h - the GGUF container, versions 2 and 3 (the specification in ggml's docs/gguf.md), read and written.
 *
 * Read (tensor-file.h opens it): little-endian files. Checked with overflow-checked arithmetic before anything is used:
 * counts of tensors (<= 65536) and key-value pairs (<= 65536), each also against the bytes that so many would take at
 * least; lengths of keys (1..65535), names (1..255), texts and arrays against what is left of the file; UTF-8 without
 * zero bytes in keys, names and texts; nesting of arrays (<= 4); truth values; alignment (a power of two, 8 to 65536);
 * rank 0..4, dims > 0, products of dims, whole blocks in a row (dims[0] of the file, our last one); offsets aligned, in
 * the file, without overlap; no key and no name twice. Work and memory are a small multiple of the file's size at most.
 * Bytes between tensors and behind the last are not looked at.
 *
 * Types: F64, F32, F16, BF16, I8, I16, I32, I64 and the block types of base/dtype.h; others are refused by name. Dims
 * are turned around: tt_tensor.dims[0] is the outermost as in safetensors. A tensor NAME whose original shape is kept
 * under the key "comfy.gguf.orig_shape.NAME" (an array of integers, outermost first; ComfyUI-GGUF writes it for what it
 * cut into rows of 256) gets that shape; it is refused when the number of elements differs. Its blocks then run through
 * all elements in row-major order and may cross from one row into the next. Text values, and numbers and bools as their
 * decimal text, become metadata; arrays are checked and skipped.
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
    const char *text; /* NULL: number, written as U32 */
    uint32_t number;
} tt_gguf_pair;

/* Writes the header to a temporary file beside path. Of the tensors name, dtype, dims and n_bytes are read, and nothing
 * is kept. Fails with TT_ERROR_ARGUMENT for tensors and pairs that the reader would refuse, and for types that GGUF
 * does not have (U8, BOOL). */
tt_status tt_gguf_writer_begin(const char *path, const tt_tensor *tensors, size_t n_tensors, const tt_gguf_pair *pairs,
                               size_t n_pairs, tt_gguf_writer **writer, tt_error *err);

/* Appends data of the current tensor; the next one begins when its n_bytes are complete, so that a piece never reaches
 * into the next tensor. After a failure only abort (or commit, which then fails) is left. */
tt_status tt_gguf_writer_add(tt_gguf_writer *writer, const void *bytes, size_t n_bytes, tt_error *err);

/* Flushes to disk and renames onto path; fails when data is missing. Ends the object in any case. */
tt_status tt_gguf_writer_commit(tt_gguf_writer *writer, tt_error *err);

/* Removes the temporary file. Ends the object; NULL is allowed. */
void tt_gguf_writer_abort(tt_gguf_writer *writer);

#endif
