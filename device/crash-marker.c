/* crash-marker.c - see crash-marker.h. */
#define _DEFAULT_SOURCE
#include "device/crash-marker.h"

#include "base/file.h"
#include "base/sha256.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static const char ending[] = ".trying";
enum { MAX_MARKER_BYTES = 1024, MAX_COLLECTED = 64 };

bool tt_crash_marker_hold(const char *path, const char *text, tt_crash_marker *marker, bool *was_left)
{
    size_t n = strlen(text);
    char found, *copy = NULL;
    *marker = (tt_crash_marker){0};
    if (was_left != NULL)
        *was_left = false;
    if (!tt_string_copy(path, &copy))
        return false;
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock < 0) { /* a read-only folder: no marker, and no harm */
        free(copy);
        return false;
    }
    bool held = flock(lock, LOCK_EX | LOCK_NB) == 0; /* else another process is at work on the same just now */
    bool left = held && read(lock, &found, 1) == 1;
    if (held && !left && write(lock, text, n) != (ssize_t)n) {
        (void)unlink(path); /* full disk: no marker rather than one that says nothing */
        held = false;
    }
    if (!held) {
        (void)close(lock);
        free(copy);
        return false;
    }
    if (was_left != NULL)
        *was_left = left;
    *marker = (tt_crash_marker){.path = copy, .lock = lock};
    return true;
}

void tt_crash_marker_release(tt_crash_marker *marker)
{
    if (marker->path == NULL)
        return;
    /* Emptied before it is unlinked: a process that has opened the old file then finds no crash in it. */
    int emptied = ftruncate(marker->lock, 0);
    (void)emptied; /* when it fails, that process at worst avoids once what it need not */
    (void)unlink(marker->path);
    (void)close(marker->lock);
    free(marker->path);
    *marker = (tt_crash_marker){0};
}

void tt_crash_marker_begin(const tt_device *device, const char *text, tt_crash_marker *marker)
{
    char key[TT_DEVICE_KEY], hex[65], name[128];
    const char *folder = tt_device_cache_dir(device);
    *marker = (tt_crash_marker){0};
    if (folder == NULL || tt_device_key(device, key, NULL) != TT_OK || tt_folder_make(folder, NULL) != TT_OK ||
        tt_sha256_hex(text, strlen(text), hex, NULL) != TT_OK)
        return;
    (void)snprintf(name, sizeof(name), "%s-%.16s%s", key, hex, ending);
    char *path = tt_path_join(folder, name);
    if (path != NULL)
        (void)tt_crash_marker_hold(path, text, marker, NULL);
    free(path);
}

static bool is_marker(const char *name, const char *key)
{
    size_t n = strlen(name), n_ending = sizeof(ending) - 1;
    return strncmp(name, key, strlen(key)) == 0 && n > n_ending && strcmp(name + n - n_ending, ending) == 0;
}

/* Tells of one file when nobody holds it, and takes it away. */
static void collect(const char *path, tt_crash_found_fn found, void *user)
{
    char *text = NULL;
    size_t n_bytes = 0;
    tt_crash_marker marker;
    bool was_left = false;
    if (!tt_path_is_file(path) || tt_file_read(path, MAX_MARKER_BYTES, &text, &n_bytes, NULL) != TT_OK)
        return;
    if (tt_crash_marker_hold(path, text, &marker, &was_left) && was_left && strlen(text) == n_bytes)
        found(user, text);
    tt_crash_marker_release(&marker);
    free(text);
}

tt_status tt_crash_markers_collect(const tt_device *device, tt_crash_found_fn found, void *user, tt_error *err)
{
    char key[TT_DEVICE_KEY];
    const char *folder_name = tt_device_cache_dir(device);
    if (folder_name == NULL)
        return TT_OK;
    tt_status status = tt_device_key(device, key, err);
    DIR *folder = status == TT_OK ? opendir(folder_name) : NULL;
    if (folder == NULL)
        return status; /* no folder: nothing was left in it */
    int n = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL && n < MAX_COLLECTED; entry = readdir(folder)) {
        if (!is_marker(entry->d_name, key))
            continue;
        char *path = tt_path_join(folder_name, entry->d_name);
        if (path != NULL)
            collect(path, found, user);
        free(path);
        n++;
    }
    (void)closedir(folder);
    return TT_OK;
}
