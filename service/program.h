/* program.h - what the service's programs say alike: errors, log lines, help, version. */
#ifndef TT_SERVICE_PROGRAM_H
#define TT_SERVICE_PROGRAM_H

#include "service/options.h"
#include "tintype/tintype.h"

enum { TT_EXIT_FAILED = 1, TT_EXIT_USAGE = 2 };

typedef struct tt_program {
    const char *name;               /* "tintype-gate" */
    const char *purpose;            /* the help's text before the options, */
    const char *signals;            /* and behind them */
    bool is_verbose, help, version; /* targets of options */
} tt_program;

/* Prints the sentence on stderr; returns code, for `return tt_program_fail(...)` in main. */
int tt_program_fail(const tt_program *program, int code, const tt_error *err);

/* A log function: user is the tt_program. Warnings and errors always, other lines where it is verbose. */
void tt_program_log(void *user, tt_log_level level, const char *line);

/* True when the options asked for help or the version; it is printed then. */
bool tt_program_answers(const tt_program *program, const tt_option *options, size_t n);

#endif
