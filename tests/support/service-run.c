/* service-run.c - the keeper of a gate and workers. */
#define _GNU_SOURCE
#include "tests/support/service-run.h"

#include "base/clock.h"
#include "tests/support/http-try.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_ARGUMENTS = 40, KILLS_BEFORE_RESTART = 6, MAX_OWN_ENDS = 6 };

static const double youth_seconds = 1.5; /* a worker that is younger has done nothing yet */

typedef struct program {
    const char *argv[MAX_ARGUMENTS + 1];
    char path[TT_TEMP_PATH], log[TT_TEMP_PATH], pid_file[TT_TEMP_PATH];
    pid_t pid;
    double started;
} program;

typedef struct keeper {
    const service_run *run;
    program programs[1 + SERVICE_RUN_WORKERS]; /* the gate, workers */
    size_t n;
    char port[16], lease[32];
    service_run_counts counts;
    unsigned n_own_ends; /* programs that ended by themselves */
    bool is_calm;
} keeper;

/* ---- programs */

static void add_argument(program *p, const char *argument)
{
    size_t n = 0;
    while (p->argv[n] != NULL)
        n++;
    if (n < MAX_ARGUMENTS)
        p->argv[n] = argument;
}

static void begin_program(keeper *k, const char *name, const char *log)
{
    program *p = &k->programs[k->n++];
    const char *build = getenv("TT_TEST_BUILD_DIR");
    (void)snprintf(p->path, sizeof p->path, "%s/%s", build != NULL ? build : ".", name);
    (void)snprintf(p->log, sizeof p->log, "%s/%s.log", k->run->folder, log);
    (void)snprintf(p->pid_file, sizeof p->pid_file, "%s/%s.pid", k->run->folder, log);
    add_argument(p, p->path);
    add_argument(p, "--ledger");
    add_argument(p, k->run->ledger);
    add_argument(p, "--lease");
    add_argument(p, k->lease);
    add_argument(p, "--verbose");
}

static void make_programs(keeper *k)
{
    (void)snprintf(k->port, sizeof k->port, "%u", k->run->port);
    (void)snprintf(k->lease, sizeof k->lease, "%g", k->run->lease_seconds);
    begin_program(k, "tintype-gate", "gate");
    add_argument(&k->programs[0], "--port");
    add_argument(&k->programs[0], k->port);
    for (const char *const *option = k->run->gate_options; option != NULL && *option != NULL; option++)
        add_argument(&k->programs[0], *option);
    for (uint32_t i = 0; i < k->run->n_workers; i++) {
        char log[32];
        (void)snprintf(log, sizeof log, "worker%u", i);
        begin_program(k, "tintype-worker", log);
    }
}

/* In the child: never returns. */
static void become(const program *p)
{
    sigset_t none;
    const int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (log >= 0 && dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0)
        (void)execv(p->path, (char *const *)(uintptr_t)p->argv);
    _exit(127);
}

static void start(program *p)
{
    p->pid = fork();
    if (p->pid == 0)
        become(p);
    p->started = tt_clock_seconds();
    FILE *stream = fopen(p->pid_file, "w");
    if (stream != NULL) {
        (void)fprintf(stream, "%ld\n", (long)p->pid);
        (void)fclose(stream);
    }
}

/* ---- the keeper */

/* True: it was there until now, and is dead. */
static bool kill_one(program *p)
{
    int status = 0;
    return kill(p->pid, SIGKILL) == 0 && waitpid(p->pid, &status, 0) == p->pid && WIFSIGNALED(status);
}

/* Programs that ended by themselves are counted and started again. */
static void look_after(keeper *k)
{
    for (size_t i = 0; i < k->n; i++) {
        int status = 0;
        if (k->programs[i].pid == 0 || waitpid(k->programs[i].pid, &status, WNOHANG) != k->programs[i].pid)
            continue;
        k->n_own_ends++;
        (void)fprintf(stderr, "%s ended by itself: status %d\n", k->programs[i].log, status);
        start(&k->programs[i]);
    }
}

static void restart_server(keeper *k)
{
    const struct timespec pause = {.tv_nsec = 500000000};
    if (!test_postgres_run(k->run->server, "crash"))
        (void)fprintf(stderr, "the server could not be ended\n");
    (void)nanosleep(&pause, NULL);
    if (!test_postgres_run(k->run->server, "again"))
        (void)fprintf(stderr, "the server could not be started\n");
    k->counts.n_restarts++;
}

static void do_harm(keeper *k)
{
    const unsigned n_kills = k->counts.n_gate_kills + k->counts.n_worker_kills;
    if (k->run->server != NULL && k->counts.n_restarts == 0 && n_kills >= KILLS_BEFORE_RESTART) {
        restart_server(k);
        return;
    }
    program *victim = &k->programs[(size_t)rand() % k->n];
    const bool is_gate = victim == k->programs;
    if (!is_gate && tt_clock_seconds() - victim->started < youth_seconds)
        return;
    if (!kill_one(victim))
        k->n_own_ends++;
    else if (is_gate)
        k->counts.n_gate_kills++;
    else
        k->counts.n_worker_kills++;
    start(victim);
}

