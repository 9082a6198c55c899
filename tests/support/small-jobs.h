/* small-jobs.h - small pictures for a service, and what must come back: what this process makes of the same picture. */
#ifndef TT_TESTS_SMALL_JOBS_H
#define TT_TESTS_SMALL_JOBS_H

#include <stddef.h>
#include <stdint.h>

enum { SMALL_JOBS_KINDS = 40 };

typedef struct small_jobs {
    struct small_job {
        uint8_t *body, *result; /* PNGs; result NULL until small_jobs_solve */
        size_t n_body, n_result;
    } kinds[SMALL_JOBS_KINDS];
} small_jobs;

/* Pictures of 16 to 64 pixels a side, all different. */
void small_jobs_make(small_jobs *jobs);

/* Opens the device and makes every picture twice as large, as a worker does. */
void small_jobs_solve(small_jobs *jobs);
void small_jobs_free(small_jobs *jobs);

#endif
