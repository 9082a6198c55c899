/* resize.c - separable bicubic resampling (Keys 1981, a = -0.5), widened to the area of a pixel when shrinking. */
#include "base/checked.h"
#include "image/read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 16384 };

/* For each output position: the first input position and the weights of n_taps from there. */
typedef struct filter {
    uint32_t n_taps;
    uint32_t *first; /* [n_out] */
    float *weights;  /* [n_out][n_taps] */
} filter;

static double keys_cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

static void filter_free(filter *made)
{
    free(made->first);
    free(made->weights);
    *made = (filter){0};
}

/* Taps beyond the edge count for the edge's own pixel. */
static void fill_taps(filter *made, uint32_t n_in, uint32_t out, double scale)
{
    const double stretch = scale > 1 ? scale : 1;
    const double centre = (out + 0.5) * scale - 0.5;
    const int64_t lowest = (int64_t)ceil(centre - 2 * stretch);
    const int64_t first = lowest < 0 ? 0 : lowest;
    float *weights = made->weights + (size_t)out * made->n_taps;
    double total = 0;
    made->first[out] = (uint32_t)first;
    for (int64_t position = lowest; position < lowest + made->n_taps; position++)
        total += keys_cubic(((double)position - centre) / stretch);
    for (int64_t position = lowest; position < lowest + made->n_taps; position++) {
        const int64_t inside = position < 0 ? 0 : position >= n_in ? (int64_t)n_in - 1 : position;
        weights[inside - first] += (float)(keys_cubic(((double)position - centre) / stretch) / total);
    }
}

static tt_status filter_make(filter *made, uint32_t n_in, uint32_t n_out, tt_error *err)
{
    const double scale = (double)n_in / n_out;
    made->n_taps = (uint32_t)ceil(4 * (scale > 1 ? scale : 1)) + 1;
    made->first = calloc(n_out, sizeof *made->first);
    made->weights = calloc((size_t)n_out * made->n_taps, sizeof *made->weights);
    if (made->first == NULL || made->weights == NULL) {
        filter_free(made);
        return tt_fail_memory(err, "resizing a picture", (size_t)n_out * made->n_taps * sizeof *made->weights);
    }
    for (uint32_t out = 0; out < n_out; out++)
        fill_taps(made, n_in, out, scale);
    return TT_OK;
}

/* One row of bytes to width_out positions in float. */
static void resize_row(const filter *across, const uint8_t *in, uint32_t n_in, float *out, uint32_t n_out,
                       uint32_t n_channels)
{
    for (uint32_t x = 0; x < n_out; x++) {
        const float *weights = across->weights + (size_t)x * across->n_taps;
        const uint32_t first = across->first[x];
        for (uint32_t channel = 0; channel < n_channels; channel++) {
            float total = 0;
            for (uint32_t tap = 0; tap < across->n_taps && first + tap < n_in; tap++)
                total += weights[tap] * in[(size_t)(first + tap) * n_channels + channel];
            out[(size_t)x * n_channels + channel] = total;
        }
    }
}

static uint8_t to_byte(float value)
{
    return value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)(value + 0.5F);
}

/* Rows of floats, already resized across, to one row of bytes. */
static void combine_rows(const filter *down, const float *rows, uint32_t n_rows, uint32_t y, size_t row_length,
                         uint8_t *out)
{
    const float *weights = down->weights + (size_t)y * down->n_taps;
    const uint32_t first = down->first[y];
    for (size_t i = 0; i < row_length; i++) {
        float total = 0;
        for (uint32_t tap = 0; tap < down->n_taps && first + tap < n_rows; tap++)
            total += weights[tap] * rows[(size_t)(first + tap) * row_length + i];
        out[i] = to_byte(total);
    }
}

static tt_status check_arguments(const tt_image *image, uint32_t width, uint32_t height, tt_error *err)
{
    if (image->pixels == NULL || image->width == 0 || image->height == 0 || image->width > MAX_SIDE ||
        image->height > MAX_SIDE || image->n_channels == 0 || image->n_channels > 4)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the picture to be resized is empty or beyond %d pixels a side",
                       MAX_SIDE);
    if (width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE)
        return tt_fail(err, TT_ERROR_ARGUMENT, "cannot resize a picture to %u x %u: allowed are 1 to %d a side", width,
                       height, MAX_SIDE);
    return TT_OK;
}

tt_status tt_image_resize(const tt_image *image, uint32_t width, uint32_t height, tt_image *out, tt_error *err)
{
    filter across = {0}, down = {0};
    float *rows = NULL;
    *out = (tt_image){0};
    tt_status status = check_arguments(image, width, height, err);
    if (status != TT_OK)
        return status;
    const size_t row_length = (size_t)width * image->n_channels, n_rows = image->height;
    size_t n_row_bytes = 0;
    uint8_t *pixels = NULL;
    status = filter_make(&across, image->width, width, err);
    if (status == TT_OK)
        status = filter_make(&down, image->height, height, err);
    if (status != TT_OK)
        goto done;
    if (tt_mul_size(row_length * sizeof *rows, n_rows, &n_row_bytes))
        rows = malloc(n_row_bytes);
    pixels = malloc(row_length * height);
    if (rows == NULL || pixels == NULL) {
        free(pixels);
        status = tt_fail_memory(err, "resizing a picture", n_row_bytes);
        goto done;
    }
    for (size_t y = 0; y < n_rows; y++)
        resize_row(&across, image->pixels + y * image->width * image->n_channels, image->width, rows + y * row_length,
                   width, image->n_channels);
    for (uint32_t y = 0; y < height; y++)
        combine_rows(&down, rows, image->height, y, row_length, pixels + y * row_length);
    *out = (tt_image){width, height, image->n_channels, pixels};
done:
    free(rows);
    filter_free(&across);
    filter_free(&down);
    return status;
}
