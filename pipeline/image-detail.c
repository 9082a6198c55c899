/* image-detail.c - how much fine detail a picture has: the rms of its luma without the mean of the four neighbours,
 * brought to 0..1. docs/cloud.md has what it tells. */
#include "tintype/tintype.h"

#include <math.h>

static double luma_at(const tt_image *image, uint32_t y, uint32_t x)
{
    const uint8_t *p = image->pixels + ((size_t)y * image->width + x) * image->n_channels;
    return image->n_channels < 3 ? p[0] : 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
}

/* The rms that counts as 0.5. */
static const double half_detail = 16.0;

/* What is left of a pixel without the mean of its four neighbours. */
static double residual_at(const tt_image *image, uint32_t y, uint32_t x)
{
    double around =
        luma_at(image, y - 1, x) + luma_at(image, y + 1, x) + luma_at(image, y, x - 1) + luma_at(image, y, x + 1);
    return luma_at(image, y, x) - 0.25 * around;
}

double tt_image_detail(const tt_image *image)
{
    double sum = 0;
    if (!image->pixels || image->width < 3 || image->height < 3)
        return 0;
    for (uint32_t y = 1; y + 1 < image->height; y++)
        for (uint32_t x = 1; x + 1 < image->width; x++) {
            double residual = residual_at(image, y, x);
            sum += residual * residual;
        }
    double rms = sqrt(sum / ((double)(image->height - 2) * (image->width - 2)));
    return rms / (rms + half_detail);
}
