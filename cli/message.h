/* message.h - what the program says: sentences on stderr, JSON and plain text on stdout. */
#ifndef TT_CLI_MESSAGE_H
#define TT_CLI_MESSAGE_H

#include "tintype/tintype.h"

#include <stdio.h>

/* Exit codes, also documented in `tintype help`. */
typedef enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,     /* the run failed: the library's sentence is on stderr */
    CLI_USAGE = 2,      /* the command line is wrong */
    CLI_NETWORK = 3,    /* a service could not be reached, did not answer in time or refused */
    CLI_CANCELLED = 130 /* SIGINT, as shells expect it */
} cli_exit;

/* Prints "tintype: SENTENCE" as one line on stderr and returns code. Control characters (of file names, prompts)
 * are shown as "?", so that one failure is always one line. */
cli_exit cli_fail(cli_exit code, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* The same with the sentence of the context's last failed call; the code follows from the status. */
cli_exit cli_fail_status(const tt_context *context, tt_status status);

/* Out of memory for something small. */
cli_exit cli_fail_memory(void);

/* Prints text as a JSON string with its quotes. */
void cli_print_json_string(FILE *stream, const char *text);

/* Prints text from a file: control characters but newline and tab are shown as "?" (terminals obey them). */
void cli_print_plain(FILE *stream, const char *text);

/* Number of single-character edits between two words, to find what was meant. */
size_t cli_edit_distance(const char *a, const char *b);

#endif
