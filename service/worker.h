/* worker.h - takes jobs, decodes them in a sandbox, upscales on its OpenCL device, stores the results. */
#ifndef TT_SERVICE_WORKER_H
#define TT_SERVICE_WORKER_H

#include "service/ledger.h"
#include "service/sandbox.h"

typedef struct tt_worker_params {
    const char *ledger;        /* address, see tt_ledger_open */
    const char *device;        /* as tt_device_params.device */
    const char *upscale_model; /* NULL: the built-in network */
    const char *const *models; /* for latents */
    size_t n_models;
    tt_ledger_bounds bounds; /* lease_seconds */
    tt_sandbox_limits sandbox;
    uint64_t max_jobs;        /* ends after so many; 0: never */
    const volatile int *stop; /* becomes non-zero: finish the job in work, then end (drain); set by a signal handler */
    double patience_seconds;  /* a ledger that stays away for so long ends the worker: default 60 */
    tt_log_fn log;            /* may be NULL; called on the worker's threads */
    void *log_user;
} tt_worker_params;

void tt_worker_params_default(tt_worker_params *params);

/* Runs until told to stop. A failing job is the ledger's affair; the call fails only when the worker cannot work: no
 * device, no network, a ledger that stays away. A heartbeat thread extends the lease while a job runs; a job that was
 * removed, or that another worker has by now, is given up at the next tile. To be called before there are threads. */
tt_status tt_worker_run(const tt_worker_params *params, uint64_t *n_jobs, tt_error *err);

/* One job's work without a ledger: body in, PNG out. */
typedef struct tt_worker tt_worker;
tt_status tt_worker_open(const tt_worker_params *params, tt_worker **worker, tt_error *err);
void tt_worker_close(tt_worker *worker);

/* What became of a job; zero-initialise. */
typedef struct tt_work {
    uint8_t *png; /* free() */
    size_t n_png_bytes;
    bool is_final;  /* as in tt_ledger_fail: the input is at fault */
    bool is_broken; /* the worker is: it should be started again */
    uint32_t code;  /* HTTP status of a failure */
} tt_work;

/* keep_on may be NULL; false cancels. */
tt_status tt_worker_do(tt_worker *worker, const tt_job *job, const void *body, size_t n_body_bytes,
                       bool (*keep_on)(void *user), void *user, tt_work *work, tt_error *err);

#endif
