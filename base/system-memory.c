/* system-memory.c - /proc, control groups, sysconf and getrusage. */
#define _DEFAULT_SOURCE /* sysconf's _SC_AVPHYS_PAGES */
#include "base/system-memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MAX_PATH = 1024 };

/* The beginning of a small file as text; "" when it cannot be read. No stream, which would allocate: this is called
 * between the steps of a run. */
static void read_text(const char *path, char *text, size_t n_bytes)
{
    size_t n = 0;
    ssize_t got = 1;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    while (file >= 0 && n + 1 < n_bytes && got > 0) {
        got = read(file, text + n, n_bytes - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    text[n] = '\0';
    if (file >= 0)
        (void)close(file);
}

/* The number of the line "NAME: N kB", in bytes; false when the file or the line is missing. */
static bool read_kilobytes(const char *path, const char *name, uint64_t *n_bytes)
{
    char text[8192];
    size_t n = strlen(name);
    read_text(path, text, sizeof text);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        uint64_t kilobytes;
        line += *line == '\n';
        if (strncmp(line, name, n) != 0 || line[n] != ':' || sscanf(line + n + 1, "%" SCNu64, &kilobytes) != 1)
            continue;
        *n_bytes = kilobytes * 1024;
        return true;
    }
    return false;
}

tt_process_memory tt_process_memory_now(void)
{
    tt_process_memory memory = {0};
    struct rusage usage;
    (void)read_kilobytes("/proc/self/status", "VmRSS", &memory.resident);
    if (read_kilobytes("/proc/self/status", "VmHWM", &memory.peak))
        return memory;
    if (getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss > 0)
        memory.peak = (uint64_t)usage.ru_maxrss * 1024;
    return memory;
}

/* The number in a control group's file; false when it is missing or "max". */
static bool read_number(const char *folder, const char *file, uint64_t *value)
{
    char path[MAX_PATH];
    int n = snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *stream = n > 0 && (size_t)n < sizeof path ? fopen(path, "r") : NULL;
    bool found = stream != NULL && fscanf(stream, "%" SCNu64, value) == 1;
    if (stream != NULL)
        (void)fclose(stream);
    return found;
}

/* The number after a name in the group's memory.stat: file pages that can be dropped count as free. */
static uint64_t read_droppable(const char *folder)
{
    char path[MAX_PATH], line[256];
    uint64_t value = 0;
    int n = snprintf(path, sizeof path, "%s/memory.stat", folder);
    FILE *stream = n > 0 && (size_t)n < sizeof path ? fopen(path, "r") : NULL;
    while (stream != NULL && fgets(line, sizeof line, stream) != NULL)
        if (sscanf(line, "inactive_file %" SCNu64, &value) == 1)
            break;
    if (stream != NULL)
        (void)fclose(stream);
    return value;
}

/* What one group leaves; UINT64_MAX when it has no limit. */
static uint64_t group_room(const char *folder)
{
    uint64_t limit, used;
    if (!read_number(folder, "memory.max", &limit) || !read_number(folder, "memory.current", &used))
        return UINT64_MAX;
    uint64_t droppable = read_droppable(folder);
    used = used > droppable ? used - droppable : 0;
    return limit > used ? limit - used : 0;
}

/* The least that the process's group and its parents leave. */
static uint64_t groups_room(const char *proc, const char *groups)
{
    char path[MAX_PATH], line[MAX_PATH], folder[2 * MAX_PATH];
    uint64_t room = UINT64_MAX;
    int n = snprintf(path, sizeof path, "%s/self/cgroup", proc);
    FILE *stream = n > 0 && (size_t)n < sizeof path ? fopen(path, "r") : NULL;
    bool found = false;
    while (stream != NULL && !found && fgets(line, sizeof line, stream) != NULL)
        found = strncmp(line, "0::/", 4) == 0; /* version 2 has the number 0 and no controllers */
    if (stream != NULL)
        (void)fclose(stream);
    if (!found)
        return UINT64_MAX;
    line[strcspn(line, "\n")] = '\0';
    (void)snprintf(folder, sizeof folder, "%s%s", groups, line + 3);
    for (size_t least = strlen(groups); strlen(folder) >= least; *strrchr(folder, '/') = '\0') {
        uint64_t here = group_room(folder);
        room = here < room ? here : room;
        if (strchr(folder + least, '/') == NULL)
            break;
    }
    return room;
}

uint64_t tt_system_memory_available_in(const char *proc, const char *groups)
{
    char path[MAX_PATH];
    uint64_t available = UINT64_MAX, room = groups_room(proc, groups);
    int n = snprintf(path, sizeof path, "%s/meminfo", proc);
    bool known = n > 0 && (size_t)n < sizeof path && read_kilobytes(path, "MemAvailable", &available);
#ifdef _SC_AVPHYS_PAGES
    long pages = sysconf(_SC_AVPHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    if (!known && pages > 0 && size > 0)
        available = (uint64_t)pages * (uint64_t)size;
#else
    (void)known;
#endif
    return room < available ? room : available;
}

uint64_t tt_system_memory_available(void)
{
    return tt_system_memory_available_in("/proc", "/sys/fs/cgroup");
}
