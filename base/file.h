/* file.h - reading, mapping and atomically replacing files. */
#ifndef TT_BASE_FILE_H
#define TT_BASE_FILE_H

#include "base/error.h"

#include <time.h>

/* A read-only mapping. */
typedef struct tt_mapping {
    const uint8_t *bytes;
    uint64_t n_bytes;
} tt_mapping;

/* Maps a regular file. Refuses folders, pipes and empty files with a sentence. */
tt_status tt_file_map(const char *path, tt_mapping *mapping, tt_error *err);
void tt_file_unmap(tt_mapping *mapping);

/* Tells the system that these bytes of a mapping are not needed soon: they leave the process's resident memory and are
 * read from the file again when touched. Any part of a mapping may be named; harmless on other memory systems. */
void tt_mapping_drop(const void *bytes, size_t n_bytes);

/* Tells the system that these bytes of a mapping are read soon, so that it can fetch them from the disk meanwhile. They
 * do not become part of the process's resident memory. */
void tt_mapping_want(const void *bytes, size_t n_bytes);

/* Asks for large pages behind memory that is about to be written for the first time: fewer faults then, and fewer
 * misses in the table of addresses whenever it is read. Does nothing where the system has none. */
void tt_mapping_use_large_pages(void *bytes, size_t n_bytes);

/* Reads a whole file of at most max_bytes into a new, zero-terminated block (free()). */
tt_status tt_file_read(const char *path, size_t max_bytes, char **bytes, size_t *n_bytes, tt_error *err);

/* A file that is being written under a temporary name in the same folder. */
typedef struct tt_new_file {
    int descriptor;
    char *path;
    char *temporary;
} tt_new_file;

/* Creates the temporary file; fails when the folder is missing or read-only. */
tt_status tt_new_file_open(tt_new_file *file, const char *path, tt_error *err);

/* Writes all bytes or fails (full disk, ...). */
tt_status tt_new_file_write(tt_new_file *file, const void *bytes, size_t n_bytes, tt_error *err);

/* Flushes to disk and renames onto the final name. On failure the temporary file is removed. Ends the object. */
tt_status tt_new_file_commit(tt_new_file *file, tt_error *err);

/* Removes the temporary file. Harmless after commit. */
void tt_new_file_abort(tt_new_file *file);

/* What tells two states of a file apart without reading it. */
typedef struct tt_file_stamp {
    uint64_t device, inode, n_bytes;
    struct timespec modified, changed; /* of its bytes; of its bytes, name or owner */
} tt_file_stamp;

tt_status tt_file_stamp_read(const char *path, tt_file_stamp *stamp, tt_error *err);
bool tt_file_stamp_same(const tt_file_stamp *a, const tt_file_stamp *b);

bool tt_path_is_folder(const char *path);
bool tt_path_is_file(const char *path);

/* True when both paths exist and are one file, whatever they are called. */
bool tt_path_same(const char *a, const char *b);

/* Where the last part of a path begins, and in *n_bytes its length: slashes at the end do not count. */
const char *tt_path_last(const char *path, size_t *n_bytes);

/* "a" + "/" + "b" as a new string; NULL when memory is out. */
char *tt_path_join(const char *folder, const char *name);

/* Makes a folder and its parents; an existing one is fine. */
tt_status tt_folder_make(const char *path, tt_error *err);

#endif
