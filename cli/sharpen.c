/* sharpen.c - who sharpens a draft, what leaves the device for it, and what is said about that. */
#include "cli/sharpen.h"
#include "cli/paths.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where a service begins to be worth its trouble: measured in docs/cloud.md. */
static const double usual_route = 0.3;

static const char token_variable[] = "TINTYPE_CLOUD_TOKEN";

/* ---- before anything is loaded */

static tt_sharpen_by who(const cli_options *o)
{
    return o->upscale == CLI_NOT_GIVEN ? TT_SHARPEN_AUTO : (tt_sharpen_by)o->upscale;
}

bool cli_sharpen_sends_latent(const cli_options *o)
{
    return o->draft != 0 && o->upload == 1 && o->cloud_url != NULL && who(o) != TT_SHARPEN_LOCAL;
}

bool cli_sharpen_skips_decoding(const cli_options *o)
{
    return cli_sharpen_sends_latent(o) && who(o) == TT_SHARPEN_CLOUD;
}

/* Options that mean nothing without a draft. */
static const char *stray_option(const cli_options *o)
{
    return o->upscale != CLI_NOT_GIVEN   ? "upscale"
           : o->cloud_url != NULL        ? "cloud-url"
           : o->allow_upload             ? "allow-upload"
           : o->upload != 0              ? "upload"
           : !isnan(o->route)            ? "route"
           : !isnan(o->cloud_timeout)    ? "cloud-timeout"
           : o->cloud_max_bytes != 0     ? "cloud-max-bytes"
           : o->cloud_token_file != NULL ? "cloud-token-file"
           : o->cloud_ca_file != NULL    ? "cloud-ca-file"
           : o->upscale_model != NULL    ? "upscale-model"
                                         : NULL;
}

static const char *sent_thing(const cli_options *o)
{
    return o->upload == 1 ? "the draft's latent with its model's hash" : "the draft's pixels as a PNG without any text";
}

cli_exit cli_sharpen_check(const cli_options *o)
{
    const char *stray = o->draft == 0 ? stray_option(o) : NULL;
    if (stray != NULL)
        return cli_fail(CLI_USAGE, "--%s is about sharpening a draft: say how large that is with --draft PIXELS",
                        stray);
    if (o->draft == 0 || who(o) == TT_SHARPEN_LOCAL)
        return CLI_OK;
    if (who(o) == TT_SHARPEN_CLOUD && o->cloud_url == NULL)
        return cli_fail(CLI_USAGE, "--upscale cloud needs the service's address: add --cloud-url https://...");
    if (o->upload == 1 && (o->vae != NULL || o->taesd != NULL))
        return cli_fail(CLI_USAGE,
                        "--upload latent is decoded by the service with the model's own VAE, not with that of "
                        "--vae or --taesd; send pixels");
    if (o->cloud_url != NULL && !o->allow_upload)
        return cli_fail(CLI_USAGE,
                        "%s and the scale would be sent to %s, and nothing else; add --allow-upload if that is all "
                        "right, or --upscale local",
                        sent_thing(o), o->cloud_url);
    return CLI_OK;
}

/* ---- setting up */

/* From the file or the environment, never from the command line, which everybody on the machine can read. */
static cli_exit read_token(cli_sharpen *s)
{
    const char *path = s->options->cloud_token_file, *named = getenv(token_variable);
    s->params.cloud.token = named != NULL && named[0] != '\0' ? named : NULL;
    if (path == NULL)
        return CLI_OK;
    const cli_exit code = cli_read_text(path, "token file", &s->token);
    if (code != CLI_OK)
        return code;
    s->token[strcspn(s->token, " \t\r\n")] = '\0';
    s->params.cloud.token = s->token;
    return s->token[0] != '\0' ? CLI_OK : cli_fail(CLI_FAILED, "%s holds no token on its first line", path);
}

static cli_exit make_state_path(cli_sharpen *s)
{
    static const char ending[] = ".job";
    const char *resume = s->options->resume;
    if (resume == NULL)
        return CLI_OK;
    s->state_path = malloc(strlen(resume) + sizeof ending);
    if (s->state_path == NULL)
        return cli_fail_memory();
    (void)strcat(strcpy(s->state_path, resume), ending);
    s->params.cloud.state_path = s->state_path;
    return CLI_OK;
}

