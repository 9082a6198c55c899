/* gguf-copy.h - models written again as GGUF, with something changed. */
#ifndef TT_TESTS_SUPPORT_GGUF_COPY_H
#define TT_TESTS_SUPPORT_GGUF_COPY_H

#include "model-file/gguf.h"

/* Changes a copy of a tensor's description and its name; tensor->data may be exchanged. Called with part 0, 1, ...
 * until it returns false: nothing is written for that part, and the next tensor follows. */
typedef bool (*gguf_copy_change)(tt_tensor *tensor, char name[TT_MAX_NAME], unsigned part);

/* Writes the tensors of file `from` to `to`, and the text metadata of these keys (a list that ends with NULL, or NULL)
 * as far as the file has them. change may be NULL. as_floats: every F16 tensor becomes F32. */
void gguf_copy(const char *from, const char *to, gguf_copy_change change, bool as_floats, const char *const *keys);

#endif
