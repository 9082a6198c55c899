/* parallel.h - one loop on several threads, and threads that work beside their caller. */
#ifndef TT_BASE_PARALLEL_H
#define TT_BASE_PARALLEL_H

#include "base/error.h"

enum { TT_MAX_THREADS = 64 };

/* Works on items first..last - 1; `thread` (0..) chooses scratch memory. */
typedef void (*tt_parallel_fn)(void *user, size_t first, size_t last, uint32_t thread);

/* Processors that are online, 1..TT_MAX_THREADS. */
uint32_t tt_parallel_processors(void);

/* Runs n_items in n_threads (1..TT_MAX_THREADS) equal shares and waits for all. A thread that cannot be started leaves
 * its share to the caller's. */
void tt_parallel_run(uint32_t n_threads, size_t n_items, tt_parallel_fn run, void *user);

/* Threads that all do the same, sharing out the work among themselves. */
typedef struct tt_crew tt_crew;
typedef void (*tt_crew_fn)(void *user);

/* Starts n_threads (1..TT_MAX_THREADS), or as many as there can be; NULL when there can be none: what they should have
 * done is then left to the caller. */
tt_crew *tt_crew_start(uint32_t n_threads, tt_crew_fn run, void *user);

/* Waits until all have returned. NULL is allowed. */
void tt_crew_end(tt_crew *crew);

#endif
