/* layer-name.c - see layer-name.h. */
#include "graph/layer-name.h"

#include <stdio.h>
#include <string.h>

tt_layer_name tt_layer_join(const char *block, const char *layer)
{
    tt_layer_name name = {{0}};
    size_t room = sizeof name.text - 1, n = strlen(block);
    n = n < room ? n : room;
    memcpy(name.text, block, n);
    if (n < room)
        name.text[n++] = '.';
    strncat(name.text, layer, room - n);
    return name;
}

tt_layer_name tt_layer_index(const char *block, uint32_t index)
{
    char number[16];
    snprintf(number, sizeof number, "%u", index);
    return tt_layer_join(block, number);
}
