/* test_vae.c - the VAE object: tiles against the whole picture, stopping between tiles, sizes, halves that are absent.
 */
#include "base/rng.h"
#include "pipeline/model.h"
#include "tests/support/golden.h"
#include "tests/support/shared-context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS "tests/golden/data/models/"

static tt_model *load(const char *path, bool tiling)
{
    tt_model *model = NULL;
    tt_model_params params;
    tt_error err = {""};
    tt_model_params_default(&params);
    params.path = path;
    params.vae_tiling = tiling;
    params.precision = TT_PRECISION_F32;
    if (tt_model_load(context, &params, &model) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    if (tt_model_need_vae(model, &err) != TT_OK)
        fail_msg("%s", err.text);
    return model;
}

static float *noise(size_t n)
{
    float *values = malloc(n * sizeof *values);
    tt_rng_state rng;
    assert_non_null(values);
    tt_rng_init(&rng, TT_RNG_CPU, 11);
    tt_rng_normal(&rng, values, n);
    return values;
}

static float *decode(const char *path, bool tiling, const float *latent, uint32_t height, uint32_t width,
                     uint32_t *factor)
{
    tt_model *model = load(path, tiling);
    tt_error err = {""};
    *factor = model->vae_config.factor;
    float *image = malloc((size_t)3 * height * width * *factor * *factor * sizeof *image);
    assert_non_null(image);
    if (tt_vae_decode(model->vae, latent, 1, height, width, image, NULL, NULL, &err) != TT_OK)
        fail_msg("%s", err.text);
    tt_model_destroy(model);
    return image;
}

/* True when every tile that covers position x of a side sees all that matters for it: x is far from the tile's edges,
 * or they are the picture's own. Tiles are 64 wide, begin every 48, and the last is moved inwards. */
static bool is_clear(uint32_t x, uint32_t size)
{
    enum { TILE = 64, STEP = 48, REACH = 12 };
    if (size <= TILE)
        return true;
    for (uint32_t start = 0;; start += STEP) {
        uint32_t from = start + TILE > size ? size - TILE : start, to = from + TILE;
        if (x >= from && x < to && ((from > 0 && x < from + REACH) || (to < size && x + REACH >= to)))
            return false;
        if (to == size)
            return true;
    }
}

/* Tiles of an autoencoder without norms: where no tile's edge is near the pixels are those of the whole picture, and
 * nowhere are they far off. */
static void check_tiles(uint32_t height, uint32_t width)
{
    float *latent = noise((size_t)4 * height * width);
    uint32_t f;
    float *whole = decode(MODELS "components/taesd", false, latent, height, width, &f);
    float *tiled = decode(MODELS "components/taesd", true, latent, height, width, &f);
    size_t w = (size_t)width * f, h = (size_t)height * f, n_clear = 0;
    double error = 0, spread = 0;
    for (size_t i = 0; i < 3 * w * h; i++) {
        uint32_t x = (uint32_t)(i % w) / f, y = (uint32_t)(i / w % h) / f;
        bool clear = is_clear(x, width) && is_clear(y, height);
        assert_true(isfinite(tiled[i]));
        error += fabs((double)tiled[i] - whole[i]);
        spread += fabs((double)whole[i]);
        n_clear += clear;
        if (clear && fabsf(tiled[i] - whole[i]) > 1e-4f)
            fail_msg("latent position %u, %u of %u x %u: %g instead of %g", x, y, width, height, (double)tiled[i],
                     (double)whole[i]);
    }
    assert_true(n_clear > 0);
    assert_true(error < 0.05 * spread);
    free(latent);
    free(whole);
    free(tiled);
}

static void test_tiles(void **state)
{
    (void)state;
    check_tiles(80, 70); /* two by two, the last ones moved inwards */
    check_tiles(65, 20); /* narrow: one column */
    check_tiles(64, 64); /* one tile is the whole */
}

typedef struct visits {
    uint32_t n, n_tiles, stop_at;
} visits;

static bool visit(void *user, uint32_t tile, uint32_t n_tiles)
{
    visits *v = user;
    assert_int_equal(tile, v->n);
    v->n_tiles = n_tiles;
    return v->n++ != v->stop_at;
}

/* Relative difference of two arrays. */
static double difference(const float *a, const float *b, size_t n)
{
    double error = 0, spread = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(isfinite(a[i]));
        error += fabs((double)a[i] - b[i]);
        spread += fabs((double)b[i]);
    }
    return error / spread;
}

/* Both halves in bands and squares of every side: near what the whole picture gives, and the same bits again without
 * tiles. The reach of the convolutions is longer than the overlap of small tiles, so these differ a little. */
