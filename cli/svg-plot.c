/* svg-plot.c - see svg-plot.h. */
#include "cli/svg-plot.h"
#include "cli/html.h"

#include <math.h>

static const double left_margin = 62, right_margin = 18, top_margin = 26, bottom_margin = 46;

/* ---- places */

static double clamp(double value, double low, double high)
{
    return value < low || isnan(value) ? low : value > high ? high : value;
}

/* 0..1 along an axis. */
static double part_of(const cli_axis *axis, double value)
{
    double v = clamp(value, axis->low, axis->high);
    double part = axis->is_log ? (log10(v) - log10(axis->low)) / (log10(axis->high) - log10(axis->low))
                               : (v - axis->low) / (axis->high - axis->low);
    return axis->is_reversed ? 1.0 - part : part;
}

double cli_plot_x(const cli_plot *plot, double value)
{
    return left_margin + part_of(&plot->x, value) * (plot->width - left_margin - right_margin);
}

double cli_plot_y(const cli_plot *plot, double value)
{
    return plot->height - bottom_margin - part_of(&plot->y, value) * (plot->height - top_margin - bottom_margin);
}

void cli_axis_widen(cli_axis *axis)
{
    if (axis->is_log) {
        axis->low = pow(10.0, floor(log10(axis->low) + 1e-9));
        axis->high = pow(10.0, ceil(log10(axis->high) - 1e-9));
        if (!(axis->high > axis->low))
            axis->high = axis->low * 10.0;
        return;
    }
    double margin = (axis->high - axis->low) / 20.0;
    if (!(margin > 0.0))
        margin = axis->high != 0.0 ? fabs(axis->high) / 20.0 : 1.0;
    axis->low -= margin;
    axis->high += margin;
}

/* ---- ticks */

/* 1, 2 or 5 times a power of ten: about six steps in the range. */
static double tick_step(double range)
{
    double power = pow(10.0, floor(log10(range / 5.0))), rest = range / 5.0 / power;
    return power * (rest < 1.5 ? 1.0 : rest < 3.5 ? 2.0 : rest < 7.5 ? 5.0 : 10.0);
}

