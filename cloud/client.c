/* client.c - from a body to a result: send, wait, fetch, and try again where that may help. */
#define _POSIX_C_SOURCE 200809L
#include "cloud/client.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/sha256.h"
#include "cloud/http.h"
#include "cloud/job-state.h"
#include "cloud/refusal.h"
#include "cloud/result.h"
#include "cloud/retry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* MAX_SUBMISSIONS: a service that forgets jobs is not fed for ever. */
enum { MAX_SUBMISSIONS = 3, LONGEST_WAIT = 20, MAX_HEADERS = 4, MAX_SCALE = 4, JOB_BYTES = 64 };

static const double silence_seconds = 15.0, /* beyond what was asked to be waited for */
    farewell_seconds = 3.0,                 /* for dropping a job */
    acceptance_seconds = 2.0;               /* a sent body's answer is waited for, so that the job can be dropped */

static const char jobs_path[] = "/v1/upscales";

typedef struct job {
    const tt_cloud_params *params;
    const tt_cloud_body *body;
    tt_cloud_report *report;
    tt_error *err;
    tt_http *http;
    tt_http_answer answer;
    char body_sha256[65], key[65];
    uint32_t n_submissions;
    uint32_t n_failures; /* in a row */
    uint32_t n_damaged;  /* results */
    double started, deadline, accepted;
    uint64_t random;
    tt_cloud_phase waiting; /* QUEUED or WORK, as the service said last */
    uint32_t position;
    bool is_posting, is_cancelled;
    double cancelled; /* when */
} job;

/* ---- telling */

static bool tell(job *j, tt_cloud_phase phase, uint64_t done_bytes, uint64_t total_bytes, double wait_seconds)
{
    const tt_cloud_progress progress = {.phase = phase,
                                        .done_bytes = done_bytes,
                                        .total_bytes = total_bytes,
                                        .queue_position = phase == TT_CLOUD_QUEUED ? j->position : 0,
                                        .n_tries = j->report->n_tries,
                                        .seconds = tt_clock_seconds() - j->started,
                                        .wait_seconds = wait_seconds};
    if (!j->is_cancelled && j->params->progress != NULL && !j->params->progress(j->params->progress_user, &progress)) {
        j->is_cancelled = true;
        j->cancelled = tt_clock_seconds();
    }
    return !j->is_cancelled;
}

static bool on_bytes(void *user, uint64_t sent, uint64_t to_send, uint64_t received, uint64_t to_receive)
{
    job *j = user;
    if (sent < to_send || (j->is_posting && received == 0)) /* until it is accepted it does not wait */
        (void)tell(j, sent == 0 ? TT_CLOUD_CONNECT : TT_CLOUD_UPLOAD, sent, to_send, 0.0);
    else if (received > 0)
        (void)tell(j, TT_CLOUD_DOWNLOAD, received, to_receive, 0.0);
    else
        (void)tell(j, j->waiting, 0, 0, 0.0);
    /* A body that is under way may become a job: its name is needed to drop it. */
    return !j->is_cancelled || (j->is_posting && sent > 0 && tt_clock_seconds() < j->cancelled + acceptance_seconds);
}

static tt_status fail_cancelled(job *j)
{
    return tt_fail(j->err, TT_ERROR_CANCELLED, "cancelled");
}

static tt_status fail_late(job *j)
{
    const bool is_kept = j->report->job[0] != '\0' && j->params->state_path != NULL;
    return tt_fail(j->err, TT_ERROR_NETWORK, "the service at %s was not done within %.0f s%s", j->params->url,
                   j->params->timeout_seconds, is_kept ? "; the same call goes on waiting for it" : "");
}

/* ---- one request, tried again where that may help */

