/* compare-report.h - what `tintype compare` shows: tables on a terminal, JSON, a page. */
#ifndef TT_CLI_COMPARE_REPORT_H
#define TT_CLI_COMPARE_REPORT_H

#include "cli/options.h"

/* Tables of at most 100 columns. */
void cli_compare_print(FILE *out, const tt_comparison *comparison);

/* Everything but the pictures. Infinite dB are null. */
void cli_compare_print_json(FILE *out, const tt_comparison *comparison);

/* A page that stands alone: pictures and plots are inside, nothing is loaded from elsewhere. context encodes the
 * pictures. The file appears whole or not at all. */
cli_exit cli_compare_write_page(const cli_options *options, tt_context *context, const tt_comparison *comparison);

/* Share of the accuracies' group `group` of a model, negative when it has none. */
double cli_compare_share(const tt_comparison_model *model, const char *group);

/* The groups of accuracies in the order in which the models name them first: group `index`, NULL past the last. */
const char *cli_compare_group(const tt_comparison *comparison, size_t index);

/* A block's errors of all passes as one: their root mean square; NAN when the model has no such block. */
double cli_compare_layer(const tt_comparison *comparison, size_t model, size_t layer);

#endif
