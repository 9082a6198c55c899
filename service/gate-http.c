/* gate-http.c - what libmicrohttpd calls: a connection opens, a head is there, a body arrives, a request is over. */
#define _DEFAULT_SOURCE
#include "service/gate-private.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
    CONNECTION_POOL_BYTES = 8192, /* heads, and what is read and written at a time */
    SPARE_CONNECTIONS = 64,       /* beyond max_connections: to say 503 */
    OTHER_FILES = 128,
    FIRST_BODY_BYTES = 65536,
    BACKLOG = 1024,
};

/* ---- bodies */

void gate_drop_body(gate_request *request)
{
    (void)pthread_mutex_lock(&request->gate->lock);
    request->gate->body_bytes -= request->capacity;
    (void)pthread_mutex_unlock(&request->gate->lock);
    free(request->body);
    request->body = NULL;
    request->n_body = request->capacity = 0;
}

/* Counts n more bytes in, where all bodies together may have them. */
static bool reserve(struct tt_gate *gate, size_t n)
{
    (void)pthread_mutex_lock(&gate->lock);
    const bool fits = gate->body_bytes + n <= gate->params.max_memory_bytes;
    gate->body_bytes += fits ? n : 0;
    (void)pthread_mutex_unlock(&gate->lock);
    return fits;
}

/* Memory grows with what has come, not with what was promised: a slow sender holds little. */
static bool grow_body(gate_request *request, size_t n_wanted)
{
    size_t capacity = request->capacity == 0 ? FIRST_BODY_BYTES : 2 * request->capacity;
    capacity = capacity < n_wanted ? n_wanted : capacity;
    capacity = capacity > request->content_length ? request->content_length : capacity;
    const size_t n_more = capacity - request->capacity;
    if (!reserve(request->gate, n_more))
        return false;
    uint8_t *body = realloc(request->body, capacity);
    if (body == NULL) {
        (void)pthread_mutex_lock(&request->gate->lock);
        request->gate->body_bytes -= n_more;
        (void)pthread_mutex_unlock(&request->gate->lock);
        return false;
    }
    request->body = body;
    request->capacity = capacity;
    return true;
}

/* A part of a body; nothing is kept of one that is refused. */
static void take_part(gate_request *request, const char *bytes, size_t n_bytes)
{
    tt_metrics_add(request->gate->metrics, GATE_RECEIVED, NULL, (double)n_bytes);
    gate_connection_now(request->gate, request->peer, GATE_READS_BODY, 0);
    if (request->answer.code != 0)
        return;
    const size_t n_wanted = request->n_body + n_bytes;
    if (n_wanted > request->content_length)
        gate_refuse(request, 400, "the body is longer than Content-Length says");
    else if (n_wanted > request->capacity && !grow_body(request, n_wanted))
        gate_refuse(request, 503, "too many bodies arrive at once: try again");
    if (request->answer.code != 0) {
        gate_drop_body(request);
        return;
    }
    memcpy(request->body + request->n_body, bytes, n_bytes);
    request->n_body = n_wanted;
}

/* ---- requests */

static gate_request *begin_request(struct tt_gate *gate, struct MHD_Connection *connection)
{
    gate_request *request = calloc(1, sizeof *request);
    if (request == NULL)
        return NULL;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    request->gate = gate;
    request->connection = connection;
    request->peer = info != NULL ? info->socket_context : NULL;
    request->started = tt_clock_seconds();
    (void)pthread_mutex_lock(&gate->lock);
    gate->n_requests++;
    (void)pthread_mutex_unlock(&gate->lock);
    return request;
}

/* The gate itself may have no room, or be about to end. */
static void check_gate(gate_request *request)
{
    struct tt_gate *gate = request->gate;
    (void)pthread_mutex_lock(&gate->lock);
    const bool is_full = gate->n_connections > gate->params.max_connections, is_draining = gate->draining;
    (void)pthread_mutex_unlock(&gate->lock);
    if (!is_full && !is_draining)
        return;
    gate_refuse(request, 503, "%s",
                is_draining ? "the service is being shut down: try again"
                            : "too many connections are open: try again later");
    request->answer.closes = true;
}

/* Called when the head is there. An answer that is known by now is sent at once where no body stands in between, or
 * where the client waits for a 100 before it sends one; else the body is read away first, so that the client, who is
 * still sending, gets to see the answer. */
static enum MHD_Result head_arrived(gate_request *request, const char *path, const char *method, const char *version)
{
    gate_head_read(request, path, method, version);
    if (request->answer.code == 0)
        check_gate(request);
    const gate_answer *answer = &request->answer;
    if (answer->code != 0 && (answer->closes || request->content_length == 0 || request->expects_continue))
        return gate_send(request);
    gate_connection_now(request->gate, request->peer, request->content_length > 0 ? GATE_READS_BODY : GATE_WORKS, 0);
    return MHD_YES;
}

