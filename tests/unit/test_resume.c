/* test_resume.c - runs that are stopped and go on from their file: same bits, batches, refusals. */
#include "tests/support/golden.h"
#include "tests/support/resume-run.h"
#include "tests/support/temp-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tt_context *context;
static tt_model *sd1, *inpaint;
static temp_folder folder;
static char path[TT_TEMP_PATH];

static tt_model *load(const char *name)
{
    static const golden_set own = {"own", "tests/golden/data", "tests/golden/data/models", 0};
    tt_model *model = golden_model(context, &own, name, TT_PRECISION_F32);
    assert_non_null(model);
    return model;
}

static int set_up_all(void **state)
{
    (void)state;
    context = golden_context();
    sd1 = load("sd1");
    inpaint = load("inpaint");
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    tt_model_destroy(sd1);
    tt_model_destroy(inpaint);
    tt_context_destroy(context);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "state", path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tt_context_set_log(context, NULL, NULL);
    temp_folder_remove(&folder);
    return 0;
}

/* ---- stopping */

static void assert_stands_at(uint32_t image, uint32_t step, uint32_t n_steps)
{
    tt_resume_info info;
    if (tt_resume_read(context, path, &info) != TT_OK)
        fail_msg("%s", tt_context_message(context));
    assert_int_equal(info.image, image);
    assert_int_equal(info.step, step);
    assert_int_equal(info.n_steps, n_steps);
}

/* Stops after every call in turn; each time the rest makes the picture of a run without a break. */
static void check_every_stop(tt_model *model, const tt_generate_params *request_of, const char *what)
{
    tt_generate_params p = *request_of;
    tt_generate_stats stats;
    tt_image whole, rest;
    resume_run(context, model, &p, &whole, &stats);
    uint32_t n_calls = stats.n_unet_calls;
    p.resume_path = path;
    for (uint32_t step = 1; step <= n_calls; step++) {
        resume_stop s = {.image = 9};
        resume_run_until(model, &p, 0, step);
        assert_stands_at(0, step, n_calls);
        p.progress = resume_stop_at;
        p.progress_user = &s;
        resume_run(context, model, &p, &rest, &stats);
        p.progress = NULL;
        resume_assert_same(&whole, &rest, what, step);
        assert_int_equal(stats.first_call, step);
        assert_int_equal(stats.n_unet_calls, n_calls - step);
        assert_true(step == n_calls || stats.resume_ms > 0.0);
        assert_int_equal(s.first_step, step);
        assert_true(s.saw_text == (step < n_calls)); /* nothing but decoding is left of a finished loop */
        tt_image_free(&rest);
        assert_int_equal(temp_folder_count(&folder), 1);
        assert_int_equal(remove(path), 0);
    }
    tt_image_free(&whole);
}

static void test_every_sampler(void **state)
{
    (void)state;
    static const char *const names[] = {"pndm", "euler_a", "heun", "unipc", "dpm++2m", "dpm++sde"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tt_generate_params p = resume_request(sd1);
        p.sampler = names[i];
        check_every_stop(sd1, &p, names[i]);
    }
    tt_generate_params p = resume_request(sd1);
    p.sampler = "dpm++2m";
    p.schedule = "karras";
    p.negative_prompt = "rain";
    p.rng = TT_RNG_CUDA;
    check_every_stop(sd1, &p, "karras");
}

/* With a kept feature a run goes on from its last whole call: what was made since is made again. */
static void test_savers(void **state)
{
    (void)state;
    tt_generate_params p = resume_request(sd1);
    tt_generate_stats stats;
    tt_image whole, rest;
    p.savers = (tt_savers){.guidance_stop = 0.8f, .reuse_interval = 2, .reuse_depth = 1, .kv_downsample = 1};
    resume_run(context, sd1, &p, &whole, &stats);
    p.resume_path = path;
    static const uint32_t stands_at[] = {0, 0, 2, 3, 4}; /* whole: 0, 2, and 3, where guidance ends */
    for (uint32_t step = 1; step <= 4; step++) {
        resume_run_until(sd1, &p, 0, step);
        assert_stands_at(0, stands_at[step], 4);
        resume_run(context, sd1, &p, &rest, &stats);
        resume_assert_same(&whole, &rest, "savers", step);
        assert_int_equal(stats.n_unet_calls, 4 - stands_at[step]);
        tt_image_free(&rest);
        assert_int_equal(remove(path), 0);
    }
    resume_run_until(sd1, &p, 0, 2);
    tt_generate_params q = p;
    q.savers.reuse_depth = 2;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT,
                  "step savers \"CFG start: 0, CFG stop: 0.8, Reuse interval: 2, Reuse depth: 1");
    q.savers = (tt_savers){.guidance_stop = 1.0f};
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "but \"none\"");
    tt_image_free(&whole);
}

