/* scripted-server.c - one thread, one connection at a time. */
#define _GNU_SOURCE
#include "tests/support/scripted-server.h"
#include "tests/support/http-peer.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

int loopback_listen(uint16_t *port)
{
    const int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(listener >= 0);
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &n), 0);
    *port = ntohs(address.sin_port);
    return listener;
}

/* True when there is something to read; false when the server stops first. */
static bool wait_for(scripted_server *server, int peer)
{
    struct pollfd wait = {.fd = peer, .events = POLLIN};
    while (!atomic_load(&server->is_stopping))
        if (poll(&wait, 1, 20) > 0)
            return true;
    return false;
}

/* Reads until the request has n_wanted bytes; false when the connection or the server ends. */
static bool read_until(scripted_server *server, int peer, tt_text *request, size_t n_wanted)
{
    char bytes[16384];
    while (request->n_bytes < n_wanted) {
        const size_t left = n_wanted - request->n_bytes;
        if (!wait_for(server, peer))
            return false;
        const ssize_t n = recv(peer, bytes, left < sizeof bytes ? left : sizeof bytes, 0);
        if (n <= 0)
            return false;
        tt_text_add(request, bytes, (size_t)n);
    }
    return true;
}

static bool read_head(scripted_server *server, int peer, tt_text *request)
{
    while (request->bytes == NULL || strstr(request->bytes, "\r\n\r\n") == NULL)
        if (!read_until(server, peer, request, request->n_bytes + 1))
            return false;
    return true;
}

static size_t body_length(const tt_text *request)
{
    const char *line = strstr(request->bytes, "Content-Length:");
    return line != NULL ? strtoul(line + 15, NULL, 10) : 0;
}

static void keep(scripted_server *server, tt_text *request)
{
    (void)pthread_mutex_lock(&server->lock);
    const unsigned index = atomic_load(&server->n_requests);
    if (index < TT_MAX_REQUESTS)
        server->requests[index] = *request;
    else
        tt_text_free(request);
    *request = (tt_text){0};
    atomic_store(&server->n_requests, index + 1);
    (void)pthread_mutex_unlock(&server->lock);
}

static void sleep_for(scripted_server *server, double seconds)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    const double until = tt_clock_seconds() + seconds;
    while (tt_clock_seconds() < until && !atomic_load(&server->is_stopping))
        (void)nanosleep(&moment, NULL);
}

/* False: the connection ends here. */
static bool answer(scripted_server *server, int peer, const server_step *step)
{
    static const char zeros[65536];
    tt_text head = {0};
    sleep_for(server, step->delay);
    tt_text_format(&head, "HTTP/1.1 %s", step->head);
    if (!step->no_length)
        tt_text_format(&head, "Content-Length: %zu\r\n", step->declared ? step->declared : step->n_body);
    tt_text_add_string(&head, "\r\n");
    bool goes_on = http_send(peer, head.bytes, head.n_bytes) && http_send(peer, step->body, step->n_body);
    for (size_t sent = 0; sent < step->n_endless && goes_on; sent += sizeof zeros)
        goes_on = http_send(peer, zeros, sizeof zeros);
    tt_text_free(&head);
    return goes_on && !step->no_length && (step->declared == 0 || step->declared == step->n_body);
}

static bool serve(scripted_server *server, int peer)
{
    tt_text request = {0};
    const size_t index = atomic_load(&server->n_requests);
    const server_step *step = &server->steps[index < server->n_steps ? index : server->n_steps - 1];
    bool is_whole = read_head(server, peer, &request);
    if (is_whole) {
        const size_t n_head = (size_t)(strstr(request.bytes, "\r\n\r\n") - request.bytes) + 4;
        const size_t n_body = body_length(&request);
        is_whole = read_until(server, peer, &request, n_head + (step->n_read ? step->n_read : n_body));
        keep(server, &request);
        is_whole = is_whole && step->n_read == 0;
    }
    tt_text_free(&request);
    return is_whole && step->head != NULL && answer(server, peer, step);
}

static void *run(void *user)
{
    scripted_server *server = user;
    while (wait_for(server, server->listener)) {
        const int peer = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        while (peer >= 0 && serve(server, peer)) {
        }
        if (peer >= 0)
            (void)close(peer);
    }
    return NULL;
}

void scripted_server_start(scripted_server *server, const server_step *steps, size_t n_steps)
{
    *server = (scripted_server){.steps = steps, .n_steps = n_steps};
    server->listener = loopback_listen(&server->port);
    assert_int_equal(pthread_mutex_init(&server->lock, NULL), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, run, server), 0);
}

void scripted_server_stop(scripted_server *server)
{
    atomic_store(&server->is_stopping, true);
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    (void)close(server->listener);
    for (size_t i = 0; i < TT_MAX_REQUESTS; i++)
        tt_text_free(&server->requests[i]);
    (void)pthread_mutex_destroy(&server->lock);
}

bool scripted_server_got(scripted_server *server, size_t index, const char *text)
{
    const size_t n = strlen(text);
    bool found = false;
    (void)pthread_mutex_lock(&server->lock);
    const tt_text *request = &server->requests[index < TT_MAX_REQUESTS ? index : 0];
    for (size_t i = 0; i + n <= request->n_bytes && !found; i++)
        found = memcmp(request->bytes + i, text, n) == 0;
    (void)pthread_mutex_unlock(&server->lock);
    return found && index < atomic_load(&server->n_requests);
}
