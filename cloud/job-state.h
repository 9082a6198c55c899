/* job-state.h - the file that names an accepted job, so that a restart waits for it; used inside this room. */
#ifndef TT_CLOUD_JOB_STATE_H
#define TT_CLOUD_JOB_STATE_H

#include "base/error.h"

typedef struct tt_job_state {
    char url[512];      /* of the service */
    char location[512]; /* of the job */
    char key[72];       /* its Idempotency-Key: only the same work is waited for */
} tt_job_state;

/* *found is false when there is no file, or it is another service's or another picture's. A damaged file counts as
 * none. */
tt_status tt_job_state_read(const char *path, const char *url, const char *key, tt_job_state *state, bool *found,
                            tt_error *err);

/* Replaces the file as a whole, readable by its owner alone. */
tt_status tt_job_state_write(const char *path, const tt_job_state *state, tt_error *err);
void tt_job_state_remove(const char *path);

#endif
