/* fidelity.c - relative error, PSNR and SSIM. */
#include "quantize/fidelity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- relative error */

void tt_error_sums_add(tt_error_sums *sums, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double w = (double)want[i], d = (double)got[i] - w;
        sums->error_square += d * d;
        sums->sum += w;
        sums->square += w * w;
    }
    sums->n += (double)n;
}

double tt_error_sums_relative(const tt_error_sums *sums)
{
    if (sums->n == 0)
        return 0;
    double mean = sums->sum / sums->n, mean_square = sums->square / sums->n;
    double error = sqrt(sums->error_square / sums->n), variance = mean_square - mean * mean;
    /* What is left of a constant's variance is rounding. */
    bool is_constant = !(variance > 1e-14 * mean_square);
    double scale = sqrt(is_constant ? mean_square : variance);
    if (!isfinite(error) || !isfinite(scale))
        return INFINITY;
    if (error == 0)
        return 0;
    return scale > 0 ? error / scale : INFINITY;
}

double tt_relative_error(const float *got, const float *want, size_t n)
{
    tt_error_sums sums = {0};
    tt_error_sums_add(&sums, got, want, n);
    return tt_error_sums_relative(&sums);
}

/* ---- PSNR */

double tt_value_range(const float *values, size_t n)
{
    float low = n ? values[0] : 0.0f, high = low;
    for (size_t i = 1; i < n; i++) {
        low = fminf(low, values[i]);
        high = fmaxf(high, values[i]);
    }
    return (double)high - (double)low;
}

static double psnr_of(double error_square, size_t n, double range)
{
    if (isnan(error_square))
        return -INFINITY;
    return error_square == 0 ? INFINITY : 10.0 * log10(range * range * (double)n / error_square);
}

double tt_psnr(const float *a, const float *b, size_t n, double range)
{
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return psnr_of(square, n, range);
}

double tt_psnr_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += (double)(a[i] - b[i]) * (a[i] - b[i]);
    return psnr_of(square, n, 255.0);
}

/* ---- SSIM */

enum { WINDOW = 11, N_MAPS = 5 };

/* One direction of the window. */
typedef struct window {
    size_t length;
    double weights[WINDOW];
} window;

static window make_window(size_t side)
{
    window w = {.length = side < WINDOW ? side : WINDOW};
    double sum = 0, centre = ((double)w.length - 1.0) / 2.0;
    for (size_t i = 0; i < w.length; i++) {
        double x = ((double)i - centre) / 1.5;
        w.weights[i] = exp(-0.5 * x * x);
        sum += w.weights[i];
    }
    for (size_t i = 0; i < w.length; i++)
        w.weights[i] /= sum;
    return w;
}

/* A pair of planes that is walked row by row. Of the filtered rows only those under the window are kept: `rows` is a
 * ring [window length][N_MAPS][n_out] of the weighted means of a, b, aa, bb, ab along each row. */
typedef struct ssim_walk {
    const float *a, *b;
    size_t height, width, n_out;
    window across, down;
    double c1, c2;
    double *rows;
} ssim_walk;

static void filter_row(const ssim_walk *walk, size_t y)
{
    const float *a = walk->a + y * walk->width, *b = walk->b + y * walk->width;
    double *row = walk->rows + y % walk->down.length * N_MAPS * walk->n_out;
    for (size_t x = 0; x < walk->n_out; x++) {
        double m[N_MAPS] = {0};
        for (size_t i = 0; i < walk->across.length; i++) {
            double w = walk->across.weights[i], p = (double)a[x + i], q = (double)b[x + i];
            m[0] += w * p;
            m[1] += w * q;
            m[2] += w * p * p;
            m[3] += w * q * q;
            m[4] += w * p * q;
        }
        for (size_t k = 0; k < N_MAPS; k++)
            row[k * walk->n_out + x] = m[k];
    }
}

