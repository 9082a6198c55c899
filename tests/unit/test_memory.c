/* test_memory.c - forecasts against what is measured, modes as the budget falls, results that do not depend on them,
 * refusals. */
#include "pipeline/memory.h"
#include "tests/support/built-in.h"
#include "tests/support/golden.h"
#include "tests/support/shared-context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINI BUILT_IN_MODEL
#define SD1 "tests/golden/data/models/sd1"
#define SDXL "tests/golden/data/models/sdxl"
#define INPAINT "tests/golden/data/models/inpaint"

static tt_model *load(const char *path)
{
    tt_model *model = NULL;
    tt_model_params params;
    tt_model_params_default(&params);
    params.path = path;
    if (tt_model_load(context, &params, &model) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    return model;
}

static tt_generate_params request(tt_model *model, uint32_t width, uint32_t height)
{
    tt_generate_params p;
    assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
    p.prompt = "a red apple";
    p.width = width;
    p.height = height;
    p.n_steps = 2;
    p.seed = 3;
    return p;
}

static tt_plan plan(tt_model *model, const tt_generate_params *p)
{
    tt_plan plan;
    if (tt_plan_make(model, p, false, &plan) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    return plan;
}

static void test_sums(void **state)
{
    (void)state;
    tt_model *model = load(MINI);
    tt_generate_params p = request(model, 256, 192);
    tt_plan a = plan(model, &p);
    uint64_t highest = 0;
    assert_true(a.fits && a.mode == TT_MEMORY_RESIDENT);
    assert_int_equal(a.peak_bytes, a.device_bytes + a.host_bytes + a.program_bytes + a.base_bytes);
    for (int i = 0; i < 4; i++)
        highest = a.phase_bytes[i] > highest ? a.phase_bytes[i] : highest;
    assert_int_equal(a.peak_bytes, highest);
    assert_int_equal(a.peak_bytes, a.phase_bytes[a.peak_phase]);
    assert_int_equal(a.phase_bytes[TT_PHASE_ENCODE], 0);
    assert_int_equal(a.vae_encoder.n_passes, 0);
    assert_true(a.unet.resident_bytes == a.unet.weight_bytes && a.unet.ring_bytes == 0);
    assert_int_equal(a.n_unet_calls, 2);
    assert_int_equal(a.unet.n_passes, 2);
    assert_true(a.flops > 2 * a.unet.flops && a.seconds == 0.0);
    /* Nothing of the model went to the device. */
    assert_int_equal(tt_device_bytes(context->device), 0);

    p.n_images = 3;
    tt_plan three = plan(model, &p);
    assert_int_equal(three.n_unet_calls, 6);
    assert_true(three.flops > 2.5 * a.flops);
    p.n_images = 1;
    p.cfg_scale = 1.0f;
    tt_plan plain = plan(model, &p);
    assert_true(plain.unet.flops < 0.51 * a.unet.flops && plain.unet.activation_bytes < a.unet.activation_bytes);
    p.width = 512;
    assert_true(plan(model, &p).peak_bytes > plain.peak_bytes);
    tt_model_destroy(model);
}

static void test_seconds(void **state)
{
    (void)state;
    tt_model *model = load(SD1);
    tt_generate_params p = request(model, 64, 64);
    tt_plan a, b;
    assert_int_equal(tt_plan_make(model, &p, true, &a), TT_OK);
    assert_true(a.unet.seconds > 0 && a.text.seconds > 0 && a.vae_decoder.seconds > 0);
    assert_true(a.seconds > a.unet.seconds + a.vae_decoder.seconds);
    p.n_steps = 40;
    assert_int_equal(tt_plan_make(model, &p, true, &b), TT_OK); /* the same rates */
    double want = a.unet.seconds * b.n_unet_calls / a.n_unet_calls;
    assert_true(b.unet.seconds > 0.999 * want && b.unet.seconds < 1.001 * want);
    assert_int_equal(tt_device_bytes(context->device), 0); /* measuring leaves nothing */
    tt_model_destroy(model);
}

/* Modes come in their order, never back; every plan keeps its budget; what does not fit says so. */
static void test_falling_budget(void **state)
{
    (void)state;
    tt_model *model = load(MINI);
    tt_generate_params p = request(model, 512, 512);
    tt_plan now = plan(model, &p), last = now;
    bool seen[3] = {false}, tiled = false;
    tt_status status = TT_OK;
    for (p.memory_budget_bytes = now.peak_bytes + 500000; status == TT_OK; p.memory_budget_bytes -= 500000) {
        status = tt_plan_make(model, &p, false, &now);
        assert_true(now.fits == (status == TT_OK));
        assert_true((now.peak_bytes <= p.memory_budget_bytes) == now.fits);
        if (!now.fits)
            break;
        assert_true(now.mode >= last.mode);
        assert_true(now.is_tiled_to_fit == (now.tile_height > 0));
        assert_true(last.tile_height == 0 || now.tile_height > 0);
        seen[now.mode] = true;
        tiled = tiled || now.is_tiled_to_fit;
        last = now;
    }
    assert_int_equal(status, TT_ERROR_MEMORY);
    assert_true(seen[TT_MEMORY_RESIDENT] && seen[TT_MEMORY_SEQUENTIAL] && seen[TT_MEMORY_STREAMED] && tiled);
    assert_true(last.unet.ring_bytes > 0 && last.unet.resident_bytes < last.unet.weight_bytes);
    tt_model_destroy(model);
}

/* The number before " MB" after `words` in the last sentence. */
static uint64_t figure_after(const char *words)
{
    const char *at = strstr(tt_context_message(context), words);
    if (at == NULL)
        fail_msg("no \"%s\" in: %s", words, tt_context_message(context));
    return strtoull(at + strlen(words), NULL, 10) * 1000000;
}

/* How much the process may grow between two plans; address sanitizers keep what was freed. */
#if defined(__SANITIZE_ADDRESS__)
enum { GROWTH = 64000000 };
#else
enum { GROWTH = 2000000 };
#endif

static void test_refusal(void **state)
{
    (void)state;
    tt_model *model = load(MINI);
    tt_generate_params p = request(model, 512, 512);
    tt_image image = {0};
    tt_plan small;
    p.memory_budget_bytes = 1000000;
    assert_int_equal(tt_generate(model, &p, &image, NULL), TT_ERROR_MEMORY);
    assert_null(image.pixels);
    assert_int_equal(tt_device_bytes(context->device), 0); /* no weight was touched */
    uint64_t least = figure_after("takes at least "), budget = figure_after("a budget of at least ");
    const char *ways = strstr(tt_context_message(context), "ways to fit: ");
    assert_non_null(ways);
    assert_non_null(strstr(tt_context_message(context), "the memory budget is 1 MB"));
    assert_non_null(strstr(ways, "-W "));
    int n_ways = 1;
    for (const char *c = ways; (c = strstr(c, ", ")) != NULL; c++)
        n_ways++;
    assert_int_equal(n_ways, 3);
    assert_int_equal(least, budget);
    /* The figure is the least: it is enough, a little less is not. */
    p.memory_budget_bytes = budget + GROWTH;
    assert_int_equal(tt_plan_make(model, &p, false, &small), TT_OK);
    p.memory_budget_bytes = budget - 2000000;
    assert_int_equal(tt_plan_make(model, &p, false, &small), TT_ERROR_MEMORY);
    assert_true(!small.fits && small.peak_bytes > p.memory_budget_bytes);
    /* A smaller picture that is said to fit does. */
    unsigned width = 0, height = 0;
    const char *size = strstr(tt_context_message(context), "-W ");
    assert_non_null(size);
    assert_int_equal(sscanf(size, "-W %u -H %u", &width, &height), 2);
    bool said = strncmp(strchr(size, '('), "(takes", 6) == 0;
    p.width = width;
    p.height = height;
    p.memory_budget_bytes += GROWTH;
    if (said)
        assert_int_equal(tt_plan_make(model, &p, false, &small), TT_OK);
    tt_model_destroy(model);
}

/* Runs a request and compares the device's own account with the forecast. */
static tt_image run_counted(tt_model *model, const tt_generate_params *p, tt_memory_mode mode)
{
    tt_memory_plan forecast;
    tt_generate_stats stats;
    tt_error err = {""};
    tt_image image = {0};
    uint64_t device = 0;
    if (tt_memory_plan_make(model, p, &forecast, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(forecast.choice.mode, mode);
    for (int i = 0; i < TT_N_PHASES; i++)
        if (forecast.phases.runs[i] && forecast.phases.device[i] > device)
            device = forecast.phases.device[i];
    if (tt_generate(model, p, &image, &stats) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    assert_int_equal(stats.memory_mode, mode);
    assert_int_equal(stats.device_bytes, device);
    assert_true(stats.forecast_bytes > 0 && stats.peak_bytes > stats.device_bytes / 2);
    return image;
}

static void assert_same(const tt_image *a, const tt_image *b)
{
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_memory_equal(a->pixels, b->pixels, (size_t)3 * a->width * a->height);
}

/* All modes make the same bits, and each takes on the device what was forecast. */
static void test_modes(void **state)
{
    (void)state;
    tt_image pictures[3] = {{0}};
    for (int mode = TT_MEMORY_RESIDENT; mode <= TT_MEMORY_STREAMED; mode++) {
        tt_model *model = load(MINI);
        tt_generate_params p = request(model, 192, 256);
        p.memory_mode = tt_memory_mode_name((tt_memory_mode)mode);
        pictures[mode] = run_counted(model, &p, (tt_memory_mode)mode);
        if (mode != TT_MEMORY_RESIDENT) /* nothing stays behind */
            assert_int_equal(tt_device_bytes(context->device), 0);
        tt_model_destroy(model);
    }
    assert_same(&pictures[0], &pictures[1]);
    assert_same(&pictures[0], &pictures[2]);
    for (int i = 0; i < 3; i++)
        tt_image_free(&pictures[i]);
}

/* The choice for a request. */
static tt_memory_choice choose(tt_model *model, const tt_generate_params *p)
{
    tt_memory_plan plan;
    tt_error err = {""};
    if (tt_memory_plan_make(model, p, &plan, &err) != TT_OK)
        fail_msg("%s", err.text);
    return plan.choice;
}

static bool stop_in_text(void *user, const tt_progress *progress)
{
    (void)user;
    return progress->phase != TT_PHASE_TEXT || progress->step == 0;
}

/* The UNet is packed beside the text encoder where everything stays and nothing is needed in between; a run that ends
 * before it is used leaves nothing of it. */
static void test_packs_early(void **state)
{
    (void)state;
    tt_model *model = load(MINI);
    tt_generate_params p = request(model, 192, 256);
    assert_true(choose(model, &p).packs_early);
    p.preview = true; /* from the map in the file */
    assert_true(choose(model, &p).packs_early);
    p.preview = false;
    p.memory_mode = "sequential";
    assert_false(choose(model, &p).packs_early);
    p.memory_mode = "streamed";
    assert_false(choose(model, &p).packs_early);
    p.memory_mode = NULL;
    p.progress = stop_in_text;
    tt_image image = {0};
    assert_int_equal(tt_generate(model, &p, &image, NULL), TT_ERROR_CANCELLED);
    assert_int_equal(tt_unet_weight_bytes(model->unet), 0);
    p.progress = NULL;
    assert_int_equal(tt_generate(model, &p, &image, NULL), TT_OK);
    assert_true(tt_unet_weight_bytes(model->unet) > 0);
    tt_image_free(&image);
    tt_model_destroy(model);

    tt_model *without_map = load(SD1); /* its map must be fitted to the decoder first */
    p = request(without_map, 512, 512);
    assert_true(choose(without_map, &p).packs_early);
    p.preview = true;
    assert_false(choose(without_map, &p).packs_early);
    tt_model_destroy(without_map);
}

static tt_image grey_picture(uint32_t width, uint32_t height, uint32_t n_channels)
{
    tt_image image = {width, height, n_channels, malloc((size_t)width * height * n_channels)};
    assert_non_null(image.pixels);
    for (size_t i = 0; i < (size_t)width * height * n_channels; i++)
        image.pixels[i] = (uint8_t)(i * 37 % 256);
    return image;
}

/* One at a time and all resident give the same bits for a batch that starts from a picture. */
static void check_batch(const char *path, bool with_mask)
{
    tt_image start = grey_picture(32, 24, 3), mask = grey_picture(32, 24, 1), images[2][2];
    for (int single = 0; single < 2; single++) {
        tt_model *model = load(path);
        tt_generate_params p = request(model, 32, 24);
        p.n_images = 2;
        p.n_steps = 3;
        p.init_image = &start;
        p.mask = with_mask ? &mask : NULL;
        p.memory_mode = single ? "sequential" : "auto";
        tt_generate_stats stats;
        if (tt_generate(model, &p, images[single], &stats) != TT_OK)
            fail_msg("%s", tt_context_message(context));
        assert_int_equal(stats.memory_mode, single ? TT_MEMORY_SEQUENTIAL : TT_MEMORY_RESIDENT);
        tt_model_destroy(model);
    }
    for (int i = 0; i < 2; i++) {
        assert_same(&images[0][i], &images[1][i]);
        tt_image_free(&images[0][i]);
        tt_image_free(&images[1][i]);
    }
    tt_image_free(&start);
    tt_image_free(&mask);
}

static void test_batches(void **state)
{
    (void)state;
    check_batch(SD1, false);
    check_batch(SD1, true);
    check_batch(INPAINT, true);
    check_batch(SDXL, false);
}

/* A mode that is asked for is kept to: the decoder works in tiles so that everything can stay, or the request is
 * refused though another mode would do. */
static void test_wanted_mode(void **state)
{
    (void)state;
    tt_model *model = load(MINI);
    tt_generate_params p = request(model, 512, 512);
    tt_plan a = plan(model, &p), b;
    p.memory_budget_bytes = a.peak_bytes - 9000000;
    p.memory_mode = "resident";
    b = plan(model, &p);
    assert_true(b.mode == TT_MEMORY_RESIDENT && b.is_tiled_to_fit && b.peak_bytes <= p.memory_budget_bytes);
    p.memory_budget_bytes = 1000000;
    assert_int_equal(tt_plan_make(model, &p, false, &b), TT_ERROR_MEMORY);
    assert_non_null(strstr(tt_context_message(context), "another memory mode"));
    p.memory_mode = "fast";
    assert_int_equal(tt_plan_make(model, &p, false, &b), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(tt_context_message(context), "auto, resident, sequential and streamed"));
    tt_model_destroy(model);
}

/* A second request on a loaded model: what is there is counted once, and a budget that only fits without it frees it.
 */
static void test_again(void **state)
{
    (void)state;
    tt_model *model = load(MINI);
    tt_generate_params p = request(model, 192, 256);
    tt_image first = run_counted(model, &p, TT_MEMORY_RESIDENT), second;
    assert_true(tt_device_bytes(context->device) > 0);
    p.memory_mode = "sequential";
    second = run_counted(model, &p, TT_MEMORY_SEQUENTIAL);
    assert_same(&first, &second);
    tt_image_free(&first);
    tt_image_free(&second);
    tt_model_destroy(model);
}

/* A run in tiles leaves no trace in the stages. */
static void test_stage_after(void **state)
{
    (void)state;
    tt_model *model = load(MINI);
    tt_generate_params p = request(model, 512, 512);
    tt_stage_params stage;
    tt_arrays in = {0}, before = {0}, after = {0};
    tt_image image;
    tt_generate_stats stats;
    uint32_t channels = model->vae_config.latent_channels;
    uint64_t dims[4] = {1, channels, 20, 30};
    float *latent = malloc((size_t)600 * channels * sizeof *latent);
    assert_non_null(latent);
    for (size_t i = 0; i < (size_t)600 * channels; i++)
        latent[i] = (float)(i * 29 % 101) / 50.0f - 1.0f;
    assert_int_equal(tt_arrays_add(context, &in, "latent", TT_ARRAY_F32, 4, dims, latent), TT_OK);
    tt_stage_params_default(&stage, TT_STAGE_VAE_DECODE);
    golden_run(context, model, &stage, &in, &before);
    tt_plan found = plan(model, &p);
    for (p.memory_budget_bytes = found.peak_bytes; !found.is_tiled_to_fit; p.memory_budget_bytes -= 1000000)
        assert_int_equal(tt_plan_make(model, &p, false, &found), TT_OK);
    if (tt_generate(model, &p, &image, &stats) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    tt_image_free(&image);
    golden_run(context, model, &stage, &in, &after);
    assert_memory_equal(golden_array(&before, "image")->data, golden_array(&after, "image")->data,
                        (size_t)3 * 600 * model->vae_config.factor * model->vae_config.factor * sizeof(float));
    free(latent);
    tt_arrays_free(&in);
    tt_arrays_free(&before);
    tt_arrays_free(&after);
    tt_model_destroy(model);
}

static void test_bad(void **state)
{
    (void)state;
    tt_model *model = load(SD1);
    tt_generate_params p = request(model, 33, 24);
    tt_plan found;
    assert_int_equal(tt_plan_make(model, &p, false, &found), TT_ERROR_ARGUMENT);
    assert_int_equal(found.peak_bytes, 0);
    p.width = 32;
    p.sampler = "eular";
    assert_int_equal(tt_plan_make(model, &p, false, &found), TT_ERROR_ARGUMENT);
    p.sampler = NULL;
    p.prompt = NULL;
    assert_int_equal(tt_plan_make(model, &p, false, &found), TT_OK);
    tt_model_destroy(model);

    tt_context *bare = tt_context_create(); /* no device */
    tt_model_params params;
    tt_model_params_default(&params);
    params.path = SD1;
    assert_int_equal(tt_model_load(bare, &params, &model), TT_OK);
    assert_int_equal(tt_plan_make(model, &p, false, &found), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(tt_context_message(bare), "no device is open"));
    tt_model_destroy(model);
    tt_context_destroy(bare);
    assert_string_equal(tt_memory_mode_name(TT_MEMORY_STREAMED), "streamed");
    assert_string_equal(tt_memory_mode_name((tt_memory_mode)7), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),        cmocka_unit_test(test_seconds),     cmocka_unit_test(test_falling_budget),
        cmocka_unit_test(test_refusal),     cmocka_unit_test(test_modes),       cmocka_unit_test(test_packs_early),
        cmocka_unit_test(test_batches),     cmocka_unit_test(test_wanted_mode), cmocka_unit_test(test_again),
        cmocka_unit_test(test_stage_after), cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, shared_context_open, shared_context_close);
}
