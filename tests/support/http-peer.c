/* http-peer.c - sockets, and as much of HTTP as answers need. */
#define _DEFAULT_SOURCE
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
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

int http_connect(uint16_t port)
{
    const int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(peer >= 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&address, sizeof address), 0);
    return peer;
}

bool http_send(int peer, const void *bytes, size_t n_bytes)
{
    const char *at = bytes;
    while (n_bytes > 0) {
        const ssize_t n = send(peer, at, n_bytes, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

bool http_send_text(int peer, const char *text)
{
    return http_send(peer, text, strlen(text));
}

/* Up to n bytes; 0: closed, -1: nothing came until `until`. */
static ssize_t receive_some(int peer, char *bytes, size_t n, double until)
{
    const double left = until - tt_clock_seconds();
    struct pollfd wait = {.fd = peer, .events = POLLIN};
    if (poll(&wait, 1, left > 0 ? (int)(left * 1000) + 1 : 0) <= 0)
        return -1;
    const ssize_t got = recv(peer, bytes, n, 0);
    return got < 0 ? 0 : got;
}

const char *http_header(const http_reply *reply, const char *name, char value[256])
{
    const size_t n = strlen(name);
    value[0] = '\0';
    for (const char *line = strchr(reply->head, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            (void)snprintf(value, 256, "%.*s", (int)strcspn(line + n + 2, "\r"), line + n + 2);
    }
    return value;
}

/* The head, byte by byte, so that nothing behind it is taken. */
static void receive_head(int peer, http_reply *reply, double until)
{
    size_t n = 0;
    while (n + 1 < sizeof reply->head) {
        const ssize_t got = receive_some(peer, reply->head + n, 1, until);
        if (got <= 0) {
            reply->code = (int)got;
            return;
        }
        reply->head[++n] = '\0';
        if (n >= 4 && strcmp(reply->head + n - 4, "\r\n\r\n") == 0)
            break;
    }
    if (sscanf(reply->head, "HTTP/1.%*d %d", &reply->code) != 1)
        fail_msg("no answer of HTTP: %s", reply->head);
}

http_reply http_receive(int peer, double seconds, bool has_body)
{
    http_reply reply = {0};
    char value[256];
    const double until = tt_clock_seconds() + seconds;
    receive_head(peer, &reply, until);
    if (reply.code == 100)
        receive_head(peer, &reply, until);
    const size_t n_wanted =
        reply.code > 0 && has_body ? (size_t)strtoull(http_header(&reply, "Content-Length", value), NULL, 10) : 0;
    reply.body = calloc(1, n_wanted + 1);
    assert_non_null(reply.body);
    while (reply.n_body < n_wanted) {
        const ssize_t got = receive_some(peer, reply.body + reply.n_body, n_wanted - reply.n_body, until);
        if (got <= 0)
            fail_msg("the answer ended after %zu of %zu bytes", reply.n_body, n_wanted);
        reply.n_body += (size_t)got;
    }
    return reply;
}

void http_reply_free(http_reply *reply)
{
    free(reply->body);
    *reply = (http_reply){0};
}

http_reply http_ask(uint16_t port, const char *head, const void *body, size_t n_body)
{
    const int peer = http_connect(port);
    char length[64] = "";
    if (body != NULL)
        (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", n_body);
    (void)(http_send_text(peer, head) && http_send_text(peer, "Host: localhost\r\n") && http_send_text(peer, length) &&
           http_send_text(peer, "\r\n") && http_send(peer, body, n_body));
    http_reply reply = http_receive(peer, 20, strncmp(head, "HEAD", 4) != 0);
    (void)close(peer);
    return reply;
}

bool http_is_closed(int peer, double seconds)
{
    char byte;
    return receive_some(peer, &byte, 1, tt_clock_seconds() + seconds) == 0;
}
