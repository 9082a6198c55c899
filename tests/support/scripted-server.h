/* scripted-server.h - an HTTP service that does what a script says, wrong things included, on the loopback. */
#ifndef TT_TESTS_SCRIPTED_SERVER_H
#define TT_TESTS_SCRIPTED_SERVER_H

#include "base/text.h"

#include <pthread.h>
#include <stdatomic.h>

enum { TT_MAX_REQUESTS = 64 };

/* One answer. Zeros: an honest one. */
typedef struct server_step {
    const char *head; /* lines after the status line's "HTTP/1.1 ", each with "\r\n"; NULL: closes without a word.
                         Content-Length is added unless `no_length` */
    const void *body;
    size_t n_body;
    size_t declared;  /* Content-Length that is claimed instead of n_body; 0: the truth */
    size_t n_read;    /* closes when so many bytes of the request's body have come; 0: reads all */
    size_t n_endless; /* so many zero bytes follow the body */
    double delay;     /* seconds before the answer */
    bool no_length;   /* and closes at the end */
} server_step;

typedef struct scripted_server {
    uint16_t port;
    int listener;
    const server_step *steps; /* taken in order, the last again and again */
    size_t n_steps;
    pthread_t thread;
    atomic_bool is_stopping;
    atomic_uint n_requests;
    pthread_mutex_t lock;
    tt_text requests[TT_MAX_REQUESTS]; /* heads and bodies as they came */
} scripted_server;

/* steps must live until the stop. */
void scripted_server_start(scripted_server *server, const server_step *steps, size_t n_steps);
void scripted_server_stop(scripted_server *server);

/* True when request `index` came and its head or body contains text. Call it after the client is done. */
bool scripted_server_got(scripted_server *server, size_t index, const char *text);

/* A listening socket on a free port of the loopback; children of the test do not inherit it, or it would stay open. */
int loopback_listen(uint16_t *port);

#endif