static void draw_tick(const cli_plot *plot, bool is_x, double value)
{
    FILE *out = plot->out;
    double at = is_x ? cli_plot_x(plot, value) : cli_plot_y(plot, value);
    double bottom = plot->height - bottom_margin, right = plot->width - right_margin;
    if (fabs(value) < 1e-12)
        value = 0;
    if (is_x) {
        (void)fprintf(out, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>", at, bottom, top_margin);
        (void)fprintf(out, "<text class=\"note\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.4g</text>\n", at,
                      bottom + 16, value);
    } else {
        (void)fprintf(out, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", left_margin, at, right);
        (void)fprintf(out, "<text class=\"note\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n",
                      left_margin - 7, at + 4, value);
    }
}

static void draw_ticks(const cli_plot *plot, bool is_x)
{
    const cli_axis *axis = is_x ? &plot->x : &plot->y;
    if (axis->has_no_ticks)
        return;
    if (axis->is_log) {
        int first = (int)lround(log10(axis->low)), last = (int)lround(log10(axis->high));
        for (int e = first; e <= last; e++)
            for (int k = 1; k <= (last - first < 3 && e < last ? 5 : 1); k += k == 1 ? 1 : 3)
                draw_tick(plot, is_x, k * pow(10.0, e));
        return;
    }
    double step = tick_step(axis->high - axis->low);
    for (double i = ceil(axis->low / step - 1e-9); i * step <= axis->high * (1 + 1e-12) + 1e-12; i++)
        draw_tick(plot, is_x, i * step);
}

void cli_plot_begin(cli_plot *plot, const char *title)
{
    FILE *out = plot->out;
    double bottom = plot->height - bottom_margin, right = plot->width - right_margin;
    double middle_x = (left_margin + right) / 2, middle_y = (top_margin + bottom) / 2;
    if (!(plot->x.high > plot->x.low))
        cli_axis_widen(&plot->x);
    if (!(plot->y.high > plot->y.low))
        cli_axis_widen(&plot->y);
    (void)fprintf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", plot->width, plot->height);
    cli_html_text(out, title);
    (void)fputs("\">\n", out);
    draw_ticks(plot, true);
    draw_ticks(plot, false);
    (void)fprintf(out, "<path class=\"axis\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", left_margin, top_margin, bottom, right);
    (void)fprintf(out, "<text class=\"label\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", middle_x,
                  plot->height - 8);
    cli_html_text(out, plot->x.label);
    (void)fprintf(out,
                  "</text>\n<text class=\"label\" transform=\"translate(14 %.1f) rotate(-90)\" "
                  "text-anchor=\"middle\">",
                  middle_y);
    cli_html_text(out, plot->y.label);
    (void)fputs("</text>\n", out);
}

void cli_plot_end(const cli_plot *plot)
{
    (void)fputs("</svg>\n", plot->out);
}

/* ---- marks */

/* Width of a label, about. */
static double label_width(const char *label)
{
    double width = 0;
    for (; *label; label++)
        width += ((unsigned char)*label & 0xc0) == 0x80 ? 0.0 : 6.4;
    return width;
}

/* Whether a label whose middle is at y fits among those that are there. */
static bool is_free(const cli_plot *plot, double left, double right, double y)
{
    for (size_t i = 0; i < plot->n_labels; i++) {
        const cli_label *l = &plot->labels[i];
        if (left < l->right && right > l->left && fabs(y - l->y) < 13.0)
            return false;
    }
    return y > top_margin && y < plot->height - bottom_margin;
}

/* The nearest free place below or above y; y itself where there is none. */
static double free_place(const cli_plot *plot, double left, double right, double y)
{
    for (int i = 0; i < 40; i++) {
        double at = y + (i % 2 ? -1.0 : 1.0) * 7.0 * ((i + 1) / 2);
        if (is_free(plot, left, right, at))
            return at;
    }
    return y;
}

void cli_plot_dot(cli_plot *plot, double x, double y, size_t series, const char *label)
{
    double at_x = cli_plot_x(plot, x), at_y = cli_plot_y(plot, y), width = label_width(label);
    bool is_right = at_x + 9 + width > plot->width - right_margin;
    double left = is_right ? at_x - 9 - width : at_x + 9, place = free_place(plot, left, left + width, at_y);
    if (plot->n_labels < CLI_MAX_LABELS)
        plot->labels[plot->n_labels++] = (cli_label){left, left + width, place};
    (void)fprintf(plot->out, "<circle class=\"s%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/>", series % CLI_N_SERIES, at_x,
                  at_y);
    (void)fprintf(plot->out, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
                  is_right ? at_x - 9 : at_x + 9, place + 4, is_right ? "end" : "start");
    cli_html_text(plot->out, label);
    (void)fputs("</text>\n", plot->out);
}

void cli_plot_range(const cli_plot *plot, double x, double y0, double y1, size_t series)
{
    double at = cli_plot_x(plot, x), a = cli_plot_y(plot, y0), b = cli_plot_y(plot, y1);
    (void)fprintf(plot->out, "<path class=\"line s%zu\" d=\"M%.1f %.1fV%.1fM%.1f %.1fH%.1f\"/>\n",
                  series % CLI_N_SERIES, at, b, a, at - 4, a, at + 4);
}

void cli_plot_rule(const cli_plot *plot, double x, const char *label)
{
    double at = cli_plot_x(plot, x);
    bool is_right = at > plot->width * 0.75;
    (void)fprintf(plot->out, "<path class=\"rule\" d=\"M%.1f %.1fV%.1f\"/>", at, top_margin,
                  plot->height - bottom_margin);
    (void)fprintf(plot->out, "<text class=\"note\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", at, top_margin - 7,
                  is_right                  ? "end"
                  : at < plot->width * 0.25 ? "start"
                                            : "middle");
    cli_html_text(plot->out, label);
    (void)fputs("</text>\n", plot->out);
}

/* A logarithmic axis has no place for 0. */
static bool has_place(const cli_plot *plot, double y)
{
    return !isnan(y) && (!plot->y.is_log || y > 0.0);
}

void cli_plot_line(const cli_plot *plot, const double *x, const double *y, size_t n, size_t series, bool with_dots)
{
    bool is_down = false;
    (void)fprintf(plot->out, "<path class=\"line s%zu\" d=\"", series % CLI_N_SERIES);
    for (size_t i = 0; i < n; i++) {
        if (has_place(plot, y[i]))
            (void)fprintf(plot->out, "%c%.1f %.1f", is_down ? 'L' : 'M', cli_plot_x(plot, x[i]),
                          cli_plot_y(plot, y[i]));
        is_down = has_place(plot, y[i]);
    }
    (void)fputs("\"/>", plot->out);
    for (size_t i = 0; i < n && with_dots; i++)
        if (has_place(plot, y[i]))
            (void)fprintf(plot->out, "<circle class=\"s%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>",
                          series % CLI_N_SERIES, cli_plot_x(plot, x[i]), cli_plot_y(plot, y[i]));
    (void)fputc('\n', plot->out);
}
