/* encode-small.c - blocks of 32: plain rounding as gguf-py's quants.py, rounding to the stored scale, and the search.
 */
#include "quantize/encode-small.h"

#include "quantize/encode-run.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 32 };

/* Codes lie in lowest..highest; their bytes count from -zero. */
typedef struct small_form {
    int lowest, highest, zero;
    bool has_shift, has_fifth_bit;
    tt_run_grid grid;
} small_form;

static small_form form_of(tt_dtype dtype)
{
    switch (dtype) {
    case TT_Q4_0:
        return (small_form){-8, 7, 8, false, false, {-0.75f, 0.5f, 6}};
    case TT_Q5_0:
        return (small_form){-16, 15, 16, false, true, {-1.0f, 0.5f, 7}};
    case TT_Q4_1:
        return (small_form){0, 15, 0, true, false, {-0.5f, 0.35f, 5}};
    case TT_Q5_1:
        return (small_form){0, 31, 0, true, true, {-0.5f, 0.35f, 5}};
    default:
        return (small_form){-127, 127, 0, false, false, {-4.0f, 1.0f, 13}};
    }
}

/* Searches store a scale for every candidate: normal halves are rounded here, in place, the others by conversion. */
float tt_stored_half(float value)
{
    const float largest = 65504.0f, smallest_normal = 0x1p-14f;
    float size = fabsf(value);
    if (size >= smallest_normal && size < largest) {
        uint32_t bits;
        memcpy(&bits, &value, sizeof(bits));
        bits = (bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu;
        memcpy(&value, &bits, sizeof(bits));
        return value;
    }
    float clipped = value < largest ? value : largest;
    return tt_half_to_float(tt_float_to_half(clipped > -largest ? clipped : -largest));
}

static tt_run_fit stored(tt_run_fit fit)
{
    return (tt_run_fit){tt_stored_half(fit.scale), fit.shift == 0 ? 0 : tt_stored_half(fit.shift)};
}

/* ---- the bytes of a block ---- */

static void put_half(float value, uint8_t *dst)
{
    uint16_t half = tt_float_to_half(value);
    memcpy(dst, &half, sizeof(half));
}

static void put_nibbles(const uint8_t *codes, uint8_t *dst)
{
    for (int i = 0; i < 16; i++)
        dst[i] = (uint8_t)((codes[i] & 15) | (codes[i + 16] & 15) << 4);
}

static void put_fifth_bits(const uint8_t *codes, uint8_t *dst)
{
    for (int byte = 0; byte < 4; byte++) {
        dst[byte] = 0;
        for (int i = 0; i < 8; i++)
            dst[byte] = (uint8_t)(dst[byte] | (codes[8 * byte + i] >> 4 & 1) << i);
    }
}

static void put_block(const small_form *form, tt_run_fit fit, const uint8_t *codes, uint8_t *dst)
{
    put_half(fit.scale, dst);
    dst += 2;
    if (form->has_shift) {
        put_half(fit.shift, dst);
        dst += 2;
    }
    if (form->highest == 127) {
        memcpy(dst, codes, BLOCK);
        return;
    }
    if (form->has_fifth_bit) {
        put_fifth_bits(codes, dst);
        dst += 4;
    }
    put_nibbles(codes, dst);
}

/* ---- plain: quants.py's arithmetic, each step rounded to float ---- */

static float inverse_of(float d)
{
    return d == 0 ? 0 : 1 / d;
}

/* numpy's cast of a whole float to a byte, then clip; what no byte can hold (subnormal scales) becomes 0. */
static uint8_t clip_code(float value, int highest)
{
    if (!(value > -1.0f && value < 256.0f))
        return 0;
    int code = (int)value;
    return (uint8_t)(code < highest ? code : highest);
}

/* The first value of largest size. */
static float signed_extreme(const float *values)
{
    float extreme = values[0];
    for (int i = 1; i < BLOCK; i++)
        if (fabsf(values[i]) > fabsf(extreme))
            extreme = values[i];
    return extreme;
}

/* d reaches the extreme with the lowest code; codes are truncated after adding their zero and a half. */
static tt_run_fit plain_symmetric(const small_form *form, const float *values, uint8_t *codes)
{
    float d = signed_extreme(values) / (float)form->lowest, inverse = inverse_of(d);
    for (int i = 0; i < BLOCK; i++) {
        float position = values[i] * inverse;
        codes[i] = clip_code(position + ((float)form->zero + 0.5f), form->highest + form->zero);
    }
    return (tt_run_fit){d, 0};
}

static tt_run_fit plain_shifted(const small_form *form, const float *values, uint8_t *codes)
{
    float least = values[0], largest = values[0];
    for (int i = 1; i < BLOCK; i++) {
        least = values[i] < least ? values[i] : least;
        largest = values[i] > largest ? values[i] : largest;
    }
    float d = (largest - least) / (float)form->highest, inverse = inverse_of(d);
    for (int i = 0; i < BLOCK; i++) {
        float position = (values[i] - least) * inverse;
        codes[i] = clip_code(position + 0.5f, form->highest);
    }
    return (tt_run_fit){d, least};
}

/* Rounds half away from zero, as C's roundf does. */
static tt_run_fit plain_q8_0(const float *values, uint8_t *codes)
{
    float d = fabsf(signed_extreme(values)) / 127.0f, inverse = inverse_of(d);
    for (int i = 0; i < BLOCK; i++) {
        float position = values[i] * inverse, size = fabsf(position), whole = floorf(size);
        float rounded = whole + floorf(2 * (size - whole));
        int code = rounded < 128.0f ? (int)rounded : 0;
        codes[i] = (uint8_t)(position < 0 ? -code : code);
    }
    return (tt_run_fit){d, 0};
}

static tt_run_fit plain_fit(const small_form *form, const float *values, uint8_t *codes)
{
    if (form->has_shift)
        return plain_shifted(form, values, codes);
    return form->zero == 0 ? plain_q8_0(values, codes) : plain_symmetric(form, values, codes);
}

/* ---- rounding to the stored scale ---- */

/* By division, halves upwards where codes are stored from 0 on, to even for Q8_0. */
static void nearest_codes(const small_form *form, const float *values, tt_run_fit fit, uint8_t *codes)
{
    for (int i = 0; i < BLOCK; i++) {
        float position = fit.scale == 0 ? 0 : (values[i] - fit.shift) / fit.scale;
        float rounded = form->zero == 0 && !form->has_shift ? rintf(position) : floorf(position + 0.5f);
        float clipped = rounded > (float)form->lowest ? rounded : (float)form->lowest;
        codes[i] = (uint8_t)((int)(clipped < (float)form->highest ? clipped : (float)form->highest) + form->zero);
    }
}

void tt_encode_small(tt_dtype dtype, tt_fit fit, const float values[32], const float *weights, uint8_t *dst)
{
    small_form form = form_of(dtype);
    uint8_t codes[BLOCK];
    tt_run_fit found;
    if (fit == TT_FIT_SEARCH) {
        tt_run run = {values, weights, BLOCK, (float)form.lowest, (float)form.highest};
        found = tt_run_search(&run, form.has_shift ? TT_SHIFT_ANY : TT_SHIFT_NONE, &form.grid, stored);
        tt_run_codes(&run, found, form.zero, codes);
    } else {
        found = plain_fit(&form, values, codes);
        if (fit == TT_FIT_NEAREST) {
            found = stored(found);
            nearest_codes(&form, values, found, codes);
        }
    }
    put_block(&form, found, codes, dst);
}
