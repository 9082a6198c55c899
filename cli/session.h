/* session.h - the context and model that a command works with, and the wish to stop. */
#ifndef TT_CLI_SESSION_H
#define TT_CLI_SESSION_H

#include "cli/options.h"

typedef struct cli_session {
    tt_context *context;
    tt_model *model; /* NULL for commands without one */
} cli_session;

/* Makes a context whose warnings (and, with -v, all log lines) go to stderr. */
cli_exit cli_session_begin(const cli_options *options, cli_session *session);

/* Loads the model that the options name. */
cli_exit cli_session_load(const cli_options *options, cli_session *session);

/* Opens the device that the options name. */
cli_exit cli_session_open_device(const cli_options *options, cli_session *session);

/* Opens the upscaling network that the options name, or the one that comes with the program. */
cli_exit cli_session_load_upscaler(const cli_options *options, cli_session *session, tt_upscaler **upscaler);

/* Prints the members "choices" (what was measured on the open device) and "disabled" of a JSON object. */
void cli_print_json_choices(const tt_context *context);

/* Frees model and context; harmless on a zeroed session. */
void cli_session_end(cli_session *session);

/* From here to cli_session_end, SIGINT and SIGTERM cancel the model's run; a second one ends the program at once. */
cli_exit cli_session_catch_signals(cli_session *session);

/* True after such a signal. */
bool cli_is_interrupted(void);

#endif
