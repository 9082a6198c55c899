/* test_preview.c - the linear map from latents to colours: fitted to the decoder, drawn within 0..255. */
#include "pipeline/denoise.h"
#include "pipeline/preview.h"
#include "tests/support/built-in.h"
#include "tests/support/golden.h"
#include "tests/support/shared-context.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tt_model *load(const char *name)
{
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 0};
    tt_model *model = golden_model(context, &own, name, TT_PRECISION_F32);
    assert_non_null(model);
    return model;
}

/* A projection of 2 latent channels that is known: red = z0, green = z1 / 2, blue = 0.25, in -1..1. */
static void test_draw(void **state)
{
    (void)state;
    float projection[3][3] = {{1, 0, 0}, {0, 0.5f, 0}, {0, 0, 0.25f}};
    tt_model *model = calloc(1, sizeof *model);
    assert_non_null(model);
    model->vae_config.latent_channels = 2;
    model->preview_projection = &projection[0][0];
    const float latent[2][6] = {{-1, 0, 1, 7, -7, NAN}, {0, 2, -2, 1e30f, -1e30f, 0}};
    static const uint8_t want[6][3] = {{0, 128, 159},   {128, 255, 159}, {255, 0, 159},
                                       {255, 255, 159}, {0, 0, 159},     {0, 0, 0}};
    uint8_t pixels[6 * 3 + 1];
    tt_image image = {3, 2, 3, pixels};
    memset(pixels, 77, sizeof pixels);
    tt_preview_draw(model, &latent[0][0], 2, 3, &image);
    assert_memory_equal(pixels, want, sizeof want);
    assert_int_equal(pixels[18], 77);
    free(model);
}

/* On a constant latent a good fit gives about the colour that the decoder gives. */
static void check_fit(const char *name)
{
    enum { SIDE = 8 };
    tt_model *model = load(name);
    tt_error err = {""};
    assert_int_equal(tt_preview_fit(model, &err), TT_OK);
    const float *fitted = model->preview_projection;
    uint32_t c = model->vae_config.latent_channels, f = model->vae_config.factor;
    assert_non_null(fitted);
    for (uint32_t i = 0; i < 3 * (c + 1); i++)
        assert_true(isfinite(fitted[i]));
    assert_int_equal(tt_preview_fit(model, &err), TT_OK); /* once is enough */
    assert_ptr_equal(model->preview_projection, fitted);

    size_t n_image = (size_t)3 * SIDE * SIDE * f * f;
    float latent[64 * SIDE * SIDE] = {0}, *decoded = malloc(n_image * sizeof *decoded);
    uint8_t pixels[SIDE * SIDE * 3];
    tt_image image = {SIDE, SIDE, 3, pixels};
    assert_non_null(decoded);
    assert_int_equal(tt_decode_latent(model, latent, SIDE, SIDE, decoded, NULL, NULL, &err), TT_OK);
    tt_preview_draw(model, latent, SIDE, SIDE, &image);
    for (size_t channel = 0; channel < 3; channel++) {
        double mean = 0;
        size_t plane = n_image / 3;
        for (size_t i = 0; i < plane; i++)
            mean += (double)decoded[channel * plane + i] / (double)plane;
        double shown = (double)pixels[channel] / 127.5 - 1.0;
        mean = fmax(-1.0, fmin(1.0, mean));
        assert_true(fabs(shown - mean) < 0.5);
    }
    free(decoded);
    tt_model_destroy(model);
}

static void test_fit(void **state)
{
    (void)state;
    check_fit("sd1");
    check_fit("sdxl");
}

/* Without a VAE there is nothing to fit to. */
static void test_no_vae(void **state)
{
    (void)state;
    tt_model *model = load("sd1/unet");
    tt_error err = {""};
    assert_true(tt_preview_fit(model, &err) != TT_OK);
    assert_non_null(strstr(err.text, "VAE"));
    assert_null(model->preview_projection);
    tt_model_destroy(model);
}

/* The built-in model with another map for previews. */
static tt_status load_with_rows(const char *rows, tt_model **model)
{
    temp_folder folder;
    char path[TT_TEMP_PATH];
    tt_model_params params;
    temp_folder_make(&folder);
    built_in_halves(temp_folder_path(&folder, "model.safetensors", path), "tintype.preview_projection", rows);
    tt_model_params_default(&params);
    params.path = path;
    *model = NULL;
    tt_status status = tt_model_load(context, &params, model);
    temp_folder_remove(&folder);
    return status;
}

/* "{"rows": ...}" of n_rows rows: row r has 1 in column r, `last` at its end, and zeros. */
static const char *write_rows(size_t n_rows, size_t n_columns, const char *last, char text[4096])
{
    size_t at = (size_t)snprintf(text, 4096, "{\"rows\": [");
    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = 0; i < n_columns; i++)
            at += (size_t)snprintf(text + at, 4096 - at, "%s%s%s",
                                   i   ? ","
                                   : r ? ",["
                                       : "[",
                                   i + 1 == n_columns ? last
                                   : i == r           ? "1"
                                                      : "0",
                                   i + 1 == n_columns ? "]" : "");
    (void)snprintf(text + at, 4096 - at, "]}");
    return text;
}

static void refuses(const char *rows)
{
    tt_model *model = NULL;
    assert_int_equal(load_with_rows(rows, &model), TT_ERROR_FORMAT);
    assert_null(model);
    assert_non_null(strstr(tt_context_message(context), "tintype.preview_projection"));
}

/* A file that brings its map is not fitted; a map that does not suit the latents is refused by its key. */
static void test_given(void **state)
{
    (void)state;
    tt_model *model = load("../../../../" BUILT_IN_MODEL);
    size_t n = model->vae_config.latent_channels + 1;
    tt_error err = {""};
    char text[4096];
    tt_model_destroy(model);
    assert_int_equal(load_with_rows(write_rows(3, n, "-0.25", text), &model), TT_OK);
    const float *got = model->preview_projection;
    assert_non_null(got);
    for (size_t i = 0; i < 3 * n; i++)
        assert_true(got[i] == (i % n == n - 1 ? -0.25f : i % n == i / n ? 1.0f : 0.0f));
    assert_int_equal(tt_preview_fit(model, &err), TT_OK);
    assert_ptr_equal(model->preview_projection, got);
    tt_model_destroy(model);
    refuses(write_rows(2, n, "0", text));
    refuses(write_rows(4, n, "0", text));
    refuses(write_rows(3, n - 1, "0", text));
    refuses(write_rows(3, n + 1, "0", text));
    refuses(write_rows(3, n, "1e300", text));
    refuses(write_rows(3, n, "\"2\"", text));
    refuses("{}");
    refuses("{\"rows\": 7}");
    refuses("[[1]");
    refuses("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_draw), cmocka_unit_test(test_fit),
                                       cmocka_unit_test(test_no_vae), cmocka_unit_test(test_given)};
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
