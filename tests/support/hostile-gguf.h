/* hostile-gguf.h - GGUF files that a reader must refuse. */
#ifndef TT_TESTS_HOSTILE_GGUF_H
#define TT_TESTS_HOSTILE_GGUF_H

#include "tests/support/hostile-safetensors.h"

/* Number of files, and file `index` (hostile_safetensors_free); false when memory is out. */
size_t hostile_gguf_count(void);
bool hostile_gguf_make(size_t index, hostile_file *file);

#endif
