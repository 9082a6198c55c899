/* gate-head.c - a request's head, judged before a byte of its body is kept. */
#include "service/gate-private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_PATH = 1024, MAX_HEAD = 4096, N_ID = TT_JOB_ID_BYTES - 1 };

/* Headers that matter; NULL: absent. */
typedef struct head {
    const char *content_length, *transfer_encoding, *content_type, *authorization, *key, *expect;
    bool has_accept, accepts_png;
    double wait_seconds;
    size_t n_bytes;
    const char *twice; /* one that may stand there once only */
} head;

/* ---- paths and methods */

static bool is_id(const char *text, size_t n)
{
    return n == N_ID && strspn(text, "0123456789abcdef") >= N_ID;
}

static gate_route find_route(const char *path, char id[TT_JOB_ID_BYTES])
{
    static const struct {
        const char *path;
        gate_route route;
    } fixed[] = {{"/v1/upscales", GATE_UPSCALES},
                 {"/sdapi/v1/extra-single-image", GATE_EXTRA},
                 {"/healthz", GATE_HEALTH},
                 {"/metrics", GATE_METRICS}};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (strcmp(path, fixed[i].path) == 0)
            return fixed[i].route;
    static const char prefix[] = "/v1/upscales/";
    if (strncmp(path, prefix, sizeof prefix - 1) != 0)
        return GATE_NOWHERE;
    const char *name = path + sizeof prefix - 1;
    const size_t n = strcspn(name, "/");
    if (!is_id(name, n) || (name[n] != '\0' && strcmp(name + n, "/image") != 0))
        return GATE_NOWHERE;
    memcpy(id, name, N_ID);
    id[N_ID] = '\0';
    return name[n] == '\0' ? GATE_JOB : GATE_IMAGE;
}

static gate_method find_method(const char *name)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "DELETE", "OPTIONS"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return (gate_method)(1u << i);
    return GATE_OTHER_METHOD;
}

static unsigned methods_of(gate_route route)
{
    switch (route) {
    case GATE_UPSCALES:
    case GATE_EXTRA:
        return GATE_POST | GATE_OPTIONS;
    case GATE_JOB:
        return GATE_GET | GATE_HEAD | GATE_DELETE | GATE_OPTIONS;
    default:
        return GATE_GET | GATE_HEAD | GATE_OPTIONS;
    }
}

/* ---- headers */

/* N of "wait=N" in a list of preferences (RFC 7240); others are ignored, as it wants it. */
static void read_prefer(const char *value, head *h)
{
    for (const char *at = value; *at != '\0'; at += strcspn(at, ",;"), at += *at != '\0') {
        at += strspn(at, " \t");
        if (strncasecmp(at, "wait", 4) != 0)
            continue;
        const char *number = at + 4 + strspn(at + 4, " \t");
        if (*number != '=')
            continue;
        number += 1 + strspn(number + 1, " \t\"");
        if (*number >= '0' && *number <= '9')
            h->wait_seconds = strtod(number, NULL);
    }
}

/* Whether a media range of Accept takes PNG; "q=0" excludes it. */
static bool range_takes_png(const char *range, size_t n)
{
    static const char *const wanted[] = {"image/png", "image/*", "*/*"};
    const size_t n_type = strcspn(range, ";, \t");
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (n_type != strlen(wanted[i]) || strncasecmp(range, wanted[i], n_type) != 0)
            continue;
        for (size_t at = n_type; at + 2 < n; at++)
            if (strncasecmp(range + at, "q=0", 3) == 0)
                return strtod(range + at + 2, NULL) > 0;
        return true;
    }
    return false;
}

static void read_accept(const char *value, head *h)
{
    h->has_accept = true;
    while (*value != '\0') {
        value += strspn(value, " \t,");
        const size_t n = strcspn(value, ",");
        h->accepts_png |= n > 0 && range_takes_png(value, n);
        value += n;
    }
}

static enum MHD_Result read_header(void *object, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    head *h = object;
    const struct {
        const char *name, **value;
    } single[] = {{MHD_HTTP_HEADER_CONTENT_LENGTH, &h->content_length},
                  {MHD_HTTP_HEADER_TRANSFER_ENCODING, &h->transfer_encoding},
                  {MHD_HTTP_HEADER_CONTENT_TYPE, &h->content_type},
                  {MHD_HTTP_HEADER_AUTHORIZATION, &h->authorization},
                  {MHD_HTTP_HEADER_EXPECT, &h->expect},
                  {"Idempotency-Key", &h->key}};
    value = value == NULL ? "" : value;
    h->n_bytes += strlen(name) + strlen(value) + 4;
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++)
        if (strcasecmp(name, single[i].name) == 0) {
            if (*single[i].value != NULL)
                h->twice = single[i].name;
            *single[i].value = value;
        }
    if (strcasecmp(name, "Prefer") == 0)
        read_prefer(value, h);
    if (strcasecmp(name, MHD_HTTP_HEADER_ACCEPT) == 0)
        read_accept(value, h);
    return MHD_YES;
}

/* ---- judgements: each leaves an answer where something is wrong */

/* A refusal after which the connection cannot go on: what follows is not known to be a request. */
static void refuse_and_close(gate_request *request, uint32_t code, const char *detail)
{
    gate_refuse(request, code, "%s", detail);
    request->answer.closes = true;
}

/* The largest body that the route takes; A1111's form wraps the picture in base64 and JSON. */
static size_t max_body(const gate_request *request)
{
    const size_t most = request->gate->params.limits.max_bytes;
    return request->route == GATE_EXTRA ? most / 3 * 4 + 65536 : most;
}

