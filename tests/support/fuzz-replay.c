/* fuzz-replay.c - runs a libFuzzer target over every file of the folders and files it is given, without libFuzzer. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Runs the target on the bytes of an open file; false when they cannot be read. The bytes stand in a heap block of
 * exactly their size, so that a sanitizer sees the first byte read beyond them. */
static int replay_stream(FILE *stream, size_t n_bytes)
{
    uint8_t *data = malloc(n_bytes > 0 ? n_bytes : 1);
    if (!data) {
        return 0;
    }
    int ok = fread(data, 1, n_bytes, stream) == n_bytes;
    if (ok) {
        LLVMFuzzerTestOneInput(data, n_bytes);
    }
    free(data);
    return ok;
}

static int replay_file(const char *path, off_t n_bytes)
{
    FILE *stream = fopen(path, "rb");
    if (!stream) {
        return 0;
    }
    int ok = replay_stream(stream, (size_t)n_bytes);
    fclose(stream);
    return ok;
}

static int replay_path(const char *path, size_t *n_files);

static int replay_folder(const char *path, size_t *n_files)
{
    DIR *folder = opendir(path);
    if (!folder) {
        return 0;
    }
    int ok = 1;
    for (struct dirent *entry = readdir(folder); entry && ok; entry = readdir(folder)) {
        char name[4096];
        if (entry->d_name[0] == '.') {
            continue;
        }
        int n = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        ok = n > 0 && (size_t)n < sizeof name && replay_path(name, n_files);
    }
    closedir(folder);
    return ok;
}

static int replay_path(const char *path, size_t *n_files)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
        return 0;
    }
    if (S_ISDIR(info.st_mode)) {
        return replay_folder(path, n_files);
    }
    if (!replay_file(path, info.st_size)) {
        fprintf(stderr, "cannot replay %s\n", path);
        return 0;
    }
    *n_files += 1;
    return 1;
}

int main(int argc, char **argv)
{
    size_t n_files = 0;
    for (int i = 1; i < argc; i++) {
        if (!replay_path(argv[i], &n_files)) {
            return 1;
        }
    }
    printf("%zu inputs replayed\n", n_files);
    if (n_files == 0) {
        fprintf(stderr, "no inputs: an empty corpus proves nothing\n");
        return 1;
    }
    return 0;
}
