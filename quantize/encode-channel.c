/* encode-channel.c - w8c: one output channel as int8 with a scale, and an offset unless symmetric. */
#include "quantize/encode-run.h"
#include "quantize/encode.h"

static tt_run_fit as_it_is(tt_run_fit fit)
{
    return fit;
}

/* In double: channels are long. */
static double exact_error(const tt_run *run, tt_run_fit fit, const uint8_t *codes)
{
    double error = 0;
    for (size_t i = 0; i < run->n; i++) {
        double miss = (double)fit.scale * (int8_t)codes[i] + (double)fit.shift - (double)run->values[i];
        error += miss * miss * (run->weights == NULL ? 1.0 : (double)run->weights[i]);
    }
    return error;
}

/* The range of symmetric codes allows scales of either sign; kernels get positive ones. */
static tt_run_fit with_positive_scale(tt_run_fit fit)
{
    return fit.scale < 0 ? (tt_run_fit){-fit.scale, fit.shift} : fit;
}

void tt_encode_channel(tt_fit fit, bool symmetric, const float *values, const float *importance, size_t n, int8_t *q,
                       float *scale, float *offset)
{
    const tt_run_grid scales = {-1.0f, 1.5f, 16}, ranges = {-1.0f, 3.0f, 6};
    tt_run run = {values, importance, n, symmetric ? -127.0f : -128.0f, 127.0f};
    tt_run_shift shift = symmetric ? TT_SHIFT_NONE : TT_SHIFT_ANY;
    uint8_t *codes = (uint8_t *)q;
    tt_run_fit found = with_positive_scale(tt_run_plain(&run, shift));
    tt_run_codes(&run, found, 0, codes);
    if (fit == TT_FIT_SEARCH) {
        tt_run_fit other = with_positive_scale(tt_run_search(&run, shift, symmetric ? &scales : &ranges, as_it_is));
        double plain_error = exact_error(&run, found, codes);
        tt_run_codes(&run, other, 0, codes);
        if (exact_error(&run, other, codes) < plain_error)
            found = other;
        else
            tt_run_codes(&run, found, 0, codes);
    }
    *scale = found.scale;
    *offset = found.shift;
}
