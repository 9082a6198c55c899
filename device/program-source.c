/* program-source.c - kernel texts: from the developer's folder or the embedded table, with includes put in. */
#include "device/program-private.h"

#include "base/file.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SOURCE_BYTES = 1 << 20, MAX_NAME_BYTES = 64 };

/* Finds a file's text. *owned is freed by the caller; it is NULL when the text is static. */
static tt_status find_text(tt_device *device, const char *name, const char **text, size_t *n_bytes, char **owned,
                           tt_error *err)
{
    *text = NULL;
    *owned = NULL;
    if (device->kernel_dir != NULL) {
        char *path = tt_path_join(device->kernel_dir, name);
        if (path == NULL)
            return tt_fail_memory(err, "a file name", 4096);
        tt_status status = TT_OK;
        if (tt_path_is_file(path))
            status = tt_file_read(path, MAX_SOURCE_BYTES, owned, n_bytes, err);
        free(path);
        *text = *owned;
        if (status != TT_OK || *text != NULL)
            return status;
    }
    if (device->sources != NULL)
        *text = device->sources(name, n_bytes);
    if (*text == NULL)
        return tt_fail(err, TT_ERROR_INTERNAL, "kernel source %s: expected it inside the library%s, found none", name,
                       device->kernel_dir != NULL ? " or in the kernel folder" : "");
    return TT_OK;
}

/* The name in a line `#include "name"`, false for other lines. */
static bool include_name(const char *line, size_t n_line, char name[MAX_NAME_BYTES])
{
    static const char start[] = "#include \"";
    size_t n_start = sizeof(start) - 1;
    if (n_line <= n_start || memcmp(line, start, n_start) != 0)
        return false;
    const char *end = memchr(line + n_start, '"', n_line - n_start);
    size_t n_name = end == NULL ? 0 : (size_t)(end - line) - n_start;
    if (n_name == 0 || n_name >= MAX_NAME_BYTES)
        return false;
    memcpy(name, line + n_start, n_name);
    name[n_name] = '\0';
    return true;
}

static tt_status add_include(tt_device *device, const char *name, tt_text *out, tt_error *err)
{
    const char *text;
    size_t n_bytes;
    char *owned;
    tt_status status = find_text(device, name, &text, &n_bytes, &owned, err);
    if (status == TT_OK) {
        tt_text_format(out, "#line 1 \"%s\"\n", name);
        tt_text_add(out, text, n_bytes);
        tt_text_add_string(out, "\n");
    }
    free(owned);
    return status;
}

static tt_status assemble(tt_device *device, const char *file, const char *text, size_t n_bytes, tt_text *out,
                          tt_error *err)
{
    tt_status status = TT_OK;
    tt_text_format(out, "#line 1 \"%s\"\n", file);
    unsigned line_number = 1;
    for (size_t at = 0; at < n_bytes && status == TT_OK; line_number++) {
        const char *end = memchr(text + at, '\n', n_bytes - at);
        size_t n_line = end == NULL ? n_bytes - at : (size_t)(end - (text + at)) + 1;
        char name[MAX_NAME_BYTES];
        if (include_name(text + at, n_line, name)) {
            status = add_include(device, name, out, err);
            tt_text_format(out, "#line %u \"%s\"\n", line_number + 1, file);
        } else {
            tt_text_add(out, text + at, n_line);
        }
        at += n_line;
    }
    return status != TT_OK ? status : tt_text_status(out, err);
}

tt_status tt_program_source(tt_device *device, const char *file, char **text, size_t *n_bytes, tt_error *err)
{
    const char *raw;
    size_t n_raw;
    char *owned;
    tt_text out = {0};
    *text = NULL;
    *n_bytes = 0;
    tt_status status = find_text(device, file, &raw, &n_raw, &owned, err);
    if (status == TT_OK)
        status = assemble(device, file, raw, n_raw, &out, err);
    free(owned);
    if (status != TT_OK) {
        tt_text_free(&out);
        return status;
    }
    *text = out.bytes;
    *n_bytes = out.n_bytes;
    return TT_OK;
}