/* Similarity of one window from its five weighted means. */
static double similarity(const ssim_walk *walk, const double m[N_MAPS])
{
    double mean_product = m[0] * m[1], mean_squares = m[0] * m[0] + m[1] * m[1];
    double covariance = m[4] - mean_product, variances = m[2] + m[3] - mean_squares;
    return (2.0 * mean_product + walk->c1) * (2.0 * covariance + walk->c2) /
           ((mean_squares + walk->c1) * (variances + walk->c2));
}

/* Sum over the windows whose first row is y. */
static double row_of_windows(const ssim_walk *walk, size_t y)
{
    double sum = 0;
    for (size_t x = 0; x < walk->n_out; x++) {
        double m[N_MAPS] = {0};
        for (size_t i = 0; i < walk->down.length; i++) {
            const double *row = walk->rows + (y + i) % walk->down.length * N_MAPS * walk->n_out + x;
            for (size_t k = 0; k < N_MAPS; k++)
                m[k] += walk->down.weights[i] * row[k * walk->n_out];
        }
        sum += similarity(walk, m);
    }
    return sum;
}

/* Mean over the windows of one plane. */
static double plane_ssim(const ssim_walk *walk)
{
    size_t n_rows = walk->height - walk->down.length + 1;
    double sum = 0;
    for (size_t y = 0; y + 1 < walk->down.length; y++)
        filter_row(walk, y);
    for (size_t y = 0; y < n_rows; y++) {
        filter_row(walk, y + walk->down.length - 1);
        sum += row_of_windows(walk, y);
    }
    return sum / ((double)n_rows * (double)walk->n_out);
}

tt_status tt_ssim(const float *a, const float *b, size_t n_planes, size_t height, size_t width, double range,
                  double *ssim, tt_error *err)
{
    if (n_planes == 0 || height == 0 || width == 0)
        return tt_fail(err, TT_ERROR_ARGUMENT, "the similarity of empty pictures (%zu x %zu) is not defined", width,
                       height);
    double l = range > 0 ? range : 1.0, sum = 0;
    ssim_walk walk = {.height = height,
                      .width = width,
                      .across = make_window(width),
                      .down = make_window(height),
                      .c1 = (0.01 * l) * (0.01 * l),
                      .c2 = (0.03 * l) * (0.03 * l)};
    walk.n_out = width - walk.across.length + 1;
    walk.rows = calloc(walk.down.length * N_MAPS, walk.n_out * sizeof *walk.rows);
    if (!walk.rows)
        return tt_fail_memory(err, "a similarity", walk.down.length * N_MAPS * walk.n_out * sizeof *walk.rows);
    for (size_t p = 0; p < n_planes; p++) {
        walk.a = a + p * height * width;
        walk.b = b + p * height * width;
        sum += plane_ssim(&walk);
    }
    free(walk.rows);
    *ssim = sum / (double)n_planes;
    return TT_OK;
}

/* [height][width][channels] bytes -> [channels][height][width] floats. */
static void spread_planes(const tt_image *image, float *planes)
{
    size_t n = (size_t)image->width * image->height;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < image->n_channels; c++)
            planes[c * n + i] = (float)image->pixels[i * image->n_channels + c];
}

tt_status tt_ssim_images(const tt_image *a, const tt_image *b, double *ssim, tt_error *err)
{
    if (a->width != b->width || a->height != b->height || a->n_channels != b->n_channels || !a->pixels || !b->pixels)
        return tt_fail(err, TT_ERROR_ARGUMENT, "pictures of %u x %u x %u and %u x %u x %u cannot be compared", a->width,
                       a->height, a->n_channels, b->width, b->height, b->n_channels);
    size_t n = (size_t)a->width * a->height * a->n_channels;
    float *planes = calloc(n, 2 * sizeof *planes);
    if (!planes)
        return tt_fail_memory(err, "a similarity", 2 * n * sizeof *planes);
    spread_planes(a, planes);
    spread_planes(b, planes + n);
    tt_status status = tt_ssim(planes, planes + n, a->n_channels, a->height, a->width, 255.0, ssim, err);
    free(planes);
    return status;
}
