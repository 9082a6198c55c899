/* compare-plots.c - size against fidelity, and where in the UNet and when in the run the error arises. */
#include "cli/compare-plots.h"
#include "cli/html.h"
#include "cli/svg-plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void begin_figure(FILE *out, const char *title, bool is_wide)
{
    (void)fprintf(out, "<figure%s><figcaption>", is_wide ? " class=\"wide\"" : "");
    cli_html_text(out, title);
    (void)fputs("</figcaption>\n", out);
}

static void end_figure(FILE *out)
{
    (void)fputs("</figure>\n", out);
}

static double megabytes(const tt_comparison_model *m)
{
    return (double)m->file_bytes * 1e-6;
}

static void include(cli_axis *axis, double value)
{
    if (!isfinite(value))
        return;
    axis->low = value < axis->low ? value : axis->low;
    axis->high = value > axis->high ? value : axis->high;
}

static cli_axis empty_axis(const char *label)
{
    return (cli_axis){.low = INFINITY, .high = -INFINITY, .label = label};
}

static cli_plot small_plot(FILE *out, cli_axis x, cli_axis y)
{
    return (cli_plot){.out = out, .width = 560, .height = 330, .x = x, .y = y};
}

/* ---- size against fidelity: one dot per candidate, a line down to its worst picture, a rule for the reference */

typedef struct scatter_plot {
    const char *title, *rule;
    cli_plot plot;
    double x[CLI_MAX_LIST], y[CLI_MAX_LIST], low[CLI_MAX_LIST]; /* of model i */
    double reference_x;
} scatter_plot;

static void draw_scatter(const tt_comparison *c, scatter_plot *s)
{
    begin_figure(s->plot.out, s->title, false);
    cli_plot_begin(&s->plot, s->title);
    cli_plot_rule(&s->plot, s->reference_x, s->rule);
    for (size_t i = 1; i < c->n_models; i++)
        cli_plot_range(&s->plot, s->x[i], s->low[i], s->y[i], i);
    for (size_t i = 1; i < c->n_models; i++)
        cli_plot_dot(&s->plot, s->x[i], s->y[i], i, c->models[i].file_name);
    cli_plot_end(&s->plot);
    end_figure(s->plot.out);
}

/* Equal pictures have no dB: they stand 5 dB above the best that has. */
static void plot_psnr(FILE *out, const tt_comparison *c)
{
    char title[160], rule[64];
    scatter_plot s = {.title = title, .rule = rule};
    s.plot = small_plot(out, empty_axis("file size, MB"), empty_axis("PSNR of pictures, dB"));
    s.reference_x = megabytes(&c->models[0]);
    include(&s.plot.x, 0.0);
    include(&s.plot.x, s.reference_x);
    for (size_t i = 1; i < c->n_models; i++) {
        include(&s.plot.x, megabytes(&c->models[i]));
        include(&s.plot.y, c->models[i].psnr.mean);
        include(&s.plot.y, c->models[i].psnr.min);
    }
    bool has_none = !isfinite(s.plot.y.high), has_equal = false;
    double top = has_none ? 60.0 : s.plot.y.high + 5.0;
    for (size_t i = 1; i < c->n_models; i++) {
        const tt_comparison_model *m = &c->models[i];
        has_equal = has_equal || isinf(m->psnr.mean);
        s.x[i] = megabytes(m);
        s.y[i] = isinf(m->psnr.mean) ? top : m->psnr.mean;
        s.low[i] = isinf(m->psnr.min) ? top : m->psnr.min;
    }
    if (has_equal)
        include(&s.plot.y, top);
    include(&s.plot.y, has_none ? 20.0 : s.plot.y.low);
    (void)snprintf(rule, sizeof rule, "reference, %.4g MB", s.reference_x);
    (void)snprintf(title, sizeof title, "File size against PSNR: dot = mean, foot = worst picture%s",
                   has_equal ? "; at the top: equal pictures, without dB" : "");
    cli_axis_widen(&s.plot.y);
    s.plot.x.high *= 1.05;
    draw_scatter(c, &s);
}

