/* upscale.c - `tintype upscale FILE`: makes a picture larger with a network, and keeps what it says of its making. */
#include "cli/commands.h"
#include "cli/paths.h"
#include "cli/session.h"

#include <time.h>
#include <unistd.h>

/* Where progress goes. */
typedef struct view {
    FILE *stream; /* NULL: nowhere */
    bool is_terminal;
} view;

static bool show(void *user, uint32_t tile, uint32_t n_tiles)
{
    const view *v = user;
    if (cli_is_interrupted())
        return false;
    if (v->stream != NULL && v->is_terminal) {
        (void)fprintf(v->stream, "\r\033[Ktile %u of %u", (unsigned)tile + 1, (unsigned)n_tiles);
        (void)fflush(v->stream);
    }
    return true;
}

static cli_exit enlarge(const cli_options *o, cli_session *session, tt_upscaler *upscaler, const tt_image *in,
                        tt_image *out)
{
    bool is_shown = !o->quiet && !o->json;
    view v = {.stream = is_shown ? stdout : NULL, .is_terminal = is_shown && isatty(STDOUT_FILENO)};
    cli_exit code = cli_session_catch_signals(session);
    if (code != CLI_OK)
        return code;
    tt_status status = tt_upscale(upscaler, in, o->scale ? o->scale : 2, show, &v, out);
    if (v.stream != NULL && v.is_terminal)
        (void)fprintf(v.stream, "\r\033[K");
    if (status == TT_ERROR_CANCELLED && cli_is_interrupted())
        return cli_fail(CLI_CANCELLED, "cancelled; nothing was written");
    return status == TT_OK ? CLI_OK : cli_fail_status(session->context, status);
}

static cli_exit write_marked(const cli_options *o, cli_session *session, const tt_image_report *report,
                             const tt_image *image)
{
    tt_image_marks marks;
    tt_image_marks_upscaled(report, &marks);
    tt_status status = tt_image_write_png(session->context, o->output, image, &marks);
    if (status != TT_OK)
        return cli_fail_status(session->context, status);
    if (!o->quiet && !o->json)
        (void)printf("wrote %s, %ux%u\n", o->output, (unsigned)image->width, (unsigned)image->height);
    return CLI_OK;
}

/* What was done, for programs. seconds: of the network, without reading and writing files. */
static cli_exit print_json(const tt_image *in, const tt_image *out, double seconds, cli_session *session,
                           tt_upscaler *upscaler)
{
    tt_upscaler_info info;
    tt_status status = tt_upscaler_get_info(upscaler, &info);
    if (status != TT_OK)
        return cli_fail_status(session->context, status);
    (void)printf("{\"network\": ");
    cli_print_json_string(stdout, info.name);
    (void)printf(", \"architecture\": \"%s\", \"network_scale\": %u, \"n_parameters\": %llu, \"n_bytes\": %llu, "
                 "\"flops_per_pixel\": %.0f,\n \"tile\": %u, \"peak_bytes\": %llu, \"detail\": %.4f, \"width\": %u, "
                 "\"height\": %u, \"seconds\": %.3f}\n",
                 info.architecture, (unsigned)info.scale, (unsigned long long)info.n_parameters,
                 (unsigned long long)info.n_bytes, info.flops_per_pixel, (unsigned)info.tile,
                 (unsigned long long)info.peak_bytes, tt_image_detail(in), (unsigned)out->width, (unsigned)out->height,
                 seconds);
    return CLI_OK;
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Greys become RGB: PNGs of the engine are RGB or RGBA. */
static cli_exit read_picture(const char *path, cli_session *session, tt_image_report *report, tt_image *image)
{
    tt_status status = tt_image_inspect(session->context, path, report);
    if (status == TT_OK)
        status = tt_image_read(session->context, path, 0, image);
    if (status == TT_OK && image->n_channels == 1) {
        tt_image_free(image);
        status = tt_image_read(session->context, path, 3, image);
    }
    return status == TT_OK ? CLI_OK : cli_fail_status(session->context, status);
}

static cli_exit run(const cli_options *o, cli_session *session)
{
    tt_image_report report = {0};
    tt_image in = {0}, out = {0};
    tt_upscaler *upscaler = NULL;
    cli_exit code = read_picture(o->words[0], session, &report, &in);
    if (code == CLI_OK)
        code = cli_session_load_upscaler(o, session, &upscaler);
    if (code == CLI_OK)
        code = cli_session_open_device(o, session);
    double start = now();
    if (code == CLI_OK)
        code = enlarge(o, session, upscaler, &in, &out);
    double seconds = now() - start;
    if (code == CLI_OK)
        code = write_marked(o, session, &report, &out);
    if (code == CLI_OK && o->json)
        code = print_json(&in, &out, seconds, session, upscaler);
    tt_upscaler_destroy(upscaler);
    tt_image_free(&in);
    tt_image_free(&out);
    tt_image_report_free(&report);
    return code;
}

cli_exit cli_upscale(const cli_options *options)
{
    cli_session session = {0};
    if (options->output == NULL)
        return cli_fail(CLI_USAGE, "upscale needs a file to write: -o FILE");
    cli_exit code = cli_check_writable(options->output);
    if (code == CLI_OK)
        code = cli_session_begin(options, &session);
    if (code == CLI_OK)
        code = run(options, &session);
    cli_session_end(&session);
    return code;
}
