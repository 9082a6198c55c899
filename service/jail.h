/* jail.h - runs a task of our own in a confined process that is made for it, on a block of shared memory.
 *
 * A helper process is started once, while the program is small and has no threads; it forks a child for each task. So a
 * child costs little, is a copy of no other's memory, and a program with a driver's threads is never forked. */
#ifndef TT_SERVICE_JAIL_H
#define TT_SERVICE_JAIL_H

#include "service/confine.h"

/* Runs in the child, on the block; its end is the child's. */
typedef void (*tt_jail_task)(void *block, size_t n_bytes);

/* How a child ended. */
typedef enum tt_jail_end {
    TT_JAIL_DONE = 0, /* the task returned */
    TT_JAIL_FILTERED, /* stopped at a system call that it may not make */
    TT_JAIL_OUT_OF_TIME,
    TT_JAIL_CRASHED,   /* any other signal or exit */
    TT_JAIL_UNCONFINED /* it could not be confined, and the task did not run */
} tt_jail_end;

typedef struct tt_jail tt_jail;

/* Starts the helper. To be called before there are threads. */
tt_status tt_jail_open(tt_jail_task task, size_t n_bytes, const tt_confinement *confinement, tt_jail **jail,
                       tt_error *err);
void tt_jail_close(tt_jail *jail);

/* The shared block; zero whenever tt_jail_forget was called. */
void *tt_jail_block(tt_jail *jail);

/* Runs the task once and waits for its end, at most twice the time of the confinement by the clock. */
tt_status tt_jail_run(tt_jail *jail, tt_jail_end *end, tt_error *err);

/* Empties the block and gives its memory back. */
void tt_jail_forget(tt_jail *jail);

#endif
