/* progress.c - the bar, the lines, the summary. */
#include "cli/progress.h"

#include <unistd.h>

enum { BAR_CELLS = 24, LINES_PER_PICTURE = 5 };

cli_progress cli_progress_begin(FILE *stream, uint32_t n_images)
{
    bool is_terminal = stream != NULL && isatty(fileno(stream)) != 0;
    return (cli_progress){.stream = stream, .is_terminal = is_terminal, .n_images = n_images};
}

static void print_picture(const cli_progress *progress)
{
    if (progress->n_images > 1)
        (void)fprintf(progress->stream, "picture %u/%u  ", progress->image + 1, progress->n_images);
}

static void draw_note(cli_progress *progress, const char *note)
{
    (void)fputs("\r\033[K", progress->stream);
    print_picture(progress);
    (void)fputs(note, progress->stream);
    (void)fflush(progress->stream);
}

/* "1.23 s/it", with one digit more below a second. */
static void print_pace(FILE *stream, double step_ms)
{
    if (step_ms >= 1000.0 || step_ms <= 0.0)
        (void)fprintf(stream, "%.2f s/it", step_ms * 1e-3);
    else
        (void)fprintf(stream, "%.3f s/it", step_ms * 1e-3);
}

static void draw_bar(cli_progress *progress, const tt_progress *report)
{
    FILE *out = progress->stream;
    double mean_ms = progress->steps_ms / (report->step - report->first_step);
    int filled = report->n_steps ? (int)((uint64_t)report->step * BAR_CELLS / report->n_steps) : 0;
    (void)fputs("\r\033[K", out);
    print_picture(progress);
    (void)fputc('[', out);
    for (int i = 0; i < BAR_CELLS; i++)
        (void)fputc(i < filled ? '=' : i == filled ? '>' : ' ', out);
    (void)fprintf(out, "] %u/%u  ", report->step, report->n_steps);
    print_pace(out, mean_ms);
    (void)fprintf(out, "  %.0f s left", mean_ms * (report->n_steps - report->step) * 1e-3);
    (void)fflush(out);
}

/* Without a terminal: the first step, the last, and a few between. */
static void print_line(cli_progress *progress, const tt_progress *report)
{
    uint32_t every = report->n_steps / LINES_PER_PICTURE + 1;
    if (report->step != report->first_step + 1 && report->step != report->n_steps &&
        report->step < progress->last_step + every)
        return;
    progress->last_step = report->step;
    print_picture(progress);
    (void)fprintf(progress->stream, "step %u/%u  ", report->step, report->n_steps);
    print_pace(progress->stream, progress->steps_ms / (report->step - report->first_step));
    (void)fputc('\n', progress->stream);
    (void)fflush(progress->stream);
}

static void show_step(cli_progress *progress, const tt_progress *report)
{
    if (report->step == 0) {
        if (progress->is_terminal)
            draw_note(progress, "preparing the UNet");
        return;
    }
    if (report->step == report->first_step + 1) {
        progress->steps_ms = 0.0;
        progress->last_step = report->first_step;
    }
    progress->steps_ms += report->step_ms;
    if (progress->is_terminal)
        draw_bar(progress, report);
    else
        print_line(progress, report);
}

/* Once, before the first picture that an earlier run began. */
static void tell_resumed(cli_progress *progress, const tt_progress *report)
{
    if (report->first_step == 0 || progress->told_resumed)
        return;
    progress->told_resumed = true;
    cli_progress_clear(progress);
    print_picture(progress);
    (void)fprintf(progress->stream, "going on after step %u\n", report->first_step);
    (void)fflush(progress->stream);
}

void cli_progress_show(cli_progress *progress, const tt_progress *report)
{
    static const char *const notes[] = {[TT_PHASE_TEXT] = "encoding the prompt",
                                        [TT_PHASE_ENCODE] = "encoding the picture",
                                        [TT_PHASE_DECODE] = "decoding"};
    if (progress->stream == NULL)
        return;
    tell_resumed(progress, report);
    if (report->phase == TT_PHASE_DENOISE)
        show_step(progress, report);
    else if (report->phase == TT_PHASE_DONE)
        cli_progress_clear(progress);
    else if (progress->is_terminal)
        draw_note(progress, notes[report->phase]);
}

void cli_progress_note(cli_progress *progress, const char *note)
{
    if (progress->stream != NULL && progress->is_terminal)
        draw_note(progress, note);
}

void cli_progress_clear(cli_progress *progress)
{
    if (progress->stream == NULL || !progress->is_terminal)
        return;
    (void)fputs("\r\033[K", progress->stream);
    (void)fflush(progress->stream);
}

static void print_time(FILE *stream, const char *name, double ms)
{
    if (ms > 0.0)
        (void)fprintf(stream, "  %-14s %8.2f s\n", name, ms * 1e-3);
}

void cli_progress_summary(const cli_progress *progress, const tt_generate_stats *stats)
{
    FILE *out = progress->stream;
    if (out == NULL)
        return;
    print_time(out, "text encoder", stats->text_ms);
    print_time(out, "VAE encoder", stats->encode_ms);
    if (stats->n_unet_calls > 0 && stats->denoise_ms > 0.0) {
        (void)fprintf(out, "  %-14s %8.2f s  (%u UNet passes, ", "denoising", stats->denoise_ms * 1e-3,
                      stats->n_unet_calls);
        print_pace(out, stats->denoise_ms / stats->n_unet_calls);
        (void)fputs(")\n", out);
    }
    print_time(out, "resume file", stats->resume_ms);
    print_time(out, "VAE decoder", stats->decode_ms);
    (void)fprintf(out, "  %-14s %8.2f s\n", "total", stats->total_ms * 1e-3);
    if (stats->peak_bytes > 0)
        (void)fprintf(out, "  %-14s %8.0f MB  (%.0f MB forecast, %.0f MB on the device, %s)\n", "memory at most",
                      (double)stats->peak_bytes * 1e-6, (double)stats->forecast_bytes * 1e-6,
                      (double)stats->device_bytes * 1e-6, tt_memory_mode_name(stats->memory_mode));
}