static void test_small_tiles(void **state)
{
    (void)state;
    enum { H = 50, W = 70 };
    static const tt_vae_tile tiles[] = {{48, 0}, {16, 0}, {32, 32}, {24, 24}, {16, 16}, {0, 16}};
    tt_model *model = load(MODELS "components/taesd", false);
    tt_error err = {""};
    uint32_t f = model->vae_config.factor;
    size_t n = (size_t)4 * H * W, n_image = (size_t)3 * H * W * f * f;
    float *latent = noise(n), *whole = malloc(n_image * sizeof *whole), *image = malloc(n_image * sizeof *image),
          *mean = malloc(n * sizeof *mean), *tiled = malloc(n * sizeof *tiled);
    assert_true(whole && image && mean && tiled);
    assert_int_equal(tt_vae_decode(model->vae, latent, 1, H, W, whole, NULL, NULL, &err), TT_OK);
    assert_int_equal(tt_vae_encode(model->vae, whole, 1, H * f, W * f, mean, NULL, &err), TT_OK);
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        visits v = {.stop_at = UINT32_MAX};
        tt_tiling t = tt_tiling_make(H, W, tiles[i]);
        tt_vae_set_tiles(model->vae, tiles[i], tiles[i]);
        assert_int_equal(tt_vae_decode(model->vae, latent, 1, H, W, image, visit, &v, &err), TT_OK);
        assert_int_equal(v.n, t.n_rows * t.n_columns);
        assert_true(v.n > 1);
        assert_int_equal(tt_vae_encode(model->vae, whole, 1, H * f, W * f, tiled, NULL, &err), TT_OK);
        double decoded = difference(image, whole, n_image), encoded = difference(tiled, mean, n);
        if (!(decoded > 0 && decoded < 0.1 && encoded < 0.1))
            fail_msg("tiles of %u x %u: %g decoded, %g encoded", tiles[i].height, tiles[i].width, decoded, encoded);
    }
    tt_vae_set_tiles(model->vae, (tt_vae_tile){0, 0}, (tt_vae_tile){H + 1, W});
    assert_int_equal(tt_vae_decode(model->vae, latent, 1, H, W, image, NULL, NULL, &err), TT_OK);
    assert_int_equal(tt_vae_encode(model->vae, whole, 1, H * f, W * f, tiled, NULL, &err), TT_OK);
    assert_memory_equal(image, whole, n_image * sizeof *image);
    assert_memory_equal(tiled, mean, n * sizeof *mean);
    free(latent);
    free(whole);
    free(image);
    free(mean);
    free(tiled);
    tt_model_destroy(model);
}

/* Tiles stay inside and cover every position: blending cuts of one array gives that array. */
static void test_tiling(void **state)
{
    (void)state;
    static const uint32_t sizes[][4] = {{16, 16, 16, 16}, {17, 40, 16, 16}, {100, 9, 24, 0},
                                        {33, 65, 0, 16},  {5, 7, 1, 3},     {64, 130, 64, 64}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        tt_tiling t = tt_tiling_make(sizes[k][0], sizes[k][1], (tt_vae_tile){sizes[k][2], sizes[k][3]});
        size_t n = (size_t)2 * t.height * t.width * 9, n_tile = (size_t)2 * t.tile_height * t.tile_width * 9;
        float *values = noise(n), *sum = calloc(n, sizeof *sum), *tile = malloc(n_tile * sizeof *tile);
        tt_error err = {""};
        assert_true(sum && tile);
        for (uint32_t i = 0; i < t.n_rows * t.n_columns; i++) {
            uint32_t top, left;
            tt_tiling_place(&t, i, &top, &left);
            assert_true(top + t.tile_height <= t.height && left + t.tile_width <= t.width);
            tt_tiling_cut(&t, top, left, 3, 2, values, tile);
            tt_tiling_add(&t, top, left, 3, 2, tile, sum);
        }
        assert_int_equal(tt_tiling_divide(&t, 3, 2, sum, &err), TT_OK);
        for (size_t i = 0; i < n; i++)
            assert_true(fabsf(sum[i] - values[i]) <= 1e-5f * (1.0f + fabsf(values[i])));
        free(values);
        free(sum);
        free(tile);
    }
}

static void test_stop_between_tiles(void **state)
{
    (void)state;
    enum { H = 66, W = 130 };
    tt_model *model = load(MODELS "components/taesd", true);
    tt_error err = {""};
    float *latent = noise((size_t)4 * H * W);
    uint32_t f = model->vae_config.factor;
    float *image = malloc((size_t)3 * H * W * f * f * sizeof *image);
    assert_non_null(image);
    visits v = {.stop_at = 3};
    assert_int_equal(tt_vae_decode(model->vae, latent, 1, H, W, image, visit, &v, &err), TT_ERROR_CANCELLED);
    assert_int_equal(v.n, 4);
    assert_int_equal(v.n_tiles, 6);
    assert_non_null(strstr(err.text, "tile 4 of 6"));
    v = (visits){.stop_at = UINT32_MAX};
    assert_int_equal(tt_vae_decode(model->vae, latent, 1, H, W, image, visit, &v, &err), TT_OK);
    assert_int_equal(v.n, 6);
    free(image);
    free(latent);
    tt_model_destroy(model);
}