static tt_image picture(uint32_t n_channels, uint8_t first)
{
    tt_image image = {RESUME_WIDTH, RESUME_HEIGHT, n_channels,
                      malloc((size_t)RESUME_WIDTH * RESUME_HEIGHT * n_channels)};
    assert_non_null(image.pixels);
    for (size_t i = 0; i < (size_t)RESUME_WIDTH * RESUME_HEIGHT * n_channels; i++)
        image.pixels[i] = (uint8_t)(first + i * 5);
    return image;
}

static void test_pictures_and_masks(void **state)
{
    (void)state;
    tt_image start = picture(3, 10), mask = picture(1, 30);
    tt_generate_params p = resume_request(sd1);
    p.init_image = &start;
    p.strength = 0.8f;
    check_every_stop(sd1, &p, "image to image");
    p.mask = &mask;
    check_every_stop(sd1, &p, "repainting by blending");
    p.strength = 1.0f;
    check_every_stop(sd1, &p, "repainting from noise");
    p = resume_request(inpaint);
    p.init_image = &start;
    p.mask = &mask;
    p.strength = 0.8f;
    check_every_stop(inpaint, &p, "repainting with nine channels");
    tt_image_free(&start);
    tt_image_free(&mask);
}

/* Stopped twice, and in another picture of the call: those before it are made anew, all are as without a break. */
static void test_batch_in_one_call(void **state)
{
    (void)state;
    tt_generate_params p = resume_request(sd1);
    tt_generate_stats stats;
    tt_image whole[3], rest[3];
    p.n_images = 3;
    resume_run(context, sd1, &p, whole, NULL);
    p.resume_path = path;
    resume_run_until(sd1, &p, 1, 1);
    assert_stands_at(1, 1, 4);
    resume_run_until(sd1, &p, 1, 3);
    assert_stands_at(1, 3, 4);
    resume_run_until(sd1, &p, 0, 2); /* an earlier picture made anew leaves the state alone */
    assert_stands_at(1, 3, 4);
    resume_run(context, sd1, &p, rest, &stats);
    assert_int_equal(stats.first_call, 3);
    assert_int_equal(stats.n_unet_calls, 4 + 1 + 4);
    for (uint32_t i = 0; i < 3; i++) {
        resume_assert_same(&whole[i], &rest[i], "picture of a batch", i);
        tt_image_free(&whole[i]);
        tt_image_free(&rest[i]);
    }
}

/* A batch in several calls: a state of an earlier picture is done with, one of a later picture must not be lost. */
static void test_batch_in_several_calls(void **state)
{
    (void)state;
    tt_generate_params p = resume_request(sd1), q;
    tt_image whole[3], one;
    char text[1024];
    p.n_images = 3;
    resume_run(context, sd1, &p, whole, NULL);
    q = p;
    q.n_images = 1;
    q.resume_path = path;
    for (uint32_t i = 0; i < 3; i++) {
        q.first_image = i;
        tt_generate_stats stats;
        resume_run(context, sd1, &q, &one, &stats);
        assert_int_equal(stats.seed, 7);
        assert_int_equal(stats.first_call, 0);
        resume_assert_same(&whole[i], &one, "picture by itself", i);
        (void)tt_generate_infotext(sd1, &q, &stats, 0, true, text, sizeof text);
        (void)snprintf(text, sizeof text, "%s", strstr(text, "Seed: "));
        assert_int_equal(strtol(text + 6, NULL, 10), 7 + i);
        assert_stands_at(i, 4, 4);
        tt_image_free(&one);
        tt_image_free(&whole[i]);
    }
    q.first_image = 1;
    assert_int_equal(tt_generate(sd1, &q, &one, NULL), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(tt_context_message(context), "stands at picture 3"));
    assert_stands_at(2, 4, 4);
}

static void test_seed_of_the_file(void **state)
{
    (void)state;
    tt_generate_params p = resume_request(sd1), q = p;
    tt_generate_stats stats;
    tt_image whole, rest;
    resume_run(context, sd1, &p, &whole, NULL);
    p.resume_path = q.resume_path = path;
    resume_run_until(sd1, &p, 0, 2);
    q.seed = -1;
    resume_run(context, sd1, &q, &rest, &stats);
    assert_int_equal(stats.seed, 7);
    resume_assert_same(&whole, &rest, "seed", 0);
    tt_image_free(&whole);
    tt_image_free(&rest);
}

/* ---- refusals */

