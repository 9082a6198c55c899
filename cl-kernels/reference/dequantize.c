/* dequantize.c - values of a packed panel, by the definitions of quant.h and base/blocks.h. */
#include "cl-kernels/reference/dequantize.h"

#include <string.h>

/* Bits of an output's code in a plane of 1, 2, 4 or 8 bits. */
static uint32_t plane_bits(const uint8_t *plane, uint32_t bits, uint32_t column, uint32_t output)
{
    uint32_t n_bytes = bits * 4;
    const uint8_t *bytes = plane + (size_t)column * n_bytes;
    if (bits == 1)
        return (uint32_t)bytes[output / 8] >> (output % 8) & 1u;
    return (uint32_t)bytes[output % n_bytes] >> (output / n_bytes * bits) & ((1u << bits) - 1);
}

static float half_at(const uint8_t *halves, size_t index)
{
    uint16_t half;
    memcpy(&half, halves + index * sizeof(half), sizeof(half));
    return tt_half_to_float(half);
}

static float float_at(const uint8_t *floats, size_t index)
{
    float value;
    memcpy(&value, floats + index * sizeof(value), sizeof(value));
    return value;
}

/* The integer that a code stands for. */
static int32_t code_of(tt_dtype dtype, const tt_quant_layout *layout, const uint8_t *panel, uint32_t column,
                       uint32_t output)
{
    static const struct {
        uint8_t low, high, zero; /* bits of the planes, code of the value zero */
    } forms[TT_N_DTYPES] = {
        [TT_Q4_0] = {4, 0, 8}, [TT_Q4_1] = {4, 0, 0}, [TT_Q5_0] = {4, 1, 16},
        [TT_Q5_1] = {4, 1, 0}, [TT_Q2_K] = {2, 0, 0}, [TT_Q3_K] = {2, 1, 4},
        [TT_Q4_K] = {4, 0, 0}, [TT_Q5_K] = {4, 1, 0}, [TT_Q6_K] = {4, 2, 32},
    };
    if (forms[dtype].low == 0) /* Q8_0 and w8c */
        return (int8_t)panel[(size_t)column * 32 + output];
    uint32_t code = plane_bits(panel, forms[dtype].low, column, output);
    if (forms[dtype].high != 0)
        code |= plane_bits(panel + layout->high_at, forms[dtype].high, column, output) << forms[dtype].low;
    return (int32_t)code - forms[dtype].zero;
}

/* Scale and offset at a column. */
static float scale_of(tt_dtype dtype, const tt_quant_layout *layout, const uint8_t *panel, uint32_t column,
                      uint32_t output, float *offset)
{
    const uint8_t *d = panel + layout->d_at, *subs = panel + layout->scales_at + output;
    size_t block = column / tt_dtype_block(dtype), pair = block * 64 + output;
    *offset = 0.0f;
    switch (dtype) {
    case TT_I8:
        *offset = float_at(d, 32 + output);
        return float_at(d, output);
    case TT_Q4_1:
    case TT_Q5_1:
        *offset = half_at(d, pair + 32);
        return half_at(d, pair);
    case TT_Q2_K:
        subs += (size_t)(column / 16) * 32;
        *offset = -(half_at(d, pair + 32) * (float)(*subs >> 4));
        return half_at(d, pair) * (float)(*subs & 15);
    case TT_Q4_K:
    case TT_Q5_K:
        subs += (size_t)(column / 32) * 64;
        *offset = -(half_at(d, pair + 32) * (float)subs[32]);
        return half_at(d, pair) * (float)subs[0];
    case TT_Q3_K:
    case TT_Q6_K:
        subs += (size_t)(column / 16) * 32;
        return half_at(d, block * 32 + output) * (float)(int8_t)*subs;
    default:
        return half_at(d, block * 32 + output);
    }
}

float tt_reference_dequantize(tt_dtype dtype, const uint8_t *panel, uint32_t n_columns, uint32_t column,
                              uint32_t output)
{
    tt_quant_layout layout = {0};
    float offset;
    if (!tt_quant_layout_of(dtype, n_columns, &layout))
        return 0.0f;
    float scale = scale_of(dtype, &layout, panel, column, output, &offset);
    float product = scale * (float)code_of(dtype, &layout, panel, column, output);
    return product + offset;
}
