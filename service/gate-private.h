/* gate-private.h - what the gate's files share: a request, its way through the threads, and the gate itself.
 *
 * A request belongs to one thread at a time: to libmicrohttpd's while its head and body arrive and while its answer is
 * sent, to a ledger thread while the ledger is asked, to the list of those that wait in between. Its connection is
 * suspended whenever it is not libmicrohttpd's. What the gate's lock guards says so. */
#ifndef TT_SERVICE_GATE_PRIVATE_H
#define TT_SERVICE_GATE_PRIVATE_H

#include "base/log.h"
#include "base/text.h"
#include "service/gate.h"
#include "service/metrics.h"
#include "service/tokens.h"

#include <microhttpd.h>
#include <pthread.h>

enum { GATE_KEY_BYTES = 65 };

/* Places that a request can be for. */
typedef enum gate_route {
    GATE_NOWHERE = 0,
    GATE_UPSCALES, /* /v1/upscales */
    GATE_JOB,      /* /v1/upscales/ID */
    GATE_IMAGE,    /* /v1/upscales/ID/image */
    GATE_EXTRA,    /* /sdapi/v1/extra-single-image */
    GATE_HEALTH,
    GATE_METRICS
} gate_route;

typedef enum gate_method {
    GATE_OTHER_METHOD = 0,
    GATE_GET = 1,
    GATE_HEAD = 2,
    GATE_POST = 4,
    GATE_DELETE = 8,
    GATE_OPTIONS = 16
} gate_method;

/* What a connection is doing, for the deadlines. */
typedef enum gate_activity {
    GATE_READS_HEAD = 0, /* from the first byte, and between two requests */
    GATE_READS_BODY,
    GATE_WORKS, /* the gate's own time */
    GATE_SENDS,
    GATE_CLOSED /* its deadline was over */
} gate_activity;

/* One TCP connection; all of it is guarded by the gate's lock. */
typedef struct gate_connection {
    int descriptor;
    gate_activity activity;
    double since, last_at; /* when the activity began, and when bytes of a body came last */
    size_t n_to_send;
    struct gate_connection *before, *next;
} gate_connection;

/* What is sent. code 0: not known yet. */
typedef struct gate_answer {
    uint32_t code;
    const char *type;
    char *body;
    size_t n_bytes;
    bool is_counted; /* its bytes are part of result_bytes */
    bool is_picture; /* Content-Location */
    char digest[65]; /* of a result, hex; "": none */
    bool names_job;  /* Location */
    bool has_position;
    uint64_t position;
    uint32_t retry_after; /* 0: none */
    unsigned allow;       /* gate_method bits; 0: none */
    bool closes;          /* the connection ends with it */
} gate_answer;

typedef struct gate_request {
    struct tt_gate *gate;
    struct MHD_Connection *connection;
    gate_connection *peer;
    gate_route route;
    gate_method method;
    double started;

    tt_token_owner owner;
    char id[TT_JOB_ID_BYTES]; /* of its path, or of the job that it made */
    char key[GATE_KEY_BYTES]; /* "": none */
    char type[48];            /* Content-Type */
    uint32_t scale;
    bool expects_continue;

    uint8_t *body;
    size_t n_body, capacity, content_length;
    bool is_accepted; /* POST: the ledger has it */

    double deadline; /* of its Prefer: wait */
    double accepted; /* about when its job was accepted: the order of those that wait */
    gate_answer answer;
    struct gate_request *before, *next; /* in the list of those that wait, or in the queue for the ledger */
} gate_request;

typedef struct gate_list {
    gate_request *first, *last;
    size_t n;
} gate_list;

struct tt_gate {
    tt_gate_params params;
    char *texts[4];      /* the params' strings, owned */
    char **model_hashes; /* theirs too */
    tt_log log;
    tt_tokens *tokens;
    tt_metrics *metrics;
    struct MHD_Daemon *daemon;
    uint16_t port;

    pthread_mutex_t lock; /* guards all that follows */
    pthread_cond_t work;  /* there is something in the queue, or the threads are to end */
    pthread_cond_t quiet; /* a request ended, or nothing is suspended any more */
    gate_list queue, waiting;
    gate_connection *connections;
    size_t n_connections, n_requests, n_suspended;
    size_t body_bytes, result_bytes; /* in memory */
    uint64_t generation;             /* jobs may have ended that often */
    bool draining, ending;