static void plot_ssim(FILE *out, const tt_comparison *c)
{
    char rule[64];
    scatter_plot s = {.title = "Bits per weight against SSIM: dot = mean, foot = worst picture", .rule = rule};
    s.plot = small_plot(out, empty_axis("stored bits per weight"), empty_axis("SSIM of pictures (1 = equal)"));
    s.reference_x = c->models[0].bits_per_weight;
    include(&s.plot.x, 0.0);
    include(&s.plot.x, s.reference_x);
    include(&s.plot.y, 1.0);
    for (size_t i = 1; i < c->n_models; i++) {
        const tt_comparison_model *m = &c->models[i];
        s.x[i] = m->bits_per_weight;
        s.y[i] = m->ssim.mean;
        s.low[i] = m->ssim.min;
        include(&s.plot.x, s.x[i]);
        include(&s.plot.y, s.low[i]);
    }
    (void)snprintf(rule, sizeof rule, "reference, %.4g bits", s.reference_x);
    include(&s.plot.y, 0.99);
    cli_axis_widen(&s.plot.y);
    s.plot.y.high = 1.0; /* there is nothing above */
    s.plot.x.high *= 1.05;
    draw_scatter(c, &s);
}

/* The first group of the accuracies, with the reference among the dots. */
static void plot_accuracy(FILE *out, const tt_comparison *c)
{
    char title[160];
    const char *group = cli_compare_group(c, 0);
    cli_plot plot = small_plot(out, empty_axis("file size, MB"), empty_axis("prompts painted right, %"));
    double x[CLI_MAX_LIST], y[CLI_MAX_LIST];
    if (group == NULL)
        return;
    include(&plot.x, 0.0);
    include(&plot.y, 100.0);
    for (size_t i = 0; i < c->n_models; i++) {
        double share = cli_compare_share(&c->models[i], group);
        x[i] = megabytes(&c->models[i]);
        y[i] = share < 0.0 ? NAN : 100.0 * share;
        include(&plot.x, x[i]);
        include(&plot.y, y[i]);
    }
    cli_axis_widen(&plot.y);
    plot.x.high *= 1.05;
    (void)snprintf(title, sizeof title, "File size against accuracy (%.60s)", group);
    begin_figure(out, title, false);
    cli_plot_begin(&plot, title);
    for (size_t i = 0; i < c->n_models; i++)
        if (!isnan(y[i]))
            cli_plot_dot(&plot, x[i], y[i], i, c->models[i].file_name);
    cli_plot_end(&plot);
    end_figure(out);
}

/* ---- errors over the run and over the network */

/* A log axis for errors; equal results (0) have no place on it. False when all are 0. */
static bool error_axis(cli_axis *axis, double smallest, double largest)
{
    *axis = (cli_axis){smallest, largest, true, false, false, "relative error (rms / deviation)"};
    if (!(largest > 0.0) || !isfinite(largest))
        return false;
    cli_axis_widen(axis);
    return true;
}

static void widen_errors(const double *errors, size_t n, double *smallest, double *largest)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(errors[i]) && errors[i] > 0.0) {
            *smallest = errors[i] < *smallest ? errors[i] : *smallest;
            *largest = errors[i] > *largest ? errors[i] : *largest;
        }
}