/* splitmix64: clients that failed together must not come back together, no more is asked of it. */
static double draw(job *j)
{
    uint64_t z = j->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static tt_status pause_for(job *j, tt_cloud_phase phase, double seconds)
{
    const struct timespec moment = {.tv_nsec = 50000000};
    const double until = tt_clock_seconds() + seconds;
    for (double left = seconds; left > 0.0; left = until - tt_clock_seconds()) {
        if (!tell(j, phase, 0, 0, phase == TT_CLOUD_RETRY ? left : 0.0))
            return fail_cancelled(j);
        (void)nanosleep(&moment, NULL);
    }
    return TT_OK;
}

/* Waits before the next try; gives back the failure, whose sentence stands already, when there is none. */
static tt_status wait_for_retry(job *j, tt_status failure)
{
    const double wait = tt_retry_wait(j->n_failures + 2, j->answer.retry_after, draw(j));
    if (++j->n_failures >= j->params->max_tries || tt_clock_seconds() + wait >= j->deadline)
        return failure;
    j->report->n_tries++;
    return pause_for(j, TT_CLOUD_RETRY, wait);
}

typedef struct question {
    const char *method, *path;
    bool has_body;
    double wait; /* seconds that the service is asked to keep the request */
} question;

static tt_status ask_once(job *j, const question *q, bool *may_retry)
{
    char type[80], key[96], prefer[48];
    const char *headers[MAX_HEADERS] = {"Accept: image/png, image/jpeg, application/json, application/problem+json"};
    tt_http_request request = {.method = q->method,
                               .path = q->path,
                               .headers = headers,
                               .n_headers = 1,
                               .timeout_seconds = j->deadline - tt_clock_seconds(),
                               .stall_seconds = q->wait + silence_seconds,
                               .max_bytes = tt_cloud_result_bytes(j->body),
                               .progress = on_bytes,
                               .user = j};
    *may_retry = false;
    if (request.timeout_seconds <= 0.0)
        return fail_late(j);
    if (q->has_body) {
        (void)snprintf(type, sizeof type, "Content-Type: %s", j->body->type);
        (void)snprintf(key, sizeof key, "Idempotency-Key: %s", j->key);
        headers[request.n_headers++] = type;
        headers[request.n_headers++] = key;
        request.body = j->body->bytes;
        request.n_body_bytes = j->body->n_bytes;
    }
    if (q->wait >= 1.0) {
        (void)snprintf(prefer, sizeof prefer, "Prefer: wait=%.0f", q->wait);
        headers[request.n_headers++] = prefer;
    }
    j->is_posting = q->has_body;
    const tt_status status = tt_http_exchange(j->http, &request, &j->answer, may_retry, j->err);
    j->report->sent_bytes += request.n_body_bytes;
    j->report->received_bytes += j->answer.body.n_bytes;
    /* libcurl's clock may be a little ahead. */
    if (status == TT_ERROR_NETWORK && *may_retry && tt_clock_seconds() >= j->deadline - 0.05)
        return fail_late(j);
    return status;
}

/* Until there is an answer that another try would not change. */
static tt_status ask(job *j, const question *q)
{
    for (;;) {
        bool may_retry = false;
        tt_status status = ask_once(j, q, &may_retry);
        if (status == TT_OK && !tt_retry_code(j->answer.code)) {
            j->n_failures = 0;
            return TT_OK;
        }
        if (status == TT_OK) {
            status = tt_cloud_fail_answer(j->params, &j->answer, j->err);
            may_retry = true;
        }
        if (j->is_cancelled)
            return fail_cancelled(j);
        if (may_retry)
            status = wait_for_retry(j, status);
        if (status != TT_OK)
            return status;
    }
}

/* ---- the job */

/* The service's name of a job out of ".../v1/upscales/NAME". What stands before it does not matter: jobs are asked for
 * below the address that the user gave, so that no answer can lead elsewhere. */
static bool read_name(const char *location, char name[JOB_BYTES])
{
    const char *at = strstr(location, jobs_path);
    if (at == NULL || at[sizeof jobs_path - 1] != '/')
        return false;
    at += sizeof jobs_path;
    const size_t n = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    if (n == 0 || n >= JOB_BYTES || at[n] != '\0')
        return false;
    memcpy(name, at, n + 1);
    return true;
}

/* The key follows from what is sent; a submission after the service threw the result away needs another one. */
static tt_status make_key(job *j)
{
    char text[128];
    const int n = snprintf(text, sizeof text, "%u %s %u", j->body->scale, j->body_sha256, j->n_submissions);
    return tt_sha256_hex(text, (size_t)n, j->key, j->err);
}

static tt_status keep_state(job *j)
{
    tt_job_state state = {0};
    if (j->params->state_path == NULL)
        return TT_OK;
    (void)snprintf(state.url, sizeof state.url, "%s", j->params->url);
    (void)snprintf(state.location, sizeof state.location, "%s/%s", jobs_path, j->report->job);
    (void)snprintf(state.key, sizeof state.key, "%s", j->key);
    return tt_job_state_write(j->params->state_path, &state, j->err);
}

/* What the service says of a job that is not over. */
static void take_status(job *j)
{
    json_t *root = NULL;
    const char *name = NULL;
    j->position = j->answer.queue_position;
    if (tt_json_parse(j->answer.body.bytes ? j->answer.body.bytes : "", j->answer.body.n_bytes, "the status", &root,
                      NULL) == TT_OK &&
        tt_json_get_text(root, "status", &name, NULL) == TT_OK && name != NULL && strcmp(name, "working") == 0 &&
        j->waiting != TT_CLOUD_WORK) {
        j->waiting = TT_CLOUD_WORK;
        j->report->queue_seconds = tt_clock_seconds() - j->accepted;
    }
    json_decref(root);
}

static tt_status accept(job *j)
{
    if (!read_name(j->answer.location, j->report->job))
        return tt_fail(j->err, TT_ERROR_NETWORK,
                       "the service at %s took the picture but did not name the job (Location); is it an upscale "
                       "service?",
                       j->params->url);
    j->accepted = tt_clock_seconds();
    take_status(j);
    return keep_state(j);
}

/* Sends the body. *is_there: the answer is the result already. */
static tt_status submit(job *j, bool *is_there)
{
    char path[64];
    (void)snprintf(path, sizeof path, "%s?scale=%u", jobs_path, j->body->scale);
    tt_status status = make_key(j);
    if (status == TT_OK)
        status = ask(j, &(question){.method = "POST", .path = path, .has_body = true});
    if (status != TT_OK)
        return status;
    j->n_submissions++;
    *is_there = j->answer.code == 200;
    if (j->answer.code == 202)
        return accept(j);
    /* 410: the job of this key is over and its result gone. */
    if (j->answer.code == 200 || (j->answer.code == 410 && j->n_submissions < MAX_SUBMISSIONS))
        return TT_OK;
    return tt_cloud_fail_answer(j->params, &j->answer, j->err);
}

/* Rests until the service wants to be asked again; the time that it kept the request counts. */
static tt_status rest(job *j, double asked)
{
    const double passed = tt_clock_seconds() - asked;
    const double wanted = j->answer.retry_after >= 0.0 ? tt_retry_wait(0, j->answer.retry_after, 0.0) : 1.0;
    const double left = j->deadline - tt_clock_seconds();
    const double wait = wanted - passed;
    return pause_for(j, j->waiting, wait < left ? wait : left);
}

/* Asks for the result. *is_there: it came. */
static tt_status fetch(job *j, bool *is_there)
{
    char path[160];
    const double asked = tt_clock_seconds(), left = j->deadline - asked - 1.0;
    const double wait = left > LONGEST_WAIT ? LONGEST_WAIT : left;
    (void)snprintf(path, sizeof path, "%s/%s/image", jobs_path, j->report->job);
    const tt_status status = ask(j, &(question){.method = "GET", .path = path, .wait = wait});
    if (status != TT_OK)
        return status;
    *is_there = j->answer.code == 200;
    if (j->answer.code == 202) {
        take_status(j);
        return rest(j, asked);
    }
    if ((j->answer.code == 404 || j->answer.code == 410) && j->n_submissions < MAX_SUBMISSIONS) {
        j->report->job[0] = '\0'; /* forgotten by the service: it is sent again */
        j->report->is_resumed = false;
        return TT_OK;
    }
    return *is_there ? TT_OK : tt_cloud_fail_answer(j->params, &j->answer, j->err);
}

static tt_status work(job *j, tt_image *result)
{
    for (;;) {
        bool is_there = false, may_retry = false;
        tt_status status = j->report->job[0] != '\0' ? fetch(j, &is_there) : submit(j, &is_there);
        if (j->is_cancelled)
            return fail_cancelled(j);
        if (status == TT_OK && is_there) {
            status = tt_cloud_result_read(&j->answer, j->body, result, &may_retry, j->err);
            if (!may_retry)
                return status;
            j->n_failures = 0;
            if (++j->n_damaged >= j->params->max_tries)
                return status;
            status = wait_for_retry(j, status);
        }
        if (status != TT_OK)
            return status;
    }
}

/* ---- beginning and end */

static tt_status resume(job *j)
{
    tt_job_state state;
    bool found = false;
    tt_status status = make_key(j);
    if (status != TT_OK || j->params->state_path == NULL)
        return status;
    status = tt_job_state_read(j->params->state_path, j->params->url, j->key, &state, &found, j->err);
    if (status == TT_OK && found && read_name(state.location, j->report->job)) {
        j->report->is_resumed = true;
        j->accepted = j->started;
    }
    return status;
}

/* Asks the service to forget the job. Whether it hears that does not matter: results expire. */
static void drop(job *j)
{
    char path[160];
    bool may_retry = false;
    tt_http_answer answer = {0};
    (void)snprintf(path, sizeof path, "%s/%s", jobs_path, j->report->job);
    const tt_http_request request = {
        .method = "DELETE", .path = path, .timeout_seconds = farewell_seconds, .max_bytes = 1 << 16};
    (void)tt_http_exchange(j->http, &request, &answer, &may_retry, NULL);
    tt_http_answer_free(&answer);
}

static void end(job *j, tt_status status, tt_cloud_leave leave)
{
    const char *path = j->params->state_path;
    /* A job that the service failed would only fail again the next time, under the same key. */
    const bool has_failed = status == TT_ERROR_NETWORK && (j->answer.code == 422 || j->answer.code == 500);
    const bool is_over = status == TT_OK || status == TT_ERROR_CANCELLED || has_failed || leave == TT_CLOUD_DROP;
    if (status == TT_OK && j->waiting != TT_CLOUD_WORK && j->accepted > 0.0)
        j->report->queue_seconds = tt_clock_seconds() - j->accepted;
    if (status != TT_OK && j->report->job[0] != '\0' && (is_over || path == NULL))
        drop(j);
    if (is_over && path != NULL)
        tt_job_state_remove(path);
    j->report->total_seconds = tt_clock_seconds() - j->started;
}

tt_status tt_cloud_check_params(const tt_cloud_params *params, tt_error *err)
{
    const tt_http_service service = {.url = params->url, .token = params->token};
    tt_http *http = NULL;
    if (params->url == NULL)
        return tt_fail(err, TT_ERROR_ARGUMENT, "there is no service to send to: give its address");
    if (!params->allow_upload)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "nothing is sent to %.200s without permission: the picture's pixels would leave the device",
                       params->url);
    if (!(params->connect_seconds > 0.0 && params->connect_seconds <= 86400.0 && params->timeout_seconds > 0.0 &&
          params->timeout_seconds <= 86400.0) ||
        params->max_tries == 0 || params->max_tries > 100)
        return tt_fail(err, TT_ERROR_ARGUMENT,
                       "a service is waited for above 0 to 86400 s and tried 1 to 100 times, not %g s, %g s and %u",
                       params->connect_seconds, params->timeout_seconds, params->max_tries);
    if (params->ca_file != NULL && access(params->ca_file, R_OK) != 0)
        return tt_fail(err, TT_ERROR_IO, "%s, the file of trusted certificates, cannot be read: %s", params->ca_file,
                       strerror(errno));
    const tt_status status = tt_http_open(&service, &http, err);
    tt_http_close(http);
    return status;
}

