/* http-head.h - the header lines of an answer that matter here; used inside this room. */
#ifndef TT_CLOUD_HTTP_HEAD_H
#define TT_CLOUD_HTTP_HEAD_H

#include "cloud/http.h"

/* Takes one line as it came, without a terminator and with its line break; what is too long, malformed or not known is
 * left out. A status line begins the answer anew, because an interim answer (100) may have come before. */
void tt_http_head_line(const char *line, size_t n_bytes, tt_http_answer *answer);

#endif
