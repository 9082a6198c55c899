/* rename.h - translating tensor names between layouts by tables of name beginnings, for tt_translate_fn functions. */
#ifndef TT_MODEL_FILE_RENAME_H
#define TT_MODEL_FILE_RENAME_H

#include "model-file/weights.h"

/* A beginning of a name in canonical form and as stored. */
typedef struct tt_rename {
    const char *canonical, *stored;
} tt_rename;

/* If name begins with an entry of the table, writes stem + the stored beginning + the rest into place->name. False when
 * no entry fits or the name is too long. */
bool tt_rename_begin(const tt_rename *table, size_t n, const char *stem, const char *name, tt_tensor_place *place);

/* Writes stem + name into place->name; false when it is empty or too long. */
bool tt_rename_keep(const char *stem, const char *name, tt_tensor_place *place);

#endif
