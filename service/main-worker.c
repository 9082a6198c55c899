/* main-worker.c - tintype-worker: does the upscale service's jobs, as a program. */
#define _DEFAULT_SOURCE
#include "service/program.h"
#include "service/worker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { N_OPTIONS = 20 };

/* What a signal tells the loop. A handler reaches nothing but what is static. */
static volatile int stop_asked;

typedef struct worker_command {
    tt_program program;
    tt_worker_params params;
    tt_option_list models;
} worker_command;

static size_t make_options(worker_command *command, tt_option options[N_OPTIONS])
{
    tt_worker_params *p = &command->params;
    const tt_option table[] = {
        {"ledger", "ADDRESS", TT_OPTION_TEXT, &p->ledger,
         "sqlite:FILE or postgresql://...; sqlite:tintype-jobs.sqlite"},
        {"device", "NAME", TT_OPTION_TEXT, &p->device, "which OpenCL device, by index or a part of its name"},
        {"upscale-model", "FILE", TT_OPTION_TEXT, &p->upscale_model,
         "a network instead of the small one that comes along"},
        {"model", "FILE", TT_OPTION_LIST, &command->models, "a model that decodes latents; repeatable"},
        {"lease", "SECONDS", TT_OPTION_SECONDS, &p->bounds.lease_seconds,
         "a silent worker loses its job after that: 30"},
        {"keep", "SECONDS", TT_OPTION_SECONDS, &p->bounds.keep_seconds, "as the gate has it: 3600"},
        {"decode-memory", "N", TT_OPTION_U64, &p->sandbox.max_memory, "bytes for decoding one picture: 512M"},
        {"decode-time", "SECONDS", TT_OPTION_SECONDS, &p->sandbox.seconds, "... and seconds: 10"},
        {"max-bytes", "N", TT_OPTION_U64, &p->sandbox.max_bytes, "of a body, as the gate has it: 8M"},
        {"max-pixels", "N", TT_OPTION_U64, &p->sandbox.max_pixels, "of a picture, as the gate has it: 4M"},
        {"no-seccomp", NULL, TT_OPTION_FLAG, &p->sandbox.without_seccomp, "decode without a filter of system calls"},
        {"jobs", "N", TT_OPTION_U64, &p->max_jobs, "end after so many jobs; 0: never"},
        {"patience", "SECONDS", TT_OPTION_SECONDS, &p->patience_seconds, "a ledger may be away that long: 60"},
        {"verbose", NULL, TT_OPTION_FLAG, &command->program.is_verbose, "a line on stderr for each job"},
        {"help", NULL, TT_OPTION_FLAG, &command->program.help, "this text"},
        {"version", NULL, TT_OPTION_FLAG, &command->program.version, "the program's version"},
    };
    _Static_assert(sizeof table / sizeof table[0] <= N_OPTIONS, "the table of options is longer than its room");
    memcpy(options, table, sizeof table);
    return sizeof table / sizeof table[0];
}

static void ask_to_stop(int number)
{
    (void)number;
    stop_asked = 1;
}

/* A second signal finds the system's own handler. */
static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = (int)(SA_RESTART | SA_RESETHAND)};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static int run(const worker_command *command)
{
    tt_error err = {""};
    uint64_t n_jobs = 0;
    handle_signals();
    if (tt_worker_run(&command->params, &n_jobs, &err) != TT_OK)
        return tt_program_fail(&command->program, TT_EXIT_FAILED, &err);
    (void)printf("tintype-worker: ended after %llu jobs\n", (unsigned long long)n_jobs);
    return 0;
}

static const char signals_text[] =
    "SIGTERM or SIGINT: finishes the job in work and ends with 0; a second one ends it at once, and another\n"
    "worker gets the job when its lease is over. Exit codes: 1 the worker cannot work, 2 the command line is\n"
    "wrong.";

int main(int argc, char **argv)
{
    worker_command command = {.program = {.name = "tintype-worker",
                                          .purpose = "takes pictures from the gate's ledger and makes them larger",
                                          .signals = signals_text}};
    tt_option options[N_OPTIONS];
    tt_error err = {""};
    tt_worker_params *params = &command.params;
    tt_worker_params_default(params);
    params->ledger = "sqlite:tintype-jobs.sqlite";
    params->stop = &stop_asked;
    params->log = tt_program_log;
    params->log_user = &command.program;
    const size_t n = make_options(&command, options);
    if (tt_options_read(options, n, argc, argv, &err) != TT_OK)
        return tt_program_fail(&command.program, TT_EXIT_USAGE, &err);
    if (tt_program_answers(&command.program, options, n))
        return 0;
    params->models = command.models.texts;
    params->n_models = command.models.n;
    return run(&command);
}