static bool on_cloud(void *user, const tt_cloud_progress *report);

static bool on_tile(void *user, uint32_t tile, uint32_t n_tiles)
{
    char note[64];
    cli_sharpen *s = user;
    (void)snprintf(note, sizeof note, "sharpening, tile %u of %u", tile + 1, n_tiles);
    cli_progress_note(s->progress, note);
    return !cli_is_interrupted();
}

static void fill_params(cli_sharpen *s)
{
    const cli_options *o = s->options;
    tt_sharpen_params *p = &s->params;
    tt_sharpen_params_default(p);
    p->by = who(o);
    p->scale = s->request->scale;
    p->model_hash = cli_sharpen_sends_latent(o) ? tt_model_hash(s->session->model) : NULL;
    p->vae_factor = s->request->info.vae_factor;
    p->route_detail = isnan(o->route) ? 0.0 : o->route > 0.0 ? o->route : usual_route;
    p->local_progress = on_tile;
    p->local_user = s;
    p->cloud.url = o->cloud_url;
    p->cloud.allow_upload = o->allow_upload;
    p->cloud.ca_file = o->cloud_ca_file;
    if (!isnan(o->cloud_timeout))
        p->cloud.timeout_seconds = o->cloud_timeout;
    if (o->cloud_max_bytes != 0)
        p->cloud.max_bytes = o->cloud_max_bytes;
    p->cloud.progress = on_cloud;
    p->cloud.progress_user = s;
}

static cli_exit load_network(cli_sharpen *s)
{
    tt_upscaler_info info;
    if (s->params.by == TT_SHARPEN_CLOUD)
        return CLI_OK;
    const cli_exit code = cli_session_load_upscaler(s->options, s->session, &s->params.upscaler);
    if (code != CLI_OK)
        return code;
    const tt_status status = tt_upscaler_get_info(s->params.upscaler, &info);
    if (status != TT_OK)
        return cli_fail_status(s->session->context, status);
    /* The name goes into a list of values that commas separate. */
    for (char *c = info.name; *c; c++)
        if (strchr(",:\"\n", *c) != NULL)
            *c = '_';
    (void)snprintf(s->upscaler_name, sizeof s->upscaler_name, "%s", info.name);
    return CLI_OK;
}

cli_exit cli_sharpen_begin(cli_sharpen *s)
{
    if (s->options->draft == 0)
        return CLI_OK;
    fill_params(s);
    cli_exit code = read_token(s);
    if (code == CLI_OK)
        code = make_state_path(s);
    if (code == CLI_OK && s->params.cloud.url != NULL && s->params.by != TT_SHARPEN_LOCAL) {
        const tt_status status = tt_cloud_check(s->session->context, &s->params.cloud);
        /* What is wrong with the command line is told at once; a build without libcurl sharpens here and says so. */
        if (status != TT_OK && !(status == TT_ERROR_UNSUPPORTED && s->params.by == TT_SHARPEN_AUTO))
            code = cli_fail_status(s->session->context, status);
    }
    return code == CLI_OK ? load_network(s) : code;
}

void cli_sharpen_end(cli_sharpen *s)
{
    tt_upscaler_destroy(s->params.upscaler);
    free(s->token);
    free(s->state_path);
    *s = (cli_sharpen){0};
}

/* ---- saying what happens */

static void announce(cli_sharpen *s)
{
    const cli_options *o = s->options;
    const bool may_go = s->params.by != TT_SHARPEN_LOCAL && o->cloud_url != NULL;
    if (s->is_announced || !may_go || s->progress->stream == NULL)
        return;
    s->is_announced = true;
    cli_progress_clear(s->progress);
    (void)fprintf(s->progress->stream, "%s to %s: %s (%ux%u) and the scale %u; no prompt, no seed, no metadata\n",
                  s->params.route_detail > 0.0 ? "may send" : "sends", o->cloud_url, sent_thing(o),
                  s->request->params.width, s->request->params.height, s->params.scale);
    (void)fflush(s->progress->stream);
}

