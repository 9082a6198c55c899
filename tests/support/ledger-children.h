/* ledger-children.h - child processes that put and work on jobs, to be raced and killed. A child uses no cmocka: it
 * ends with 0 when all went as promised. */
#ifndef TT_TESTS_SUPPORT_LEDGER_CHILDREN_H
#define TT_TESTS_SUPPORT_LEDGER_CHILDREN_H

#include "service/ledger.h"

#include <sys/types.h>

typedef struct ledger_child {
    const char *address;
    tt_ledger_bounds bounds;
    unsigned number;    /* of the child: worker's name, owner's name */
    unsigned n_jobs;    /* putters: how many; workers: end when there is nothing to take. 0: for ever */
    const char *record; /* a file that gets a line "ID NUMBER" for each accepted or finished job */
} ledger_child;

/* Bodies are "job NUMBER", results "result of job NUMBER". */
int ledger_put_jobs(const ledger_child *child);
int ledger_work(const ledger_child *child);

/* Runs one of them in a process of its own. */
pid_t ledger_fork(int (*run)(const ledger_child *), const ledger_child *child);

/* Waits for a child that was not killed; the test fails when it does not end with 0. */
void ledger_join(pid_t pid);
void ledger_kill(pid_t pid);

#endif
