/* new-file.h - a text file that appears whole or not at all: written under a temporary name, then renamed. */
#ifndef TT_CLI_NEW_FILE_H
#define TT_CLI_NEW_FILE_H

#include "cli/paths.h"

typedef struct cli_new_file {
    FILE *stream; /* write here */
    const char *path;
    char temporary[CLI_PATH + 64];
} cli_new_file;

/* Creates the temporary file beside `path`, which must stay valid. */
cli_exit cli_new_file_open(cli_new_file *file, const char *path);

/* Flushes everything to the disk and renames; on failure (full disk, ...) nothing is left and a sentence printed. */
cli_exit cli_new_file_commit(cli_new_file *file);

/* Removes the temporary file; harmless after commit and on a zeroed struct. */
void cli_new_file_abort(cli_new_file *file);

#endif