static void describe(const tt_cloud_progress *report, char *text, size_t n_bytes)
{
    const double done = (double)report->done_bytes * 1e-3, total = (double)report->total_bytes * 1e-3;
    switch (report->phase) {
    case TT_CLOUD_CONNECT:
        (void)snprintf(text, n_bytes, "connecting to the service");
        break;
    case TT_CLOUD_UPLOAD:
        (void)snprintf(text, n_bytes, "sending %.0f of %.0f KB", done, total);
        break;
    case TT_CLOUD_QUEUED:
        (void)snprintf(text, n_bytes, "waiting at the service, %u before this one, %.0f s", report->queue_position,
                       report->seconds);
        break;
    case TT_CLOUD_WORK:
        (void)snprintf(text, n_bytes, "the service is at it, %.0f s", report->seconds);
        break;
    case TT_CLOUD_DOWNLOAD:
        (void)snprintf(text, n_bytes, "receiving %.0f of %.0f KB", done, total);
        break;
    case TT_CLOUD_RETRY:
        (void)snprintf(text, n_bytes, "try %u in %.0f s", report->n_tries, ceil(report->wait_seconds));
        break;
    }
}

static bool on_cloud(void *user, const tt_cloud_progress *report)
{
    char text[96] = "";
    cli_sharpen *s = user;
    describe(report, text, sizeof text);
    cli_progress_note(s->progress, text);
    /* Without a terminal a line for each thing that takes its time. */
    if (s->progress->stream != NULL && !s->progress->is_terminal && report->phase != s->phase &&
        (report->phase == TT_CLOUD_QUEUED || report->phase == TT_CLOUD_RETRY)) {
        (void)fprintf(s->progress->stream, "%s\n", text);
        (void)fflush(s->progress->stream);
    }
    s->phase = report->phase;
    return !cli_is_interrupted();
}

static void tell_result(const cli_sharpen *s, const tt_sharpen_report *report)
{
    FILE *out = s->progress->stream;
    if (out == NULL)
        return;
    cli_progress_clear(s->progress);
    if (report->by == TT_SHARPEN_CLOUD)
        (void)fprintf(out, "sharpened by the service in %.2f s (%.1f KB sent, %.1f KB received%s)\n", report->seconds,
                      (double)report->cloud.sent_bytes * 1e-3, (double)report->cloud.received_bytes * 1e-3,
                      report->cloud.is_resumed ? ", a job of an earlier run" : "");
    else if (report->reason[0] != '\0' && s->params.cloud.url != NULL) {
        (void)fprintf(out, "sharpened on this device in %.2f s: ", report->seconds);
        cli_print_plain(out, report->reason);
        (void)fputc('\n', out);
    } else
        (void)fprintf(out, "sharpened on this device in %.2f s\n", report->seconds);
    (void)fflush(out);
}

/* As A1111 writes an enlarged picture: Size is the draft's. */
static void make_note(cli_sharpen *s, tt_sharpen_by by)
{
    const tt_generate_params *p = &s->request->params;
    const bool is_service = by == TT_SHARPEN_CLOUD;
    (void)snprintf(s->note, sizeof s->note,
                   ", Hires upscale: %u, Hires upscaler: %s, Draft size: %ux%u, Sharpened by: %s", s->params.scale,
                   is_service ? "upscale service" : s->upscaler_name, p->width, p->height,
                   is_service ? "service" : "this device");
}

cli_exit cli_sharpen_run(cli_sharpen *s, const tt_latent *latent, tt_image *image)
{
    tt_image larger = {0};
    tt_sharpen_report report;
    announce(s);
    s->params.latent = cli_sharpen_sends_latent(s->options) ? latent : NULL;
    s->phase = TT_CLOUD_CONNECT;
    const tt_status status =
        tt_sharpen(s->session->context, &s->params, image->pixels != NULL ? image : NULL, &larger, &report);
    cli_progress_clear(s->progress);
    if (status == TT_ERROR_CANCELLED && cli_is_interrupted())
        return cli_fail(CLI_CANCELLED, "cancelled; the draft was not sharpened and no picture was written");
    if (status != TT_OK)
        return cli_fail_status(s->session->context, status);
    tell_result(s, &report);
    make_note(s, report.by);
    tt_image_free(image);
    *image = larger;
    return CLI_OK;
}
