/* confine.h - takes from the calling process, for good, what a decoder does not need; used inside this room. */
#ifndef TT_SERVICE_CONFINE_H
#define TT_SERVICE_CONFINE_H

#include "base/error.h"

typedef struct tt_confinement {
    uint64_t max_memory;  /* bytes of address space beyond what the process has now */
    double seconds;       /* of processor time; rounded up to whole seconds */
    bool without_seccomp; /* rlimits alone */
} tt_confinement;

/* Limits on memory, time, files and processes, no new privileges, no core, and a filter that ends the process at any
 * system call but those for memory, time and exit. */
tt_status tt_confine(const tt_confinement *confinement, tt_error *err);

/* True when this kernel takes the filter. Tries it in a child. */
bool tt_confine_has_filter(void);

#endif
