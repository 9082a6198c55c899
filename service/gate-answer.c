/* gate-answer.c - answers: made by whoever knows them, sent by libmicrohttpd's thread. */
#include "service/gate-private.h"

#include "base/base64.h"
#include "base/json.h"
#include "service/problem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *gate_stage_name(tt_job_stage stage)
{
    static const char *const names[] = {"queued", "working", "done", "failed", "expired"};
    return names[stage];
}

const char *gate_route_name(gate_route route)
{
    static const char *const names[] = {"none", "upscales", "job", "image", "extra", "healthz", "metrics"};
    return names[route];
}

/* Counts bytes of results in or out. */
static void count_result(struct tt_gate *gate, size_t n_in, size_t n_out)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->result_bytes += n_in;
    gate->result_bytes -= n_out;
    (void)pthread_mutex_unlock(&gate->lock);
}

void gate_answer_clear(gate_request *request)
{
    gate_answer *answer = &request->answer;
    if (answer->is_counted && answer->body != NULL)
        count_result(request->gate, 0, answer->n_bytes);
    free(answer->body);
    *answer = (gate_answer){0};
}

void gate_answer_count(gate_request *request)
{
    request->answer.is_counted = true;
    count_result(request->gate, request->answer.n_bytes, 0);
}

void gate_answer_text(gate_request *request, uint32_t code, const char *type, tt_text *text)
{
    gate_answer_clear(request);
    request->answer.code = text->failed ? 500 : code;
    request->answer.type = type;
    request->answer.body = text->bytes;
    request->answer.n_bytes = text->n_bytes;
    *text = (tt_text){0};
}

/* Seconds until a client that was refused should ask again. */
static uint32_t retry_after_refusal(uint32_t code)
{
    return code == 429 ? 10 : code == 503 ? 5 : 0;
}

void gate_refuse(gate_request *request, uint32_t code, const char *format, ...)
{
    char detail[sizeof((tt_error *)0)->text];
    tt_text text = {0};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    if (!tt_utf8_valid(detail, strlen(detail), NULL))
        detail[0] = '\0';
    text.failed = tt_problem_write(code, detail, &text, NULL) != TT_OK;
    gate_answer_text(request, code, "application/problem+json", &text);
    request->answer.retry_after = retry_after_refusal(code);
}

/* A few seconds for each of the jobs before it, so that clients of a long queue ask seldom. */
static uint32_t retry_after_job(const tt_job *job)
{
    const uint64_t seconds = job->stage == TT_JOB_QUEUED ? 1 + job->position / 4 : 1;
    return seconds < 30 ? (uint32_t)seconds : 30;
}

void gate_answer_status(gate_request *request, uint32_t code, const tt_job *job)
{
    const bool is_queued = job->stage == TT_JOB_QUEUED, is_over = job->stage >= TT_JOB_DONE;
    json_t *status =
        json_pack("{s:s, s:s, s:I, s:i, s:i, s:i, s:f, s:s}", "id", job->id, "status", gate_stage_name(job->stage),
                  "queue_position", (json_int_t)(is_queued ? job->position : 0), "scale", (int)job->scale, "width",
                  (int)(job->width * job->scale), "height", (int)(job->height * job->scale), "age_seconds",
                  job->age_seconds, "detail", job->stage == TT_JOB_FAILED ? job->failure : "");
    char *bytes = status != NULL ? json_dumps(status, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(status);
    tt_text text = {.bytes = bytes, .n_bytes = bytes != NULL ? strlen(bytes) : 0, .failed = bytes == NULL};
    gate_answer_text(request, code, "application/json", &text);
    request->answer.names_job = code == 202;
    request->answer.retry_after = code == 202 || !is_over ? retry_after_job(job) : 0;
    request->answer.has_position = is_queued;
    request->answer.position = job->position;
}

/* ---- sending */

typedef struct sent_result {
    struct tt_gate *gate;
    char *bytes;
    size_t n_bytes;
} sent_result;

/* libmicrohttpd is through with a result. */
static void drop_result(void *object)
{
    sent_result *result = object;
    count_result(result->gate, 0, result->n_bytes);
    free(result->bytes);
    free(result);
}

static struct MHD_Response *make_result(gate_request *request)
{
    gate_answer *answer = &request->answer;
    sent_result *result = malloc(sizeof *result);
    if (result == NULL)
        return NULL;
    *result = (sent_result){request->gate, answer->body, answer->n_bytes};
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(answer->n_bytes, answer->body, drop_result, result);
    if (response == NULL) {
        free(result);
        return NULL;
    }
    answer->body = NULL; /* drop_result frees it */
    return response;
}

static struct MHD_Response *make_response(gate_request *request)
{
    gate_answer *answer = &request->answer;
    if (answer->is_counted)
        return make_result(request);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->n_bytes, answer->body, MHD_RESPMEM_MUST_FREE);
    if (response != NULL)
        answer->body = NULL;
    return response;
}

