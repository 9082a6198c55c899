/* shared-context.c - one context with an open device for all tests of a program. */
#include "tests/support/shared-context.h"

#include "tests/support/golden.h"

tt_context *context;

int shared_context_open(void **state)
{
    (void)state;
    context = golden_context();
    return 0;
}

int shared_context_close(void **state)
{
    (void)state;
    tt_context_destroy(context);
    return 0;
}
