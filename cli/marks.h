/* marks.h - the marks that every picture carries: A1111 infotext, IPTC source type, GB 45438 label. */
#ifndef TT_CLI_MARKS_H
#define TT_CLI_MARKS_H

#include "cli/options.h"

typedef struct cli_marks {
    char *parameters; /* owned */
    char *aigc_json;  /* owned */
    char software[32];
    tt_image_marks marks; /* points at the above */
} cli_marks;

/* Marks of one finished picture, made with params and stats. note: what the infotext says of what was done to it
 * afterwards (", Key: value"), or "". */
cli_exit cli_marks_make(const cli_options *options, tt_model *model, const tt_generate_params *params,
                        const tt_generate_stats *stats, const char *note, const tt_image *image, cli_marks *marks);

/* Marks of a preview: no infotext, the same AI marks. */
cli_exit cli_marks_make_preview(const cli_options *options, const tt_image *image, cli_marks *marks);

void cli_marks_free(cli_marks *marks);

#endif
