/* problem.h - refusals as application/problem+json (RFC 9457). */
#ifndef TT_SERVICE_PROBLEM_H
#define TT_SERVICE_PROBLEM_H

#include "base/text.h"

/* The standard's words for a status: "Not Found"; static storage. */
const char *tt_http_status_title(uint32_t code);

/* {"type":"about:blank","title":...,"status":...,"detail":...}; detail is one sentence for a person. */
tt_status tt_problem_write(uint32_t code, const char *detail, tt_text *out, tt_error *err);

#endif
