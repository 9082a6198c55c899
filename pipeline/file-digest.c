/* file-digest.c - hashes a file unless the cache folder knows its digest. */
#include "pipeline/file-digest.h"
#include "base/file.h"
#include "base/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_BYTES = 512, DIGEST_CHARACTERS = 64, SECONDS_TO_SETTLE = 3 };

/* Path of the entry of a model file (free()), NULL when there is no folder or no memory. */
static char *entry_path(const char *path, const char *folder)
{
    char key[65], name[64];
    if (folder == NULL || tt_sha256_hex(path, strlen(path), key, NULL) != TT_OK)
        return NULL;
    (void)snprintf(name, sizeof name, "digest-%.32s.txt", key);
    return tt_path_join(folder, name);
}

/* What must be the same for a digest to hold, as the first line of an entry. */
static void write_stamp(const tt_file_stamp *stamp, char text[ENTRY_BYTES])
{
    (void)snprintf(text, ENTRY_BYTES, "sha256 1 %llu %llu %llu %lld.%09ld %lld.%09ld\n",
                   (unsigned long long)stamp->device, (unsigned long long)stamp->inode,
                   (unsigned long long)stamp->n_bytes, (long long)stamp->modified.tv_sec, stamp->modified.tv_nsec,
                   (long long)stamp->changed.tv_sec, stamp->changed.tv_nsec);
}

static bool is_digest(const char *text)
{
    return strspn(text, "0123456789abcdef") == DIGEST_CHARACTERS && strcmp(text + DIGEST_CHARACTERS, "\n") == 0;
}

static bool read_entry(const char *entry, const tt_file_stamp *stamp, char hex[65])
{
    char want[ENTRY_BYTES], *text = NULL;
    size_t n_bytes = 0;
    if (!tt_path_is_file(entry) || tt_file_read(entry, ENTRY_BYTES, &text, &n_bytes, NULL) != TT_OK)
        return false;
    write_stamp(stamp, want);
    size_t n_stamp = strlen(want);
    bool holds = strncmp(text, want, n_stamp) == 0 && is_digest(text + n_stamp);
    if (holds)
        (void)snprintf(hex, 65, "%.64s", text + n_stamp);
    free(text);
    return holds;
}

static void write_entry(const char *entry, const char *folder, const tt_file_stamp *stamp, const char hex[65])
{
    char text[ENTRY_BYTES + 80];
    tt_new_file file;
    write_stamp(stamp, text);
    (void)strcat(text, hex);
    (void)strcat(text, "\n");
    if (tt_folder_make(folder, NULL) != TT_OK || tt_new_file_open(&file, entry, NULL) != TT_OK)
        return;
    if (tt_new_file_write(&file, text, strlen(text), NULL) == TT_OK)
        (void)tt_new_file_commit(&file, NULL);
    else
        tt_new_file_abort(&file);
}

tt_status tt_file_digest(const char *path, const char *folder, time_t now, char hex[65], tt_error *err)
{
    tt_file_stamp before, after;
    char *entry = entry_path(path, folder);
    tt_status status = tt_file_stamp_read(path, &before, err);
    if (status == TT_OK && entry != NULL && read_entry(entry, &before, hex)) {
        free(entry);
        return TT_OK;
    }
    if (status == TT_OK)
        status = tt_sha256_file_hex(path, hex, err);
    bool has_settled = status == TT_OK && now - before.changed.tv_sec >= SECONDS_TO_SETTLE;
    if (entry != NULL && has_settled && tt_file_stamp_read(path, &after, NULL) == TT_OK &&
        tt_file_stamp_same(&before, &after))
        write_entry(entry, folder, &before, hex);
    free(entry);
    return status;
}
