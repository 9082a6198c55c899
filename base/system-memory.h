/* system-memory.h - how much memory the process holds and how much the system could still give. */
#ifndef TT_BASE_SYSTEM_MEMORY_H
#define TT_BASE_SYSTEM_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of memory that this process holds now (resident set), and at its highest moment so far. On systems without
 * /proc the first is 0 (unknown) and the second getrusage's; 0: unknown. */
typedef struct tt_process_memory {
    uint64_t resident, peak;
} tt_process_memory;
tt_process_memory tt_process_memory_now(void);

/* Bytes that new allocations can take without swapping: MemAvailable of /proc/meminfo, less where a control group
 * (cgroup v2) of this process has a lower limit, else the free pages that sysconf tells; UINT64_MAX: unknown. */
uint64_t tt_system_memory_available(void);

/* The same from the given places, for tests: proc is a folder like /proc (with meminfo and self/cgroup), groups one
 * like /sys/fs/cgroup. */
uint64_t tt_system_memory_available_in(const char *proc, const char *groups);

/* Gives freed heap memory back to the system, where the C library has a call for it. The C library keeps what was
 * freed, up to hundreds of MB after a component's weights, for allocations to come. */
void tt_heap_trim(void);

#endif
