/* http-try.c - a request over a connection of its own. */
#define _GNU_SOURCE
#include "tests/support/http-try.h"
#include "tests/support/http-peer.h"

#include "base/clock.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (peer >= 0 && connect(peer, (struct sockaddr *)&address, sizeof address) == 0)
        return peer;
    if (peer >= 0)
        (void)close(peer);
    return -1;
}

const char *http_answer_header(const http_answer *answer, const char *name, char value[256])
{
    const size_t n = strlen(name);
    value[0] = '\0';
    for (const char *line = strchr(answer->bytes, '\n'); line != NULL && line < answer->body;
         line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            (void)snprintf(value, 256, "%.*s", (int)strcspn(line + n + 2, "\r"), line + n + 2);
    }
    return value;
}

bool http_parse(const char *bytes, size_t n_bytes, http_answer *answer)
{
    char value[256];
    const char *end = n_bytes > 0 ? memmem(bytes, n_bytes, "\r\n\r\n", 4) : NULL;
    *answer = (http_answer){0};
    if (end == NULL || sscanf(bytes, "HTTP/1.%*d %d", &answer->code) != 1)
        return false;
    answer->bytes = (char *)(uintptr_t)bytes;
    answer->body = end + 4;
    answer->n_body = n_bytes - (size_t)(answer->body - bytes);
    return strtoull(http_answer_header(answer, "Content-Length", value), NULL, 10) == answer->n_body;
}

/* Reads until the answer is whole, the other side ends or time is over. */
static bool receive(int peer, double seconds, http_answer *answer)
{
    const double until = tt_clock_seconds() + seconds;
    tt_text text = {0};
    for (;;) {
        char part[16384];
        struct pollfd wait = {.fd = peer, .events = POLLIN};
        const double left = until - tt_clock_seconds();
        const ssize_t n =
            left > 0 && poll(&wait, 1, (int)(left * 1000) + 1) > 0 ? recv(peer, part, sizeof part, 0) : -1;
        if (n <= 0)
            break;
        tt_text_add(&text, part, (size_t)n);
        if (http_parse(text.bytes, text.n_bytes, answer))
            return true;
    }
    tt_text_free(&text);
    *answer = (http_answer){0};
    return false;
}

bool http_try(uint16_t port, const char *method_and_path, const char *headers, const void *body, size_t n_body,
              double seconds, http_answer *answer)
{
    char head[1024];
    const int peer = connect_to(port);
    *answer = (http_answer){0};
    if (peer < 0)
        return false;
    (void)snprintf(head, sizeof head,
                   "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
                   method_and_path, headers, n_body);
    const bool is_there =
        http_send(peer, head, strlen(head)) && http_send(peer, body, n_body) && receive(peer, seconds, answer);
    (void)close(peer);
    return is_there;
}

void http_answer_free(http_answer *answer)
{
    free(answer->bytes);
    *answer = (http_answer){0};
}
