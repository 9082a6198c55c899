/* test_blocks_golden.c - Q8_0 and Q4_0 against the shared oracle's case `quant`: scale fp16(max|w| / 127) or
 * fp16(extreme / -8), codes rounded with the scale as stored. */
#include "base/file.h"
#include "quantize/encode.h"
#include "tests/support/test-safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCK = 32, MAX_VALUES = 4096, MAX_BYTES = MAX_VALUES / BLOCK * 34 };

static const char oracle[] = "../shared/oracle/goldens/ops.safetensors";

/* The case in one type: weights, codes, scales, values. */
typedef struct quant_case {
    tt_dtype dtype;
    size_t n;
    float w[MAX_VALUES], codes[MAX_VALUES], scales[MAX_VALUES / BLOCK], values[MAX_VALUES];
} quant_case;

static size_t copy_array(const tt_tensor_file *file, const char *name, float *dst, size_t capacity)
{
    const tt_tensor *tensor = tt_tensor_file_find(file, name);
    if (tensor == NULL)
        fail_msg("%s is missing in %s", name, oracle);
    size_t n = (size_t)tt_tensor_count(tensor);
    assert_in_range(n, 1, capacity);
    tt_to_float(tensor->dtype, tensor->data, dst, n);
    return n;
}

static void load_case(tt_dtype dtype, quant_case *c)
{
    if (!tt_path_is_file(oracle)) {
        printf("skipped: %s is absent\n", oracle);
        skip();
    }
    tt_tensor_file *file = test_safetensors_open(oracle);
    bool eight = dtype == TT_Q8_0;
    c->dtype = dtype;
    c->n = copy_array(file, "quant.w", c->w, MAX_VALUES);
    assert_int_equal(copy_array(file, eight ? "quant.q8" : "quant.q4", c->codes, MAX_VALUES), c->n);
    assert_int_equal(copy_array(file, eight ? "quant.w8" : "quant.w4", c->values, MAX_VALUES), c->n);
    assert_int_equal(copy_array(file, eight ? "quant.s8" : "quant.s4", c->scales, MAX_VALUES / BLOCK), c->n / BLOCK);
    tt_tensor_file_close(file);
}

static int code_of(tt_dtype dtype, const uint8_t *block, size_t i)
{
    if (dtype == TT_Q8_0)
        return (int8_t)block[2 + i];
    return (i < 16 ? block[2 + i] & 15 : block[2 + i - 16] >> 4) - 8;
}

/* Scales are always equal; returns how many codes differ, each of which must be a near tie: on the other side of a half
 * under the scale before it was rounded. */
static size_t compare_blocks(const quant_case *c, const uint8_t *blocks)
{
    size_t n_different = 0;
    for (size_t i = 0; i < c->n; i++) {
        const uint8_t *block = blocks + i / BLOCK * tt_dtype_block_bytes(c->dtype);
        uint16_t half;
        memcpy(&half, block, sizeof(half));
        float scale = tt_half_to_float(half);
        assert_true(scale == c->scales[i / BLOCK]);
        int code = code_of(c->dtype, block, i % BLOCK), want = (int)c->codes[i];
        if (code == want)
            continue;
        n_different++;
        assert_int_equal(abs(code - want), 1);
        double tie = (code + want) / 2.0, position = (double)c->w[i] / (double)scale;
        if (fabs(position - tie) > fabs(position) * 0x1p-11)
            fail_msg("element %zu at %.6f is code %d, expected %d", i, position, code, want);
    }
    return n_different;
}

static void check_type(tt_dtype dtype)
{
    static quant_case c;
    static uint8_t blocks[MAX_BYTES];
    static float decoded[MAX_VALUES];
    load_case(dtype, &c);
    tt_encode_blocks(dtype, TT_FIT_NEAREST, c.w, NULL, c.n, blocks);
    assert_int_equal(compare_blocks(&c, blocks), 0);
    tt_to_float(dtype, blocks, decoded, c.n);
    for (size_t i = 0; i < c.n; i++)
        assert_true(decoded[i] == c.values[i]); /* the oracle has zeros of both signs */
    tt_encode_blocks(dtype, TT_FIT_PLAIN, c.w, NULL, c.n, blocks);
    size_t n_different = compare_blocks(&c, blocks);
    printf(
        "%s: nearest codes equal; %zu of %zu plain codes are rounded with the scale before it is stored and differ\n",
        tt_dtype_name(dtype), n_different, c.n);
    assert_true(n_different * 50 < c.n);
}

static void test_q8_0(void **state)
{
    (void)state;
    check_type(TT_Q8_0);
}

static void test_q4_0(void **state)
{
    (void)state;
    check_type(TT_Q4_0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_q8_0), cmocka_unit_test(test_q4_0)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
