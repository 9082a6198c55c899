/* gate-answer.c - see gate-answer.h. */
#include "tests/support/gate-answer.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char *gate_answer_member(const http_reply *reply, const char *name, char value[128])
{
    json_t *root;
    tt_error err = {""};
    if (tt_json_parse(reply->body, reply->n_body, "answer", &root, &err) != TT_OK)
        fail_msg("%s: %s", err.text, reply->body);
    const json_t *found = json_object_get(root, name);
    if (json_is_string(found))
        (void)snprintf(value, 128, "%s", json_string_value(found));
    else
        (void)snprintf(value, 128, "%g", json_number_value(found));
    json_decref(root);
    return value;
}

void gate_answer_expect_header(const http_reply *reply, const char *name, const char *wanted)
{
    char value[256];
    assert_string_equal(http_header(reply, name, value), wanted);
}

void gate_answer_expect_problem(http_reply reply, int code, const char *mention)
{
    char value[128];
    if (reply.code != code)
        fail_msg("%d, expected %d: %s", reply.code, code, reply.body);
    gate_answer_expect_header(&reply, "Content-Type", "application/problem+json");
    assert_int_equal(atoi(gate_answer_member(&reply, "status", value)), code);
    assert_non_null(strstr(gate_answer_member(&reply, "detail", value), mention));
    http_reply_free(&reply);
}