static tt_status check(const tt_cloud_params *params, const tt_cloud_body *body, tt_error *err)
{
    const tt_status status = tt_cloud_check_params(params, err);
    if (status != TT_OK)
        return status;
    if (body->scale < 2 || body->scale > MAX_SCALE)
        return tt_fail(err, TT_ERROR_ARGUMENT, "a service enlarges by 2, 3 or 4, not by %u", body->scale);
    if (body->n_bytes > params->max_bytes)
        return tt_fail(err, TT_ERROR_NETWORK, "%zu bytes would have to be sent, at most %llu may be", body->n_bytes,
                       (unsigned long long)params->max_bytes);
    return TT_OK;
}

tt_status tt_cloud_run(const tt_cloud_params *params, const tt_cloud_body *body, tt_cloud_leave leave, tt_image *result,
                       tt_cloud_report *report, tt_error *err)
{
    const tt_http_service service = {.url = params->url,
                                     .token = params->token,
                                     .ca_file = params->ca_file,
                                     .connect_seconds = params->connect_seconds};
    tt_cloud_report own;
    struct timespec now;
    job j = {.params = params, .body = body, .report = report ? report : &own, .err = err};
    *j.report = (tt_cloud_report){.n_tries = 1};
    *result = (tt_image){0};
    tt_status status = check(params, body, err);
    if (status != TT_OK)
        return status;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    j.random = (uint64_t)now.tv_sec * UINT64_C(1000000007) ^ (uint64_t)now.tv_nsec;
    j.answer.retry_after = -1.0;
    j.waiting = TT_CLOUD_QUEUED;
    j.started = tt_clock_seconds();
    j.deadline = j.started + params->timeout_seconds;
    status = tt_http_open(&service, &j.http, err);
    if (status == TT_OK)
        status = tt_sha256_hex(body->bytes, body->n_bytes, j.body_sha256, err);
    if (status == TT_OK)
        status = resume(&j);
    if (status == TT_OK)
        status = work(&j, result);
    if (j.http != NULL)
        end(&j, status, leave);
    tt_http_answer_free(&j.answer);
    tt_http_close(j.http);
    return status;
}