static void add_header(struct MHD_Response *response, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add_header(struct MHD_Response *response, const char *name, const char *format, ...)
{
    char value[600];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    (void)MHD_add_response_header(response, name, value);
}

/* Repr-Digest (RFC 9530) of a digest in hex. */
static void add_digest(struct MHD_Response *response, const char *hex)
{
    uint8_t digest[32];
    char text[48];
    for (size_t i = 0; i < sizeof digest; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        digest[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    tt_base64_encode(digest, sizeof digest, text);
    add_header(response, "Repr-Digest", "sha-256=:%s:", text);
}

static void add_allow(struct MHD_Response *response, unsigned methods)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "DELETE", "OPTIONS"};
    char value[64] = "";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((methods >> i & 1) != 0)
            (void)snprintf(value + strlen(value), sizeof value - strlen(value), "%s%s", value[0] ? ", " : "", names[i]);
    add_header(response, MHD_HTTP_HEADER_ALLOW, "%s", value);
}

static void add_headers(gate_request *request, struct MHD_Response *response)
{
    const gate_answer *answer = &request->answer;
    const char *base = request->gate->params.public_url != NULL ? request->gate->params.public_url : "";
    if (answer->type != NULL)
        add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "%s", answer->type);
    if (answer->names_job)
        add_header(response, MHD_HTTP_HEADER_LOCATION, "%s/v1/upscales/%s", base, request->id);
    if (answer->is_picture)
        add_header(response, MHD_HTTP_HEADER_CONTENT_LOCATION, "%s/v1/upscales/%s/image", base, request->id);
    if (answer->digest[0] != '\0')
        add_digest(response, answer->digest);
    if (answer->has_position)
        add_header(response, "TT-Queue-Position", "%" PRIu64, answer->position);
    if (answer->retry_after > 0)
        add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "%" PRIu32, answer->retry_after);
    if (answer->allow != 0)
        add_allow(response, answer->allow);
    if (answer->code == 401)
        add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (answer->closes)
        add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    add_header(response, "X-Content-Type-Options", "nosniff");
}

enum MHD_Result gate_send(gate_request *request)
{
    struct tt_gate *gate = request->gate;
    const uint32_t code = request->answer.code;
    const size_t n_bytes = request->answer.n_bytes;
    char label[64];
    struct MHD_Response *response = make_response(request);
    if (response == NULL)
        return MHD_NO;
    add_headers(request, response);
    gate_connection_now(gate, request->peer, GATE_SENDS, n_bytes);
    const enum MHD_Result result = MHD_queue_response(request->connection, code, response);
    MHD_destroy_response(response);
    (void)snprintf(label, sizeof label, "%s,%" PRIu32, gate_route_name(request->route), code);
    tt_metrics_add(gate->metrics, GATE_N_REQUESTS, label, 1);
    tt_metrics_add(gate->metrics, GATE_SENT, NULL, (double)n_bytes);
    return result;
}
