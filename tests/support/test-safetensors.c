/* test-safetensors.c - see test-safetensors.h. */
#include "tests/support/test-safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

tt_tensor_file *test_safetensors_open(const char *path)
{
    tt_tensor_file *file = NULL;
    tt_error err = {""};
    if (tt_tensor_file_open(path, &file, &err) != TT_OK)
        fail_msg("%s", err.text);
    return file;
}
