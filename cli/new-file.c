/* new-file.c - see new-file.h. */
#include "cli/new-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A name that nobody has: not mkstemp, as the file shall get the caller's usual permissions. */
static int create_temporary(cli_new_file *file)
{
    const char *slash = strrchr(file->path, '/');
    int folder = slash ? (int)(slash - file->path) + 1 : 0, descriptor = -1;
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(file->temporary, sizeof file->temporary, "%.*s.tintype-%ld-%u.tmp", folder, file->path,
                       (long)getpid(), i);
        descriptor = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (descriptor >= 0 || errno != EEXIST)
            break;
    }
    return descriptor;
}

cli_exit cli_new_file_open(cli_new_file *file, const char *path)
{
    *file = (cli_new_file){.path = path};
    int descriptor = create_temporary(file);
    if (descriptor < 0)
        return cli_fail(CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
    file->stream = fdopen(descriptor, "wb");
    if (file->stream != NULL)
        return CLI_OK;
    (void)close(descriptor);
    (void)unlink(file->temporary);
    return cli_fail_memory();
}

cli_exit cli_new_file_commit(cli_new_file *file)
{
    FILE *stream = file->stream;
    file->stream = NULL;
    bool is_written = ferror(stream) == 0 && fflush(stream) == 0 && (fsync(fileno(stream)) == 0 || errno == EINVAL);
    int reason = errno;
    if (fclose(stream) != 0 && is_written) {
        is_written = false;
        reason = errno;
    }
    if (is_written && rename(file->temporary, file->path) == 0)
        return CLI_OK;
    if (is_written)
        reason = errno;
    (void)unlink(file->temporary);
    return cli_fail(CLI_FAILED, "cannot write %s: %s", file->path, strerror(reason));
}

void cli_new_file_abort(cli_new_file *file)
{
    if (file->stream == NULL)
        return;
    (void)fclose(file->stream);
    (void)unlink(file->temporary);
    file->stream = NULL;
}
