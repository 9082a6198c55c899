/* waiting-clients.c - a state for each client, and epoll. */
#define _GNU_SOURCE
#include "tests/support/waiting-clients.h"

#include "base/clock.h"
#include "base/text.h"
#include "tests/support/http-peer.h"
#include "tests/support/http-try.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_EVENTS = 256, ID_BYTES = 33 };

typedef enum client_state { IDLE = 0, POSTING, WAITING, DONE } client_state;

typedef struct client {
    client_state state;
    int peer;
    double since, start_at;
    char id[ID_BYTES];
    tt_text got;
} client;

struct waiting_clients {
    uint16_t port;
    size_t n, n_at_once, n_posting;
    const small_jobs *jobs;
    client *clients;
    waiting_counts counts;
    double *post_seconds;
    int poll;
};

waiting_clients *waiting_clients_make(uint16_t port, size_t n, size_t n_at_once, const small_jobs *jobs)
{
    waiting_clients *w = calloc(1, sizeof *w);
    assert_non_null(w);
    *w = (waiting_clients){.port = port, .n = n, .n_at_once = n_at_once, .jobs = jobs};
    w->clients = calloc(n, sizeof *w->clients);
    w->post_seconds = calloc(n, sizeof *w->post_seconds);
    w->poll = epoll_create1(EPOLL_CLOEXEC);
    assert_true(w->clients != NULL && w->post_seconds != NULL && w->poll >= 0);
    return w;
}

void waiting_clients_free(waiting_clients *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->clients[i].state == POSTING || w->clients[i].state == WAITING)
            (void)close(w->clients[i].peer);
        tt_text_free(&w->clients[i].got);
    }
    (void)close(w->poll);
    free(w->clients);
    free(w->post_seconds);
    free(w);
}

static void send_post(waiting_clients *w, size_t i)
{
    client *c = &w->clients[i];
    const struct small_job *job = &w->jobs->kinds[i % SMALL_JOBS_KINDS];
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
    char head[256];
    c->since = tt_clock_seconds();
    c->peer = http_connect(w->port);
    c->state = POSTING;
    w->n_posting++;
    (void)snprintf(head, sizeof head,
                   "POST /v1/upscales HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nIdempotency-Key: client-%zu\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   i, job->n_body);
    (void)(http_send_text(c->peer, head) && http_send(c->peer, job->body, job->n_body));
    assert_int_equal(fcntl(c->peer, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(epoll_ctl(w->poll, EPOLL_CTL_ADD, c->peer, &event), 0);
}

static void hang_up(client *c, client_state state)
{
    (void)close(c->peer);
    c->state = state;
}

static void wait_for_result(waiting_clients *w, client *c)
{
    char head[256];
    (void)snprintf(head, sizeof head, "GET /v1/upscales/%s/image HTTP/1.1\r\nHost: x\r\nPrefer: wait=600\r\n\r\n",
                   c->id);
    assert_true(http_send_text(c->peer, head));
    c->state = WAITING;
    w->counts.n_waiting++;
}

static void take_refusal(waiting_clients *w, client *c, const http_answer *answer)
{
    char value[256];
    const int seconds = atoi(http_answer_header(answer, "Retry-After", value));
    if (seconds < 1)
        fail_msg("a 503 without Retry-After: %.300s", answer->bytes);
    w->counts.n_refused++;
    c->start_at = tt_clock_seconds() + seconds;
    hang_up(c, IDLE);
}

static void take_post_answer(waiting_clients *w, client *c, const http_answer *answer)
{
    static const char prefix[] = "/v1/upscales/";
    char value[256];
    w->n_posting--;
    if (answer->code == 503) {
        take_refusal(w, c, answer);
        return;
    }
    if (answer->code != 202)
        fail_msg("%d: %.300s", answer->code, answer->body);
    w->post_seconds[w->counts.n_accepted++] = tt_clock_seconds() - c->since;
    (void)http_answer_header(answer, "Location", value);
    assert_int_equal(strlen(value), sizeof prefix - 1 + ID_BYTES - 1);
    memcpy(c->id, value + sizeof prefix - 1, ID_BYTES);
    wait_for_result(w, c);
}

static void take_result(waiting_clients *w, size_t i, const http_answer *answer)
{
    client *c = &w->clients[i];
    const struct small_job *job = &w->jobs->kinds[i % SMALL_JOBS_KINDS];
    w->counts.n_waiting--;
    if (answer->code == 202) { /* it may be told to come back */
        wait_for_result(w, c);
        return;
    }
    if (answer->code != 200)
        fail_msg("client %zu waited and got %d: %.300s", i, answer->code, answer->body);
    assert_int_equal(answer->n_body, job->n_result);
    assert_memory_equal(answer->body, job->result, job->n_result);
    w->counts.n_done++;
    hang_up(c, DONE);
}

static void receive(waiting_clients *w, size_t i)
{
    client *c = &w->clients[i];
    char part[16384];
    http_answer answer;
    const ssize_t n = recv(c->peer, part, sizeof part, 0);
    if (n <= 0)
        fail_msg("client %zu: the connection ended without an answer: %s", i, n < 0 ? strerror(errno) : "closed");
    tt_text_add(&c->got, part, (size_t)n);
    if (!http_parse(c->got.bytes, c->got.n_bytes, &answer))
        return;
    if (c->state == POSTING)
        take_post_answer(w, c, &answer);
    else
        take_result(w, i, &answer);
    tt_text_free(&c->got);
    c->got = (tt_text){0};
}

void waiting_clients_until(waiting_clients *w, size_t n_started, bool (*enough)(const waiting_counts *, size_t),
                           size_t wanted, double seconds)
{
    const double until = tt_clock_seconds() + seconds;
    while (!enough(&w->counts, wanted)) {
        struct epoll_event events[N_EVENTS];
        const double now = tt_clock_seconds();
        for (size_t i = 0; i < n_started && w->n_posting < w->n_at_once; i++)
            if (w->clients[i].state == IDLE && w->clients[i].start_at <= now)
                send_post(w, i);
        const int n = epoll_wait(w->poll, events, N_EVENTS, 20);
        for (int i = 0; i < n; i++)
            receive(w, (size_t)events[i].data.u64);
        if (now > until)
            fail_msg("after %g s: %zu wait, %zu are done, %zu were refused", seconds, w->counts.n_waiting,
                     w->counts.n_done, w->counts.n_refused);
    }
}

waiting_counts waiting_clients_counts(const waiting_clients *w)
{
    return w->counts;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double waiting_clients_percentile(const waiting_clients *w, double share)
{
    const size_t n = w->counts.n_accepted;
    assert_true(n > 0);
    qsort(w->post_seconds, n, sizeof *w->post_seconds, by_value);
    return w->post_seconds[(size_t)(share * (double)(n - 1))];
}
