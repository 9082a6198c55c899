/* hostile-safetensors.h - a generator of safetensors files that a reader must refuse. */
#ifndef TT_TESTS_HOSTILE_SAFETENSORS_H
#define TT_TESTS_HOSTILE_SAFETENSORS_H

#include "base/error.h"

/* One file. `bytes` is freed with hostile_safetensors_free. */
typedef struct hostile_file {
    const char *name; /* what is wrong */
    uint8_t *bytes;
    size_t n_bytes;
    tt_status status;    /* what opening must return */
    const char *mention; /* the sentence must contain this text */
} hostile_file;

/* Number of files, and file `index`; false when memory is out. */
size_t hostile_safetensors_count(void);
bool hostile_safetensors_make(size_t index, hostile_file *file);
void hostile_safetensors_free(hostile_file *file);

/* A block of header length, header text and n_data zero bytes; NULL when memory is out. */
uint8_t *safetensors_block(const char *header, size_t n_data, size_t *n_bytes);

/* The well-formed file that the hostile ones are bent from: "a" F32 [2,2] and "b" F16 [4]. */
uint8_t *safetensors_sound(size_t *n_bytes);

#endif
