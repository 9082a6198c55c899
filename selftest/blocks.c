/* blocks.c - see blocks.h. */
#include "selftest/blocks.h"

#include "base/numbers.h"

#include <stdlib.h>
#include <string.h>

const tt_dtype tt_sample_quant_types[TT_N_SAMPLE_QUANT_TYPES] = {TT_Q4_0, TT_Q4_1, TT_Q5_0, TT_Q5_1, TT_Q8_0, TT_Q2_K,
                                                                 TT_Q3_K, TT_Q4_K, TT_Q5_K, TT_Q6_K, TT_I8};

/* Where a block has its halves; spread: standard deviation of the values at d = 1; middle: m or dmin that centres them
 * at d = 1, 0 for types without. */
typedef struct block_form {
    tt_dtype dtype;
    size_t d_at, m_at;
    double spread, middle;
} block_form;

static block_form form_of(tt_dtype dtype)
{
    static const block_form forms[] = {
        {TT_Q4_0, 0, 0, 4.6, 0},    {TT_Q4_1, 0, 2, 4.6, -7.5}, {TT_Q5_0, 0, 0, 9.2, 0},  {TT_Q5_1, 0, 2, 9.2, -15.5},
        {TT_Q8_0, 0, 0, 74, 0},     {TT_Q2_K, 80, 82, 16, 1.5}, {TT_Q3_K, 108, 0, 42, 0}, {TT_Q4_K, 0, 2, 240, 7.5},
        {TT_Q5_K, 0, 2, 480, 15.5}, {TT_Q6_K, 208, 0, 1360, 0},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (forms[i].dtype == dtype)
            return forms[i];
    return (block_form){0};
}

static void put_half(uint8_t *at, double value)
{
    uint16_t half = tt_float_to_half((float)value);
    memcpy(at, &half, sizeof(half));
}

uint8_t *tt_sample_blocks_new(tt_dtype dtype, size_t n, double deviation, uint64_t seed)
{
    size_t n_bytes = (size_t)tt_dtype_bytes(dtype, n), n_floats = n_bytes + n / tt_dtype_block(dtype);
    uint8_t *bytes = malloc(n_bytes + 1);
    float *random = malloc(n_floats * sizeof(*random));
    if (bytes == NULL || random == NULL) {
        free(bytes);
        free(random);
        return NULL;
    }
    tt_numbers_uniform(random, n_floats, seed);
    for (size_t i = 0; i < n_bytes; i++)
        bytes[1 + i] = (uint8_t)(int)((random[i] + 1.7321f) * 73.9f);
    block_form form = form_of(dtype);
    for (size_t i = 0; i < n / tt_dtype_block(dtype) && dtype != TT_I8; i++) {
        uint8_t *block = bytes + 1 + i * tt_dtype_block_bytes(dtype);
        double d = deviation / form.spread * (1.0 + 0.25 * (double)random[n_bytes + i]);
        put_half(block + form.d_at, d);
        if (form.middle != 0)
            put_half(block + form.m_at, d * form.middle);
    }
    free(random);
    return bytes;
}
