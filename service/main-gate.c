/* main-gate.c - tintype-gate: the HTTP front of the upscale service as a program. */
#define _DEFAULT_SOURCE
#include "service/gate.h"
#include "service/program.h"
#include "service/tokens.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

typedef struct gate_command {
    tt_program program;
    tt_gate_params params;
    uint32_t port;
    uint64_t max_bytes, max_memory;
    tt_option_list hashes;
    const char *new_token;
} gate_command;

enum { N_OPTIONS = 26 };

static size_t make_options(gate_command *command, tt_option options[N_OPTIONS])
{
    tt_gate_params *p = &command->params;
    const tt_option table[] = {
        {"listen", "ADDRESS", TT_OPTION_TEXT, &p->address, "where to listen; others than loopback need --tokens"},
        {"port", "N", TT_OPTION_U32, &command->port, "8188; 0: one that is free, which is printed"},
        {"ledger", "ADDRESS", TT_OPTION_TEXT, &p->ledger,
         "sqlite:FILE or postgresql://...; sqlite:tintype-jobs.sqlite"},
        {"tokens", "FILE", TT_OPTION_TEXT, &p->tokens_path, "who may use the service: lines of --new-token"},
        {"new-token", "NAME", TT_OPTION_TEXT, &command->new_token, "print a new token and its line, and end"},
        {"public-url", "URL", TT_OPTION_TEXT, &p->public_url, "what stands before /v1 for clients behind a proxy"},
        {"model-hash", "HASH", TT_OPTION_LIST, &command->hashes, "a model that workers have for latents; repeatable"},
        {"max-queued", "N", TT_OPTION_U64, &p->bounds.max_queued, "jobs that wait or are worked on: 20000"},
        {"max-queued-per-token", "N", TT_OPTION_U64, &p->bounds.max_queued_per_owner, "... of one token: 1000"},
        {"keep", "SECONDS", TT_OPTION_SECONDS, &p->bounds.keep_seconds, "how long results stay: 3600"},
        {"lease", "SECONDS", TT_OPTION_SECONDS, &p->bounds.lease_seconds, "as the workers have it: 30"},
        {"max-bytes", "N", TT_OPTION_U64, &command->max_bytes, "of a body: 8M"},
        {"max-side", "PIXELS", TT_OPTION_U32, &p->limits.max_side, "of a picture: 2048"},
        {"max-pixels", "N", TT_OPTION_U64, &p->limits.max_pixels, "of a picture: 4M"},
        {"max-result-pixels", "N", TT_OPTION_U64, &p->limits.max_result_pixels, "of a result: 16M"},
        {"max-memory", "N", TT_OPTION_U64, &command->max_memory, "bytes of bodies at a time, and of results: 32M"},
        {"max-connections", "N", TT_OPTION_U32, &p->max_connections, "6000"},
        {"max-wait", "SECONDS", TT_OPTION_SECONDS, &p->max_wait_seconds, "the longest Prefer: wait: 30"},
        {"idle", "SECONDS", TT_OPTION_SECONDS, &p->idle_seconds, "a silent connection is closed: 15"},
        {"body-time", "SECONDS", TT_OPTION_SECONDS, &p->body_seconds, "a body must be there by then: 60"},
        {"ledger-threads", "N", TT_OPTION_U32, &p->n_ledger_threads, "4"},
        {"drain-time", "SECONDS", TT_OPTION_SECONDS, &p->drain_seconds, "for answers to be taken at the end: 5"},
        {"verbose", NULL, TT_OPTION_FLAG, &command->program.is_verbose, "more lines on stderr"},
        {"help", NULL, TT_OPTION_FLAG, &command->program.help, "this text"},
        {"version", NULL, TT_OPTION_FLAG, &command->program.version, "the program's version"},
    };
    _Static_assert(sizeof table / sizeof table[0] <= N_OPTIONS, "the table of options is longer than its room");
    memcpy(options, table, sizeof table);
    return sizeof table / sizeof table[0];
}

static int print_token(const gate_command *command)
{
    char token[64], line[160];
    tt_error err = {""};
    if (tt_token_make(command->new_token, token, line, &err) != TT_OK)
        return tt_program_fail(&command->program, TT_EXIT_USAGE, &err);
    (void)printf("token for the client, shown only now: %s\nline for the file: %s\n", token, line);
    return 0;
}

/* As many files as the system allows: every client is one. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Bodies and results come and go on several threads. Large ones get mappings of their own, always, and the threads
 * share two arenas, so that what was freed is the system's again. */
static void tame_heap(void)
{
#if defined(__GLIBC__)
    (void)mallopt(M_MMAP_THRESHOLD, 12 * 1024);
    (void)mallopt(M_ARENA_MAX, 2);
#endif
}

static int run(gate_command *command)
{
    tt_gate *gate;
    tt_error err = {""};
    sigset_t signals;
    int number = 0;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    /* Blocked before there are threads, so that this one alone gets them. */
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    tame_heap();
    if (tt_gate_start(&command->params, &gate, &err) != TT_OK)
        return tt_program_fail(&command->program, TT_EXIT_FAILED, &err);
    (void)printf("tintype-gate: listening at %s, port %u\n", command->params.address, tt_gate_port(gate));
    (void)fflush(stdout);
    (void)sigwait(&signals, &number);
    tt_gate_stop(gate);
    (void)printf("tintype-gate: ended\n");
    return 0;
}

static const char signals_text[] =
    "SIGTERM or SIGINT: takes nothing new, answers those that wait, and ends with 0. Exit codes: 1 the gate\n"
    "cannot work, 2 the command line is wrong. Tokens are made with --new-token: the token is for the client,\n"
    "the line for the file.";

int main(int argc, char **argv)
{
    gate_command command = {.program = {.name = "tintype-gate",
                                        .purpose = "takes pictures over HTTP for workers to enlarge (docs/cloud.md)",
                                        .signals = signals_text}};
    tt_option options[N_OPTIONS];
    tt_error err = {""};
    tt_gate_params *params = &command.params;
    tt_gate_params_default(params);
    params->ledger = "sqlite:tintype-jobs.sqlite";
    params->log = tt_program_log;
    params->log_user = &command.program;
    command.port = params->port;
    command.max_bytes = params->limits.max_bytes;
    command.max_memory = params->max_memory_bytes;
    const size_t n = make_options(&command, options);
    tt_status status = tt_options_read(options, n, argc, argv, &err);
    if (status == TT_OK && command.port > UINT16_MAX)
        status = tt_fail(&err, TT_ERROR_ARGUMENT, "--port is %u, expected 0 to %d", command.port, UINT16_MAX);
    if (status != TT_OK)
        return tt_program_fail(&command.program, TT_EXIT_USAGE, &err);
    if (tt_program_answers(&command.program, options, n))
        return 0;
    if (command.new_token != NULL)
        return print_token(&command);
    params->port = (uint16_t)command.port;
    params->limits.max_bytes = (size_t)command.max_bytes;
    params->max_memory_bytes = (size_t)command.max_memory;
    params->model_hashes = command.hashes.texts;
    params->n_model_hashes = command.hashes.n;
    return run(&command);
}
