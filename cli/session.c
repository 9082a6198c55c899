/* session.c - context and model of a command; signals become tt_cancel. */
#include "cli/session.h"

#include "cli/paths.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

/* The only state that a signal handler can reach. */
static _Atomic(tt_model *) running_model;
static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    tt_model *model = atomic_load(&running_model);
    interrupted = 1;
    if (model != NULL)
        tt_cancel(model);
}

bool cli_is_interrupted(void)
{
    return interrupted != 0;
}

static void on_log(void *user, tt_log_level level, const char *line)
{
    const bool *is_verbose = user;
    if (*is_verbose || level == TT_LOG_WARNING)
        (void)fprintf(stderr, "tintype: %s%s\n", level == TT_LOG_WARNING ? "warning: " : "", line);
}

cli_exit cli_session_begin(const cli_options *options, cli_session *session)
{
    *session = (cli_session){.context = tt_context_create()};
    if (session->context == NULL)
        return cli_fail_memory();
    tt_context_set_log(session->context, on_log, (void *)(uintptr_t)&options->verbose);
    return CLI_OK;
}

cli_exit cli_session_load(const cli_options *options, cli_session *session)
{
    char model[CLI_PATH], vocabulary[CLI_PATH];
    tt_model_params params;
    tt_model_params_default(&params);
    params.path = options->model;
    params.taesd_path = options->taesd;
    params.vae_path = options->vae;
    params.precision = (tt_precision)options->precision;
    params.vae_tiling = options->vae_tiling;
    if (options->fast && params.path != NULL)
        return cli_fail(CLI_USAGE, "--fast takes the built-in model of four steps, -m names another: give one of them");
    if (params.path == NULL) {
        cli_exit code = cli_default_model(options->fast, model);
        if (code != CLI_OK)
            return code;
        params.path = model;
    }
    if (cli_find_vocabulary(vocabulary))
        params.vocabulary_path = vocabulary;
    tt_status status = tt_model_load(session->context, &params, &session->model);
    return status == TT_OK ? CLI_OK : cli_fail_status(session->context, status);
}

cli_exit cli_session_load_upscaler(const cli_options *options, cli_session *session, tt_upscaler **upscaler)
{
    char path[CLI_PATH];
    tt_upscaler_params params;
    tt_upscaler_params_default(&params);
    params.path = options->upscale_model;
    params.precision = (tt_precision)options->precision;
    params.tile = options->tile;
    if (params.path == NULL && cli_find_upscaler(path))
        params.path = path;
    tt_status status = tt_upscaler_load(session->context, &params, upscaler);
    return status == TT_OK ? CLI_OK : cli_fail_status(session->context, status);
}

cli_exit cli_session_open_device(const cli_options *options, cli_session *session)
{
    tt_device_params params;
    tt_device_params_default(&params);
    params.device = options->device;
    params.cache_dir = options->cache_dir;
    params.kernel_dir = options->kernel_dir;
    tt_status status = tt_context_open_device(session->context, &params);
    return status == TT_OK ? CLI_OK : cli_fail_status(session->context, status);
}

cli_exit cli_session_catch_signals(cli_session *session)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    atomic_store(&running_model, session->model);
    if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0)
        return cli_fail(CLI_FAILED, "signals cannot be caught on this system");
    return CLI_OK;
}

void cli_session_end(cli_session *session)
{
    atomic_store(&running_model, NULL);
    tt_model_destroy(session->model);
    tt_context_destroy(session->context);
    *session = (cli_session){0};
}