/* A batch is its pictures one after the other, decoded and encoded. */
static void test_batch(void **state)
{
    (void)state;
    enum { H = 5, W = 4, C = 4 };
    static const char *const paths[] = {MODELS "sd1/vae", MODELS "components/taesd"};
    for (size_t k = 0; k < 2; k++) {
        tt_model *model = load(paths[k], false);
        tt_error err = {""};
        uint32_t f = model->vae_config.factor;
        bool tiny = model->vae_config.kind == TT_VAE_TINY;
        size_t n = (size_t)C * H * W, n_image = (size_t)3 * H * W * f * f;
        float *latent = noise(2 * n), *image = malloc(4 * n_image * sizeof *image), *mean = noise(2 * n),
              *logvar = noise(2 * n), *alone = noise(n);
        assert_non_null(image);
        assert_int_equal(tt_vae_decode(model->vae, latent, 2, H, W, image, NULL, NULL, &err), TT_OK);
        assert_int_equal(tt_vae_decode(model->vae, latent + n, 1, H, W, image + 2 * n_image, NULL, NULL, &err), TT_OK);
        assert_memory_equal(image + n_image, image + 2 * n_image, n_image * sizeof *image);
        assert_int_equal(tt_vae_encode(model->vae, image, 2, H * f, W * f, mean, tiny ? NULL : logvar, &err), TT_OK);
        assert_int_equal(tt_vae_encode(model->vae, image + n_image, 1, H * f, W * f, alone, NULL, &err), TT_OK);
        assert_memory_equal(mean + n, alone, n * sizeof *alone);
        assert_true(tt_vae_weight_bytes(model->vae) > 0);
        tt_vae_release_device(model->vae);
        assert_int_equal(tt_vae_weight_bytes(model->vae), 0);
        assert_int_equal(tt_vae_encode(model->vae, image + n_image, 1, H * f, W * f, alone, NULL, &err), TT_OK);
        assert_memory_equal(mean + n, alone, n * sizeof *alone); /* uploaded again */
        free(latent);
        free(image);
        free(mean);
        free(logvar);
        free(alone);
        tt_model_destroy(model);
    }
}

static void expect(tt_status got, tt_status want, const tt_error *err, const char *mention)
{
    if (got != want || !strstr(err->text, mention))
        fail_msg("status %d, wanted %d with \"%s\": %s", (int)got, (int)want, mention, err->text);
}

static void test_refusals(void **state)
{
    (void)state;
    static const uint32_t latents[][3] = {{0, 4, 4}, {1, 0, 4}, {1, 4, 0}, {1, 4097, 4}, {1, 4, 4097}};
    static const uint32_t pictures[][3] = {{0, 4, 4}, {1, 0, 4}, {1, 4, 3}, {1, 5, 4}, {1, 16386, 4}, {1, 4, 16386}};
    tt_model *model = load(MODELS "sd1/vae", false);
    tt_error err = {""};
    float values[64] = {0};
    for (size_t i = 0; i < sizeof latents / sizeof *latents; i++)
        expect(tt_vae_decode(model->vae, values, latents[i][0], latents[i][1], latents[i][2], values, NULL, NULL, &err),
               TT_ERROR_ARGUMENT, &err, "out of range");
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++)
        expect(tt_vae_encode(model->vae, values, pictures[i][0], pictures[i][1], pictures[i][2], values, NULL, &err),
               TT_ERROR_ARGUMENT, &err, "multiples of 2");
    tt_model_destroy(model);
    model = load(MODELS "taesd_decoder.safetensors", false);
    expect(tt_vae_encode(model->vae, values, 1, 4, 4, values, NULL, &err), TT_ERROR_UNSUPPORTED, &err, "no encoder");
    tt_model_destroy(model);
    model = load(MODELS "taesd_encoder.safetensors", false);
    expect(tt_vae_decode(model->vae, values, 1, 1, 1, values, NULL, NULL, &err), TT_ERROR_UNSUPPORTED, &err,
           "no decoder");
    tt_model_destroy(model);
    tt_vae_destroy(NULL);
}

/* Tiles in a whole request, and a callback that stops between them. */
static bool stop_in_decoder(void *user, const tt_progress *progress)
{
    uint32_t *seen = user;
    if (progress->phase == TT_PHASE_DECODE && progress->n_steps > 0)
        ++*seen;
    return *seen < 2;
}

static void test_request(void **state)
{
    (void)state;
    tt_model_params params;
    tt_model *model = NULL;
    tt_generate_params p;
    tt_image image;
    uint32_t seen = 0;
    tt_model_params_default(&params);
    params.path = MODELS "bks";
    params.vae_tiling = true;
    assert_int_equal(tt_model_load(context, &params, &model), TT_OK);
    assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
    p.prompt = "x";
    p.width = 16;
    p.height = 140;
    p.n_steps = 1;
    p.cfg_scale = 1.0f;
    if (tt_generate(model, &p, &image, NULL) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    tt_image_free(&image);
    p.progress = stop_in_decoder;
    p.progress_user = &seen;
    assert_int_equal(tt_generate(model, &p, &image, NULL), TT_ERROR_CANCELLED);
    assert_int_equal(seen, 2);
    assert_null(image.pixels);
    tt_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tiles),  cmocka_unit_test(test_small_tiles),
                                       cmocka_unit_test(test_tiling), cmocka_unit_test(test_stop_between_tiles),
                                       cmocka_unit_test(test_batch),  cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_request)};
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
