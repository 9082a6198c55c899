/* http.c - one exchange by libcurl. The multi interface is driven by hand, so that cancelling takes a tenth of a
 * second whatever the network does. */
#include "cloud/http.h"

#include "base/clock.h"
#include "cloud/http-head.h"
#include "cloud/http-url.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { POLL_MS = 100, MAX_HEAD_BYTES = 32 << 10, MAX_ADDRESS = 1024 };

struct tt_http {
    tt_http_service service;
    tt_http_url url;
    CURLM *multi;
    CURL *easy;
};

/* One exchange that runs. */
typedef struct exchange {
    const tt_http_request *request;
    tt_http_answer *answer;
    size_t n_head_bytes;
    bool is_too_long, is_out_of_memory, is_stalled, is_cancelled;
    char reason[CURL_ERROR_SIZE];
} exchange;

/* ---- the handle */

/* RFC 6750's characters of a bearer token: nothing that could end a header line. */
static bool is_token(const char *token)
{
    const size_t n = strlen(token);
    return n > 0 && n <= 4096 &&
           strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") == n;
}

static tt_status start_libcurl(tt_error *err)
{
    const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);
    if ((version->features & CURL_VERSION_THREADSAFE) == 0)
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "libcurl %s cannot be started safely beside other threads; install 7.84 or newer",
                       version->version);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return tt_fail(err, TT_ERROR_INTERNAL, "libcurl %s cannot be started; check its installation",
                       version->version);
    return TT_OK;
}

tt_status tt_http_open(const tt_http_service *service, tt_http **http, tt_error *err)
{
    tt_http_url url;
    *http = NULL;
    tt_status status = tt_http_url_read(service->url, &url, err);
    if (status == TT_OK && service->token != NULL && !is_token(service->token))
        status = tt_fail(err, TT_ERROR_ARGUMENT,
                         "the service's token holds characters that no bearer token has; letters, digits and "
                         "-._~+/= are taken, 1 to 4096 of them");
    if (status == TT_OK)
        status = start_libcurl(err);
    if (status != TT_OK)
        return status;
    tt_http *made = malloc(sizeof *made);
    if (made != NULL) {
        *made = (tt_http){*service, url, curl_multi_init(), curl_easy_init()};
        *http = made;
        if (made->multi != NULL && made->easy != NULL)
            return TT_OK;
        tt_http_close(made);
    } else
        curl_global_cleanup();
    *http = NULL;
    return tt_fail_memory(err, "a connection", sizeof *made);
}

void tt_http_close(tt_http *http)
{
    if (http == NULL)
        return;
    curl_easy_cleanup(http->easy);
    curl_multi_cleanup(http->multi);
    free(http);
    curl_global_cleanup();
}

/* ---- what comes in */

static size_t on_head(char *line, size_t size, size_t n, void *user)
{
    exchange *x = user;
    x->n_head_bytes += size * n;
    if (x->n_head_bytes > MAX_HEAD_BYTES) {
        x->is_too_long = true;
        return 0;
    }
    tt_http_head_line(line, size * n, x->answer);
    return size * n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
    exchange *x = user;
    tt_text *body = &x->answer->body;
    x->is_too_long = size * n > x->request->max_bytes - body->n_bytes;
    if (x->is_too_long)
        return 0;
    tt_text_add(body, bytes, size * n);
    x->is_out_of_memory = body->failed;
    return body->failed ? 0 : size * n;
}

/* ---- the request */

static bool set_connection(tt_http *http)
{
    CURL *easy = http->easy;
    bool is_set = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, http->url.is_secure ? "https" : "http") == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK;
    is_set &=
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(http->service.connect_seconds * 1e3) + 1) == CURLE_OK;
    /* What is meant for this machine goes through no proxy. */
    if (http->url.is_loopback)
        is_set &= curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
    if (!http->url.is_secure)
        return is_set;
    is_set &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    /* A file of certificates stands in the place of the system's, which would be taken beside it. */
    if (http->service.ca_file != NULL)
        is_set &= curl_easy_setopt(easy, CURLOPT_CAINFO, http->service.ca_file) == CURLE_OK &&
                  curl_easy_setopt(easy, CURLOPT_CAPATH, (char *)NULL) == CURLE_OK;
    return is_set;
}

static bool set_method(CURL *easy, const tt_http_request *request)
{
    if (request->body == NULL)
        return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK;
    return curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->n_body_bytes) == CURLE_OK;
}

static bool set_request(tt_http *http, exchange *x, struct curl_slist *headers)
{
    CURL *easy = http->easy;
    char address[MAX_ADDRESS], agent[64];
    const int n = snprintf(address, sizeof address, "%s%s", http->service.url, x->request->path);
    (void)snprintf(agent, sizeof agent, "tintype/%s", tt_version());
    bool is_set = n > 0 && n < MAX_ADDRESS && curl_easy_setopt(easy, CURLOPT_URL, address) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_USERAGENT, agent) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(x->request->timeout_seconds * 1e3) + 1) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)x->request->max_bytes) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->reason) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_HEADERDATA, x) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
    is_set &= curl_easy_setopt(easy, CURLOPT_WRITEDATA, x) == CURLE_OK;
    return is_set && set_method(easy, x->request);
}

static bool add_header(struct curl_slist **headers, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (longer != NULL)
        *headers = longer;
    return longer != NULL;
}

static bool make_headers(const tt_http *http, const tt_http_request *request, struct curl_slist **headers)
{
    char line[4200];
    bool is_made = true;
    for (size_t i = 0; i < request->n_headers; i++)
        is_made = is_made && add_header(headers, request->headers[i]);
    if (http->service.token == NULL)
        return is_made;
    (void)snprintf(line, sizeof line, "Authorization: Bearer %s", http->service.token);
    return is_made && add_header(headers, line);
}

