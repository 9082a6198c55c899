/* test-safetensors.c - see test-safetensors.h. */
#include "tests/support/test-safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

tt_safetensors *test_safetensors_open(const char *path)
{
    tt_safetensors *file = NULL;
    tt_error err = {""};
    if (tt_safetensors_open(path, &file, &err) != TT_OK)
        fail_msg("%s", err.text);
    return file;
}
