/* encode.c - rows of values to blocks, and the promise that a search is never worse than plain rounding. */
#include "quantize/encode.h"

#include "quantize/encode-small.h"
#include "quantize/encode-super.h"

#include <string.h>

enum { LARGEST_BLOCK = 256, LARGEST_BYTES = 210 };

bool tt_encode_knows(tt_dtype dtype, tt_fit fit)
{
    (void)fit;
    return tt_dtype_is_block(dtype);
}

static void encode_block(tt_dtype dtype, tt_fit fit, const float *values, const float *weights, uint8_t *dst)
{
    if (tt_dtype_block(dtype) == LARGEST_BLOCK)
        tt_encode_super(dtype, fit, values, weights, dst);
    else
        tt_encode_small(dtype, fit, values, weights, dst);
}

/* Weighted squared error of what a reader decodes; NaN where a scale has overflowed. */
static double decoded_error(tt_dtype dtype, const uint8_t *block, const float *values, const float *weights, size_t n)
{
    float decoded[LARGEST_BLOCK];
    double sums[4] = {0};
    tt_to_float(dtype, block, decoded, n);
    for (size_t i = 0; i < n; i++) {
        double miss = (double)decoded[i] - (double)values[i];
        sums[i % 4] += miss * miss * (weights == NULL ? 1.0 : (double)weights[i]);
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Values that sums of squares can hold: NaN is 0, what lies beyond every scale of halves is cut. */
static void copy_values(const float *values, size_t n, float *copy)
{
    const float limit = 1e9f;
    for (size_t i = 0; i < n; i++) {
        float value = values[i] == values[i] ? values[i] : 0;
        value = value < limit ? value : limit;
        copy[i] = value > -limit ? value : -limit;
    }
}

/* The block's importance with a largest weight of 1; NULL when there is none. */
static const float *copy_weights(const float *importance, size_t n, float *copy)
{
    float largest = 0;
    for (size_t i = 0; importance != NULL && i < n; i++)
        largest = importance[i] > largest ? importance[i] : largest;
    if (!(largest > 0))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        float weight = importance[i] / largest;
        copy[i] = weight >= 0 ? weight : 0;
    }
    return copy;
}

/* Searches, and takes the plain block where that is no worse: on values that the grids of halves happen to hit. */
static void search_block(tt_dtype dtype, const float *values, const float *importance, uint8_t *dst)
{
    float copy[LARGEST_BLOCK], weight_copy[LARGEST_BLOCK];
    uint8_t plain[LARGEST_BYTES];
    size_t n = tt_dtype_block(dtype);
    copy_values(values, n, copy);
    const float *weights = copy_weights(importance, n, weight_copy);
    encode_block(dtype, TT_FIT_SEARCH, copy, weights, dst);
    encode_block(dtype, TT_FIT_PLAIN, values, NULL, plain);
    if (decoded_error(dtype, plain, copy, weights, n) <= decoded_error(dtype, dst, copy, weights, n))
        memcpy(dst, plain, tt_dtype_block_bytes(dtype));
}

void tt_encode_blocks(tt_dtype dtype, tt_fit fit, const float *values, const float *importance, size_t n, void *dst)
{
    uint8_t *block = dst;
    size_t step = tt_dtype_block(dtype);
    for (size_t i = 0; i + step <= n; i += step, block += tt_dtype_block_bytes(dtype)) {
        if (fit == TT_FIT_SEARCH)
            search_block(dtype, values + i, importance == NULL ? NULL : importance + i, block);
        else
            encode_block(dtype, fit, values + i, NULL, block);
    }
}
