/* conv3x3.c - 3x3 convolutions by their definition: pad, perhaps upsample, correlate, perhaps keep every second. */
#include "cl-kernels/reference/conv3x3.h"

#include "cl-kernels/reference/activate.h"

typedef struct pixel {
    int64_t y, x;
} pixel;

/* The input's value at a pixel, zero outside. channel: first value of an image's channel. */
static double value_at(const tt_reference_conv3x3_args *a, const float *channel, pixel at)
{
    if (a->mode == TT_CONV_UP) {
        if (at.y < 0 || at.x < 0 || at.y >= a->out_height || at.x >= a->out_width)
            return 0.0;
        return channel[(at.y / 2) * a->in_width + at.x / 2];
    }
    if (at.y < 0 || at.x < 0 || at.y >= a->in_height || at.x >= a->in_width)
        return 0.0;
    return channel[at.y * a->in_width + at.x];
}

/* The pixel under the window's first tap. */
static pixel window(tt_conv_mode mode, uint32_t y, uint32_t x)
{
    switch (mode) {
    case TT_CONV_DOWN:
        return (pixel){2 * (int64_t)y - 1, 2 * (int64_t)x - 1};
    case TT_CONV_DOWN_ASYM:
        return (pixel){2 * (int64_t)y, 2 * (int64_t)x};
    default:
        return (pixel){(int64_t)y - 1, (int64_t)x - 1};
    }
}

static double correlate(const tt_reference_conv3x3_args *a, uint32_t image, uint32_t output, pixel start)
{
    double sum = 0.0;
    for (uint32_t c = 0; c < a->n_in; c++) {
        const float *channel = a->in + ((size_t)image * a->n_in + c) * a->in_height * a->in_width;
        const float *taps = a->weights + ((size_t)output * a->n_in + c) * 9;
        for (int tap = 0; tap < 9; tap++)
            sum += (double)taps[tap] * value_at(a, channel, (pixel){start.y + tap / 3, start.x + tap % 3});
    }
    return sum;
}

static void compute(const tt_reference_conv3x3_args *args, uint32_t image, uint32_t c, uint32_t y, uint32_t x)
{
    size_t at = (((size_t)image * args->n_out + c) * args->out_height + y) * args->out_width + x;
    double value = correlate(args, image, c, window(args->mode, y, x));
    value += args->bias != NULL ? args->bias[c] : 0.0f;
    value += args->image_bias != NULL ? args->image_bias[(size_t)image * args->n_out + c] : 0.0f;
    value += args->residual != NULL ? args->residual[at] : 0.0f;
    args->out[at] = (float)(args->activation == TT_ACT_PRELU ? tt_reference_prelu(args->slopes[c], value)
                                                             : tt_reference_activate(args->activation, value));
}

void tt_reference_conv3x3_part(const tt_reference_conv3x3_args *args, const tt_reference_rectangle *part)
{
    for (uint32_t image = part->image; image < part->image + part->n_images; image++)
        for (uint32_t c = 0; c < args->n_out; c++)
            for (uint32_t y = part->y; y < part->y + part->height; y++)
                for (uint32_t x = part->x; x < part->x + part->width; x++)
                    compute(args, image, c, y, x);
}

void tt_reference_conv3x3(const tt_reference_conv3x3_args *args)
{
    tt_reference_rectangle all = {.n_images = args->batch, .height = args->out_height, .width = args->out_width};
    tt_reference_conv3x3_part(args, &all);
}
