/* jail.c - the helper process, its children, and the pipe to them. */
#define _GNU_SOURCE
#include "service/jail.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_UNCONFINED = 3 };

struct tt_jail {
    int channel; /* to the helper: a byte asks for a run, a byte says how it ended */
    pid_t helper;
    void *block;
    size_t n_bytes;
    tt_confinement confinement;
    tt_jail_task task;
};

/* ---- the child */

/* Of the signals that the helper blocks, the child takes the one of its own time limit. */
static void become_child(const tt_jail *jail)
{
    sigset_t late;
    (void)sigemptyset(&late);
    (void)sigaddset(&late, SIGXCPU);
    (void)sigprocmask(SIG_UNBLOCK, &late, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)close(jail->channel);
    if (tt_confine(&jail->confinement, NULL) != TT_OK)
        _exit(EXIT_UNCONFINED);
    jail->task(jail->block, jail->n_bytes);
    _exit(0);
}

/* ---- the helper: one thread, nothing open but the channel */

static tt_jail_end end_of(int status, bool is_late)
{
    if (is_late || (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU))
        return TT_JAIL_OUT_OF_TIME;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? TT_JAIL_FILTERED : TT_JAIL_CRASHED;
    const int code = WEXITSTATUS(status);
    return code == 0 ? TT_JAIL_DONE : code == EXIT_UNCONFINED ? TT_JAIL_UNCONFINED : TT_JAIL_CRASHED;
}

/* Waits for the child's end, and ends it when its time is over. SIGCHLD is blocked here. */
static tt_jail_end wait_for(pid_t child, double seconds)
{
    const double until = tt_clock_seconds() + seconds;
    sigset_t ended;
    int status = 0;
    (void)sigemptyset(&ended);
    (void)sigaddset(&ended, SIGCHLD);
    for (;;) {
        const pid_t found = waitpid(child, &status, WNOHANG);
        if (found != 0)
            return found == child ? end_of(status, false) : TT_JAIL_CRASHED;
        const double left = until - tt_clock_seconds();
        if (left <= 0)
            break;
        const struct timespec pause = {.tv_sec = (time_t)left, .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        (void)sigtimedwait(&ended, NULL, &pause);
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, &status, 0);
    return end_of(status, true);
}

static tt_jail_end run_child(const tt_jail *jail)
{
    const pid_t child = fork();
    if (child == 0)
        become_child(jail);
    return child > 0 ? wait_for(child, 2 * jail->confinement.seconds) : TT_JAIL_UNCONFINED;
}

/* Passwords of ledgers are in the environment, and a child has a copy of what the helper has. */
static void forget_environment(void)
{
    for (char **variable = environ; variable != NULL && *variable != NULL; variable++)
        explicit_bzero(*variable, strlen(*variable));
    environ = NULL;
}

static void close_files_but(int channel)
{
    const long most = sysconf(_SC_OPEN_MAX);
    if (syscall(SYS_close_range, channel + 1, ~0u, 0) != 0)
        for (int file = channel + 1; file < most; file++)
            (void)close(file);
    for (int file = 0; file < channel; file++)
        (void)close(file);
}

/* Signals for the program are not the helper's: it ends with the channel, when the job in work is over. */
static void settle_signals(void)
{
    sigset_t blocked;
    (void)sigfillset(&blocked);
    (void)sigprocmask(SIG_SETMASK, &blocked, NULL);
    (void)signal(SIGCHLD, SIG_DFL);
}

static void become_helper(const tt_jail *jail)
{
    char byte;
    settle_signals();
    close_files_but(jail->channel);
    forget_environment();
    while (read(jail->channel, &byte, 1) == 1) {
        byte = (char)run_child(jail);
        if (write(jail->channel, &byte, 1) != 1)
            break;
    }
    _exit(0);
}

/* ---- the program */

static tt_status start_helper(tt_jail *jail, tt_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return tt_fail(err, TT_ERROR_IO, "the sandbox has no channel: %s", strerror(errno));
    jail->helper = fork();
    if (jail->helper == 0) {
        (void)close(pair[0]);
        jail->channel = pair[1];
        become_helper(jail);
    }
    (void)close(pair[1]);
    jail->channel = pair[0];
    return jail->helper > 0 ? TT_OK
                            : tt_fail(err, TT_ERROR_MEMORY, "the sandbox cannot be started: %s", strerror(errno));
}

tt_status tt_jail_open(tt_jail_task task, size_t n_bytes, const tt_confinement *confinement, tt_jail **jail,
                       tt_error *err)
{
    *jail = NULL;
    if (!confinement->without_seccomp && !tt_confine_has_filter())
        return tt_fail(err, TT_ERROR_UNSUPPORTED,
                       "this kernel takes no filter of system calls (seccomp) from the worker: allow it, or decide to "
                       "work without it (--no-seccomp)");
    tt_jail *made = calloc(1, sizeof *made);
    if (made == NULL)
        return tt_fail_memory(err, "a sandbox", sizeof *made);
    *made = (tt_jail){.channel = -1, .n_bytes = n_bytes, .confinement = *confinement, .task = task};
    made->block = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    tt_status status = TT_OK;
    if (made->block == MAP_FAILED) {
        made->block = NULL;
        status = tt_fail_memory(err, "a sandbox's pictures", n_bytes);
    }
    if (status == TT_OK)
        status = start_helper(made, err);
    if (status == TT_OK)
        *jail = made;
    else
        tt_jail_close(made);
    return status;
}

void tt_jail_close(tt_jail *jail)
{
    if (jail == NULL)
        return;
    if (jail->channel >= 0)
        (void)close(jail->channel);
    if (jail->helper > 0)
        (void)waitpid(jail->helper, NULL, 0);
    if (jail->block != NULL)
        (void)munmap(jail->block, jail->n_bytes);
    free(jail);
}

void *tt_jail_block(tt_jail *jail)
{
    return jail->block;
}

/* The helper's byte. It comes in time unless the helper is gone. */
static bool receive(const tt_jail *jail, char *byte)
{
    const double until = tt_clock_seconds() + 2 * jail->confinement.seconds + 10;
    struct pollfd wait = {.fd = jail->channel, .events = POLLIN};
    int code = 0;
    do {
        const double left = until - tt_clock_seconds();
        code = poll(&wait, 1, left > 0 ? (int)(left * 1000) + 1 : 0);
    } while (code < 0 && errno == EINTR);
    return code > 0 && read(jail->channel, byte, 1) == 1;
}

tt_status tt_jail_run(tt_jail *jail, tt_jail_end *end, tt_error *err)
{
    char byte = 1;
    if (send(jail->channel, &byte, 1, MSG_NOSIGNAL) != 1 || !receive(jail, &byte))
        return tt_fail(err, TT_ERROR_INTERNAL, "the sandbox's process is gone");
    *end = (tt_jail_end)byte;
    return TT_OK;
}

void tt_jail_forget(tt_jail *jail)
{
    if (madvise(jail->block, jail->n_bytes, MADV_REMOVE) != 0)
        memset(jail->block, 0, jail->n_bytes);
}
