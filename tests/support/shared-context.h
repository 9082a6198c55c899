/* shared-context.h - one context with an open device for all tests of a program. */
#ifndef TT_TESTS_SUPPORT_SHARED_CONTEXT_H
#define TT_TESTS_SUPPORT_SHARED_CONTEXT_H

#include "tintype/tintype.h"

/* Open between the two functions, which are a group's set-up and teardown for cmocka_run_group_tests. */
extern tt_context *context;
int shared_context_open(void **state);
int shared_context_close(void **state);

#endif