/* ---- driving it */

typedef struct moved {
    curl_off_t sent, received, to_receive;
} moved;

static moved look(CURL *easy)
{
    moved m = {0, 0, 0};
    (void)curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &m.sent);
    (void)curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &m.received);
    (void)curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &m.to_receive);
    return m;
}

/* Tells how far it is; false when the exchange must end. */
static bool go_on(exchange *x, const moved *now, moved *last, double *moved_at)
{
    const tt_http_request *request = x->request;
    const double seconds = tt_clock_seconds();
    if (now->sent != last->sent || now->received != last->received)
        *moved_at = seconds;
    *last = *now;
    x->is_stalled = request->stall_seconds > 0.0 && seconds - *moved_at > request->stall_seconds;
    if (request->progress != NULL)
        x->is_cancelled =
            !request->progress(request->user, (uint64_t)now->sent, request->n_body_bytes, (uint64_t)now->received,
                               now->to_receive > 0 ? (uint64_t)now->to_receive : 0);
    return !x->is_stalled && !x->is_cancelled;
}

static CURLcode drive(tt_http *http, exchange *x)
{
    int n_running = 1, n_messages = 0;
    moved last = {0, 0, 0};
    double moved_at = tt_clock_seconds();
    while (n_running > 0) {
        if (curl_multi_perform(http->multi, &n_running) != CURLM_OK)
            return CURLE_FAILED_INIT;
        const moved now = look(http->easy);
        if (n_running > 0 && !go_on(x, &now, &last, &moved_at))
            return CURLE_ABORTED_BY_CALLBACK;
        if (n_running > 0 && curl_multi_poll(http->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
            return CURLE_FAILED_INIT;
    }
    const CURLMsg *message = curl_multi_info_read(http->multi, &n_messages);
    return message != NULL && message->msg == CURLMSG_DONE ? message->data.result : CURLE_FAILED_INIT;
}

/* A connection that the other side closed can raise SIGPIPE below the TLS library; it would end the whole process. */
static CURLcode drive_quietly(tt_http *http, exchange *x)
{
    sigset_t pipe, before, pending;
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)sigpending(&pending);
    const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    (void)pthread_sigmask(SIG_BLOCK, &pipe, &before);
    const CURLcode code = drive(http, x);
    int number;
    if (!was_pending && sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1)
        (void)sigwait(&pipe, &number);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

/* ---- what went wrong */

/* Another try may help where nothing but the way to the service is at fault. */
static bool may_help(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static tt_status fail_network(const tt_http *http, const exchange *x, CURLcode code, bool *may_retry, tt_error *err)
{
    const char *url = http->service.url, *reason = x->reason[0] != '\0' ? x->reason : curl_easy_strerror(code);
    *may_retry = x->is_stalled || (may_help(code) && !x->is_too_long);
    if (x->is_stalled)
        return tt_fail(err, TT_ERROR_NETWORK, "the service at %s was silent for %.0f s", url,
                       x->request->stall_seconds);
    if (x->is_too_long || code == CURLE_FILESIZE_EXCEEDED)
        return tt_fail(err, TT_ERROR_NETWORK,
                       "the answer of the service at %s is larger than it can be (%zu bytes); it is not taken", url,
                       x->request->max_bytes);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return tt_fail(err, TT_ERROR_NETWORK,
                       "the certificate of the service at %s is not trusted (%.200s); nothing was sent. For a service "
                       "of your own give the file of its certificate authority",
                       url, reason);
    if (code == CURLE_SSL_CACERT_BADFILE)
        return tt_fail(err, TT_ERROR_IO, "%s cannot be read as certificates in PEM form",
                       http->service.ca_file != NULL ? http->service.ca_file : "the system's certificates");
    return tt_fail(err, TT_ERROR_NETWORK, "the service at %s cannot be reached or broke off: %.200s", url, reason);
}

static tt_status run(tt_http *http, exchange *x, struct curl_slist *headers, bool *may_retry, tt_error *err)
{
    curl_easy_reset(http->easy);
    if (!set_connection(http) || !set_request(http, x, headers))
        return tt_fail(err, TT_ERROR_INTERNAL,
                       "libcurl %s does not take the options of a request; install 7.85 or newer",
                       curl_version_info(CURLVERSION_NOW)->version);
    if (curl_multi_add_handle(http->multi, http->easy) != CURLM_OK)
        return tt_fail_memory(err, "a request", sizeof *x);
    const CURLcode code = drive_quietly(http, x);
    (void)curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &x->answer->code);
    (void)curl_multi_remove_handle(http->multi, http->easy);
    if (x->is_cancelled)
        return tt_fail(err, TT_ERROR_CANCELLED, "cancelled");
    if (x->is_out_of_memory || code == CURLE_OUT_OF_MEMORY)
        return tt_fail_memory(err, "the service's answer", x->answer->body.n_bytes);
    return code == CURLE_OK ? TT_OK : fail_network(http, x, code, may_retry, err);
}

tt_status tt_http_exchange(tt_http *http, const tt_http_request *request, tt_http_answer *answer, bool *may_retry,
                           tt_error *err)
{
    exchange x = {.request = request, .answer = answer};
    struct curl_slist *headers = NULL;
    *may_retry = false;
    tt_http_answer_free(answer);
    tt_status status = make_headers(http, request, &headers) ? run(http, &x, headers, may_retry, err)
                                                             : tt_fail_memory(err, "a request", sizeof x);
    (void)curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, (struct curl_slist *)NULL);
    curl_slist_free_all(headers);
    return status;
}
