/* test-safetensors.h - opening model files in tests. */
#ifndef TT_TESTS_SUPPORT_TEST_SAFETENSORS_H
#define TT_TESTS_SUPPORT_TEST_SAFETENSORS_H

#include "model-file/safetensors.h"

/* Opens a file; the test fails with the library's sentence when that does. */
tt_tensor_file *test_safetensors_open(const char *path);

#endif
