/* safetensors.h - the safetensors container: 8 bytes of header length, a JSON header, raw little-endian tensors.
 *
 * A file is untrusted input. Opening checks everything that the format promises, so that a tt_tensor handed out later
 * is inside the mapping and as long as its shape says: header <= 100 MB and inside the file, header starts with '{', no
 * duplicate keys, known dtype, rank <= TT_MAX_DIMS, names < TT_MAX_NAME bytes, at most 65536 tensors,
 * end - begin == product(shape) * element size with checked multiplication, no holes, no overlaps, nothing after the
 * last tensor. Sub-byte and FP8 types are refused by name. Pickles (.ckpt/.pt/.bin) and GGUF are recognised by their
 * first bytes and refused with the reason and the way out. */
#ifndef TT_MODEL_FILE_SAFETENSORS_H
#define TT_MODEL_FILE_SAFETENSORS_H

#include "base/dtype.h"

typedef struct tt_safetensors tt_safetensors;

/* Maps and checks a file. Free with tt_safetensors_close. Tensors and metadata live as long as the object. */
tt_status tt_safetensors_open(const char *path, tt_safetensors **file, tt_error *err);

/* The same on a block of memory that the caller keeps alive (tests, fuzzing). `name` is used in sentences. */
tt_status tt_safetensors_open_memory(const void *bytes, size_t n_bytes, const char *name, tt_safetensors **file,
                                     tt_error *err);
void tt_safetensors_close(tt_safetensors *file);

const char *tt_safetensors_path(const tt_safetensors *file);
size_t tt_safetensors_count(const tt_safetensors *file);

/* Tensor by index, in name order. */
const tt_tensor *tt_safetensors_at(const tt_safetensors *file, size_t index);

/* Tensor by name in O(log n), NULL when there is none. */
const tt_tensor *tt_safetensors_find(const tt_safetensors *file, const char *name);

/* Value of a __metadata__ key, NULL when there is none. */
const char *tt_safetensors_metadata(const tt_safetensors *file, const char *key);

/* Writes tensors (in the given order) and string metadata (n_meta pairs key, value) to a temporary name, then renames.
 */
tt_status tt_safetensors_write(const char *path, const tt_tensor *tensors, size_t n_tensors,
                               const char *const (*metadata)[2], size_t n_meta, tt_error *err);

#endif
