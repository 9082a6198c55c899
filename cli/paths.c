/* paths.c - finding files of the install, naming and checking files to write. */
#define _XOPEN_SOURCE 700
#include "cli/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef TT_SHARE_DIR
#define TT_SHARE_DIR "/usr/local/share/tintype"
#endif

static const char *const model_names[] = {"tintype-mini.gguf", "tintype-fast.gguf"}; /* [fast] */
static const char upscaler_name[] = "tintype-x2.safetensors";
static const char vocabulary_name[] = "bpe_simple_vocab_16e6.txt.gz";

/* Folder of the running program, without the last slash. */
static bool program_folder(char *folder)
{
    ssize_t n = readlink("/proc/self/exe", folder, CLI_PATH - 1);
    if (n <= 0)
        return false;
    folder[n] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return true;
}

/* True when folder/below/name is there; path then holds it. */
static bool try_path(const char *folder, const char *below, const char *name, char *path)
{
    int n = snprintf(path, CLI_PATH, "%s%s/%s", folder, below, name);
    return n > 0 && n < CLI_PATH && access(path, R_OK) == 0;
}

/* Looks in the working folder, beside a build folder, and where `make install` puts things. */
static bool find_file(const char *source_folder, const char *name, char *path)
{
    char program[CLI_PATH], below[64];
    if (try_path(source_folder, "", name, path))
        return true;
    (void)snprintf(below, sizeof below, "/../../%s", source_folder);
    if (program_folder(program) && (try_path(program, below, name, path) || try_path(program, "/share", name, path) ||
                                    try_path(program, "/../share/tintype", name, path)))
        return true;
    return try_path(TT_SHARE_DIR, "", name, path);
}

cli_exit cli_default_model(bool fast, char *path)
{
    const char *named = getenv("TINTYPE_MODEL");
    if (!fast && named != NULL && named[0] != '\0') {
        if (snprintf(path, CLI_PATH, "%s", named) < CLI_PATH)
            return CLI_OK;
        return cli_fail(CLI_USAGE, "the path in TINTYPE_MODEL is longer than %d bytes", CLI_PATH - 1);
    }
    if (find_file("models", model_names[fast], path))
        return CLI_OK;
    return cli_fail(CLI_FAILED,
                    "the built-in model %s is neither in models/ nor in " TT_SHARE_DIR
                    "; name a model with -m or in TINTYPE_MODEL",
                    model_names[fast]);
}

/* The library looks into $TINTYPE_SHARE first. */
static bool is_share_named(void)
{
    const char *share = getenv("TINTYPE_SHARE");
    return share != NULL && share[0] != '\0';
}

bool cli_find_vocabulary(char *path)
{
    return !is_share_named() && find_file("share", vocabulary_name, path);
}

bool cli_find_upscaler(char *path)
{
    const char *share = getenv("TINTYPE_SHARE");
    return !(is_share_named() && try_path(share, "", upscaler_name, path)) && find_file("models", upscaler_name, path);
}

/* ---- names of pictures */

/* Finds "%d" or "%0Nd": returns the place of "%", and in *length and *width what it says. */
static const char *find_number(const char *pattern, size_t *length, int *width)
{
    for (const char *mark = strchr(pattern, '%'); mark != NULL; mark = strchr(mark + 1, '%')) {
        size_t digits = strspn(mark + 1, "0123456789");
        if (mark[1 + digits] != 'd' || digits > 2)
            continue;
        *length = digits + 2;
        *width = digits ? (int)strtol(mark + 1, NULL, 10) : 1;
        return mark;
    }
    return NULL;
}

cli_exit cli_output_name(const char *pattern, uint32_t index, uint32_t n_images, char *path)
{
    size_t length = 0, n = strlen(pattern);
    int width = 1, written;
    const char *mark = find_number(pattern, &length, &width);
    const char *slash = strrchr(pattern, '/'), *dot = strrchr(pattern, '.');
    if (dot == NULL || (slash != NULL && dot < slash))
        dot = pattern + n;
    if (mark != NULL)
        written = snprintf(path, CLI_PATH, "%.*s%0*u%s", (int)(mark - pattern), pattern, width, index, mark + length);
    else if (n_images > 1)
        written = snprintf(path, CLI_PATH, "%.*s_%u%s", (int)(dot - pattern), pattern, index, dot);
    else
        written = snprintf(path, CLI_PATH, "%s", pattern);
    if (written > 0 && written < CLI_PATH - 32)
        return CLI_OK;
    return cli_fail(CLI_USAGE, "the output's name is %s", n == 0 ? "empty; give a file name" : "too long");
}

/* ---- checks */

/* Writes one block to a file that nobody sees: finds read-only and full file systems as well as permissions. */
static bool folder_takes_file(const char *folder)
{
    char probe[CLI_PATH + 32];
    static const char block[4096];
    (void)snprintf(probe, sizeof probe, "%s/.tintype-XXXXXX", folder);
    int file = mkstemp(probe);
    if (file < 0)
        return false;
    (void)unlink(probe);
    bool is_written = write(file, block, sizeof block) == (ssize_t)sizeof block;
    int reason = is_written ? 0 : errno;
    (void)close(file);
    errno = reason;
    return is_written;
}

cli_exit cli_check_writable(const char *path)
{
    char folder[CLI_PATH];
    struct stat info;
    const char *slash = strrchr(path, '/');
    if (strlen(path) >= CLI_PATH || path[0] == '\0')
        return cli_fail(CLI_USAGE, "the output's name is %s", path[0] ? "too long" : "empty; give a file name");
    if (slash == NULL)
        (void)strcpy(folder, ".");
    else
        (void)snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (stat(folder, &info) != 0 || !S_ISDIR(info.st_mode))
        return cli_fail(CLI_FAILED, "cannot write %s: there is no folder %s; make it or choose another with -o", path,
                        folder);
    if (slash != NULL && slash[1] == '\0')
        return cli_fail(CLI_FAILED, "cannot write %s: it is a folder; add a file name", path);
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return cli_fail(CLI_FAILED, "cannot write %s: it is %s, not a file; choose another name with -o", path,
                        S_ISDIR(info.st_mode) ? "a folder" : "a device or a pipe");
    if (!folder_takes_file(folder))
        return cli_fail(CLI_FAILED, "cannot write %s: the folder %s takes no file (%s); choose another with -o", path,
                        folder, strerror(errno));
    return CLI_OK;
}

cli_exit cli_read_text(const char *path, const char *what, char **text)
{
    enum { MAX_TEXT = 1 << 20 };
    FILE *stream = fopen(path, "rb");
    if (stream == NULL)
        return cli_fail(CLI_FAILED, "cannot open %s: %s", path, strerror(errno));
    char *bytes = malloc(MAX_TEXT + 1);
    if (bytes == NULL) {
        (void)fclose(stream);
        return cli_fail_memory();
    }
    size_t n = fread(bytes, 1, MAX_TEXT + 1, stream);
    bool has_failed = ferror(stream) != 0;
    (void)fclose(stream);
    if (!has_failed && n <= MAX_TEXT && memchr(bytes, '\0', n) == NULL) {
        bytes[n] = '\0';
        *text = bytes;
        return CLI_OK;
    }
    free(bytes);
    if (has_failed)
        return cli_fail(CLI_FAILED, "cannot read %s: it is not a readable file", path);
    return cli_fail(CLI_FAILED, "%s is no %s: it %s", path, what,
                    n > MAX_TEXT ? "is larger than 1 MiB" : "holds zero bytes");
}
