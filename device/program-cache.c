/* program-cache.c - compiled programs on disk.
 *
 * A file is: 8 bytes magic, 64 hex digits key, 64 hex digits SHA-256 of the binary, 8 bytes length (little-endian), the
 * binary. The key is in the file too, so that a file that was copied or renamed by hand is noticed. */
#include "device/program-private.h"

#include "base/file.h"
#include "base/sha256.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char magic[8] = {'T', 'T', 'C', 'L', 'B', 'I', 'N', '1'};
enum { KEY_AT = 8, SUM_AT = KEY_AT + 64, LENGTH_AT = SUM_AT + 64, HEADER_BYTES = LENGTH_AT + 8 };
enum { MAX_BINARY_BYTES = 256 << 20 };

/* One warning per device: a read-only home must not fill the log. */
static void warn(tt_device *device, const char *sentence)
{
    if (!device->cache_warned)
        tt_log_write(device->log, TT_LOG_WARNING, "compiled programs are not cached: %s", sentence);
    device->cache_warned = true;
}

static tt_status compute_key(const tt_device *device, const char *source, size_t n_source, const char *options,
                             char key[65], tt_error *err)
{
    tt_text all = {0};
    tt_device_add_part(&all, magic, sizeof(magic));
    tt_device_add_identity(device, &all);
    tt_device_add_part(&all, options, strlen(options));
    tt_device_add_part(&all, source, n_source);
    tt_status status = tt_text_status(&all, err);
    if (status == TT_OK)
        status = tt_sha256_hex(all.bytes, all.n_bytes, key, err);
    tt_text_free(&all);
    return status;
}

/* "folder/key" + ending, NULL when memory is out. */
static char *entry_path(const char *folder, const char *key, const char *ending)
{
    char name[80];
    (void)snprintf(name, sizeof(name), "%s%s", key, ending);
    return tt_path_join(folder, name);
}

tt_status tt_cache_entry_open(tt_device *device, const char *source, size_t n_source, const char *options,
                              tt_cache_entry *entry, tt_error *err)
{
    *entry = (tt_cache_entry){0};
    if (device->cache_dir == NULL)
        return TT_OK;
    tt_error reason = {""};
    if (tt_folder_make(device->cache_dir, &reason) != TT_OK) {
        warn(device, reason.text);
        return TT_OK;
    }
    tt_status status = compute_key(device, source, n_source, options, entry->key, err);
    if (status != TT_OK)
        return status;
    entry->path = entry_path(device->cache_dir, entry->key, ".bin");
    entry->marker = entry_path(device->cache_dir, entry->key, ".building");
    if (entry->path != NULL && entry->marker != NULL)
        return TT_OK;
    tt_cache_entry_close(entry);
    return tt_fail_memory(err, "a file name", strlen(device->cache_dir) + sizeof(entry->key));
}

void tt_cache_entry_close(tt_cache_entry *entry)
{
    tt_cache_unguard(entry);
    free(entry->path);
    free(entry->marker);
    *entry = (tt_cache_entry){0};
}

void tt_cache_guard(tt_device *device, tt_cache_entry *entry)
{
    if (entry->marker == NULL || !tt_crash_marker_hold(entry->marker, "1", &entry->held, &entry->after_crash))
        return;
    if (entry->after_crash) {
        tt_log_write(device->log, TT_LOG_WARNING,
                     "an earlier run ended while the driver worked on program %.16s: its cached binary is not used",
                     entry->key);
        (void)unlink(entry->path);
    }
}

void tt_cache_unguard(tt_cache_entry *entry)
{
    tt_crash_marker_release(&entry->held);
}

static uint64_t read_length(const unsigned char *bytes)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | bytes[i];
    return length;
}

static void write_length(unsigned char *bytes, uint64_t length)
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(length >> (8 * i));
}

/* What is wrong with a cache file, NULL when it is whole. */
static const char *check_file(const unsigned char *bytes, size_t n_bytes, const char *key)
{
    if (n_bytes <= HEADER_BYTES || memcmp(bytes, magic, sizeof(magic)) != 0)
        return "is not a program of this version";
    if (memcmp(bytes + KEY_AT, key, 64) != 0)
        return "belongs to another program";
    if (read_length(bytes + LENGTH_AT) != n_bytes - HEADER_BYTES)
        return "is cut off";
    char sum[65];
    if (tt_sha256_hex(bytes + HEADER_BYTES, n_bytes - HEADER_BYTES, sum, NULL) != TT_OK)
        return "cannot be checked";
    return memcmp(bytes + SUM_AT, sum, 64) == 0 ? NULL : "is damaged";
}

bool tt_cache_read(tt_device *device, const tt_cache_entry *entry, unsigned char **binary, size_t *n_bytes)
{
    char *bytes = NULL;
    size_t n_file = 0;
    *binary = NULL;
    *n_bytes = 0;
    if (entry->path == NULL || !tt_path_is_file(entry->path) ||
        tt_file_read(entry->path, MAX_BINARY_BYTES, &bytes, &n_file, NULL) != TT_OK)
        return false;
    const char *fault = check_file((unsigned char *)bytes, n_file, entry->key);
    if (fault != NULL) {
        tt_log_write(device->log, TT_LOG_INFO, "%s %s: ignored and replaced", entry->path, fault);
        free(bytes);
        return false;
    }
    *n_bytes = n_file - HEADER_BYTES;
    memmove(bytes, bytes + HEADER_BYTES, *n_bytes);
    *binary = (unsigned char *)bytes;
    return true;
}

void tt_cache_write(tt_device *device, const tt_cache_entry *entry, const unsigned char *binary, size_t n_bytes)
{
    if (entry->path == NULL || n_bytes == 0 || n_bytes > MAX_BINARY_BYTES - HEADER_BYTES)
        return;
    unsigned char header[HEADER_BYTES];
    char sum[65];
    tt_error reason = {""};
    tt_status status = tt_sha256_hex(binary, n_bytes, sum, &reason);
    if (status == TT_OK) {
        memcpy(header, magic, sizeof(magic));
        memcpy(header + KEY_AT, entry->key, 64);
        memcpy(header + SUM_AT, sum, 64);
        write_length(header + LENGTH_AT, n_bytes);
        tt_new_file file;
        status = tt_new_file_open(&file, entry->path, &reason);
        if (status == TT_OK)
            status = tt_new_file_write(&file, header, sizeof(header), &reason);
        if (status == TT_OK)
            status = tt_new_file_write(&file, binary, n_bytes, &reason);
        if (status == TT_OK)
            status = tt_new_file_commit(&file, &reason);
        else
            tt_new_file_abort(&file);
    }
    if (status != TT_OK)
        warn(device, reason.text);
}
