/* test_latents.c - latents of a run, runs without decoding, and the decoder alone. */
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N_IMAGES = 2, WIDTH = 32, HEIGHT = 16 };

static tt_context *context;
static tt_model *model;

static int set_up(void **state)
{
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 0};
    (void)state;
    context = golden_context();
    model = golden_model(context, &own, "sd1", TT_PRECISION_F32);
    assert_non_null(model);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tt_model_destroy(model);
    tt_context_destroy(context);
    return 0;
}

static tt_generate_params request(tt_latent *latents)
{
    tt_generate_params p;
    assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
    p.prompt = "a cat";
    p.width = WIDTH;
    p.height = HEIGHT;
    p.n_steps = 2;
    p.seed = 7;
    p.n_images = N_IMAGES;
    p.latents = latents;
    return p;
}

static bool same(const tt_image *a, const tt_image *b)
{
    return a->width == b->width && a->height == b->height &&
           memcmp(a->pixels, b->pixels, (size_t)3 * a->width * a->height) == 0;
}

/* A latent that is decoded by itself is the picture of the run, and a run without decoding has the same latents. */
static void test_decode(void **state)
{
    tt_latent latents[N_IMAGES], alone[N_IMAGES];
    tt_image images[N_IMAGES], again;
    tt_generate_params p = request(latents);
    (void)state;
    assert_int_equal(tt_generate(model, &p, images, NULL), TT_OK);
    p.latents = alone;
    p.skip_decode = true;
    assert_int_equal(tt_generate(model, &p, NULL, NULL), TT_OK);
    for (int i = 0; i < N_IMAGES; i++) {
        const size_t n = (size_t)latents[i].channels * latents[i].height * latents[i].width;
        assert_int_equal(latents[i].channels, 4);
        assert_int_equal(latents[i].width * 2, WIDTH);
        assert_int_equal(latents[i].height * 2, HEIGHT);
        assert_memory_equal(latents[i].values, alone[i].values, n * sizeof(float));
        assert_int_equal(tt_latent_decode(model, &latents[i], &again), TT_OK);
        assert_true(same(&images[i], &again));
        tt_image_free(&again);
    }
    assert_false(same(&images[0], &images[1]));
    for (int i = 0; i < N_IMAGES; i++) {
        tt_image_free(&images[i]);
        tt_latent_free(&latents[i]);
        tt_latent_free(&alone[i]);
        assert_null(latents[i].values);
    }
    tt_latent_free(NULL);
}

static bool stop_second(void *user, const tt_progress *progress)
{
    (void)user;
    return progress->phase != TT_PHASE_DONE || progress->image == 0;
}

/* A failure leaves neither pictures nor latents. */
static void test_failures(void **state)
{
    tt_latent latents[N_IMAGES];
    tt_image images[N_IMAGES];
    tt_generate_params p = request(latents);
    (void)state;
    p.progress = stop_second;
    for (int i = 0; i < 2; i++) {
        p.skip_decode = i == 1;
        assert_int_equal(tt_generate(model, &p, images, NULL), TT_ERROR_CANCELLED);
        for (int k = 0; k < N_IMAGES; k++) {
            assert_null(images[k].pixels);
            assert_null(latents[k].values);
        }
    }
    p = request(NULL);
    p.skip_decode = true;
    assert_int_equal(tt_generate(model, &p, NULL, NULL), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(tt_context_message(context), "neither pictures nor latents"));
}

static void test_refused_latents(void **state)
{
    float values[4 * 2 * 2] = {0};
    const tt_latent wrong[] = {{3, 2, 2, values}, {4, 0, 2, values},          {4, 2, 0, values},
                               {4, 2, 2, NULL},   {4, UINT32_MAX, 2, values}, {4, 2, 9000, values}};
    tt_image image;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(tt_latent_decode(model, &wrong[i], &image), TT_ERROR_ARGUMENT);
        assert_null(image.pixels);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decode), cmocka_unit_test(test_failures),
                                       cmocka_unit_test(test_refused_latents)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
