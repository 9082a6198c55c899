/* ledger-backend.h - what a backend of the ledger provides; used inside this room. */
#ifndef TT_SERVICE_LEDGER_BACKEND_H
#define TT_SERVICE_LEDGER_BACKEND_H

#include "service/ledger.h"

/* The functions of ledger.h, one to one, on the backend's own object. ledger.c checks arguments (ids are 32 hex digits,
 * texts fit their columns) and sets all outputs to nothing before it calls them. */
typedef struct tt_ledger_backend {
    void (*close)(void *self);
    tt_status (*put)(void *self, const tt_job_input *input, const char *id, tt_put_outcome *outcome, tt_job *job,
                     tt_error *err);
    tt_status (*take)(void *self, const char *worker, bool *found, tt_job *job, void **body, size_t *n_body_bytes,
                      tt_error *err);
    tt_status (*extend)(void *self, const char *worker, const char *id, bool *is_mine, tt_error *err);
    tt_status (*done)(void *self, const char *worker, const char *id, const char *type, const char *sha256,
                      const void *result, size_t n_bytes, bool *counted, tt_error *err);
    tt_status (*fail)(void *self, const char *worker, const char *id, bool is_final, uint32_t code,
                      const char *sentence, bool *counted, tt_error *err);
    tt_status (*length)(void *self, uint64_t counts[5], double *oldest_seconds, tt_error *err);
    tt_status (*find)(void *self, const char *id, bool *found, tt_job *job, tt_error *err);
    tt_status (*result)(void *self, const char *id, bool *found, char type[48], void **result, size_t *n_bytes,
                        tt_error *err);
    tt_status (*remove)(void *self, const char *id, bool *found, tt_error *err);
    tt_status (*sweep)(void *self, uint64_t *n_changed, tt_error *err);
    tt_status (*wait)(void *self, tt_ledger_event event, double seconds, tt_error *err);
} tt_ledger_backend;

/* The clients' sentence for a job that had TT_JOB_TRIES leases and no end; static storage. */
const char *tt_job_poison_sentence(void);

/* Open jobs that the input's owner may have; 0: no bound. */
uint64_t tt_job_owner_bound(const tt_job_input *input, const tt_ledger_bounds *bounds);

/* The job that put has just made of an input, at a position. */
void tt_job_from_input(const tt_job_input *input, const char *id, uint64_t position, tt_job *job);

/* Open the two backends: *self is theirs. Addresses as in tt_ledger_open, without "sqlite:" for the first; bounds with
 * their defaults filled in. */
tt_status tt_ledger_sqlite_open(const char *path, const tt_ledger_bounds *bounds, const tt_ledger_backend **backend,
                                void **self, tt_error *err);
tt_status tt_ledger_postgres_open(const char *address, const tt_ledger_bounds *bounds,
                                  const tt_ledger_backend **backend, void **self, tt_error *err);

#endif
