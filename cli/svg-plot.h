/* svg-plot.h - a small plot as SVG inside a page: two axes with units, and marks put on by the caller.
 *
 * Colours come from the page's style: classes "axis", "grid", "note" and "s0", "s1", ... for series. */
#ifndef TT_CLI_SVG_PLOT_H
#define TT_CLI_SVG_PLOT_H

#include "cli/message.h"

enum { CLI_N_SERIES = 8, CLI_MAX_LABELS = 32 };

typedef struct cli_axis {
    double low, high;  /* low < high; both positive where is_log */
    bool is_log;       /* decades */
    bool is_reversed;  /* high at the left */
    bool has_no_ticks; /* the caller draws its own */
    const char *label; /* with the unit */
} cli_axis;

/* Where a label stands: it is kept off others. */
typedef struct cli_label {
    double left, right, y;
} cli_label;

typedef struct cli_plot {
    FILE *out;
    double width, height; /* of the whole drawing */
    cli_axis x, y;
    cli_label labels[CLI_MAX_LABELS];
    size_t n_labels;
} cli_plot;

/* Begins <svg>, with frame, ticks, grid and labels. `title` is what a screen reader says. Axes without extent are
 * given one. */
void cli_plot_begin(cli_plot *plot, const char *title);
void cli_plot_end(const cli_plot *plot);

/* Places of values, kept inside the frame. */
double cli_plot_x(const cli_plot *plot, double value);
double cli_plot_y(const cli_plot *plot, double value);

/* A widened range around low..high: by a twentieth on each side, or to whole decades. */
void cli_axis_widen(cli_axis *axis);

/* A round mark of a series with a label beside it, where no other label stands. */
void cli_plot_dot(cli_plot *plot, double x, double y, size_t series, const char *label);

/* An upright line from y0 to y1, with ends: the range of a value. */
void cli_plot_range(const cli_plot *plot, double x, double y0, double y1, size_t series);

/* A dashed line across the frame at x, with a label above the frame. */
void cli_plot_rule(const cli_plot *plot, double x, const char *label);

/* A line through points; NAN, and 0 on a logarithmic axis, interrupt it. */
void cli_plot_line(const cli_plot *plot, const double *x, const double *y, size_t n, size_t series, bool with_dots);

#endif