    pthread_t *ledger_threads;
    uint32_t n_ledger_threads;
    pthread_t watcher, timekeeper;
    bool has_watcher, has_timekeeper;
};

/* ---- gate-head.c: method, path and headers into the request; what is wrong with them becomes its answer */
void gate_head_read(gate_request *request, const char *path, const char *method, const char *version);

/* ---- gate-http.c: libmicrohttpd's calls */
tt_status gate_http_start(struct tt_gate *gate, tt_error *err);

/* ---- gate-answer.c */
/* The functions below replace an answer that is there. detail is one sentence. */
void gate_refuse(gate_request *request, uint32_t code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The text becomes the answer's. */
void gate_answer_text(gate_request *request, uint32_t code, const char *type, tt_text *text);
/* The job's status as JSON, with Retry-After while it is not over, and for 202 with Location. */
void gate_answer_status(gate_request *request, uint32_t code, const tt_job *job);
/* Hands the answer to libmicrohttpd; its thread only. */
enum MHD_Result gate_send(gate_request *request);
void gate_answer_clear(gate_request *request);
/* Counts the bytes of the answer that is there as the gate's memory, until it is sent or cleared. */
void gate_answer_count(gate_request *request);
const char *gate_stage_name(tt_job_stage stage);
const char *gate_route_name(gate_route route);

/* ---- gate-pool.c: the threads that ask the ledger */
tt_status gate_pool_start(struct tt_gate *gate, tt_error *err);
void gate_pool_end(struct tt_gate *gate);
/* Suspends the request's connection and queues it. libmicrohttpd's thread only. False: the gate is being stopped. */
bool gate_pool_submit(gate_request *request);
/* The answer is there: back to libmicrohttpd. The request is not the caller's any more. */
void gate_pool_finish(gate_request *request);
/* Queues it again; with the lock held. */
void gate_pool_push(struct tt_gate *gate, gate_request *request);

/* ---- gate-jobs.c: what the ledger is asked */
void gate_ask(tt_ledger *ledger, gate_request *request);
/* The ledger failed: 503, and a line for the log. */
void gate_fail_ledger(gate_request *request, const tt_error *why);

/* ---- gate-post.c: a body becomes a job. False: the answer is there. */
bool gate_post(tt_ledger *ledger, gate_request *request, tt_job *job);
/* Frees the body and counts it out. */
void gate_drop_body(gate_request *request);

/* ---- gate-extra.c: A1111's form */
/* The JSON body is replaced by the picture in it, scale and type are set. False: the answer is there. */
bool gate_extra_read(gate_request *request);
void gate_extra_answer(gate_request *request, const void *result, size_t n_bytes);

/* ---- gate-waiting.c: those that wait for a job to end, oldest job first */
/* Puts the request there, unless jobs ended since `generation` was read (then it asks again) or the gate drains. */
void gate_wait(gate_request *request, const tt_job *job, uint64_t generation);
uint64_t gate_generation(struct tt_gate *gate);
/* All that wait for this job ask again. */
void gate_wake_job(struct tt_gate *gate, const char *id);
/* All whose deadline is over, or whose client is gone, ask again for the last time; with the lock held. */
void gate_wake_late(struct tt_gate *gate, double now, bool everybody);
void *gate_watch(void *gate);

/* ---- gate-deadlines.c: connections and how long they may take */
gate_connection *gate_connection_open(struct tt_gate *gate, int descriptor);
void gate_connection_close(struct tt_gate *gate, gate_connection *connection);
void gate_connection_now(struct tt_gate *gate, gate_connection *connection, gate_activity activity, size_t n_to_send);
void *gate_keep_time(void *gate);

/* ---- gate-counts.c */
typedef enum gate_count {
    GATE_N_REQUESTS = 0,
    GATE_POST_SECONDS,
    GATE_JOBS,
    GATE_OLDEST,
    GATE_CONNECTIONS,
    GATE_WAITING,
    GATE_RECEIVED,
    GATE_SENT,
    GATE_BODY_BYTES,
    GATE_RESULT_BYTES,
    GATE_LEDGER_FAILURES,
    GATE_CLOSED_SLOW
} gate_count;
tt_status gate_counts_create(tt_metrics **metrics, tt_error *err);
void gate_counts_answer(tt_ledger *ledger, gate_request *request);

#endif
