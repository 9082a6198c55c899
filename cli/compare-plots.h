/* compare-plots.h - the plots of the comparison's page. */
#ifndef TT_CLI_COMPARE_PLOTS_H
#define TT_CLI_COMPARE_PLOTS_H

#include "cli/compare-report.h"

/* Writes all plots as <figure> elements. */
void cli_compare_plots(FILE *out, const tt_comparison *comparison);

#endif
