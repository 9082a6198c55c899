/* run-cli.h - runs the program as a user would: arguments in, exit code, stdout and stderr back.
 *
 * TT_TEST_CLI holds the program's path (tests/run-test.sh sets it). A run that takes longer than a few minutes is ended
 * and counts as killed. Failures of the harness end the test through cmocka. */
#ifndef TT_TESTS_RUN_CLI_H
#define TT_TESTS_RUN_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct cli_run {
    int code;   /* exit code, -1 when a signal ended it */
    int signal; /* 0 when it ended by itself */
    char *out, *err;
    size_t n_out;
} cli_run;

/* Runs with these arguments (ended by NULL) and, when environment is not NULL, with variables set in it ("NAME=value",
 * ended by NULL). Free with cli_run_free. */
cli_run run_cli_with(const char *const *environment, const char *const *arguments);

/* RUN("inspect", path): the same in this environment. */
#define RUN(...) run_cli_with(NULL, (const char *const[]){__VA_ARGS__, NULL})

/* Runs exactly once, without a leak check: for a run that consumes what it is given, a state for instance.
 * (run_cli_with repeats a run whose leak check crashed, gcc 12's sometimes does.) */
cli_run run_cli_once(const char *const *arguments);

/* Sends signal_number once stdout contains the text `until`; without a leak check. */
cli_run run_cli_interrupted(int signal_number, const char *until, const char *const *arguments);

void cli_run_free(cli_run *run);

/* The run ended with 0 and nothing on stderr; `what` names it. */
void assert_fine(const cli_run *run, const char *what);

/* The run ended with this code and exactly one sentence on stderr, "tintype: ...", that contains `mention` (NULL: any).
 * Sanitizer reports, aborts and signals fail here. */
void assert_refused(const cli_run *run, int code, const char *mention, const char *what);

/* The same, freeing the run: it went well and stdout contains `mention`; it was refused with one sentence of `mention`.
 */
void expect_out(cli_run run, const char *mention);
void expect_refused(cli_run run, int code, const char *mention);

/* The run went well and stdout is JSON without double keys, whose value is returned (json_decref). Frees the run. */
json_t *expect_json(cli_run run, const char *what);

/* Either of the two: for input that may or may not be damaged where it matters. Returns true when it went well. */
bool assert_fine_or_refused(const cli_run *run, const char *what);

#endif