/* Where the request's body ends. Answers of this function close the connection. */
static void check_framing(gate_request *request, const head *h, const char *version)
{
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        refuse_and_close(request, 505, "HTTP/1.1 is spoken here");
    else if (h->n_bytes > MAX_HEAD)
        refuse_and_close(request, 431, "the headers are too long");
    else if (h->twice != NULL) {
        gate_refuse(request, 400, "the header %s is there twice", h->twice);
        request->answer.closes = true;
    } else if (h->transfer_encoding != NULL)
        refuse_and_close(request, 411, "bodies are taken with Content-Length only, not with Transfer-Encoding");
    else if (h->expect != NULL && strcasecmp(h->expect, "100-continue") != 0)
        refuse_and_close(request, 417, "of Expect only 100-continue is known");
    if (request->answer.code != 0)
        return;
    /* libmicrohttpd has refused what is no number and more than 64 bits. */
    request->content_length = h->content_length != NULL ? (size_t)strtoull(h->content_length, NULL, 10) : 0;
    request->expects_continue = h->expect != NULL;
    if (request->method != GATE_POST && request->content_length > 0)
        refuse_and_close(request, 400, "a body is taken with POST only");
    else if (request->content_length > max_body(request)) {
        gate_refuse(request, 413, "the body has %zu bytes, allowed are %zu", request->content_length,
                    max_body(request));
        request->answer.closes = true;
    }
}

static void check_place(gate_request *request, const char *path)
{
    if (strlen(path) > MAX_PATH) {
        refuse_and_close(request, 414, "the address is too long");
        return;
    }
    if (request->method == GATE_OPTIONS && strcmp(path, "*") == 0) {
        request->answer = (gate_answer){.code = 204, .allow = methods_of(GATE_JOB) | GATE_POST};
        return;
    }
    request->route = find_route(path, request->id);
    const unsigned methods = methods_of(request->route);
    if (request->route == GATE_NOWHERE)
        gate_refuse(request, 404, "there is nothing at this address");
    else if (request->method == GATE_OPTIONS)
        request->answer = (gate_answer){.code = 204, .allow = methods};
    else if ((methods & request->method) == 0) {
        gate_refuse(request, 405, "this method is not for this address");
        request->answer.allow = methods;
    }
}

static void check_owner(gate_request *request, const head *h)
{
    uint32_t code = 0;
    if (request->route == GATE_HEALTH || request->route == GATE_METRICS ||
        tt_tokens_find(request->gate->tokens, h->authorization, &request->owner, &code))
        return;
    gate_refuse(request, code, "%s",
                code == 401 ? "a token is needed: Authorization: Bearer TOKEN" : "this token is not known here");
}

static enum MHD_Result read_argument(void *object, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    gate_request *request = object;
    if (strcmp(name, "scale") != 0)
        return MHD_YES;
    if (request->scale != 0 || value == NULL || strlen(value) != 1 || value[0] < '2' || value[0] > '4') {
        request->scale = UINT32_MAX;
        return MHD_NO;
    }
    request->scale = (uint32_t)(value[0] - '0');
    return MHD_YES;
}

static void check_key(gate_request *request, const char *key)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const size_t n = key != NULL ? strlen(key) : 0;
    if (key == NULL)
        return;
    if (n == 0 || n >= sizeof request->key || strspn(key, allowed) != n)
        gate_refuse(request, 400, "Idempotency-Key must be 1 to 64 letters, digits, '-' and '_'");
    else
        memcpy(request->key, key, n + 1);
}

/* What POST /v1/upscales says of its body. */
static void check_upload(gate_request *request, const head *h)
{
    const size_t n_type = h->content_type != NULL ? strcspn(h->content_type, "; \t") : 0;
    (void)MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, read_argument, request);
    if (request->scale == UINT32_MAX)
        gate_refuse(request, 400, "scale must be 2, 3 or 4");
    else if (n_type == 0 || n_type >= sizeof request->type)
        gate_refuse(request, 415, "Content-Type must be image/png, image/jpeg or application/x-tintype-latent");
    else
        check_key(request, h->key);
    if (request->answer.code != 0)
        return;
    request->scale = request->scale == 0 ? 2 : request->scale;
    memcpy(request->type, h->content_type, n_type);
}

static void check_wishes(gate_request *request, const head *h)
{
    const double most = request->gate->params.max_wait_seconds;
    const double wait = h->wait_seconds < most ? h->wait_seconds : most;
    request->deadline = request->started + (request->route == GATE_EXTRA ? most : wait);
    if (request->method == GATE_POST && h->content_length == NULL)
        refuse_and_close(request, 411, "Content-Length is needed");
    else if ((request->route == GATE_UPSCALES || request->route == GATE_IMAGE) && h->has_accept && !h->accepts_png)
        gate_refuse(request, 406, "the result is image/png, which Accept leaves out");
    else if (request->route == GATE_UPSCALES)
        check_upload(request, h);
}

void gate_head_read(gate_request *request, const char *path, const char *method, const char *version)
{
    head h = {0};
    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, read_header, &h);
    request->method = find_method(method);
    check_place(request, path);
    if (request->answer.closes)
        return;
    /* What is wrong with the framing is said first: after it nothing on this connection can be trusted. */
    const gate_answer placed = request->answer;
    request->answer = (gate_answer){0};
    check_framing(request, &h, version);
    if (request->answer.code != 0) {
        free(placed.body);
        return;
    }
    request->answer = placed;
    if (request->answer.code == 0)
        check_owner(request, &h);
    if (request->answer.code == 0)
        check_wishes(request, &h);
}
