/* http-peer.h - the other end of an HTTP connection, byte by byte, as a client or an attacker would be. Failures of the
 * harness end the test through cmocka. */
#ifndef TT_TESTS_HTTP_PEER_H
#define TT_TESTS_HTTP_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct http_reply {
    int code; /* 0: the connection ended without an answer; -1: nothing came in time */
    char head[4096];
    char *body; /* terminated */
    size_t n_body;
} http_reply;

/* A connection to this port of the loopback. */
int http_connect(uint16_t port);

/* Sends as much as the other side takes; false when it has closed. */
bool http_send(int peer, const void *bytes, size_t n_bytes);
bool http_send_text(int peer, const char *text);

/* Waits up to `seconds` for one answer. has_body false: an answer to HEAD. Free with http_reply_free. */
http_reply http_receive(int peer, double seconds, bool has_body);
void http_reply_free(http_reply *reply);

/* Copies a header's value; "" where there is none. Returns value. */
const char *http_header(const http_reply *reply, const char *name, char value[256]);

/* A new connection, one request (head without its last empty line; Content-Length is added where there is a body), one
 * answer. */
http_reply http_ask(uint16_t port, const char *head, const void *body, size_t n_body);

/* True when the other side closes within `seconds`. */
bool http_is_closed(int peer, double seconds);

#endif
