/* program.c - building programs and making kernels of them. */
#include "device/program-private.h"

#include "base/checked.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No -cl-fast-relaxed-math: infinities and NaN must stay what they are. -cl-mad-enable lets a * b + c become one
 * instruction, which phones need; where that is exact (PoCL) it only gains accuracy. -w: some drivers print their
 * compilers' count of warnings on stderr. */
static const char common_options[] = "-cl-mad-enable -w";

/* The language, unless a program asks for another one. */
static const char common_language[] = "-cl-std=CL1.2";

struct tt_program {
    struct tt_program *next;
    char *file, *options;
    cl_program program;
    bool is_stored; /* in the cache on disk, as far as that can be */
};

void tt_device_set_sources(tt_device *device, tt_source_fn sources)
{
    device->sources = sources;
}

void tt_programs_release(tt_device *device)
{
    for (tt_program *p = device->programs; p != NULL;) {
        tt_program *next = p->next;
        (void)device->cl.release_program(p->program);
        free(p->file);
        free(p->options);
        free(p);
        p = next;
    }
    device->programs = NULL;
}

size_t tt_device_n_programs(const tt_device *device)
{
    size_t n = 0;
    for (const tt_program *p = device->programs; p != NULL; p = p->next)
        n++;
    return n;
}

/* The build log (free()), NULL when there is none. */
static char *read_build_log(const tt_device *device, cl_program program)
{
    size_t n_bytes = 0;
    cl_int code = device->cl.get_program_build_info(program, device->found.id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n_bytes);
    if (code != CL_SUCCESS || n_bytes == 0 || n_bytes > (size_t)64 << 20)
        return NULL;
    char *log = calloc(n_bytes + 1, 1);
    if (log == NULL)
        return NULL;
    code = device->cl.get_program_build_info(program, device->found.id, CL_PROGRAM_BUILD_LOG, n_bytes, log, NULL);
    if (code == CL_SUCCESS)
        return log;
    free(log);
    return NULL;
}

/* The first lines that matter, joined by " | ": from the first one with "error" on, else from the start. */
static void first_lines(const char *log, char *out, size_t n_bytes)
{
    const char *error = strstr(log, "error");
    const char *p = log;
    while (error != NULL && error > log && error[-1] != '\n')
        error--;
    if (error != NULL)
        p = error;
    size_t used = 0, n_lines = 0;
    while (*p != '\0' && n_lines < 4 && used + 4 < n_bytes) {
        size_t n_line = strcspn(p, "\r\n");
        if (n_line > 0) {
            int n = snprintf(out + used, n_bytes - used, "%s%.*s", n_lines == 0 ? "" : " | ", (int)n_line, p);
            used += n > 0 ? (size_t)n : 0;
            n_lines++;
        }
        p += n_line;
        p += strspn(p, "\r\n");
    }
    if (n_lines == 0)
        (void)snprintf(out, n_bytes, "the driver gave no reason");
}

static tt_status fail_build(const tt_device *device, cl_program program, cl_int code, const char *file,
                            const char *options, tt_error *err)
{
    char *log = read_build_log(device, program);
    char lines[500];
    first_lines(log != NULL ? log : "", lines, sizeof(lines));
    if (log != NULL)
        tt_log_write(device->log, TT_LOG_INFO, "build log of %s: %s", file, log);
    free(log);
    return tt_fail(err, TT_ERROR_DEVICE, "kernel program %s (%s) does not build on %s: %s (%d): %s", file, options,
                   device->found.caps.info.name, tt_cl_error_name(code), (int)code, lines);
}

static tt_status build_from_source(tt_device *device, const char *file, const char *options, const char *source,
                                   size_t n_source, cl_program *program, tt_error *err)
{
    cl_int code;
    *program = device->cl.create_program_with_source(device->context, 1, &source, &n_source, &code);
    if (*program == NULL)
        return tt_device_fail(device, err, code, "clCreateProgramWithSource");
    code = device->cl.build_program(*program, 1, &device->found.id, options, NULL, NULL);
    if (code == CL_SUCCESS)
        return TT_OK;
    tt_status status = fail_build(device, *program, code, file, options, err);
    (void)device->cl.release_program(*program);
    *program = NULL;
    return status;
}

/* NULL when there is no binary or the driver does not take it any more. */
static cl_program build_from_cache(tt_device *device, const tt_cache_entry *entry, const char *options)
{
    unsigned char *binary;
    size_t n_bytes;
    if (!tt_cache_read(device, entry, &binary, &n_bytes))
        return NULL;
    const unsigned char *view = binary;
    cl_int code = CL_SUCCESS, state = CL_SUCCESS;
    cl_program program =
        device->cl.create_program_with_binary(device->context, 1, &device->found.id, &n_bytes, &view, &state, &code);
    free(binary);
    if (program != NULL && code == CL_SUCCESS && state == CL_SUCCESS)
        code = device->cl.build_program(program, 1, &device->found.id, options, NULL, NULL);
    else if (code == CL_SUCCESS)
        code = state;
    if (code == CL_SUCCESS)
        return program;
    tt_log_write(device->log, TT_LOG_INFO, "%s: refused by the driver (%s), built again", entry->path,
                 tt_cl_error_name(code));
    if (program != NULL)
        (void)device->cl.release_program(program);
    return NULL;
}

