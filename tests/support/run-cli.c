/* run-cli.c - child processes with their output in temporary files. */
#include "tests/support/run-cli.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_SECONDS = 280, MAX_ARGUMENTS = 62, MAX_TRIES = 4 };

typedef struct child {
    pid_t pid;
    FILE *out, *err;
} child;

static const char *program(void)
{
    const char *path = getenv("TT_TEST_CLI");
    if (path == NULL || access(path, X_OK) != 0)
        fail_msg("TT_TEST_CLI must name the program; run the tests with ctest");
    return path;
}

/* In the child: never returns. The alarm outlives exec. */
static void become(const char *path, const child *c, const char *const *environment, const char *const *arguments)
{
    const char *argv[MAX_ARGUMENTS + 2] = {path};
    size_t n = 0;
    for (; arguments[n] != NULL && n < MAX_ARGUMENTS; n++)
        argv[n + 1] = arguments[n];
    for (; environment != NULL && *environment != NULL; environment++) {
        char name[64];
        const char *equals = strchr(*environment, '=');
        (void)snprintf(name, sizeof name, "%.*s", (int)(equals - *environment), *environment);
        (void)setenv(name, equals + 1, 1);
    }
    (void)alarm(MAX_SECONDS);
    if (dup2(fileno(c->out), STDOUT_FILENO) >= 0 && dup2(fileno(c->err), STDERR_FILENO) >= 0)
        (void)execv(path, (char *const *)(uintptr_t)argv);
    _exit(127);
}

static child start(const char *const *environment, const char *const *arguments)
{
    const char *path = program();
    child c = {.out = tmpfile(), .err = tmpfile()};
    assert_non_null(c.out);
    assert_non_null(c.err);
    (void)fflush(NULL);
    c.pid = fork();
    assert_true(c.pid >= 0);
    if (c.pid == 0)
        become(path, &c, environment, arguments);
    return c;
}

/* All of a stream as a terminated string. */
static char *read_all(FILE *stream, size_t *n)
{
    assert_int_equal(fseek(stream, 0, SEEK_END), 0);
    long size = ftell(stream);
    assert_true(size >= 0);
    rewind(stream);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    *n = fread(text, 1, (size_t)size, stream);
    text[*n] = '\0';
    return text;
}

static cli_run finish(child *c)
{
    int status = 0;
    size_t n_err = 0;
    cli_run run = {.code = -1};
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    if (WIFEXITED(status))
        run.code = WEXITSTATUS(status);
    else
        run.signal = WTERMSIG(status);
    run.out = read_all(c->out, &run.n_out);
    run.err = read_all(c->err, &n_err);
    (void)fclose(c->out);
    (void)fclose(c->err);
    return run;
}

/* The leak check at exit stops all threads and reads their storage; where a driver's thread is just ending, the check
 * itself crashes. Such a run says nothing about the program and is repeated. */
static bool leak_check_crashed(const cli_run *run)
{
    return strstr(run->err, "Tracer caught signal") != NULL &&
           strstr(run->err, "LeakSanitizer has encountered a fatal error") != NULL;
}

cli_run run_cli_with(const char *const *environment, const char *const *arguments)
{
    child c = start(environment, arguments);
    cli_run run = finish(&c);
    for (int i = 1; i < MAX_TRIES && leak_check_crashed(&run); i++) {
        print_message("the leak check crashed, the run is repeated\n");
        cli_run_free(&run);
        c = start(environment, arguments);
        run = finish(&c);
    }
    return run;
}

static const char *const no_leak_check[] = {"LSAN_OPTIONS=detect_leaks=0", NULL};

cli_run run_cli_once(const char *const *arguments)
{
    child c = start(no_leak_check, arguments);
    return finish(&c);
}

/* What the child has printed so far: read by position, which leaves the shared offset alone. */
static bool has_printed(const child *c, const char *text)
{
    char so_far[8192];
    ssize_t n = pread(fileno(c->out), so_far, sizeof so_far - 1, 0);
    so_far[n > 0 ? n : 0] = '\0';
    return strstr(so_far, text) != NULL;
}

cli_run run_cli_interrupted(int signal_number, const char *until, const char *const *arguments)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    child c = start(no_leak_check, arguments);
    siginfo_t info = {0};
    while (!has_printed(&c, until) && waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0)
        (void)nanosleep(&pause, NULL);
    (void)kill(c.pid, signal_number);
    return finish(&c);
}

void cli_run_free(cli_run *run)
{
    free(run->out);
    free(run->err);
    *run = (cli_run){0};
}

static bool is_fine(const cli_run *run)
{
    return run->code == 0 && run->err[0] == '\0';
}

void assert_fine(const cli_run *run, const char *what)
{
    if (!is_fine(run))
        fail_msg("%s: exit code %d, signal %d, stderr: %s", what, run->code, run->signal, run->err);
}

/* One line that begins with the program's name and holds some words. */
static bool is_sentence(const char *text)
{
    const char *end = strchr(text, '\n');
    return strncmp(text, "tintype: ", 9) == 0 && end != NULL && end[1] == '\0' && end - text > 20;
}

void assert_refused(const cli_run *run, int code, const char *mention, const char *what)
{
    if (run->code != code || !is_sentence(run->err))
        fail_msg("%s: expected exit code %d and one sentence, but found code %d, signal %d, stderr: %.2000s", what,
                 code, run->code, run->signal, run->err);
    if (mention != NULL && strstr(run->err, mention) == NULL)
        fail_msg("%s: the sentence should mention \"%s\": %s", what, mention, run->err);
}

void expect_out(cli_run run, const char *mention)
{
    assert_fine(&run, mention);
    if (strstr(run.out, mention) == NULL)
        fail_msg("stdout should mention \"%s\": %s", mention, run.out);
    cli_run_free(&run);
}

void expect_refused(cli_run run, int code, const char *mention)
{
    assert_refused(&run, code, mention, mention);
    cli_run_free(&run);
}

json_t *expect_json(cli_run run, const char *what)
{
    json_error_t error;
    assert_fine(&run, what);
    json_t *root = json_loads(run.out, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        fail_msg("%s: %s in line %d: %.500s", what, error.text, error.line, run.out);
    cli_run_free(&run);
    return root;
}

bool assert_fine_or_refused(const cli_run *run, const char *what)
{
    if (is_fine(run))
        return true;
    assert_refused(run, 1, NULL, what);
    return false;
}
