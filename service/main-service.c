/* main-service.c - tintype-service: the whole upscale service on one machine, by one command. */
#define _GNU_SOURCE
#include "base/clock.h"
#include "base/sha256.h"
#include "service/program.h"
#include "service/supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { N_OPTIONS = 20, MAX_ARGUMENTS = 128, MAX_WORKERS = 32 };

/* The arguments of one program, with what they point to. */
typedef struct arguments {
    const char *argv[MAX_ARGUMENTS + 1];
    size_t n;
    char *hashes[TT_OPTION_LIST_MAX]; /* of models, owned */
    size_t n_hashes;
} arguments;

typedef struct service_command {
    tt_program program;
    const char *listen, *ledger, *tokens, *public_url, *device, *upscale_model;
    const char *max_wait, *max_queued, *lease, *keep;
    uint32_t port, n_workers;
    tt_option_list models;
    bool no_seccomp;
    arguments gate, worker;
    char gate_path[PATH_MAX + 16], worker_path[PATH_MAX + 16], port_text[16];
    tt_supervisor supervisor;
} service_command;

static size_t make_options(service_command *c, tt_option options[N_OPTIONS])
{
    const tt_option table[] = {
        {"listen", "ADDRESS", TT_OPTION_TEXT, &c->listen, "127.0.0.1; others than loopback need --tokens"},
        {"port", "N", TT_OPTION_U32, &c->port, "8188; 0: one that is free, which is printed"},
        {"workers", "N", TT_OPTION_U32, &c->n_workers, "1; one for each device is enough"},
        {"ledger", "ADDRESS", TT_OPTION_TEXT, &c->ledger, "sqlite:tintype-jobs.sqlite"},
        {"tokens", "FILE", TT_OPTION_TEXT, &c->tokens, "who may use it, see tintype-gate --help"},
        {"public-url", "URL", TT_OPTION_TEXT, &c->public_url, "what stands before /v1 for clients behind a proxy"},
        {"device", "NAME", TT_OPTION_TEXT, &c->device, "which OpenCL device, by index or a part of its name"},
        {"upscale-model", "FILE", TT_OPTION_TEXT, &c->upscale_model, "a network instead of the small one"},
        {"model", "FILE", TT_OPTION_LIST, &c->models, "a model that decodes latents; repeatable"},
        {"max-queued", "N", TT_OPTION_TEXT, &c->max_queued, "jobs that wait or are worked on: 20000"},
        {"max-wait", "SECONDS", TT_OPTION_TEXT, &c->max_wait, "the longest Prefer: wait: 30"},
        {"lease", "SECONDS", TT_OPTION_TEXT, &c->lease, "a silent worker loses its job after that: 30"},
        {"keep", "SECONDS", TT_OPTION_TEXT, &c->keep, "how long results stay: 3600"},
        {"no-seccomp", NULL, TT_OPTION_FLAG, &c->no_seccomp, "decode without a filter of system calls"},
        {"verbose", NULL, TT_OPTION_FLAG, &c->program.is_verbose, "more lines on stderr"},
        {"help", NULL, TT_OPTION_FLAG, &c->program.help, "this text"},
        {"version", NULL, TT_OPTION_FLAG, &c->program.version, "the program's version"},
    };
    _Static_assert(sizeof table / sizeof table[0] <= N_OPTIONS, "the table of options is longer than its room");
    memcpy(options, table, sizeof table);
    return sizeof table / sizeof table[0];
}

/* ---- arguments of the two programs */

static void add(arguments *a, const char *option, const char *value)
{
    if (value == NULL || a->n + 2 > MAX_ARGUMENTS)
        return;
    a->argv[a->n++] = option;
    a->argv[a->n++] = value;
}

static void add_flag(arguments *a, const char *option, bool is_set)
{
    if (is_set && a->n + 1 <= MAX_ARGUMENTS)
        a->argv[a->n++] = option;
}