/* Writes the program's binary to the cache; drivers that give none are left alone. */
static void store_binary(tt_device *device, const tt_cache_entry *entry, cl_program program)
{
    size_t n_bytes = 0;
    if (entry->path == NULL ||
        device->cl.get_program_info(program, CL_PROGRAM_BINARY_SIZES, sizeof(n_bytes), &n_bytes, NULL) != CL_SUCCESS ||
        n_bytes == 0)
        return;
    unsigned char *binary = malloc(n_bytes);
    if (binary == NULL)
        return;
    unsigned char *list[] = {binary};
    if (device->cl.get_program_info(program, CL_PROGRAM_BINARIES, sizeof(list), list, NULL) == CL_SUCCESS)
        tt_cache_write(device, entry, binary, n_bytes);
    free(binary);
}

/* From the cache or from source, between the two crash markers. */
static tt_status build(tt_device *device, const char *options, const char *source, size_t n_source, tt_program *made,
                       tt_error *err)
{
    tt_cache_entry entry;
    tt_status status = tt_cache_entry_open(device, source, n_source, options, &entry, err);
    if (status != TT_OK)
        return status;
    tt_cache_guard(device, &entry);
    made->program = build_from_cache(device, &entry, options);
    made->is_stored = made->program != NULL;
    if (made->program == NULL) {
        status = build_from_source(device, made->file, options, source, n_source, &made->program, err);
        if (status == TT_OK && !device->found.quirks.slow_binaries) {
            store_binary(device, &entry, made->program);
            made->is_stored = true;
        }
    }
    tt_cache_entry_close(&entry);
    return status;
}

static tt_program *find_program(const tt_device *device, const char *file, const char *options)
{
    for (tt_program *p = device->programs; p != NULL; p = p->next)
        if (strcmp(p->file, file) == 0 && strcmp(p->options, options) == 0)
            return p;
    return NULL;
}

bool tt_program_is_built(const tt_device *device, const char *file, const char *options)
{
    return find_program(device, file, options) != NULL;
}

/* The text of a program and all its options. */
typedef struct tt_program_text {
    char *source;
    size_t n_source;
    tt_text options;
} tt_program_text;

static void free_text(tt_program_text *text)
{
    free(text->source);
    tt_text_free(&text->options);
}

/* Always to be freed, also after a failure. */
static tt_status make_text(tt_device *device, const char *file, const char *options, tt_program_text *text,
                           tt_error *err)
{
    bool has_language = strstr(options, "-cl-std=") != NULL;
    *text = (tt_program_text){0};
    tt_text_format(&text->options, "%s%s%s %s", has_language ? "" : common_language, has_language ? "" : " ",
                   common_options, options);
    tt_status status = tt_text_status(&text->options, err);
    return status == TT_OK ? tt_program_source(device, file, &text->source, &text->n_source, err) : status;
}

/* Builds a program and puts it into the device's list. */
static tt_status add_program(tt_device *device, const char *file, const char *options, tt_program **added,
                             tt_error *err)
{
    tt_program_text text;
    tt_program *made = calloc(1, sizeof(*made));
    if (made == NULL || !tt_string_copy(file, &made->file) || !tt_string_copy(options, &made->options)) {
        free(made != NULL ? made->file : NULL);
        free(made);
        return tt_fail_memory(err, "a program", sizeof(*made));
    }
    tt_status status = make_text(device, file, options, &text, err);
    if (status == TT_OK)
        status = build(device, text.options.bytes, text.source, text.n_source, made, err);
    free_text(&text);
    if (status != TT_OK) {
        free(made->file);
        free(made->options);
        free(made);
        return status;
    }
    made->next = device->programs;
    device->programs = made;
    *added = made;
    return TT_OK;
}

tt_status tt_kernel_create(tt_device *device, const char *file, const char *options, const char *entry,
                           cl_kernel *kernel, tt_error *err)
{
    *kernel = NULL;
    tt_program *program = find_program(device, file, options);
    if (program == NULL) {
        tt_status status = add_program(device, file, options, &program, err);
        if (status != TT_OK)
            return status;
    }
    cl_int code;
    *kernel = device->cl.create_kernel(program->program, entry, &code);
    if (*kernel != NULL)
        return TT_OK;
    char what[200];
    (void)snprintf(what, sizeof(what), "clCreateKernel for %s of %s", entry, file);
    return tt_device_fail(device, err, code, what);
}

static tt_status store_program(tt_device *device, tt_program *program, tt_error *err)
{
    tt_program_text text;
    tt_cache_entry entry = {0};
    tt_status status = make_text(device, program->file, program->options, &text, err);
    if (status == TT_OK)
        status = tt_cache_entry_open(device, text.source, text.n_source, text.options.bytes, &entry, err);
    if (status == TT_OK) {
        tt_cache_guard(device, &entry);
        store_binary(device, &entry, program->program);
        program->is_stored = true;
        tt_cache_entry_close(&entry);
    }
    free_text(&text);
    return status;
}

tt_status tt_programs_store(tt_device *device, uint32_t *n_stored, tt_error *err)
{
    tt_status status = TT_OK;
    *n_stored = 0;
    for (tt_program *p = device->programs; p != NULL && status == TT_OK && device->cache_dir != NULL; p = p->next) {
        if (p->is_stored)
            continue;
        status = store_program(device, p, err);
        *n_stored += status == TT_OK;
    }
    return status;
}
