/* config-text.c - see config-text.h. */
#include "tests/support/config-text.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include <stdlib.h>

char *config_text(const char *path)
{
    char *text = NULL;
    size_t n_bytes = 0;
    tt_error err = {""};
    if (tt_file_read(path, 1 << 20, &text, &n_bytes, &err) != TT_OK)
        fail_msg("%s", err.text);
    return text;
}

char *config_changed(const char *path, const char *changes)
{
    char *text = config_text(path);
    json_t *root = json_loads(text, 0, NULL), *update = json_loads(changes, 0, NULL);
    assert_non_null(root);
    if (!update)
        fail_msg("not JSON: %s", changes);
    json_object_update(root, update);
    char *out = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    json_decref(update);
    free(text);
    return out;
}
