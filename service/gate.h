/* gate.h - the HTTP front of the upscale service, over libmicrohttpd: takes bodies, answers, keeps long polls
 * suspended.
 *
 * Routes (docs/cloud.md has the protocol with examples):
 *   POST   /v1/upscales?scale=2      raw PNG, JPEG or latent -> 200 picture, 202 + Location + Retry-After, or a problem
 *   GET    /v1/upscales/{id}         status as JSON; Prefer: wait=N keeps it until it ends
 *   GET    /v1/upscales/{id}/image   200 picture, 202 not yet, 410 expired, 422 or 500 failed
 *   DELETE /v1/upscales/{id}         204
 *   GET    /healthz, /metrics
 *   POST   /sdapi/v1/extra-single-image   A1111's form of the same
 *
 * One thread runs libmicrohttpd with epoll; ledger calls run on a few threads with connections of their own, so that a
 * slow commit stops nobody else; one thread waits for ended jobs and resumes their connections; one keeps deadlines. */
#ifndef TT_SERVICE_GATE_H
#define TT_SERVICE_GATE_H

#include "service/body.h"
#include "service/ledger.h"

typedef struct tt_gate_params {
    const char *address;             /* "127.0.0.1" (default), "::1", "0.0.0.0", ... */
    uint16_t port;                   /* 0: one that is free */
    const char *ledger;              /* address, see tt_ledger_open */
    const char *tokens_path;         /* NULL: no tokens, refused unless address is loopback */
    const char *public_url;          /* NULL, or what stands before /v1 in Location headers behind a proxy */
    const char *const *model_hashes; /* that workers have; latents of others are refused */
    size_t n_model_hashes;
    tt_ledger_bounds bounds;
    tt_body_limits limits;
    uint32_t max_connections;  /* default 6000 */
    double max_wait_seconds;   /* a longer Prefer: wait counts as that: default 30 */
    double idle_seconds;       /* a connection that sends nothing for so long is closed: default 15 */
    double body_seconds;       /* a body must be complete by then: default 60 */
    uint32_t n_ledger_threads; /* default 4 */
    size_t max_memory_bytes;   /* of all bodies that arrive, and of all results that are sent: default 32 MiB each */
    double drain_seconds;      /* when it stops, answers have so long to be taken: default 5 */
    tt_log_fn log;             /* may be NULL; called from any of the gate's threads */
    void *log_user;
} tt_gate_params;

void tt_gate_params_default(tt_gate_params *params);

typedef struct tt_gate tt_gate;

/* Starts listening; returns when connections are taken. */
tt_status tt_gate_start(const tt_gate_params *params, tt_gate **gate, tt_error *err);
uint16_t tt_gate_port(const tt_gate *gate);

/* Takes no new connections, answers those that wait with 202 (or 503), and ends. */
void tt_gate_stop(tt_gate *gate);

#endif
