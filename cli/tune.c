/* tune.c - `tintype tune`: measures which kernel variants suit the device, and passes such tables on. */
#include "cli/tune.h"
#include "cli/commands.h"
#include "cli/paths.h"

#include <math.h>
#include <unistd.h>

static const double usual_seconds = 20;

/* ---- while it runs */

/* Where progress goes. */
typedef struct view {
    FILE *stream; /* NULL: nowhere */
    bool is_terminal;
} view;

static bool show(void *user, const tt_tune_progress *p)
{
    const view *v = user;
    if (cli_is_interrupted())
        return false;
    if (v->stream == NULL || !v->is_terminal)
        return true;
    (void)fprintf(v->stream, "\r\033[K");
    if (p->op != NULL)
        (void)fprintf(v->stream, "%s: %s %s, %zu of %zu, %.0f s", p->part, p->op, p->key, p->done + 1, p->total,
                      p->seconds);
    (void)fflush(v->stream);
    return true;
}

static void print_report(FILE *out, const tt_tune_report *r)
{
    (void)fprintf(out, "%zu kernels and shapes: %zu measured in %.1f s, %zu known before", r->n_keys, r->n_measured,
                  r->seconds, r->n_known);
    if (r->n_left > 0)
        (void)fprintf(out, ", %zu left for want of time", r->n_left);
    if (r->n_parts_left > 0)
        (void)fprintf(out, ", %zu parts of the model not begun", r->n_parts_left);
    (void)fprintf(out, "\n");
    if (r->n_refused > 0)
        (void)fprintf(out, "%zu variants do not suit this device\n", r->n_refused);
    if (r->n_wrong > 0)
        (void)fprintf(out, "%zu variants gave wrong numbers and are not used any more\n", r->n_wrong);
    if (r->n_measured > 0)
        (void)fprintf(out, "one pass of what was measured: %.1f ms before, %.1f ms now\n", r->before_ms, r->after_ms);
}

cli_exit cli_tune_request(cli_session *session, const tt_generate_params *request, double seconds, bool again,
                          FILE *stream, tt_tune_report *report)
{
    view v = {.stream = stream, .is_terminal = stream != NULL && isatty(fileno(stream))};
    tt_tune_params params;
    tt_tune_params_default(&params);
    params.seconds = seconds;
    params.again = again;
    params.progress = show;
    params.progress_user = &v;
    tt_status status = tt_tune(session->model, request, &params, report);
    if (status == TT_ERROR_CANCELLED && cli_is_interrupted())
        return cli_fail(CLI_CANCELLED, "cancelled; what was measured so far is kept");
    if (status != TT_OK)
        return cli_fail_status(session->context, status);
    if (stream != NULL)
        print_report(stream, report);
    return CLI_OK;
}

/* ---- the command */

static void print_json(const tt_context *context, const tt_tune_report *r)
{
    (void)printf("{\"n_keys\": %zu, \"n_measured\": %zu, \"n_known\": %zu, \"n_left\": %zu, \"n_parts_left\": %zu, "
                 "\"n_refused\": %zu, "
                 "\"n_wrong\": %zu,\n \"before_ms\": %.3f, \"after_ms\": %.3f, \"seconds\": %.2f,\n ",
                 r->n_keys, r->n_measured, r->n_known, r->n_left, r->n_parts_left, r->n_refused, r->n_wrong,
                 r->before_ms, r->after_ms, r->seconds);
    cli_print_json_choices(context);
    (void)printf("}\n");
}

static cli_exit take_over(const cli_options *o, cli_session *session)
{
    tt_status status = tt_tuning_import(session->context, o->import);
    if (status != TT_OK)
        return cli_fail_status(session->context, status);
    if (!o->quiet && !o->json)
        (void)printf("took over %s\n", o->import);
    return CLI_OK;
}

static cli_exit pass_on(const cli_options *o, cli_session *session)
{
    tt_status status = tt_tuning_export(session->context, o->export);
    if (status != TT_OK)
        return cli_fail_status(session->context, status);
    if (!o->quiet && !o->json)
        (void)printf("wrote %s\n", o->export);
    return CLI_OK;
}

static cli_exit measure(const cli_options *o, cli_session *session, cli_request *request, tt_tune_report *report)
{
    FILE *stream = o->quiet || o->json ? NULL : stdout;
    double seconds = isnan(o->seconds) ? usual_seconds : o->seconds;
    cli_exit code = cli_session_load(o, session);
    if (code == CLI_OK)
        code = cli_request_make(o, session, request);
    if (code == CLI_OK)
        code = cli_session_catch_signals(session);
    return code == CLI_OK ? cli_tune_request(session, &request->params, seconds, o->again, stream, report) : code;
}

/* A table that is taken over is used as it is: nothing is measured then. */
static cli_exit run(const cli_options *o, cli_session *session, cli_request *request)
{
    tt_tune_report report = {0};
    cli_exit code = cli_session_begin(o, session);
    if (code == CLI_OK)
        code = cli_session_open_device(o, session);
    if (code == CLI_OK && o->import != NULL)
        code = take_over(o, session);
    else if (code == CLI_OK)
        code = measure(o, session, request, &report);
    if (code == CLI_OK && o->export != NULL)
        code = pass_on(o, session);
    if (code == CLI_OK && o->json)
        print_json(session->context, &report);
    return code;
}

cli_exit cli_tune(const cli_options *options)
{
    cli_session session = {0};
    cli_request request = {0};
    cli_exit code = cli_request_check(options);
    if (code == CLI_OK && options->export != NULL)
        code = cli_check_writable(options->export);
    if (code == CLI_OK)
        code = run(options, &session, &request);
    cli_request_free(&request);
    cli_session_end(&session);
    return code;
}