static void plot_passes(FILE *out, const tt_comparison *c)
{
    static const char title[] = "Error of one UNet pass over the run (noise at the left, picture at the right)";
    /* Beside the plot of accuracies, or in a row of its own. */
    bool is_wide = cli_compare_group(c, 0) == NULL;
    cli_plot plot = {.out = out, .width = is_wide ? 1160 : 560, .height = 330, .x = empty_axis("timestep")};
    double smallest = INFINITY, largest = 0;
    for (size_t i = 1; i < c->n_models; i++)
        widen_errors(c->models[i].pass_errors, c->n_passes, &smallest, &largest);
    for (size_t i = 0; i < c->n_passes; i++)
        include(&plot.x, c->timesteps[i]);
    if (!error_axis(&plot.y, smallest, largest))
        return;
    cli_axis_widen(&plot.x);
    plot.x.is_reversed = true;
    begin_figure(out, title, is_wide);
    cli_plot_begin(&plot, title);
    for (size_t i = 1; i < c->n_models; i++)
        cli_plot_line(&plot, c->timesteps, c->models[i].pass_errors, c->n_passes, i, true);
    cli_plot_end(&plot);
    end_figure(out);
}

/* Length of the part of a block's name that names its group: "down_blocks.0", "mid_block". */
static size_t group_length(const char *name)
{
    size_t n = strcspn(name, ".");
    if (strncmp(name, "mid_block", n) != 0 && name[n] == '.')
        n += 1 + strcspn(name + n + 1, ".");
    return n;
}

/* "down_blocks.0" as "down 0", where a group of blocks begins; in two rows, as groups may be short. */
static void draw_groups(const cli_plot *plot, const tt_comparison *c)
{
    size_t n_groups = 0;
    for (size_t i = 0; i < c->n_layers; i++) {
        const char *name = c->layers[i];
        size_t n = group_length(name), first = strcspn(name, "_.");
        if (i > 0 && group_length(c->layers[i - 1]) == n && strncmp(c->layers[i - 1], name, n) == 0)
            continue;
        double at = cli_plot_x(plot, (double)i), foot = plot->height - (n_groups++ % 2 ? 22.0 : 34.0);
        const char *number = memchr(name, '.', n);
        (void)fprintf(plot->out, "<path class=\"grid\" d=\"M%.1f 26V%.1f\"/>", at, foot);
        (void)fprintf(plot->out, "<text class=\"note\" x=\"%.1f\" y=\"%.1f\">%.*s%s%.*s</text>\n", at + 3, foot,
                      (int)(first < n ? first : n), name, number ? " " : "", number ? (int)(name + n - number - 1) : 0,
                      number ? number + 1 : "");
    }
}

static void plot_layers(FILE *out, const tt_comparison *c)
{
    static const char title[] =
        "Error of the UNet's blocks in running order (root mean square over the passes; no line: equal)";
    cli_plot plot = {.out = out, .width = 1160, .height = 340};
    plot.x = (cli_axis){-0.5, (double)c->n_layers, false, false, true, "residual and transformer blocks"};
    double smallest = INFINITY, largest = 0;
    double *x = calloc(c->n_layers * (c->n_models + 1) + 1, sizeof *x);
    for (size_t i = 0; x != NULL && i < c->n_layers; i++)
        x[i] = (double)i;
    for (size_t m = 1; x != NULL && m < c->n_models; m++) {
        for (size_t i = 0; i < c->n_layers; i++)
            x[m * c->n_layers + i] = cli_compare_layer(c, m, i);
        widen_errors(x + m * c->n_layers, c->n_layers, &smallest, &largest);
    }
    if (x != NULL && error_axis(&plot.y, smallest, largest)) {
        begin_figure(out, title, true);
        cli_plot_begin(&plot, title);
        draw_groups(&plot, c);
        for (size_t m = 1; m < c->n_models; m++)
            cli_plot_line(&plot, x, x + m * c->n_layers, c->n_layers, m, true);
        cli_plot_end(&plot);
        end_figure(out);
    }
    free(x);
}

void cli_compare_plots(FILE *out, const tt_comparison *comparison)
{
    plot_psnr(out, comparison);
    plot_ssim(out, comparison);
    plot_accuracy(out, comparison);
    plot_passes(out, comparison);
    plot_layers(out, comparison);
}
