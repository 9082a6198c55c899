/* progress.h - shows how far a request is: a bar that is redrawn on a terminal, a line every few steps elsewhere. */
#ifndef TT_CLI_PROGRESS_H
#define TT_CLI_PROGRESS_H

#include "tintype/tintype.h"

#include <stdio.h>

typedef struct cli_progress {
    FILE *stream; /* NULL: shows nothing */
    bool is_terminal;
    uint32_t image, n_images; /* which picture of the batch */
    uint32_t last_step;       /* shown last */
    double steps_ms;          /* of the picture's steps so far */
    bool told_resumed;        /* that a picture goes on where an earlier run stopped */
} cli_progress;

/* Shows on stream, or nothing when it is NULL. */
cli_progress cli_progress_begin(FILE *stream, uint32_t n_images);

/* One report of the library. */
void cli_progress_show(cli_progress *progress, const tt_progress *report);

/* On a terminal: a few words in the place of the bar. */
void cli_progress_note(cli_progress *progress, const char *note);

/* Takes the bar away, so that other lines can be printed. */
void cli_progress_clear(cli_progress *progress);

/* Prints the time of each stage and the memory used. */
void cli_progress_summary(const cli_progress *progress, const tt_generate_stats *stats);

#endif
