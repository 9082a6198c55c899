/* supervisor.c - starts programs, waits for their ends and for signals. */
#define _GNU_SOURCE
#include "service/supervisor.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const double first_wait = 0.5, longest_wait = 30;
static const double is_well_after = 30; /* seconds that a program must have run to be started again soon */

static const char *name_of(const tt_supervised *program)
{
    const char *slash = strrchr(program->argv[0], '/');
    return slash != NULL ? slash + 1 : program->argv[0];
}

/* In the child: never returns. */
static void become(const tt_supervised *program)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    (void)execv(program->argv[0], (char *const *)(uintptr_t)program->argv);
    _exit(127);
}

static tt_status start(tt_supervised *program, tt_error *err)
{
    const pid_t pid = fork();
    if (pid == 0)
        become(program);
    if (pid < 0)
        return tt_fail(err, TT_ERROR_MEMORY, "%s cannot be started: %s", name_of(program), strerror(errno));
    program->pid = pid;
    program->started = tt_clock_seconds();
    return TT_OK;
}

tt_status tt_supervisor_add(tt_supervisor *supervisor, const char *const *argv, tt_error *err)
{
    if (supervisor->n == TT_SUPERVISED_MAX)
        return tt_fail(err, TT_ERROR_ARGUMENT, "at most %d programs can be supervised", TT_SUPERVISED_MAX);
    tt_supervised *program = &supervisor->programs[supervisor->n];
    *program = (tt_supervised){.argv = argv, .wait_seconds = first_wait};
    const tt_status status = start(program, err);
    supervisor->n += status == TT_OK;
    return status;
}

/* ---- ends */

/* When it will be started again: soon after a long life, later after each short one. */
static void plan_restart(const tt_supervisor *supervisor, tt_supervised *program, int status)
{
    const tt_log log = {supervisor->log, supervisor->log_user};
    const double now = tt_clock_seconds();
    if (now - program->started > is_well_after)
        program->wait_seconds = first_wait;
    program->pid = 0;
    program->start_at = now + program->wait_seconds;
    tt_log_write(&log, TT_LOG_WARNING, "%s ended by %s %d and is started again in %g s", name_of(program),
                 WIFSIGNALED(status) ? "signal" : "exit code",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), program->wait_seconds);
    program->wait_seconds = program->wait_seconds * 2 < longest_wait ? program->wait_seconds * 2 : longest_wait;
}

/* Collects ended programs; the number of those that still run. */
static size_t collect(tt_supervisor *supervisor, bool restarts)
{
    size_t n_running = 0;
    for (size_t i = 0; i < supervisor->n; i++) {
        tt_supervised *program = &supervisor->programs[i];
        int status = 0;
        if (program->pid == 0 || waitpid(program->pid, &status, WNOHANG) != program->pid)
            n_running += program->pid != 0;
        else if (restarts)
            plan_restart(supervisor, program, status);
        else
            program->pid = 0;
    }
    return n_running;
}

bool tt_supervisor_is_running(tt_supervisor *supervisor, size_t index)
{
    (void)collect(supervisor, false);
    return supervisor->programs[index].pid != 0;
}

static void send_all(const tt_supervisor *supervisor, int number)
{
    for (size_t i = 0; i < supervisor->n; i++)
        if (supervisor->programs[i].pid != 0)
            (void)kill(supervisor->programs[i].pid, number);
}

/* Starts what is due; seconds until the next is. */
static double start_due(tt_supervisor *supervisor)
{
    const tt_log log = {supervisor->log, supervisor->log_user};
    const double now = tt_clock_seconds();
    double wait = 60;
    for (size_t i = 0; i < supervisor->n; i++) {
        tt_supervised *program = &supervisor->programs[i];
        tt_error err = {""};
        if (program->pid == 0 && program->start_at <= now && start(program, &err) != TT_OK) {
            tt_log_write(&log, TT_LOG_WARNING, "%s", err.text);
            program->start_at = now + program->wait_seconds;
        }
        if (program->pid == 0 && program->start_at - now < wait)
            wait = program->start_at - now;
    }
    return wait > 0.01 ? wait : 0.01;
}

/* Waits for a signal; 0: none came. */
static int wait_signal(double seconds)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGCHLD);
    const struct timespec wait = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    const int number = sigtimedwait(&signals, NULL, &wait);
    return number > 0 ? number : 0;
}

void tt_supervisor_run(tt_supervisor *supervisor)
{
    int number = 0;
    while (number == 0 || number == SIGCHLD) {
        (void)collect(supervisor, true);
        number = wait_signal(start_due(supervisor));
    }
    tt_supervisor_end(supervisor);
}

void tt_supervisor_end(tt_supervisor *supervisor)
{
    const double until = tt_clock_seconds() + supervisor->drain_seconds;
    send_all(supervisor, SIGTERM);
    while (collect(supervisor, false) > 0) {
        const double left = until - tt_clock_seconds();
        const int number = left > 0 ? wait_signal(left < 0.2 ? left : 0.2) : SIGKILL;
        if (number != 0 && number != SIGCHLD)
            send_all(supervisor, SIGKILL);
        if (number == SIGKILL)
            (void)wait_signal(0.05);
    }
}
