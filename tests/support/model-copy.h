/* model-copy.h - copies of the tiny models with something changed, in a temporary folder. */
#ifndef TT_TESTS_SUPPORT_MODEL_COPY_H
#define TT_TESTS_SUPPORT_MODEL_COPY_H

#include "tests/support/temp-folder.h"
#include "tintype/tintype.h"

/* Copies one file into the folder. */
void model_copy_file(const temp_folder *folder, const char *from, const char *to);

/* Copies a folder model of the own golden set without the files that begin with `without` (may be NULL). */
void model_copy_make(const temp_folder *folder, const char *name, const char *without);

/* Changes keys of a JSON file of the copy; `changes` is a JSON object. */
void model_copy_change(const temp_folder *folder, const char *name, const char *changes);

/* Leaves a component out of model_index.json. */
void model_copy_forget(const temp_folder *folder, const char *component);

/* Rewrites a safetensors file of the copy: every floating value becomes change(value) (NULL: itself), stored as F32 or,
 * with as_half, as F16. */
void model_copy_values(const temp_folder *folder, const char *name, float (*change)(float value), bool as_half);

/* Writes a new name into `to`; false drops the tensor. */
typedef bool (*model_copy_rename)(const char *from, char *to, size_t n_bytes);

/* Writes the tensors of file `from` as `to` in the folder, under other names and with extra tensors (a list that ends
 * with NULL, or NULL). */
void model_copy_tensors(tt_context *context, const temp_folder *folder, const char *from, const char *to,
                        model_copy_rename rename, const char *const *extra);

#endif
