/* test_blocks.c - decoders of quantized blocks against what gguf-py decodes (tests/golden/golden_blocks.py), bit for
 * bit.
 */
#include "base/blocks.h"
#include "tests/support/test-safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char goldens[] = "tests/golden/data/blocks.safetensors";

static const tt_tensor *find(const tt_tensor_file *file, tt_dtype dtype, const char *array)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "%s.%s", tt_dtype_name(dtype), array);
    const tt_tensor *tensor = tt_tensor_file_find(file, name);
    if (tensor == NULL)
        fail_msg("%s is missing in %s", name, goldens);
    return tensor;
}

static void compare_bits(tt_dtype dtype, const float *found, const void *expected, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t a, b;
        memcpy(&a, &found[i], sizeof(a));
        memcpy(&b, (const uint8_t *)expected + 4 * i, sizeof(b));
        if (a != b)
            fail_msg("%s: element %zu is %08x, expected %08x", tt_dtype_name(dtype), i, a, b);
    }
}

/* All blocks at once, at every alignment, through the function that loads weights; nothing beyond is written. */
static void check_type(const tt_tensor_file *file, tt_dtype dtype)
{
    const tt_tensor *raw = find(file, dtype, "raw"), *values = find(file, dtype, "values");
    size_t n = (size_t)tt_tensor_count(values), block = tt_dtype_block(dtype);
    assert_int_equal(raw->dtype, TT_U8);
    assert_int_equal(raw->dims[1], tt_dtype_block_bytes(dtype));
    assert_int_equal(n, raw->dims[0] * block);
    uint8_t *moved = malloc((size_t)raw->n_bytes + 4);
    float *found = malloc((n + 1) * sizeof(float));
    assert_non_null(moved);
    assert_non_null(found);
    for (size_t shift = 0; shift < 4; shift++) {
        memcpy(moved + shift, raw->data, (size_t)raw->n_bytes);
        for (size_t i = 0; i <= n; i++)
            found[i] = -77.0f;
        tt_to_float(dtype, moved + shift, found, n);
        compare_bits(dtype, found, values->data, n);
        assert_true(found[n] == -77.0f);
    }
    /* A part of a row: what a streamed load decodes. */
    found[block] = -77.0f;
    tt_blocks_to_float(dtype, (const uint8_t *)raw->data + 3 * tt_dtype_block_bytes(dtype), found, block);
    compare_bits(dtype, found, (const uint8_t *)values->data + 3 * block * 4, block);
    assert_true(found[block] == -77.0f);
    free(found);
    free(moved);
}

static void test_every_type(void **state)
{
    (void)state;
    tt_tensor_file *file = test_safetensors_open(goldens);
    for (int dtype = TT_Q4_0; dtype < TT_N_DTYPES; dtype++)
        check_type(file, (tt_dtype)dtype);
    tt_tensor_file_close(file);
}

/* Written out by hand: one block whose parts all differ. */
static void test_a_block_by_hand(void **state)
{
    (void)state;
    uint8_t block[18] = {0x00, 0x38}; /* 0.5 */
    float values[32];
    for (int i = 0; i < 16; i++)
        block[2 + i] = (uint8_t)(i | (15 - i) << 4);
    tt_to_float(TT_Q4_0, block, values, 32);
    for (int i = 0; i < 16; i++) {
        assert_true(values[i] == 0.5f * (float)(i - 8));
        assert_true(values[i + 16] == 0.5f * (float)(7 - i));
    }
    values[0] = -77.0f;
    tt_to_float(TT_Q4_0, block, values, 0);
    assert_true(values[0] == -77.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_type), cmocka_unit_test(test_a_block_by_hand)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
