/* file.c - reading, mapping and atomically replacing files. */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The system's words for an error number, thread-safe. */
static tt_status fail_system(tt_error *err, const char *path, const char *what, int number)
{
    char reason[128];
    if (strerror_r(number, reason, sizeof(reason)) != 0)
        (void)snprintf(reason, sizeof(reason), "error %d", number);
    return tt_fail(err, TT_ERROR_IO, "%s: %s: %s", path, what, reason);
}

/* Opens for reading and tells what was opened. O_NONBLOCK: a pipe without a writer must not hang the caller. */
static tt_status open_to_read(const char *path, int *descriptor, struct stat *info, tt_error *err)
{
    *descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*descriptor < 0)
        return fail_system(err, path, "cannot be opened", errno);
    if (fstat(*descriptor, info) != 0) {
        tt_status status = fail_system(err, path, "cannot be examined", errno);
        (void)close(*descriptor);
        return status;
    }
    if (S_ISREG(info->st_mode))
        return TT_OK;
    (void)close(*descriptor);
    return tt_fail(err, TT_ERROR_IO, "%s: expected a file, found a %s; give the path of a file", path,
                   S_ISDIR(info->st_mode) ? "folder" : "device, pipe or socket");
}

tt_status tt_file_map(const char *path, tt_mapping *mapping, tt_error *err)
{
    struct stat info;
    int descriptor;
    *mapping = (tt_mapping){0};
    tt_status status = open_to_read(path, &descriptor, &info, err);
    if (status != TT_OK)
        return status;
    uint64_t n_bytes = (uint64_t)info.st_size;
    if (n_bytes == 0) {
        status = tt_fail(err, TT_ERROR_FORMAT, "%s: the file is empty; download it again", path);
    } else if (n_bytes > SIZE_MAX) {
        status = tt_fail(err, TT_ERROR_MEMORY, "%s: %llu bytes are more than this process can address", path,
                         (unsigned long long)n_bytes);
    } else {
        void *bytes = mmap(NULL, (size_t)n_bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (bytes == MAP_FAILED)
            status = fail_system(err, path, "cannot be mapped into memory", errno);
        else
            *mapping = (tt_mapping){bytes, n_bytes};
    }
    (void)close(descriptor);
    return status;
}

tt_status tt_file_stamp_read(const char *path, tt_file_stamp *stamp, tt_error *err)
{
    struct stat info;
    *stamp = (tt_file_stamp){0};
    if (stat(path, &info) != 0)
        return fail_system(err, path, "cannot be examined", errno);
    *stamp = (tt_file_stamp){.device = (uint64_t)info.st_dev,
                             .inode = (uint64_t)info.st_ino,
                             .n_bytes = (uint64_t)info.st_size,
                             .modified = info.st_mtim,
                             .changed = info.st_ctim};
    return TT_OK;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool tt_file_stamp_same(const tt_file_stamp *a, const tt_file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->n_bytes == b->n_bytes &&
           same_time(&a->modified, &b->modified) && same_time(&a->changed, &b->changed);
}

void tt_file_unmap(tt_mapping *mapping)
{
    if (mapping->bytes != NULL)
        (void)munmap((void *)(uintptr_t)mapping->bytes, (size_t)mapping->n_bytes);
    *mapping = (tt_mapping){0};
}

/* Reads until n_bytes are there or the file ends; -1 on error. */
static ssize_t read_all(int descriptor, char *bytes, size_t n_bytes)
{
    size_t got = 0;
    while (got < n_bytes) {
        ssize_t n = read(descriptor, bytes + got, n_bytes - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

tt_status tt_file_read(const char *path, size_t max_bytes, char **bytes, size_t *n_bytes, tt_error *err)
{
    struct stat info;
    int descriptor;
    *bytes = NULL;
    *n_bytes = 0;
    tt_status status = open_to_read(path, &descriptor, &info, err);
    if (status != TT_OK)
        return status;
    if ((uint64_t)info.st_size > max_bytes) {
        (void)close(descriptor);
        return tt_fail(err, TT_ERROR_FORMAT, "%s: %llu bytes, at most %zu are read; this is not the file it should be",
                       path, (unsigned long long)info.st_size, max_bytes);
    }
    size_t size = (size_t)info.st_size;
    char *block = malloc(size + 1);
    if (block == NULL) {
        status = tt_fail_memory(err, path, size + 1);
    } else {
        ssize_t got = read_all(descriptor, block, size);
        if (got < 0) {
            status = fail_system(err, path, "cannot be read", errno);
            free(block);
        } else {
            block[got] = '\0';
            *bytes = block;
            *n_bytes = (size_t)got;
        }
    }
    (void)close(descriptor);
    return status;
}

/* Length of the folder part of a path with its '/', 0 for a bare name. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

/* A file may replace nothing but a file: never a folder, a device or a pipe. */
static tt_status check_target(const char *path, tt_error *err)
{
    struct stat info;
    if (path[0] == '\0' || path[strlen(path) - 1] == '/')
        return tt_fail(err, TT_ERROR_ARGUMENT, "\"%s\": expected the name of a file to write", path);
    if (stat(path, &info) != 0 || S_ISREG(info.st_mode))
        return TT_OK;
    return tt_fail(err, TT_ERROR_IO, "%s: is a %s and cannot be replaced by a file; choose another name", path,
                   S_ISDIR(info.st_mode) ? "folder" : "device, pipe or socket");
}

/* Creates "<folder>.tintype-<pid>-<i>.tmp" under the first free i. Not mkstemp: the file shall get the caller's usual
 * permissions, not 0600. */
static int create_temporary(const char *path, char *temporary, size_t n_bytes)
{
    int descriptor = -1;
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(temporary, n_bytes, "%.*s.tintype-%ld-%u.tmp", (int)folder_length(path), path, (long)getpid(),
                       i);
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST)
            break;
    }
    return descriptor;
}

static void release(tt_new_file *file)
{
    free(file->path);
    free(file->temporary);
    *file = (tt_new_file){.descriptor = -1};
}

tt_status tt_new_file_open(tt_new_file *file, const char *path, tt_error *err)
{
    *file = (tt_new_file){.descriptor = -1};
    tt_status status = check_target(path, err);
    if (status != TT_OK)
        return status;
    size_t n_path = strlen(path) + 1, n_temporary = folder_length(path) + 64;
    file->path = malloc(n_path);
    file->temporary = malloc(n_temporary);
    if (file->path == NULL || file->temporary == NULL || n_path > INT32_MAX) {
        release(file);
        return tt_fail_memory(err, "a file name", n_path + n_temporary);
    }
    memcpy(file->path, path, n_path);
    file->descriptor = create_temporary(path, file->temporary, n_temporary);
    if (file->descriptor < 0) {
        status = fail_system(err, path, "cannot be created in its folder", errno);
        release(file);
    }
    return status;
}

tt_status tt_new_file_write(tt_new_file *file, const void *bytes, size_t n_bytes, tt_error *err)
{
    enum { LARGEST_WRITE = 1 << 30 }; /* some systems take no more in one call */
    const char *next = bytes;
    while (n_bytes > 0) {
        ssize_t n = write(file->descriptor, next, n_bytes < LARGEST_WRITE ? n_bytes : LARGEST_WRITE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_system(err, file->path, "cannot be written", errno);
        next += n;
        n_bytes -= (size_t)n;
    }
    return TT_OK;
}

tt_status tt_new_file_commit(tt_new_file *file, tt_error *err)
{
    tt_status status = TT_OK;
    int descriptor = file->descriptor;
    file->descriptor = -1;
    if (fsync(descriptor) != 0 && errno != EINVAL && errno != ENOTSUP) {
        status = fail_system(err, file->path, "cannot be flushed to the disk", errno);
        (void)close(descriptor);
    } else if (close(descriptor) != 0) {
        status = fail_system(err, file->path, "cannot be written", errno);
    } else if (rename(file->temporary, file->path) != 0) {
        status = fail_system(err, file->path, "cannot be put in place", errno);
    }
    if (status != TT_OK)
        (void)unlink(file->temporary);
    release(file);
    return status;
}

void tt_new_file_abort(tt_new_file *file)
{
    if (file->temporary == NULL)
        return;
    if (file->descriptor >= 0)
        (void)close(file->descriptor);
    (void)unlink(file->temporary);
    release(file);
}

bool tt_path_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool tt_path_is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool tt_path_same(const char *a, const char *b)
{
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

const char *tt_path_last(const char *path, size_t *n_bytes)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    size_t start = length;
    while (start > 0 && path[start - 1] != '/')
        start--;
    *n_bytes = length - start;
    return path + start;
}

char *tt_path_join(const char *folder, const char *name)
{
    size_t n_folder = strlen(folder), n_name = strlen(name), n_bytes;
    if (!tt_add_size(n_folder, n_name, &n_bytes) || !tt_add_size(n_bytes, 2, &n_bytes))
        return NULL;
    char *path = malloc(n_bytes);
    if (path == NULL)
        return NULL;
    memcpy(path, folder, n_folder);
    if (n_folder > 0 && folder[n_folder - 1] != '/')
        path[n_folder++] = '/';
    memcpy(path + n_folder, name, n_name + 1);
    return path;
}

tt_status tt_folder_make(const char *path, tt_error *err)
{
    size_t n_bytes = strlen(path) + 1;
    char *part = malloc(n_bytes);
    if (part == NULL)
        return tt_fail_memory(err, "a folder name", n_bytes);
    memcpy(part, path, n_bytes);
    tt_status status = TT_OK;
    for (size_t i = 1; i < n_bytes && status == TT_OK; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        part[i] = '\0';
        int number = mkdir(part, 0777) == 0 ? 0 : errno;
        if (number != 0 && !tt_path_is_folder(part))
            status = fail_system(err, part, "this folder cannot be made", number);
        part[i] = path[i];
    }
    free(part);
    return status;
}
