/* http-try.h - one request to a server that may be away, or be killed in the middle: an answer is whole or none. */
#ifndef TT_TESTS_HTTP_TRY_H
#define TT_TESTS_HTTP_TRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct http_answer {
    int code;
    char *bytes; /* all of the answer, terminated */
    const char *body;
    size_t n_body;
} http_answer;

/* method_and_path: "POST /v1/upscales?scale=2"; headers: lines that end in "\r\n". False: no whole answer came. Free
 * with http_answer_free. */
bool http_try(uint16_t port, const char *method_and_path, const char *headers, const void *body, size_t n_body,
              double seconds, http_answer *answer);
void http_answer_free(http_answer *answer);

/* A whole answer in a buffer; false: it is not whole (yet). */
bool http_parse(const char *bytes, size_t n_bytes, http_answer *answer);

/* Copies a header's value; "" where there is none. */
const char *http_answer_header(const http_answer *answer, const char *name, char value[256]);

#endif
