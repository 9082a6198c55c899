/* supervisor.h - keeps a few programs running: one that ends is started again, after a wait that doubles. */
#ifndef TT_SERVICE_SUPERVISOR_H
#define TT_SERVICE_SUPERVISOR_H

#include "base/error.h"

#include <sys/types.h>

enum { TT_SUPERVISED_MAX = 64 };

/* One program. argv and what it points to are the caller's. */
typedef struct tt_supervised {
    const char *const *argv;  /* argv[0] is its path; ended by NULL */
    pid_t pid;                /* 0: it is not running */
    double started, start_at; /* by tt_clock_seconds */
    double wait_seconds;      /* before it is started again */
} tt_supervised;

typedef struct tt_supervisor {
    tt_supervised programs[TT_SUPERVISED_MAX];
    size_t n;
    double drain_seconds; /* at the end programs have so long to end by themselves */
    tt_log_fn log;        /* may be NULL */
    void *log_user;
} tt_supervisor;

/* Adds a program and starts it. It ends with the process that called this. */
tt_status tt_supervisor_add(tt_supervisor *supervisor, const char *const *argv, tt_error *err);

/* Whether program `index` has not ended; one that has stays ended until tt_supervisor_run. */
bool tt_supervisor_is_running(tt_supervisor *supervisor, size_t index);

/* Runs until SIGTERM or SIGINT, which must be blocked, as must SIGCHLD, and ends all programs: in order first; a second
 * signal ends them at once. */
void tt_supervisor_run(tt_supervisor *supervisor);

/* Ends all programs: SIGTERM, and SIGKILL for those that take longer than drain_seconds. */
void tt_supervisor_end(tt_supervisor *supervisor);

#endif
