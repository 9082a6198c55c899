/* rename.c - see rename.h. */
#include "model-file/rename.h"

#include <stdio.h>
#include <string.h>

static bool fits(int n_written, const tt_tensor_place *place)
{
    return n_written > 0 && (size_t)n_written < sizeof place->name;
}

bool tt_rename_begin(const tt_rename *table, size_t n, const char *stem, const char *name, tt_tensor_place *place)
{
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(table[i].canonical);
        if (strncmp(name, table[i].canonical, length) == 0)
            return fits(snprintf(place->name, sizeof place->name, "%s%s%s", stem, table[i].stored, name + length),
                        place);
    }
    return false;
}

bool tt_rename_keep(const char *stem, const char *name, tt_tensor_place *place)
{
    return fits(snprintf(place->name, sizeof place->name, "%s%s", stem, name), place);
}
