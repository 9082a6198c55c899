/* test_infotext.c - A1111's generation parameters, to the letter. No device is needed. */
#include "tests/support/temp-folder.h"
#include "tintype/tintype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAIL ", RNG: CPU, Version: tintype "

static tt_context *context;

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

static tt_generate_params request(tt_model *model)
{
    tt_generate_params p;
    assert_int_equal(tt_generate_params_default(model, &p), TT_OK);
    p.prompt = "a cat, (red:1.2)";
    p.width = 64;
    p.height = 32;
    p.n_steps = 8;
    p.cfg_scale = 7.5f;
    p.seed = 42;
    return p;
}

static void check(tt_model *model, const tt_generate_params *p, const tt_generate_stats *stats, uint32_t index,
                  bool with_prompt, const char *want)
{
    char text[2048], full[2048];
    snprintf(full, sizeof full, "%s%s", want, tt_version());
    size_t needed = tt_generate_infotext(model, p, stats, index, with_prompt, text, sizeof text);
    assert_string_equal(text, full);
    assert_int_equal(needed, strlen(full));
}

static void test_prompts(void **state)
{
    (void)state;
    tt_model *model = load("tests/golden/data/models/sd1");
    tt_generate_params p = request(model);
    check(model, &p, NULL, 0, true,
          "a cat, (red:1.2)\nSteps: 8, Sampler: PLMS, Schedule type: Automatic, CFG scale: 7.5, Seed: 42, Size: 64x32, "
          "Model: sd1" TAIL);
    p.negative_prompt = "blurry\nlow quality";
    check(model, &p, NULL, 2, true,
          "a cat, (red:1.2)\nNegative prompt: blurry\nlow quality\nSteps: 8, Sampler: PLMS, Schedule type: Automatic, "
          "CFG scale: 7.5, Seed: 44, Size: 64x32, Model: sd1" TAIL);
    check(model, &p, NULL, 0, false,
          "Steps: 8, Sampler: PLMS, Schedule type: Automatic, CFG scale: 7.5, Seed: 42, Size: 64x32, Model: sd1" TAIL);
    p.negative_prompt = "";
    p.prompt = ""; /* nothing to say: no empty first line */
    check(model, &p, NULL, 0, true,
          "Steps: 8, Sampler: PLMS, Schedule type: Automatic, CFG scale: 7.5, Seed: 42, Size: 64x32, Model: sd1" TAIL);
    p.prompt = NULL;
    check(model, &p, NULL, 0, true,
          "Steps: 8, Sampler: PLMS, Schedule type: Automatic, CFG scale: 7.5, Seed: 42, Size: 64x32, Model: sd1" TAIL);
    tt_model_destroy(model);
}

static void test_options(void **state)
{
    (void)state;
    tt_model *model = load("tests/golden/data/models/sd1");
    tt_generate_params p = request(model);
    uint8_t pixels[3] = {0};
    tt_image image = {1, 1, 3, pixels};
    tt_generate_stats stats = {.seed = 1234567890123};
    p.prompt = "x";
    p.sampler = "dpm++2m";
    p.schedule = "karras";
    p.clip_skip = 2;
    p.init_image = &image;
    p.strength = 0.6f;
    p.rng = TT_RNG_CUDA;
    p.cfg_scale = 1.0f;
    check(
        model, &p, &stats, 1, true,
        "x\nSteps: 8, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 1, Seed: 1234567890124, Size: 64x32, Model: "
        "sd1, Denoising strength: 0.6, Clip skip: 2, RNG: GPU, Version: tintype ");
    p = request(model);
    p.prompt = "x";
    p.scheduler_config = "{\"_class_name\":\"EulerAncestralDiscreteScheduler\"}";
    p.sampler = "ddim"; /* the config wins */
    p.clip_skip = 1;
    check(model, &p, NULL, 0, true,
          "x\nSteps: 8, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7.5, Seed: 42, Size: 64x32, Model: "
          "sd1" TAIL);
    p.scheduler_config = "{broken"; /* the request itself would fail; the text still says something true */
    p.sampler = NULL;
    check(
        model, &p, NULL, 0, true,
        "x\nSteps: 8, Sampler: PLMS, Schedule type: Automatic, CFG scale: 7.5, Seed: 42, Size: 64x32, Model: sd1" TAIL);
    p.seed = INT64_MAX; /* seeds wrap like the generator's */
    p.scheduler_config = NULL;
    check(model, &p, NULL, 1, true,
          "x\nSteps: 8, Sampler: PLMS, Schedule type: Automatic, CFG scale: 7.5, Seed: -9223372036854775808, Size: "
          "64x32, Model: sd1" TAIL);
    tt_model_destroy(model);
}

/* A file has a hash; names with commas, colons, quotes and backslashes are JSON texts. */
static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *file, *shown;
    } names[] = {{"plain v1.5.safetensors", "plain v1.5"},
                 {"a, b.safetensors", "\"a, b\""},
                 {"say \"hi\".safetensors", "\"say \\\"hi\\\"\""},
                 {"c:\\d.safetensors", "\"c:\\\\d\""},
                 {"two\nlines.safetensors", "\"two\\nlines\""}};
    char here[512], target[1024], path[TT_TEMP_PATH], want[1024];
    assert_non_null(getcwd(here, sizeof here));
    snprintf(target, sizeof target, "%s/tests/golden/data/models/taesd_decoder.safetensors", here);
    temp_folder folder;
    temp_folder_make(&folder);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(symlink(target, temp_folder_path(&folder, names[i].file, path)), 0);
        tt_model *model = load(path);
        tt_generate_params p = request(model);
        assert_int_equal(strlen(tt_model_hash(model)), 10);
        snprintf(want, sizeof want, "Steps: 8, CFG scale: 7.5, Seed: 42, Size: 64x32, Model hash: %s, Model: %s" TAIL,
                 tt_model_hash(model), names[i].shown);
        check(model, &p, NULL, 0, false, want);
        tt_model_destroy(model);
    }
    temp_folder_remove(&folder);
}

static void test_cut(void **state)
{
    (void)state;
    tt_model *model = load("tests/golden/data/models/sd1");
    tt_generate_params p = request(model);
    char whole[512], cut[512];
    size_t needed = tt_generate_infotext(model, &p, NULL, 0, true, NULL, 0);
    assert_int_equal(tt_generate_infotext(model, &p, NULL, 0, true, whole, sizeof whole), needed);
    assert_int_equal(strlen(whole), needed);
    memset(cut, 'z', sizeof cut);
    assert_int_equal(tt_generate_infotext(model, &p, NULL, 0, true, cut, 10), needed);
    assert_memory_equal(cut, whole, 9);
    assert_int_equal(cut[9], '\0');
    assert_int_equal(cut[10], 'z');
    assert_int_equal(tt_generate_infotext(model, &p, NULL, 0, true, cut, 1), needed);
    assert_string_equal(cut, "");
    tt_model_destroy(model);
}

static int set_up(void **state)
{
    (void)state;
    context = tt_context_create();
    return context == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    tt_context_destroy(context);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_prompts), cmocka_unit_test(test_options),
                                       cmocka_unit_test(test_names), cmocka_unit_test(test_cut)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
