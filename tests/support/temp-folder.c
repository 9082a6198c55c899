/* temp-folder.c - a temporary folder for one test, and files in it. */
#define _XOPEN_SOURCE 700
#include "tests/support/temp-folder.h"

#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

void temp_folder_make(temp_folder *folder)
{
    const char *parent = getenv("TMPDIR");
    int n = snprintf(folder->path, sizeof(folder->path), "%s/tintype-test-XXXXXX", parent == NULL ? "/tmp" : parent);
    assert_in_range(n, 1, TT_TEMP_PATH / 2);
    assert_non_null(mkdtemp(folder->path));
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

/* Folders that a test made read-only must be opened before they can be emptied. */
static int open_up(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)walk;
    return kind == FTW_D || kind == FTW_DNR ? chmod(path, 0700) : 0;
}

void temp_folder_remove(temp_folder *folder)
{
    (void)nftw(folder->path, open_up, 16, FTW_PHYS);
    assert_int_equal(nftw(folder->path, remove_entry, 16, FTW_PHYS | FTW_DEPTH), 0);
}

const char *temp_folder_path(const temp_folder *folder, const char *name, char *path)
{
    int n = snprintf(path, TT_TEMP_PATH, "%s/%s", folder->path, name);
    assert_in_range(n, 1, TT_TEMP_PATH - 1);
    return path;
}

void temp_folder_write(const temp_folder *folder, const char *name, const void *bytes, size_t n_bytes)
{
    char path[TT_TEMP_PATH];
    (void)temp_folder_path(folder, name, path);
    for (char *slash = path + strlen(folder->path) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, n_bytes, stream), n_bytes);
    assert_int_equal(fclose(stream), 0);
}

void temp_folder_write_text(const temp_folder *folder, const char *name, const char *text)
{
    temp_folder_write(folder, name, text, strlen(text));
}

size_t temp_folder_count(const temp_folder *folder)
{
    DIR *stream = opendir(folder->path);
    size_t n = 0;
    assert_non_null(stream);
    for (struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    (void)closedir(stream);
    return n;
}
