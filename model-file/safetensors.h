/* safetensors.h - the safetensors container: 8 bytes of header length, a JSON header, raw little-endian tensors.
 *
 * What is checked when such a file is opened (tensor-file.h): header <= 100 MB and inside the file, header starts with
 * '{', no duplicate keys, known dtype, rank <= TT_MAX_DIMS, names < TT_MAX_NAME bytes, at most 65536 tensors,
 * end - begin == product(shape) * element size with checked multiplication, no holes, no overlaps, nothing after the
 * last tensor. Sub-byte and FP8 types are refused by name. Pickles (.ckpt/.pt/.bin) are recognised by their first bytes
 * and refused with the reason and the way out. */
#ifndef TT_MODEL_FILE_SAFETENSORS_H
#define TT_MODEL_FILE_SAFETENSORS_H

#include "model-file/tensor-file.h"

/* Writes tensors (in the given order) and string metadata (n_meta pairs key, value) to a temporary name, then renames.
 */
tt_status tt_safetensors_write(const char *path, const tt_tensor *tensors, size_t n_tensors,
                               const char *const (*metadata)[2], size_t n_meta, tt_error *err);

#endif
