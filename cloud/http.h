/* http.h - one HTTP exchange, a thin layer over libcurl; used inside this room.
 *
 * Certificates are always checked. Redirects are not followed: a service that moves says so and the user decides. Plain
 * http is taken for loopback addresses only. Nothing of a token ever reaches a sentence or a log.
 *
 * Process-wide state: libcurl counts its users itself, and that count is safe with threads from libcurl 7.84 on. Each
 * tt_http is one user, from tt_http_open to tt_http_close; an application that uses libcurl too is another. tintype
 * keeps nothing global of its own, and SIGPIPE is held back in the calling thread during an exchange alone.
 *
 * Without libcurl (TINTYPE_CLOUD=OFF) tt_http_open fails with TT_ERROR_UNSUPPORTED. */
#ifndef TT_CLOUD_HTTP_H
#define TT_CLOUD_HTTP_H

#include "base/error.h"
#include "base/text.h"

typedef struct tt_http tt_http;

/* What stays the same between exchanges with one service. Strings are kept by reference. */
typedef struct tt_http_service {
    const char *url;     /* base, without a slash at the end */
    const char *token;   /* NULL: no Authorization */
    const char *ca_file; /* NULL: the system's */
    double connect_seconds;
} tt_http_service;

/* Called several times a second, whether bytes move or not; false stops with TT_ERROR_CANCELLED. to_receive is 0 until
 * the answer says its length. */
typedef bool (*tt_http_progress_fn)(void *user, uint64_t sent, uint64_t to_send, uint64_t received,
                                    uint64_t to_receive);

typedef struct tt_http_request {
    const char *method;         /* "GET", "POST", "DELETE" */
    const char *path;           /* "/v1/upscales?scale=2", appended to the base */
    const char *const *headers; /* n_headers lines "Name: value" */
    size_t n_headers;
    const void *body; /* NULL: none */
    size_t n_body_bytes;
    double timeout_seconds; /* of the exchange */
    double stall_seconds;   /* ... and without a byte in either direction */
    size_t max_bytes;       /* of an answer's body: longer ones fail */
    tt_http_progress_fn progress;
    void *user;
} tt_http_request;

/* An answer. Zero-initialise; free with tt_http_answer_free. */
typedef struct tt_http_answer {
    long code;               /* 200, ... */
    double retry_after;      /* seconds; negative: not said */
    char type[96];           /* Content-Type without parameters, lower case */
    char location[512];      /* "" : none */
    char digest[72];         /* SHA-256 of the body as the service gave it (Repr-Digest, RFC 9530), hex; "": none */
    uint32_t queue_position; /* TT-Queue-Position; 0: not said */
    tt_text body;
} tt_http_answer; /* of header values, what is too long or no visible ASCII is left out */

/* Makes a handle that keeps connections open. Checks the URL and the token's characters; nothing is connected. */
tt_status tt_http_open(const tt_http_service *service, tt_http **http, tt_error *err);
void tt_http_close(tt_http *http);

/* One exchange. TT_OK for every answer, whatever its code; TT_ERROR_NETWORK when there was none. *may_retry (with
 * TT_ERROR_NETWORK): another try may help (no connection, timeout, cut), false for bad certificates and bad URLs. */
tt_status tt_http_exchange(tt_http *http, const tt_http_request *request, tt_http_answer *answer, bool *may_retry,
                           tt_error *err);
void tt_http_answer_free(tt_http_answer *answer);

/* True for https, and for http to 127.0.0.0/8, [::1] and localhost. */
bool tt_http_url_allowed(const char *url);

#endif
