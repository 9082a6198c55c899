/* gate-answer.h - what an answer of the gate must say; a wrong one ends the test. */
#ifndef TT_TESTS_GATE_ANSWER_H
#define TT_TESTS_GATE_ANSWER_H

#include "tests/support/http-peer.h"

/* A member of a JSON answer as text: "queued", "7". */
const char *gate_answer_member(const http_reply *reply, const char *name, char value[128]);

void gate_answer_expect_header(const http_reply *reply, const char *name, const char *wanted);

/* A problem document (RFC 9457) with this code whose detail mentions a text. Frees the reply. */
void gate_answer_expect_problem(http_reply reply, int code, const char *mention);

#endif
