/* temp-folder.h - a temporary folder for one test, and files in it. Failures end the test through cmocka. */
#ifndef TT_TESTS_TEMP_FOLDER_H
#define TT_TESTS_TEMP_FOLDER_H

#include <stddef.h>

enum { TT_TEMP_PATH = 1024 };

typedef struct temp_folder {
    char path[TT_TEMP_PATH];
} temp_folder;

/* Makes a new folder under $TMPDIR (or /tmp). */
void temp_folder_make(temp_folder *folder);

/* Removes it with everything inside, and asks nothing of its permissions. */
void temp_folder_remove(temp_folder *folder);

/* Writes the path of folder/name into path, which has room for TT_TEMP_PATH bytes, and returns path. */
const char *temp_folder_path(const temp_folder *folder, const char *name, char *path);

/* Writes a file, making the folders in its name ("unet/config.json"). */
void temp_folder_write(const temp_folder *folder, const char *name, const void *bytes, size_t n_bytes);
void temp_folder_write_text(const temp_folder *folder, const char *name, const char *text);

/* Number of entries directly inside, hidden ones too: a failed write must leave none behind. */
size_t temp_folder_count(const temp_folder *folder);

#endif
