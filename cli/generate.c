/* generate.c - `tintype generate`: pictures from a prompt, a start picture, a mask. */
#include "cli/commands.h"
#include "cli/marks.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/sharpen.h"
#include "cli/tune.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Everything one `generate` holds. */
typedef struct job {
    const cli_options *options;
    cli_session session;
    tt_context *pictures; /* for previews: the session's context is busy then */
    cli_request request;
    cli_progress progress;
    cli_sharpen sharpen;
    cli_exit preview_code; /* why a preview ended the run */
    uint32_t first;        /* number of the picture to begin with: a resumed batch has the earlier ones on disk */
} job;

/* ---- before anything is loaded */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static cli_exit check_name(const char *option, const char *path)
{
    static const char *const others[] = {".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (ends_with(path, others[i]))
            return cli_fail(CLI_USAGE, "%s: pictures are written as PNG, so %s should end in .png", option, path);
    return CLI_OK;
}

static cli_exit check_options(const cli_options *o)
{
    if (o->prompt == NULL)
        return cli_fail(CLI_USAGE, "there is no prompt; say what to paint with -p \"a cat on a blue background\"");
    cli_exit code = cli_request_check(o);
    if (code == CLI_OK)
        code = cli_sharpen_check(o);
    if (code != CLI_OK)
        return code;
    if (o->producer != NULL && strlen(o->producer) > 128)
        return cli_fail(CLI_USAGE, "the code of --aigc-producer has %zu bytes; at most 128 are taken (27 are usual)",
                        strlen(o->producer));
    for (const char *c = o->producer ? o->producer : ""; *c; c++)
        if (*c < 0x20 || *c > 0x7e)
            return cli_fail(CLI_USAGE, "the code of --aigc-producer must be printable ASCII, not \"%s\"", o->producer);
    return CLI_OK;
}

static const char *output_pattern(const cli_options *o)
{
    return o->output ? o->output : "output.png";
}

static uint32_t n_images(const cli_options *o)
{
    return o->n_images ? o->n_images : 1;
}

/* The resume file is removed at the end: it must be none of the pictures. */
static cli_exit check_resume(const cli_options *o)
{
    char path[CLI_PATH];
    cli_exit code = cli_check_writable(o->resume);
    for (uint32_t i = 0; i < n_images(o) && code == CLI_OK; i++) {
        code = cli_output_name(output_pattern(o), i, n_images(o), path);
        if (code == CLI_OK && strcmp(path, o->resume) == 0)
            code = cli_fail(CLI_USAGE, "--resume and -o both name %s; give the run's state a file of its own", path);
    }
    if (code == CLI_OK && o->preview != NULL && strcmp(o->preview, o->resume) == 0)
        code = cli_fail(CLI_USAGE, "--resume and --preview both name %s; give the run's state a file of its own",
                        o->resume);
    return code;
}

static cli_exit check_files(const cli_options *o)
{
    char path[CLI_PATH];
    cli_exit code = check_name("-o", output_pattern(o));
    if (code == CLI_OK)
        code = cli_output_name(output_pattern(o), 0, n_images(o), path);
    if (code == CLI_OK)
        code = cli_check_writable(path);
    if (code == CLI_OK && o->preview != NULL)
        code = check_name("--preview", o->preview);
    if (code == CLI_OK && o->preview != NULL)
        code = cli_check_writable(o->preview);
    if (code == CLI_OK && o->resume != NULL)
        code = check_resume(o);
    return code;
}

/* ---- the request */

static bool on_progress(void *user, const tt_progress *report);

static cli_exit prepare_request(job *j)
{
    const cli_options *o = j->options;
    cli_exit code = cli_request_make(o, &j->session, &j->request);
    tt_generate_params *p = &j->request.params;
    p->preview = o->preview != NULL;
    p->resume_path = o->resume;
    p->skip_decode = cli_sharpen_skips_decoding(o);
    p->progress = on_progress;
    p->progress_user = j;
    return code;
}

/* A resume file says which picture of the batch it is in: those before it were written. */
static cli_exit find_first(job *j)
{
    tt_resume_info info;
    const char *path = j->options->resume;
    if (path == NULL || access(path, F_OK) != 0)
        return CLI_OK;
    tt_status status = tt_resume_read(j->session.context, path, &info);
    if (status != TT_OK)
        return cli_fail_status(j->session.context, status);
    if (info.image >= n_images(j->options))
        return cli_fail(CLI_FAILED,
                        "%s stands at picture %u of a batch, but -b %u is asked for; ask for more pictures or "
                        "delete the file",
                        path, info.image + 1, n_images(j->options));
    j->first = info.image;
    return CLI_OK;
}

/* The pictures are on disk: nothing is left to go on with. */
static cli_exit remove_resume(const cli_options *o)
{
    if (o->resume == NULL || remove(o->resume) == 0 || errno == ENOENT)
        return CLI_OK;
    return cli_fail(CLI_FAILED, "the pictures are written, but %s cannot be removed: %s; delete it", o->resume,
                    strerror(errno));
}

/* ---- while it runs */

static cli_exit write_preview(job *j, const tt_image *preview)
{
    cli_marks marks;
    cli_exit code = cli_marks_make_preview(j->options, preview, &marks);
    if (code != CLI_OK)
        return code;
    tt_status status = tt_image_write_png(j->pictures, j->options->preview, preview, &marks.marks);
    cli_marks_free(&marks);
    return status == TT_OK ? CLI_OK : cli_fail_status(j->pictures, status);
}

static bool on_progress(void *user, const tt_progress *report)
{
    job *j = user;
    if (cli_is_interrupted())
        return false;
    cli_progress_show(&j->progress, report);
    if (report->preview == NULL || j->options->preview == NULL)
        return true;
    j->preview_code = write_preview(j, report->preview);
    return j->preview_code == CLI_OK;
}

static void print_heading(job *j)
{
    tt_device_info device;
    FILE *out = j->progress.stream;
    if (out == NULL || tt_context_device(j->session.context, &device) != TT_OK)
        return;
    (void)fprintf(out, "%s (%s, %.2f million parameters, %s) on %s\n", j->request.info.name, j->request.info.family,
                  (double)j->request.info.n_parameters * 1e-6, tt_precision_name(j->request.info.precision),
                  device.name);
    (void)fflush(out);
}

static cli_exit write_picture(job *j, const char *path, const tt_image *image, const tt_generate_stats *stats)
{
    cli_marks marks;
    cli_exit code =
        cli_marks_make(j->options, j->session.model, &j->request.params, stats, j->sharpen.note, image, &marks);
    if (code != CLI_OK)
        return code;
    tt_status status = tt_image_write_png(j->session.context, path, image, &marks.marks);
    cli_marks_free(&marks);
    if (status != TT_OK)
        return cli_fail_status(j->session.context, status);
    cli_progress_summary(&j->progress, stats);
    if (!j->options->quiet)
        (void)printf("wrote %s (%ux%u, seed %lld)\n", path, image->width, image->height,
                     (long long)((uint64_t)stats->seed + j->request.params.first_image));
    (void)fflush(stdout);
    return CLI_OK;
}

/* Why tt_generate ended early: a signal, a preview that could not be written (already reported), or an error. */
static cli_exit explain(job *j, tt_status status)
{
    cli_progress_clear(&j->progress);
    if (j->preview_code != CLI_OK)
        return j->preview_code;
    if (cli_is_interrupted() && j->options->resume != NULL)
        return cli_fail(CLI_CANCELLED, "cancelled; the same command goes on from %s", j->options->resume);
    if (cli_is_interrupted())
        return cli_fail(CLI_CANCELLED, "cancelled; no picture was written for this seed");
    return cli_fail_status(j->session.context, status);
}

/* One picture at a time: each is on disk as soon as it is finished, and cancelling keeps the finished ones. */
static cli_exit run_one(job *j, uint32_t index)
{
    char path[CLI_PATH];
    tt_image image = {0};
    tt_latent latent = {0};
    tt_generate_stats stats;
    cli_exit code = cli_output_name(output_pattern(j->options), index, n_images(j->options), path);
    if (code != CLI_OK)
        return code;
    j->progress.image = index;
    j->request.params.first_image = index;
    j->request.params.latents = cli_sharpen_sends_latent(j->options) ? &latent : NULL;
    tt_status status = tt_generate(j->session.model, &j->request.params, &image, &stats);
    if (status != TT_OK)
        return explain(j, status);
    if (j->options->draft != 0)
        code = cli_sharpen_run(&j->sharpen, &latent, &image);
    if (code == CLI_OK)
        code = write_picture(j, path, &image, &stats);
    tt_image_free(&image);
    tt_latent_free(&latent);
    j->request.params.seed = stats.seed;
    return code;
}

/* --tune: nothing to do when it was done before. */
static cli_exit tune_first(job *j)
{
    enum { SECONDS = 20 };
    tt_tune_report report;
    return j->options->tune
               ? cli_tune_request(&j->session, &j->request.params, SECONDS, false, j->progress.stream, &report)
               : CLI_OK;
}

/* --store-programs: nothing to do when it was done before. */
static cli_exit store_programs(const job *j)
{
    uint32_t n_stored = 0;
    if (!j->options->store_programs)
        return CLI_OK;
    tt_status status = tt_context_store_programs(j->session.context, &n_stored);
    if (status != TT_OK)
        return cli_fail_status(j->session.context, status);
    if (n_stored > 0 && !j->options->quiet)
        (void)printf("stored %u programs\n", n_stored);
    return CLI_OK;
}

static cli_exit run(job *j)
{
    cli_exit code = cli_session_begin(j->options, &j->session);
    if (code == CLI_OK && (j->pictures = tt_context_create()) == NULL)
        code = cli_fail_memory();
    if (code == CLI_OK)
        code = find_first(j); /* before the model is loaded: a damaged file is told at once */
    if (code == CLI_OK)
        code = cli_session_load(j->options, &j->session);
    if (code == CLI_OK)
        code = prepare_request(j);
    if (code == CLI_OK)
        code = cli_sharpen_begin(&j->sharpen);
    if (code == CLI_OK)
        code = cli_session_catch_signals(&j->session);
    if (code == CLI_OK)
        code = cli_session_open_device(j->options, &j->session);
    if (code == CLI_OK)
        print_heading(j);
    if (code == CLI_OK)
        code = tune_first(j);
    for (uint32_t i = j->first; i < n_images(j->options) && code == CLI_OK; i++)
        code = run_one(j, i);
    if (code == CLI_OK)
        code = remove_resume(j->options);
    return code == CLI_OK ? store_programs(j) : code;
}

cli_exit cli_generate(const cli_options *options)
{
    job j = {.options = options, .progress = cli_progress_begin(options->quiet ? NULL : stdout, n_images(options))};
    j.sharpen =
        (cli_sharpen){.options = options, .session = &j.session, .progress = &j.progress, .request = &j.request};
    cli_exit code = check_options(options);
    if (code == CLI_OK)
        code = check_files(options);
    if (code == CLI_OK)
        code = run(&j);
    cli_sharpen_end(&j.sharpen);
    cli_request_free(&j.request);
    cli_session_end(&j.session);
    tt_context_destroy(j.pictures);
    return code;
}
