/* preview.c - latent to RGB by a linear map that the file brings or that is fitted to the decoder. */
#include "pipeline/preview.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/solve.h"
#include "pipeline/denoise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 16, COARSE = 4, MAX_TERMS = 65 };

/* Bilinear blow-up of coarse noise: real latents are smooth, white noise would lie outside what decoders know. */
static void smooth_latent(uint32_t channels, float *latent)
{
    float coarse[(COARSE + 1) * (COARSE + 1)];
    tt_rng_state rng;
    tt_rng_init(&rng, TT_RNG_CPU, 1);
    for (uint32_t c = 0; c < channels; c++) {
        tt_rng_normal(&rng, coarse, sizeof coarse / sizeof *coarse);
        for (uint32_t y = 0; y < SIDE; y++)
            for (uint32_t x = 0; x < SIDE; x++) {
                float fy = (float)y * COARSE / SIDE, fx = (float)x * COARSE / SIDE;
                uint32_t iy = (uint32_t)fy, ix = (uint32_t)fx;
                const float *p = coarse + iy * (COARSE + 1) + ix;
                float ty = fy - (float)iy, tx = fx - (float)ix;
                float top = p[0] + tx * (p[1] - p[0]);
                float bottom = p[COARSE + 1] + tx * (p[COARSE + 2] - p[COARSE + 1]);
                latent[(c * SIDE + y) * SIDE + x] = top + ty * (bottom - top);
            }
    }
}

/* Mean colour of the pixels under latent position (y, x). */
static double mean_colour(const float *image, uint32_t factor, uint32_t channel, uint32_t y, uint32_t x)
{
    size_t width = (size_t)SIDE * factor;
    double sum = 0.0;
    for (uint32_t i = 0; i < factor; i++)
        for (uint32_t j = 0; j < factor; j++)
            sum += image[(channel * width + (size_t)y * factor + i) * width + (size_t)x * factor + j];
    return sum / ((double)factor * factor);
}

/* Least squares for one colour channel: terms are the latent channels and a constant. */
static void fit_channel(const float *latent, const float *image, uint32_t channels, uint32_t factor, uint32_t channel,
                        float *coefficients)
{
    static const double ridge = 1e-3;
    double a[MAX_TERMS][MAX_TERMS] = {{0}}, b[MAX_TERMS] = {0}, terms[MAX_TERMS];
    uint32_t n = channels + 1;
    for (uint32_t y = 0; y < SIDE; y++)
        for (uint32_t x = 0; x < SIDE; x++) {
            for (uint32_t c = 0; c < channels; c++)
                terms[c] = latent[(c * SIDE + y) * SIDE + x];
            terms[channels] = 1.0;
            double colour = mean_colour(image, factor, channel, y, x);
            for (uint32_t i = 0; i < n; i++) {
                b[i] += terms[i] * colour;
                for (uint32_t j = 0; j < n; j++)
                    a[i][j] += terms[i] * terms[j];
            }
        }
    for (uint32_t i = 0; i < n; i++)
        a[i][i] += ridge;
    tt_solve(&a[0][0], MAX_TERMS, b, n);
    for (uint32_t i = 0; i < n; i++)
        coefficients[i] = (float)b[i];
}

/* Row `row` of n coefficients; false when it is something else. */
static bool read_row(const json_t *row, size_t n, float *coefficients)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(row, i);
        coefficients[i] = (float)json_number_value(value);
        if (!json_is_number(value) || !isfinite(coefficients[i]))
            return false;
    }
    return json_array_size(row) == n;
}

tt_status tt_preview_read(tt_model *model, tt_error *err)
{
    static const char key[] = "tintype.preview_projection";
    const char *text = tt_model_files_metadata(model->files, key);
    if (!text || !model->has_vae)
        return TT_OK;
    size_t n = (size_t)model->vae_config.latent_channels + 1;
    float *projection = malloc(3 * n * sizeof *projection);
    if (!projection)
        return tt_fail_memory(err, "the preview", 3 * n * sizeof *projection);
    json_t *root = NULL;
    tt_status status = tt_json_parse(text, strlen(text), key, &root, err);
    const json_t *rows = json_object_get(root, "rows");
    bool fits = json_array_size(rows) == 3;
    for (size_t c = 0; c < 3 && fits && status == TT_OK; c++)
        fits = read_row(json_array_get(rows, c), n, projection + c * n);
    if (status == TT_OK && !fits)
        status =
            tt_fail(err, TT_ERROR_FORMAT,
                    "%s: expected \"rows\" with three lists of %zu finite numbers, one for each latent channel and "
                    "a constant; remove the key to have previews fitted to the decoder",
                    key, n);
    json_decref(root);
    if (status == TT_OK)
        model->preview_projection = projection;
    else
        free(projection);
    return status;
}

tt_status tt_preview_fit(tt_model *model, tt_error *err)
{
    uint32_t channels = model->vae_config.latent_channels, f = model->vae_config.factor;
    if (model->preview_projection || channels + 1 > MAX_TERMS)
        return TT_OK;
    size_t n_image = (size_t)3 * SIDE * SIDE * f * f;
    float *latent = malloc((size_t)channels * SIDE * SIDE * sizeof *latent);
    float *image = malloc(n_image * sizeof *image);
    float *projection = malloc((size_t)3 * (channels + 1) * sizeof *projection);
    tt_status status = TT_OK;
    if (!latent || !image || !projection)
        status = tt_fail_memory(err, "the preview", n_image * sizeof *image);
    if (status == TT_OK) {
        smooth_latent(channels, latent);
        status = tt_decode_latent(model, latent, SIDE, SIDE, image, NULL, NULL, err);
    }
    for (uint32_t c = 0; c < 3 && status == TT_OK; c++)
        fit_channel(latent, image, channels, f, c, projection + (size_t)c * (channels + 1));
    free(latent);
    free(image);
    if (status == TT_OK)
        model->preview_projection = projection;
    else
        free(projection);
    return status;
}

void tt_preview_draw(const tt_model *model, const float *latent, uint32_t height, uint32_t width, tt_image *image)
{
    uint32_t channels = model->vae_config.latent_channels;
    size_t plane = (size_t)height * width;
    for (size_t p = 0; p < plane; p++)
        for (uint32_t c = 0; c < 3; c++) {
            const float *k = model->preview_projection + (size_t)c * (channels + 1);
            float value = k[channels];
            for (uint32_t i = 0; i < channels; i++)
                value += k[i] * latent[i * plane + p];
            value = (value * 0.5f + 0.5f) * 255.0f;
            /* A latent that is no number becomes black. */
            image->pixels[p * 3 + c] = (uint8_t)(value > 255.0f ? 255.0f : value >= 0.0f ? value + 0.5f : 0.0f);
        }
}
