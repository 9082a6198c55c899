/* test_service.c - the service by one command: it starts, replaces what dies, and ends whole. */
#define _GNU_SOURCE
#include "base/clock.h"
#include "tests/support/http-try.h"
#include "tests/support/ledger-fixture.h"
#include "tests/support/small-bodies.h"
#include "tests/support/small-jobs.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A running tintype-service. */
typedef struct service_process {
    temp_folder folder;
    pid_t pid;
    FILE *out; /* its stdout and stderr */
    unsigned port;
} service_process;

static void become(const service_process *s, const char *ledger)
{
    char path[TT_TEMP_PATH];
    const char *build = getenv("TT_TEST_BUILD_DIR");
    (void)snprintf(path, sizeof path, "%s/tintype-service", build != NULL ? build : ".");
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (dup2(fileno(s->out), STDOUT_FILENO) >= 0 && dup2(fileno(s->out), STDERR_FILENO) >= 0)
        (void)execl(path, path, "--port", "0", "--ledger", ledger, "--lease", "2", (char *)NULL);
    _exit(127);
}

/* What it has printed so far. */
static const char *said(const service_process *s)
{
    static char text[8192];
    const ssize_t n = pread(fileno(s->out), text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void wait_until_said(const service_process *s, const char *wanted)
{
    const double until = tt_clock_seconds() + 60;
    while (strstr(said(s), wanted) == NULL) {
        if (tt_clock_seconds() > until || waitpid(s->pid, NULL, WNOHANG) != 0)
            fail_msg("\"%s\" was expected of tintype-service: %s", wanted, said(s));
        ledger_pause(0.05);
    }
}

static int start(void **state)
{
    static service_process s;
    char ledger[TT_TEMP_PATH + 16], path[TT_TEMP_PATH];
    temp_folder_make(&s.folder);
    (void)snprintf(ledger, sizeof ledger, "sqlite:%s", temp_folder_path(&s.folder, "jobs", path));
    s.out = tmpfile();
    assert_non_null(s.out);
    (void)fflush(NULL);
    s.pid = fork();
    if (s.pid == 0)
        become(&s, ledger);
    wait_until_said(&s, "tintype-service: listening at http://127.0.0.1:");
    assert_int_equal(sscanf(strstr(said(&s), "listening at http:"), "listening at http://127.0.0.1:%u", &s.port), 1);
    *state = &s;
    return 0;
}

/* Processes whose parent it is. */
static size_t children_of(pid_t pid, pid_t children[16])
{
    char path[64];
    size_t n = 0;
    long child;
    (void)snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)pid, (long)pid);
    FILE *stream = fopen(path, "r");
    if (stream == NULL)
        return 0;
    while (n < 16 && fscanf(stream, "%ld", &child) == 1)
        children[n++] = (pid_t)child;
    (void)fclose(stream);
    return n;
}

static int stop(void **state)
{
    service_process *s = *state;
    pid_t children[16];
    int status = -1;
    const size_t n = children_of(s->pid, children);
    assert_int_equal(kill(s->pid, SIGTERM), 0);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    if (status != 0)
        fail_msg("SIGTERM ended tintype-service with status %d: %s", status, said(s));
    for (size_t i = 0; i < n; i++)
        assert_int_not_equal(kill(children[i], 0), 0); /* nothing is left behind */
    (void)fclose(s->out);
    temp_folder_remove(&s->folder);
    return 0;
}

/* Sends a picture and takes the larger one; it may take a while when something has just died. */
static void expect_service(const service_process *s, const small_jobs *jobs, size_t kind)
{
    const double until = tt_clock_seconds() + 60;
    const struct small_job *job = &jobs->kinds[kind];
    for (;;) {
        http_answer answer;
        if (http_try((uint16_t)s->port, "POST /v1/upscales?scale=2", "Content-Type: image/png\r\nPrefer: wait=5\r\n",
                     job->body, job->n_body, 20, &answer)) {
            const bool is_there = answer.code == 200;
            if (is_there) {
                assert_int_equal(answer.n_body, job->n_result);
                assert_memory_equal(answer.body, job->result, job->n_result);
            }
            http_answer_free(&answer);
            if (is_there)
                return;
        }
        if (tt_clock_seconds() > until)
            fail_msg("no picture came within a minute: %s", said(s));
        ledger_pause(0.1);
    }
}

