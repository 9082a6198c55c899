/* heap-trim.c - gives freed heap memory back; alone in a file because no standard has a call for it. */
#define _DEFAULT_SOURCE
#include "base/system-memory.h"

#include <stdlib.h> /* tells which C library this is */

#if defined(__GLIBC__) || defined(__ANDROID__)
#include <malloc.h>
#endif

void tt_heap_trim(void)
{
#if defined(__GLIBC__)
    (void)malloc_trim(0);
#elif defined(__ANDROID__) && defined(M_PURGE)
    (void)mallopt(M_PURGE, 0);
#endif
}
