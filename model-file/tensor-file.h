/* tensor-file.h - one file of named tensors and string metadata, whatever its container: safetensors or GGUF.
 *
 * A file is untrusted input. Opening checks everything that the container promises, so that a tt_tensor handed out
 * later is inside the mapping and as long as its shape and type say. The container is told by the first bytes, never by
 * the name. safetensors.h and gguf.h say what each container checks. */
#ifndef TT_MODEL_FILE_TENSOR_FILE_H
#define TT_MODEL_FILE_TENSOR_FILE_H

#include "base/dtype.h"

typedef struct tt_tensor_file tt_tensor_file;

/* Maps and checks a file. Free with tt_tensor_file_close. Tensors and metadata live as long as the object. */
tt_status tt_tensor_file_open(const char *path, tt_tensor_file **file, tt_error *err);

/* The same on a block of memory that the caller keeps alive (tests, fuzzing). `name` is used in sentences. */
tt_status tt_tensor_file_open_memory(const void *bytes, size_t n_bytes, const char *name, tt_tensor_file **file,
                                     tt_error *err);
void tt_tensor_file_close(tt_tensor_file *file);

/* Gives the pages of a mapped file back to the system: they leave the process's memory and are read again when touched.
 * Nothing happens to a file in memory. */
void tt_tensor_file_drop_pages(const tt_tensor_file *file);

const char *tt_tensor_file_path(const tt_tensor_file *file);
bool tt_tensor_file_is_gguf(const tt_tensor_file *file);
size_t tt_tensor_file_count(const tt_tensor_file *file);

/* Tensor by index, in name order. */
const tt_tensor *tt_tensor_file_at(const tt_tensor_file *file, size_t index);

/* Tensor by name in O(log n), NULL when there is none. */
const tt_tensor *tt_tensor_file_find(const tt_tensor_file *file, const char *name);

/* Text of a metadata key, NULL when there is none. Numbers and bools of GGUF are their decimal text, arrays have none.
 */
const char *tt_tensor_file_metadata(const tt_tensor_file *file, const char *key);

#endif
