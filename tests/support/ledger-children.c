/* ledger-children.c - processes on one ledger. */
#include "tests/support/ledger-children.h"

#include "base/sha256.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int say(const char *what, const tt_error *err)
{
    (void)fprintf(stderr, "child: %s: %s\n", what, err->text);
    return 1;
}

/* One write of a short line to a file that is open for appending is whole or not there. */
static int record(const ledger_child *child, const char *id, unsigned long number)
{
    char line[80];
    int n = snprintf(line, sizeof(line), "%s %lu\n", id, number);
    if (child->record == NULL)
        return 0;
    int file = open(child->record, O_WRONLY | O_CREAT | O_APPEND, 0600);
    bool is_written = file >= 0 && write(file, line, (size_t)n) == n;
    return (file < 0 || close(file) == 0) && is_written ? 0 : 1;
}

static int put_one(const ledger_child *child, tt_ledger *ledger, unsigned long number)
{
    char owner[32], body[48], sha256[65];
    tt_error err = {""};
    tt_put_outcome outcome;
    tt_job job;
    (void)snprintf(owner, sizeof(owner), "owner%u", child->number);
    int n = snprintf(body, sizeof(body), "job %lu", number);
    tt_job_input input = {.owner = owner,
                          .type = "image/png",
                          .sha256 = sha256,
                          .scale = 2,
                          .width = 8,
                          .height = 8,
                          .body = body,
                          .n_body_bytes = (size_t)n};
    if (tt_sha256_hex(body, (size_t)n, sha256, &err) != TT_OK ||
        tt_ledger_put(ledger, &input, &outcome, &job, &err) != TT_OK)
        return say("put", &err);
    return outcome == TT_PUT_ACCEPTED ? record(child, job.id, number) : 0;
}

int ledger_put_jobs(const ledger_child *child)
{
    tt_error err = {""};
    tt_ledger *ledger = NULL;
    int code = 0;
    if (tt_ledger_open(child->address, &child->bounds, &ledger, &err) != TT_OK)
        return say("open", &err);
    for (unsigned i = 0; code == 0 && (child->n_jobs == 0 || i < child->n_jobs); i++)
        code = put_one(child, ledger, (unsigned long)getpid() * 100000 + i);
    tt_ledger_close(ledger);
    return code;
}

/* Ends a job; 0, also when another was first. */
static int finish(const ledger_child *child, tt_ledger *ledger, const char *worker, const tt_job *job, const char *body,
                  size_t n_body_bytes)
{
    char result[80], sha256[65];
    tt_error err = {""};
    bool counted;
    int n = snprintf(result, sizeof(result), "result of %.*s", (int)n_body_bytes, body);
    if (tt_sha256_hex(result, (size_t)n, sha256, &err) != TT_OK ||
        tt_ledger_done(ledger, worker, job->id, "image/png", sha256, result, (size_t)n, &counted, &err) != TT_OK)
        return say("done", &err);
    return counted ? record(child, job->id, strtoul(body + 4, NULL, 10)) : 0;
}

int ledger_work(const ledger_child *child)
{
    char worker[32];
    tt_error err = {""};
    tt_ledger *ledger = NULL;
    int code = 0;
    (void)snprintf(worker, sizeof(worker), "worker%u-%ld", child->number, (long)getpid());
    if (tt_ledger_open(child->address, &child->bounds, &ledger, &err) != TT_OK)
        return say("open", &err);
    while (code == 0) {
        tt_job job;
        bool found;
        void *body;
        size_t n_body_bytes;
        if (tt_ledger_take(ledger, worker, &found, &job, &body, &n_body_bytes, &err) != TT_OK)
            code = say("take", &err);
        else if (found)
            code = finish(child, ledger, worker, &job, body, n_body_bytes);
        else if (child->n_jobs > 0)
            break;
        else if (tt_ledger_wait(ledger, TT_LEDGER_JOB_QUEUED, 0.2, &err) != TT_OK)
            code = say("wait", &err);
        free(body);
    }
    tt_ledger_close(ledger);
    return code;
}

pid_t ledger_fork(int (*run)(const ledger_child *), const ledger_child *child)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)alarm(250);
        _exit(run(child));
    }
    return pid;
}

void ledger_join(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("a child process ended with code %d, signal %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

void ledger_kill(pid_t pid)
{
    int status = 0;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    /* It must have been at work until now, not ended by an error. */
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