/* The programs stand beside this one. */
static tt_status find_programs(service_command *c, tt_error *err)
{
    char self[PATH_MAX] = "";
    if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "the system does not tell where this program is");
    char *slash = strrchr(self, '/');
    *slash = '\0';
    (void)snprintf(c->gate_path, sizeof c->gate_path, "%s/tintype-gate", self);
    (void)snprintf(c->worker_path, sizeof c->worker_path, "%s/tintype-worker", self);
    if (access(c->gate_path, X_OK) != 0 || access(c->worker_path, X_OK) != 0)
        return tt_fail(err, TT_ERROR_IO, "tintype-gate and tintype-worker are expected beside this program, in %s",
                       self);
    return TT_OK;
}

/* Latents name their model by its hash, so the gate must know it. */
static tt_status add_hashes(service_command *c, tt_error *err)
{
    tt_status status = TT_OK;
    for (size_t i = 0; i < c->models.n && status == TT_OK; i++) {
        char *hash = malloc(65);
        if (hash == NULL)
            return tt_fail_memory(err, "a model's hash", 65);
        c->gate.hashes[c->gate.n_hashes++] = hash;
        status = tt_sha256_file_hex(c->models.texts[i], hash, err);
        add(&c->gate, "--model-hash", hash);
    }
    return status;
}

static tt_status make_arguments(service_command *c, tt_error *err)
{
    arguments *gate = &c->gate, *worker = &c->worker;
    tt_status status = find_programs(c, err);
    if (status != TT_OK)
        return status;
    gate->argv[gate->n++] = c->gate_path;
    (void)snprintf(c->port_text, sizeof c->port_text, "%u", c->port);
    add(gate, "--listen", c->listen);
    add(gate, "--port", c->port_text);
    add(gate, "--ledger", c->ledger);
    add(gate, "--tokens", c->tokens);
    add(gate, "--public-url", c->public_url);
    add(gate, "--max-queued", c->max_queued);
    add(gate, "--max-wait", c->max_wait);
    add(gate, "--lease", c->lease);
    add(gate, "--keep", c->keep);
    add_flag(gate, "--verbose", c->program.is_verbose);
    worker->argv[worker->n++] = c->worker_path;
    add(worker, "--ledger", c->ledger);
    add(worker, "--device", c->device);
    add(worker, "--upscale-model", c->upscale_model);
    add(worker, "--lease", c->lease);
    add(worker, "--keep", c->keep);
    for (size_t i = 0; i < c->models.n; i++)
        add(worker, "--model", c->models.texts[i]);
    add_flag(worker, "--no-seccomp", c->no_seccomp);
    add_flag(worker, "--verbose", c->program.is_verbose);
    return add_hashes(c, err);
}

/* ---- start */

typedef union service_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} service_address;

static tt_status read_address(const char *text, uint32_t port, service_address *address, socklen_t *n_bytes,
                              tt_error *err)
{
    *address = (service_address){0};
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons((uint16_t)port);
        *n_bytes = sizeof address->v4;
    } else if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons((uint16_t)port);
        *n_bytes = sizeof address->v6;
    } else
        return tt_fail(err, TT_ERROR_ARGUMENT, "--listen is \"%s\", expected an address like 127.0.0.1 or ::1", text);
    return TT_OK;
}

/* A gate that is started again must listen where it did before, so a free port is found here. */
static tt_status choose_port(service_command *c, tt_error *err)
{
    service_address address;
    socklen_t n_bytes = 0;
    tt_status status = read_address(c->listen, 0, &address, &n_bytes, err);
    if (status != TT_OK || c->port != 0)
        return status;
    const int peer = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer < 0 || bind(peer, &address.any, n_bytes) != 0 || getsockname(peer, &address.any, &n_bytes) != 0)
        status = tt_fail(err, TT_ERROR_NETWORK, "no port is free at %s: %s", c->listen, strerror(errno));
    c->port = ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
    if (peer >= 0)
        (void)close(peer);
    return status;
}

