/* mapping-advice.c - which pages of a mapping are wanted, and how large; alone in a file because madvise is not POSIX.
 */
#define _DEFAULT_SOURCE
#include "base/file.h"

#include <sys/mman.h>
#include <unistd.h>

void tt_mapping_drop(const void *bytes, size_t n_bytes)
{
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0 || n_bytes == 0)
        return;
    /* Only whole pages inside the range: the edges may belong to a neighbour that is still wanted. */
    uintptr_t size = (uintptr_t)page;
    uintptr_t begin = ((uintptr_t)bytes + size - 1) / size * size;
    uintptr_t end = ((uintptr_t)bytes + n_bytes) / size * size;
    if (begin < end)
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void tt_mapping_want(const void *bytes, size_t n_bytes)
{
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0 || n_bytes == 0)
        return;
    uintptr_t begin = (uintptr_t)bytes / (uintptr_t)page * (uintptr_t)page;
    (void)madvise((void *)begin, (uintptr_t)bytes + n_bytes - begin, MADV_WILLNEED);
}

void tt_mapping_use_large_pages(void *bytes, size_t n_bytes)
{
#ifdef MADV_HUGEPAGE
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0 || n_bytes == 0)
        return;
    uintptr_t size = (uintptr_t)page, begin = ((uintptr_t)bytes + size - 1) / size * size;
    uintptr_t end = ((uintptr_t)bytes + n_bytes) / size * size;
    if (begin < end)
        (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
    (void)bytes, (void)n_bytes;
#endif
}