static void test_other_requests(void **state)
{
    (void)state;
    tt_image start = picture(3, 10), other = picture(3, 11), mask = picture(1, 3);
    tt_generate_params p = resume_request(sd1), q;
    p.resume_path = path;
    p.init_image = &start;
    p.strength = 0.75f;
    p.negative_prompt = "rain";
    resume_run_until(sd1, &p, 0, 2);
    q = p, q.prompt = "a dog";
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT,
                  "prompt \"a cat on a blue background\", but \"a dog\" is asked for");
    q = p, q.negative_prompt = NULL;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "negative prompt \"rain\", but \"none\"");
    q = p, q.seed = 8;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "seed \"7\", but \"8\"");
    q = p, q.n_steps = 5;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "steps \"4\", but \"5\"");
    q = p, q.cfg_scale = 1.5f;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "cfg scale \"7\", but \"1.5\"");
    q = p, q.sampler = "euler";
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "sampler \"Euler a, ");
    q = p, q.schedule = "sgm_uniform";
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "sampler \"Euler a, Automatic\", but");
    q = p, q.eta = 0.5f;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "eta \"0\", but \"0.5\"");
    q = p, q.clip_skip = 2;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "clip skip \"1\", but \"2\"");
    q = p, q.rng = TT_RNG_CUDA;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "random generator \"cpu\", but \"cuda\"");
    q = p, q.strength = 0.5f;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "strength \"0.75\", but \"0.5\"");
    q = p, q.init_image = &other;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "start picture");
    q = p, q.init_image = NULL;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "start picture");
    q = p, q.mask = &mask;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "mask");
    q = p, q.init_image = NULL, q.width = 16;
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "size \"32x16\", but \"16x16\"");
    q.prompt = "broken \xff bytes";
    resume_refuse(context, sd1, &q, TT_ERROR_ARGUMENT, "UTF-8");
    tt_image made;
    assert_int_equal(tt_generate(inpaint, &p, &made, NULL), TT_ERROR_ARGUMENT);
    assert_non_null(strstr(tt_context_message(context), "a model with the SHA-256"));
    q = p, q.clip_skip = 1; /* the same request in other words */
    resume_run(context, sd1, &q, &made, NULL);
    tt_image_free(&made);
    tt_image_free(&start);
    tt_image_free(&other);
    tt_image_free(&mask);
}

/* ---- files that cannot be written or read */

static void test_bad_places(void **state)
{
    (void)state;
    tt_generate_params p = resume_request(sd1);
    tt_image image;
    char missing[TT_TEMP_PATH];
    tt_resume_info info;
    p.resume_path = temp_folder_path(&folder, "no/such/state", missing);
    assert_int_equal(tt_generate(sd1, &p, &image, NULL), TT_ERROR_IO);
    assert_non_null(strstr(tt_context_message(context), "no/such/state"));
    p.resume_path = folder.path;
    assert_int_equal(tt_generate(sd1, &p, &image, NULL), TT_ERROR_IO);
    assert_non_null(strstr(tt_context_message(context), "folder"));
    assert_int_equal(tt_resume_read(context, missing, &info), TT_ERROR_IO);
    temp_folder_write_text(&folder, "state", "my diary, which nobody may overwrite");
    p.resume_path = path;
    resume_refuse(context, sd1, &p, TT_ERROR_FORMAT, "damaged or no resume file");
    assert_int_equal(tt_resume_read(context, path, &info), TT_ERROR_FORMAT);
    p.first_image = UINT32_MAX;
    resume_refuse(context, sd1, &p, TT_ERROR_ARGUMENT, "first image");
}

/* The disk goes away while the run is under way: a warning, and the picture is made all the same. */
static bool remove_at_two(void *user, const tt_progress *progress)
{
    if (progress->phase == TT_PHASE_DENOISE && progress->step == 2) {
        assert_int_equal(remove(path), 0);
        assert_int_equal(rmdir(user), 0);
    }
    return true;
}

static void test_write_fails_later(void **state)
{
    (void)state;
    tt_generate_params p = resume_request(sd1);
    tt_image whole, made;
    resume_log lines = {0};
    char place[TT_TEMP_PATH];
    resume_run(context, sd1, &p, &whole, NULL);
    temp_folder_write_text(&folder, "below/x", "");
    assert_int_equal(remove(temp_folder_path(&folder, "below/x", path)), 0);
    (void)temp_folder_path(&folder, "below/state", path);
    p.resume_path = path;
    p.progress = remove_at_two;
    p.progress_user = (void *)(uintptr_t)temp_folder_path(&folder, "below", place);
    tt_context_set_log(context, resume_keep_log, &lines);
    resume_run(context, sd1, &p, &made, NULL);
    assert_int_equal(lines.n_warnings, 1);
    assert_non_null(strstr(lines.last, "the run goes on"));
    resume_assert_same(&whole, &made, "without its file", 0);
    tt_image_free(&whole);
    tt_image_free(&made);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_every_sampler),          TEST(test_savers),
        TEST(test_pictures_and_masks),     TEST(test_batch_in_one_call),
        TEST(test_batch_in_several_calls), TEST(test_seed_of_the_file),
        TEST(test_other_requests),         TEST(test_bad_places),
        TEST(test_write_fails_later),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