/* Called when all of the request is there, and again when its connection was resumed. */
static enum MHD_Result request_arrived(gate_request *request)
{
    if (request->answer.code == 0 && request->n_body != request->content_length)
        gate_refuse(request, 400, "the body is shorter than Content-Length says");
    if (request->answer.code != 0)
        return gate_send(request);
    gate_connection_now(request->gate, request->peer, GATE_WORKS, 0);
    if (gate_pool_submit(request))
        return MHD_YES;
    check_gate(request);
    return gate_send(request);
}

static enum MHD_Result handle(void *object, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *upload, size_t *n_upload, void **state)
{
    gate_request *request = *state;
    if (request == NULL) {
        *state = request = begin_request(object, connection);
        return request == NULL ? MHD_NO : head_arrived(request, path, method, version);
    }
    if (*n_upload > 0) {
        take_part(request, upload, *n_upload);
        *n_upload = 0;
        return MHD_YES;
    }
    return request_arrived(request);
}

/* The answer was sent, or the client went away. */
static void request_over(void *object, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection;
    (void)code;
    struct tt_gate *gate = object;
    gate_request *request = *state;
    if (request == NULL)
        return;
    *state = NULL;
    gate_drop_body(request);
    gate_answer_clear(request);
    gate_connection_now(gate, request->peer, GATE_READS_HEAD, 0);
    free(request);
    (void)pthread_mutex_lock(&gate->lock);
    gate->n_requests--;
    (void)pthread_cond_broadcast(&gate->quiet);
    (void)pthread_mutex_unlock(&gate->lock);
}

static void connection_changed(void *object, struct MHD_Connection *connection, void **state,
                               enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        gate_connection_close(object, *state);
        *state = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    *state = info != NULL ? gate_connection_open(object, info->connect_fd) : NULL;
}

/* Nothing that is taken here needs percent escapes, so they stay what they are and match nothing. */
static size_t keep_escapes(void *object, struct MHD_Connection *connection, char *text)
{
    (void)object;
    (void)connection;
    return strlen(text);
}

/* ---- start */

typedef union gate_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} gate_address;

static tt_status read_address(const tt_gate_params *params, gate_address *address, tt_error *err)
{
    *address = (gate_address){0};
    if (inet_pton(AF_INET, params->address, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(params->port);
    } else if (inet_pton(AF_INET6, params->address, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons(params->port);
    } else
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "the address to listen at is \"%s\", expected one like 127.0.0.1, 0.0.0.0 or ::1",
                       params->address);
    const bool is_loopback = address->any.sa_family == AF_INET ? ntohl(address->v4.sin_addr.s_addr) >> 24 == 127
                                                               : IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr) != 0;
    if (!is_loopback && params->tokens_path == NULL)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "%s can be reached from other machines: give a file of tokens, or listen at 127.0.0.1",
                       params->address);
    return TT_OK;
}

static tt_status check_files(const tt_gate_params *params, tt_error *err)
{
    struct rlimit limit;
    const rlim_t wanted = (rlim_t)params->max_connections + SPARE_CONNECTIONS + OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < wanted)
        return tt_fail(
            err, TT_ERROR_ARGUMENT,
            "%u connections need %llu open files, this process may have %llu: raise the limit (ulimit -n) or "
            "allow fewer connections",
            params->max_connections, (unsigned long long)wanted, (unsigned long long)limit.rlim_cur);
    return TT_OK;
}

tt_status gate_http_start(struct tt_gate *gate, tt_error *err)
{
    const tt_gate_params *params = &gate->params;
    gate_address address;
    tt_status status = read_address(params, &address, err);
    if (status == TT_OK)
        status = check_files(params, err);
    if (status != TT_OK)
        return status;
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                           (address.any.sa_family == AF_INET6 ? (unsigned)MHD_USE_IPv6 : 0u);
    errno = 0;
    gate->daemon = MHD_start_daemon(
        flags, params->port, NULL, NULL, handle, gate, MHD_OPTION_SOCK_ADDR, &address.any, MHD_OPTION_NOTIFY_COMPLETED,
        request_over, gate, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, gate, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_POOL_BYTES,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)params->max_connections + SPARE_CONNECTIONS,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)BACKLOG, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (gate->daemon == NULL)
        return tt_fail(err, TT_ERROR_NETWORK, "cannot listen at %s, port %u: %s", params->address, params->port,
                       errno != 0 ? strerror(errno) : "libmicrohttpd gives no reason");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(gate->daemon, MHD_DAEMON_INFO_BIND_PORT);
    gate->port = info != NULL ? info->port : params->port;
    return TT_OK;
}
