/* hostile-checkpoint.h - models that must be refused, bent from the golden set's own: single files with a configuration
 * beside them, and diffusers folders. What breaks the safetensors rules themselves is in hostile-safetensors.h. */
#ifndef TT_TESTS_HOSTILE_CHECKPOINT_H
#define TT_TESTS_HOSTILE_CHECKPOINT_H

#include "tests/support/temp-folder.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hostile_checkpoint {
    const char *name;    /* what is wrong */
    const char *mention; /* the sentence must contain this text; NULL: any sentence */
} hostile_checkpoint;

/* Single files: writes model.safetensors and model.json, number `index`, into the folder. False past the last. */
bool hostile_checkpoint_file(size_t index, const temp_folder *folder, hostile_checkpoint *made);

/* Diffusers folders: writes a copy of the sound one, bent in one place, into the (empty) folder. False past the last.
 */
bool hostile_checkpoint_folder(size_t index, const temp_folder *folder, hostile_checkpoint *made);

/* The sound single file with one bit turned over: in its header when in_header, else in its tensors. `seed` chooses
 * the bit. Such a file may still be sound. */
void hostile_checkpoint_flip(uint64_t seed, bool in_header, const temp_folder *folder);

/* The sound single file cut to a part of its length: `part` of 256. */
void hostile_checkpoint_cut(unsigned part, const temp_folder *folder);

#endif
