/* html.h - pieces of pages: escaped text, bytes as base64, pictures that are part of the page. */
#ifndef TT_CLI_HTML_H
#define TT_CLI_HTML_H

#include "cli/message.h"

/* Text between tags or in a quoted attribute: & < > " ' are escaped, control characters become "?". */
void cli_html_text(FILE *out, const char *text);

/* RFC 4648, section 4, without line ends. */
void cli_html_base64(FILE *out, const uint8_t *bytes, size_t n_bytes);

/* An <img> whose source is the picture itself, as PNG with the marks (may be NULL). `about` is its alternative text. */
cli_exit cli_html_image(FILE *out, tt_context *context, const tt_image *image, const tt_image_marks *marks,
                        const char *about);

#endif