static void test_replaces_what_dies(void **state)
{
    const service_process *s = *state;
    small_jobs jobs;
    pid_t before[16], after[16];
    small_jobs_make(&jobs);
    small_jobs_solve(&jobs);
    expect_service(s, &jobs, 3);
    assert_int_equal(children_of(s->pid, before), 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(kill(before[i], SIGKILL), 0);
    const double until = tt_clock_seconds() + 30;
    while (children_of(s->pid, after) != 2 || after[0] == before[0] || after[1] == before[1]) {
        if (tt_clock_seconds() > until)
            fail_msg("the gate and the worker were killed and not started again: %s", said(s));
        ledger_pause(0.1);
    }
    expect_service(s, &jobs, 3);
    wait_until_said(s, "tintype-worker ended by signal 9");
    wait_until_said(s, "tintype-gate ended by signal 9");
    small_jobs_free(&jobs);
}

static void expect_refused(const service_process *s, const char *type, const void *bytes, size_t n_bytes)
{
    char headers[128];
    http_answer answer;
    (void)snprintf(headers, sizeof headers, "Content-Type: %s\r\nPrefer: wait=30\r\n", type);
    assert_true(http_try((uint16_t)s->port, "POST /v1/upscales", headers, bytes, n_bytes, 40, &answer));
    if (answer.code != 422)
        fail_msg("%s, %zu bytes: %d, expected 422: %.300s", type, n_bytes, answer.code, answer.body);
    assert_non_null(strstr(answer.body, "\"detail\":\""));
    http_answer_free(&answer);
}

/* Bodies whose header is fine, so that the gate lets them pass: the worker says what is wrong with them, and lives. */
static void test_hostile_bodies(void **state)
{
    const service_process *s = *state;
    enum { N_NOISE = 1 << 20 };
    small_jobs jobs;
    pid_t before[16], after[16];
    tt_text bomb = {0}, jpeg = {0};
    uint8_t *noise = malloc(N_NOISE);
    assert_non_null(noise);
    small_jobs_make(&jobs);
    small_jobs_solve(&jobs);
    expect_service(s, &jobs, 1);
    assert_int_equal(children_of(s->pid, before), 2);
    small_png(2000, 2000, false, &bomb);
    small_jpeg(2000, 2000, &jpeg);
    for (size_t i = 0; i < N_NOISE; i++)
        noise[i] = (uint8_t)(i * 2654435761u >> 13);
    memcpy(noise, jobs.kinds[2].body, 60); /* a true beginning, then noise */
    expect_refused(s, "image/png", bomb.bytes, bomb.n_bytes);
    expect_refused(s, "image/jpeg", jpeg.bytes, jpeg.n_bytes);
    expect_refused(s, "image/png", noise, N_NOISE);
    for (size_t n = 40; n < jobs.kinds[2].n_body; n += 97)
        expect_refused(s, "image/png", jobs.kinds[2].body, n);
    expect_service(s, &jobs, 4);
    assert_int_equal(children_of(s->pid, after), 2);
    assert_memory_equal(before, after, 2 * sizeof before[0]);
    tt_text_free(&bomb);
    tt_text_free(&jpeg);
    free(noise);
    small_jobs_free(&jobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replaces_what_dies, start, stop),
        cmocka_unit_test_setup_teardown(test_hostile_bodies, start, stop),
    };
    return cmocka_run_group_tests_name("the service by one command", tests, NULL, NULL);
}