static bool takes_connections(const service_command *c)
{
    service_address address;
    socklen_t n_bytes = 0;
    if (read_address(c->listen, c->port, &address, &n_bytes, NULL) != TT_OK)
        return false;
    const int peer = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool is_taken = peer >= 0 && connect(peer, &address.any, n_bytes) == 0;
    if (peer >= 0)
        (void)close(peer);
    return is_taken;
}

/* Starts the gate and waits until it listens: what is wrong with its options or port shows now. */
static tt_status start_gate(service_command *c, tt_error *err)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000L};
    const double until = tt_clock_seconds() + 60;
    if (takes_connections(c))
        return tt_fail(err, TT_ERROR_NETWORK, "somebody listens at %s, port %u already", c->listen, c->port);
    tt_status status = tt_supervisor_add(&c->supervisor, c->gate.argv, err);
    while (status == TT_OK && !takes_connections(c)) {
        (void)nanosleep(&pause, NULL);
        if (!tt_supervisor_is_running(&c->supervisor, 0) || tt_clock_seconds() > until)
            status = tt_fail(err, TT_ERROR_NETWORK, "the gate does not start");
    }
    return status;
}

static tt_status start_all(service_command *c, tt_error *err)
{
    tt_status status = choose_port(c, err);
    if (status == TT_OK)
        status = make_arguments(c, err);
    if (status == TT_OK)
        status = start_gate(c, err);
    for (uint32_t i = 0; i < c->n_workers && status == TT_OK; i++)
        status = tt_supervisor_add(&c->supervisor, c->worker.argv, err);
    return status;
}

static int run(service_command *c)
{
    tt_error err = {""};
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    c->supervisor.drain_seconds = 60;
    c->supervisor.log = tt_program_log;
    c->supervisor.log_user = &c->program;
    const tt_status status = start_all(c, &err);
    if (status == TT_OK) {
        const bool is_v6 = strchr(c->listen, ':') != NULL;
        (void)printf("tintype-service: listening at http://%s%s%s:%u\n", is_v6 ? "[" : "", c->listen, is_v6 ? "]" : "",
                     c->port);
        (void)fflush(stdout);
        tt_supervisor_run(&c->supervisor);
        (void)printf("tintype-service: ended\n");
    } else
        tt_supervisor_end(&c->supervisor);
    for (size_t i = 0; i < c->gate.n_hashes; i++)
        free(c->gate.hashes[i]);
    return status == TT_OK ? 0 : tt_program_fail(&c->program, TT_EXIT_FAILED, &err);
}

int main(int argc, char **argv)
{
    service_command command = {
        .program =
            {.name = "tintype-service",
             .purpose =
                 "starts tintype-gate and tintype-worker on this machine and keeps them\nrunning (docs/cloud.md)",
             .signals = "SIGTERM or SIGINT: ends both, jobs in work are finished first. Jobs stay in the ledger."},
        .listen = "127.0.0.1",
        .port = 8188,
        .n_workers = 1};
    tt_option options[N_OPTIONS];
    tt_error err = {""};
    command.ledger = "sqlite:tintype-jobs.sqlite";
    const size_t n = make_options(&command, options);
    tt_status status = tt_options_read(options, n, argc, argv, &err);
    if (status == TT_OK && command.port > UINT16_MAX)
        status = tt_fail(&err, TT_ERROR_ARGUMENT, "--port is %u, expected 0 to %d", command.port, UINT16_MAX);
    if (status == TT_OK && (command.n_workers == 0 || command.n_workers > MAX_WORKERS))
        status = tt_fail(&err, TT_ERROR_ARGUMENT, "--workers is %u, expected 1 to %d", command.n_workers, MAX_WORKERS);
    if (status != TT_OK)
        return tt_program_fail(&command.program, TT_EXIT_USAGE, &err);
    if (tt_program_answers(&command.program, options, n))
        return 0;
    return run(&command);
}
