/* tune.h - the measuring of kernel variants, for `tune` and for `generate --tune`. */
#ifndef TT_CLI_TUNE_H
#define TT_CLI_TUNE_H

#include "cli/request.h"

/* Measures the variants that a request uses, for `seconds` at most, and says so on `stream` (NULL: nothing). again:
 * what was measured before too. */
cli_exit cli_tune_request(cli_session *session, const tt_generate_params *request, double seconds, bool again,
                          FILE *stream, tt_tune_report *report);

#endif