/* Waits for a signal of the test; 0: none came. */
static int wait_signal(double seconds)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGUSR1);
    (void)sigaddset(&signals, SIGUSR2);
    const struct timespec wait = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    const int number = sigtimedwait(&signals, NULL, &wait);
    return number > 0 ? number : 0;
}

static bool end_all(keeper *k)
{
    bool is_fine = true;
    for (size_t i = 0; i < k->n; i++)
        if (k->programs[i].pid != 0)
            (void)kill(k->programs[i].pid, SIGTERM);
    for (size_t i = 0; i < k->n; i++) {
        int status = 0;
        if (k->programs[i].pid == 0)
            continue;
        is_fine &= waitpid(k->programs[i].pid, &status, 0) == k->programs[i].pid && status == 0;
        if (status != 0)
            (void)fprintf(stderr, "%s: SIGTERM ended it with status %d\n", k->programs[i].log, status);
    }
    return is_fine;
}

static bool write_counts(const keeper *k)
{
    char path[TT_TEMP_PATH];
    (void)snprintf(path, sizeof path, "%s/counts", k->run->folder);
    FILE *stream = fopen(path, "w");
    if (stream == NULL)
        return false;
    const service_run_counts *c = &k->counts;
    const bool is_fine = fprintf(stream, "%u %u %u\n", c->n_gate_kills, c->n_worker_kills, c->n_restarts) > 0;
    return fclose(stream) == 0 && is_fine;
}

static void start_programs(keeper *k, size_t begin)
{
    for (size_t i = begin; i < k->n; i++)
        start(&k->programs[i]);
}

static int keep(const service_run *run)
{
    keeper k = {.run = run, .is_calm = run->pause_seconds == 0};
    srand(run->seed);
    make_programs(&k);
    start(&k.programs[0]);
    if (!run->workers_wait)
        start_programs(&k, 1);
    for (;;) {
        const double pause = k.is_calm ? 0.2 : run->pause_seconds * (0.5 + (double)rand() / RAND_MAX);
        const int number = wait_signal(pause);
        look_after(&k);
        k.is_calm |= number == SIGUSR1;
        if (number == SIGUSR2)
            start_programs(&k, 1);
        if (number == SIGTERM || k.n_own_ends > MAX_OWN_ENDS) /* it is of no use */
            break;
        if (!k.is_calm)
            do_harm(&k);
    }
    const bool is_fine = end_all(&k) && write_counts(&k);
    return is_fine && k.n_own_ends <= (k.counts.n_restarts > 0 ? MAX_OWN_ENDS : 0) ? 0 : 1;
}

/* ---- the test */

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n_bytes = sizeof address;
    const int peer = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(peer, (struct sockaddr *)&address, n_bytes), 0);
    assert_int_equal(getsockname(peer, (struct sockaddr *)&address, &n_bytes), 0);
    (void)close(peer);
    return ntohs(address.sin_port);
}

void service_run_start(service_run *run)
{
    sigset_t signals, before;
    run->port = free_port();
    (void)fflush(NULL);
    /* Blocked before the fork, so that no signal can come too early. */
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGUSR1);
    (void)sigaddset(&signals, SIGUSR2);
    (void)sigprocmask(SIG_BLOCK, &signals, &before);
    run->keeper = fork();
    if (run->keeper == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
        _exit(keep(run));
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    assert_true(run->keeper > 0);
}

void service_run_start_workers(const service_run *run)
{
    assert_int_equal(kill(run->keeper, SIGUSR2), 0);
}

void service_run_calm(const service_run *run)
{
    assert_int_equal(kill(run->keeper, SIGUSR1), 0);
}

service_run_counts service_run_end(service_run *run)
{
    service_run_counts c = {0};
    char path[TT_TEMP_PATH];
    int status = -1;
    assert_int_equal(kill(run->keeper, SIGTERM), 0);
    assert_int_equal(waitpid(run->keeper, &status, 0), run->keeper);
    (void)snprintf(path, sizeof path, "%s/counts", run->folder);
    FILE *stream = fopen(path, "r");
    if (status != 0 || stream == NULL ||
        fscanf(stream, "%u %u %u", &c.n_gate_kills, &c.n_worker_kills, &c.n_restarts) != 3)
        fail_msg("the programs of the service did not keep running or did not end well, see above");
    (void)fclose(stream);
    return c;
}

pid_t service_run_gate(const service_run *run)
{
    char path[TT_TEMP_PATH];
    long pid = 0;
    (void)snprintf(path, sizeof path, "%s/gate.pid", run->folder);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    assert_int_equal(fscanf(stream, "%ld", &pid), 1);
    (void)fclose(stream);
    return (pid_t)pid;
}

void service_run_wait(const service_run *run)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    http_answer answer;
    for (int i = 0; i < 1200; i++) {
        if (http_try(run->port, "GET /healthz", "", NULL, 0, 5, &answer)) {
            const int code = answer.code;
            http_answer_free(&answer);
            if (code == 200)
                return;
        }
        (void)nanosleep(&pause, NULL);
    }
    fail_msg("the gate does not answer within a minute");
}
